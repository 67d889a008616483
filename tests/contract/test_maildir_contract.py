"""The maildir source keeps the promises of a `Source`, on real files."""

from datetime import UTC, datetime

import pytest

from connectors.files import MAILDIR
from crm_sync.core.records import MailItem
from crm_sync.ports import Surroundings
from crm_sync.testing.clock import FixedClock
from crm_sync.testing.source_contract import SourceContract
from tests.servers.archives import Maildir, a_mail, opened_below

LATER = datetime(2099, 1, 1, tzinfo=UTC)


class MaildirBackstage:
    stream_name = "Customers"

    def __init__(self, path) -> None:
        Maildir(path)
        self.path = path
        self.maildir = Maildir(path / ".Customers")
        opened_below(path)

    def put(self, number: int) -> None:
        self.maildir.deliver(a_mail(number), f"1772352000.M{number}P1.host")

    def put_large(self, number: int) -> None:
        raw = a_mail(number, text="x" * 300_000)
        self.maildir.deliver(raw, f"1772352000.M{number}P1.host")

    def spoil(self, number: int) -> None:
        raw = f"no header at all\n\ntext of item {number}\n".encode()
        self.maildir.deliver(raw, f"1772352000.M{number}P1.host")

    def remove(self, number: int) -> None:
        for path in self.maildir.path.rglob(f"1772352000.M{number}P1.host*"):
            path.unlink()

    def number_of(self, item) -> int:
        assert isinstance(item, MailItem)
        return int(item.envelope.subject.removeprefix("item "))

    def requests(self) -> int:
        return len(opened_below(self.path))


class TestMaildir(SourceContract):
    can_reset = False  # names are unique for ever
    can_break = False  # a disk has no connection; a missing path is `Refused`
    can_count = True
    can_put_large = True
    arrived = datetime(2026, 3, 1, 8, tzinfo=UTC)

    @pytest.fixture
    def server(self, tmp_path):
        return MaildirBackstage(tmp_path / "mail")

    @pytest.fixture
    def source(self, server):
        options = MAILDIR.options(path=server.path, page_size=self.page_size)
        return MAILDIR.build(options, Surroundings("karin/maildir", FixedClock(LATER), UTC))
