"""The twins in memory keep the same promises as real connectors."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from connectors.memory.source import Mail, MemoryCalendar, MemoryMailbox
from crm_sync.core.errors import Throttled, Unreachable
from crm_sync.core.records import (
    Address,
    Envelope,
    EventItem,
    Item,
    MailItem,
    Occurrence,
)
from crm_sync.testing.source_contract import Ledger, SourceContract, pull

NOW = datetime(2026, 3, 4, 9, tzinfo=UTC)


def a_mail(number: int) -> Mail:
    envelope = Envelope(
        message_id=f"<{number}@nordvik.example>",
        from_=(Address("lena@nordvik.example"),),
        subject=f"item {number}",
        date=NOW,
    )
    return Mail(envelope, NOW, f"text of item {number}")


def a_meeting(number: int) -> Occurrence:
    begin = NOW + timedelta(days=number)
    return Occurrence(
        f"{number}@x", None, begin, begin + timedelta(hours=1), f"item {number}", None, ()
    )


class MemoryBackstage:
    def __init__(self, source: MemoryMailbox | MemoryCalendar) -> None:
        self.source = source
        self.stream_name = next(s.name for s in source.streams())
        self.keys: dict[int, str] = {}

    def put(self, number: int) -> None:
        if isinstance(self.source, MemoryMailbox):
            self.keys[number] = self.source.deliver(a_mail(number))
        else:
            self.keys[number] = self.source.put(f"{number}.ics", a_meeting(number)).key

    def remove(self, number: int) -> None:
        self.source.remove(self.keys[number])

    def number_of(self, item: Item) -> int:
        if isinstance(item, MailItem):
            return int(item.envelope.subject.removeprefix("item "))
        assert isinstance(item, EventItem)
        return int(item.occurrences[0].summary.removeprefix("item "))

    def put_large(self, number: int) -> None:
        assert isinstance(self.source, MemoryMailbox)
        raw = b"Subject: item %d\r\n\r\n" % number + b"x" * 300_000
        self.keys[number] = self.source.deliver(replace(a_mail(number), raw=raw))

    def spoil(self, number: int) -> None:
        self.put(number)
        self.source.make_unreadable(self.keys[number])

    def reset(self) -> None:
        assert isinstance(self.source, MemoryMailbox)
        self.source.reset_uidvalidity()

    def break_connection(self) -> None:
        """A memory has no connection that could break quietly."""

    def go_away(self) -> None:
        self.source.away = lambda: Unreachable("no answer", advice="wait")

    def come_back(self) -> None:
        self.source.away = None

    def requests(self) -> int:
        return self.source.requests


class TestMemoryMailbox(SourceContract):
    can_reset = True
    can_break = True
    can_count = True
    can_put_large = True
    arrived = NOW

    @pytest.fixture
    def source(self):
        return MemoryMailbox(page_size=self.page_size)

    @pytest.fixture
    def server(self, source):
        return MemoryBackstage(source)


class TestMemoryCalendar(SourceContract):
    kind = "calendar"
    can_break = True
    can_count = True
    gives_octets = False  # its objects were never text

    @pytest.fixture
    def source(self):
        return MemoryCalendar(page_size=self.page_size)

    @pytest.fixture
    def server(self, source):
        return MemoryBackstage(source)

    def test_a_deleted_meeting_comes_as_gone_once(self, source, server):
        server.put(1)
        server.put(2)
        stream, ledger = source.streams()[0], Ledger()
        pull(source, stream, ledger)
        server.remove(1)
        assert [p.gone for p in pull(source, stream, ledger)] == [("1.ics",)]
        assert pull(source, stream, ledger) == []

    def test_after_forgotten_tokens_only_what_differs_from_the_known_comes(self, source, server):
        for number in (1, 2, 3):
            server.put(number)
        stream, ledger = source.streams()[0], Ledger()
        pull(source, stream, ledger)
        ledger.items.clear()
        server.put(2)
        server.remove(3)
        source.forget_tokens()
        assert [p.gone for p in pull(source, stream, ledger)] == [("3.ics",)]
        assert self.numbers(server, ledger.items) == [2]


def test_a_moved_mail_has_a_new_key_in_its_new_folder():
    mailbox = MemoryMailbox("INBOX", "Done")
    key = mailbox.deliver(a_mail(1))
    mailbox.move(key, "INBOX", "Done")
    inbox, done = mailbox.streams()
    assert [p.items for p in mailbox.pull(inbox, None, dict)] == [()]
    ((item,),) = [p.items for p in mailbox.pull(done, None, dict)]
    assert item.key == "1:1"


def test_ordered_faults_come_one_a_request():
    mailbox = MemoryMailbox()
    mailbox.fail_next(lambda: Unreachable("no answer"), lambda: Throttled("slow down"))
    with pytest.raises(Unreachable):
        mailbox.streams()
    with pytest.raises(Throttled):
        mailbox.streams()
    assert len(mailbox.streams()) == 1
