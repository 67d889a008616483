"""The IMAP source keeps the promises of a `Source`, on a real Dovecot behind a proxy."""

import uuid
from datetime import UTC, datetime

import pytest

from connectors.imap import KIND
from crm_sync.core.records import Item, MailItem
from crm_sync.ports import Surroundings
from crm_sync.testing.clock import FixedClock
from crm_sync.testing.source_contract import SourceContract
from tests.servers.dovecot import PASSWORD, Dovecot
from tests.servers.recording_proxy import RecordingProxy

NOW = datetime(2026, 3, 4, 12, tzinfo=UTC)
ARRIVED = datetime(2026, 3, 1, 8, 30, tzinfo=UTC)


class DovecotBackstage:
    stream_name = "Customers"

    def __init__(self, dovecot: Dovecot, proxy: RecordingProxy) -> None:
        self.dovecot, self.proxy = dovecot, proxy
        self.user = f"karin-{uuid.uuid4().hex[:8]}"
        self.uids: dict[int, int] = {}
        dovecot.add_user(self.user, [self.stream_name])

    def put(self, number: int) -> None:
        raw = (
            f"From: Lena <lena@nordvik.example>\r\nTo: karin@acme.example\r\n"
            f"Subject: item {number}\r\nMessage-ID: <{number}@nordvik.example>\r\n"
            f"Date: Sun, 1 Mar 2026 09:30:00 +0100\r\n\r\ntext of item {number}\r\n"
        )
        self.uids[number] = self._append(raw)

    def put_large(self, number: int) -> None:
        raw = f"Subject: item {number}\r\n\r\n" + "x" * 70 + "\r\n"
        self.uids[number] = self._append(raw + ("x" * 70 + "\r\n") * 5000)

    def spoil(self, number: int) -> None:
        self.uids[number] = self._append(f"no header at all\r\n\r\ntext of item {number}\r\n")

    def _append(self, raw: str) -> int:
        return self.dovecot.append(self.user, self.stream_name, raw.encode(), ARRIVED)

    def remove(self, number: int) -> None:
        self.dovecot.expunge(self.user, self.stream_name, [self.uids[number]])

    def number_of(self, item: Item) -> int:
        assert isinstance(item, MailItem)
        return int(item.envelope.subject.removeprefix("item "))

    def reset(self) -> None:
        self.dovecot.rename_folder(self.user, self.stream_name, "Old")
        with self.dovecot.client(self.user) as client:
            client.create_folder(self.stream_name)
            client.select_folder("Old")
            client.copy(client.search(), self.stream_name)
            client.unselect_folder()
            client.delete_folder("Old")

    def break_connection(self) -> None:
        self.proxy.cut()

    def go_away(self) -> None:
        self.proxy.refuse()

    def come_back(self) -> None:
        self.proxy.accept()

    def requests(self) -> int:
        return len(self.proxy.commands)


class TestImap(SourceContract):
    can_reset = True
    can_break = True
    can_count = True
    can_put_large = True
    arrived = ARRIVED

    @pytest.fixture
    def proxy(self, dovecot):
        with RecordingProxy(dovecot.host, dovecot.port) as proxy:
            yield proxy

    @pytest.fixture
    def server(self, dovecot, proxy):
        return DovecotBackstage(dovecot, proxy)

    @pytest.fixture
    def source(self, server):
        options = KIND.options(
            host=server.proxy.host,
            port=server.proxy.port,
            security="none",
            username=server.user,
            password=PASSWORD,
            page_size=self.page_size,
        )
        source = KIND.build(options, Surroundings("karin/imap", FixedClock(NOW), UTC))
        yield source
        source.close()
        assert server.proxy.only_read(), server.proxy.verbs()
