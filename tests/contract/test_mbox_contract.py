"""The mbox source keeps the promises of a `Source`, on real files."""

from datetime import UTC, datetime

import pytest

from connectors.files import MBOX
from crm_sync.core.records import MailItem
from crm_sync.ports import Surroundings
from crm_sync.testing.clock import FixedClock
from crm_sync.testing.source_contract import SourceContract
from tests.servers.archives import Mbox, a_mail, opened_below

LATER = datetime(2099, 1, 1, tzinfo=UTC)


class MboxBackstage:
    stream_name = "Customers"

    def __init__(self, path) -> None:
        path.mkdir()
        self.path = path
        self.mbox = Mbox(path / "Customers.mbox")
        opened_below(path)

    def put(self, number: int) -> None:
        self.mbox.append(a_mail(number))

    def put_large(self, number: int) -> None:
        self.mbox.append(a_mail(number, text="x" * 300_000))

    def spoil(self, number: int) -> None:
        self.mbox.append(f"no header at all\n\ntext of item {number}\n".encode())

    def remove(self, number: int) -> None:
        self.mbox.mails = [m for m in self.mbox.mails if b"item %d\n" % number not in m[1]]
        self.mbox.rewrite()

    def number_of(self, item) -> int:
        assert isinstance(item, MailItem)
        return int(item.envelope.subject.removeprefix("item "))

    def reset(self) -> None:
        self.mbox.mails = [
            (b"From - Sun Mar  1 08:30:00 2026", b"X-Moved: 1\n" + raw)
            for _, raw in self.mbox.mails
        ]
        self.mbox.rewrite()

    def requests(self) -> int:
        return len(opened_below(self.path))


class TestMbox(SourceContract):
    can_reset = True
    can_break = False  # a disk has no connection; a missing path is `Refused`
    can_count = True
    can_put_large = True
    arrived = datetime(2026, 3, 1, 8, 30, tzinfo=UTC)

    @pytest.fixture
    def server(self, tmp_path):
        return MboxBackstage(tmp_path / "mail")

    @pytest.fixture
    def source(self, server):
        options = MBOX.options(path=server.path, page_size=self.page_size)
        return MBOX.build(options, Surroundings("karin/mbox", FixedClock(LATER), UTC))
