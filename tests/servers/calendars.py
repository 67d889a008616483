"""What tests of CalDAV share: an account on a server, its diary, and calendar objects."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

from connectors.caldav import KIND
from crm_sync.core.records import EventItem, Page
from crm_sync.ports import Source, Surroundings
from crm_sync.testing.clock import FixedClock
from crm_sync.testing.source_contract import Ledger
from tests.servers.radicale import PASSWORD, USER, CalendarServer

NOW = datetime(2026, 3, 4, 9, tzinfo=UTC)


def an_event(uid: str, *lines: str, start: str = "DTSTART:20260305T100000Z") -> str:
    """A calendar object with one event of an hour."""
    head = "BEGIN:VCALENDAR\nVERSION:2.0\nPRODID:-//crm-sync//tests//EN\nBEGIN:VEVENT\n"
    body = f"UID:{uid}@nordvik.example\nDTSTAMP:20260101T000000Z\n{start}\nSUMMARY:{uid}\n"
    return head + body + "".join(f"{line}\n" for line in lines) + "END:VEVENT\nEND:VCALENDAR\n"


@contextmanager
def running(server: CalendarServer) -> Iterator[CalendarServer]:
    """A server that runs, and leaves nothing behind."""
    try:
        server.start()
        yield server
    finally:
        server.remove()


class Account:
    """A source, a clock to move, a diary of each calendar; `poll` is what the daemon does."""

    def __init__(self, url: str, **options: Any) -> None:
        self.clock = FixedClock(NOW)
        said = {"url": url, "username": USER, "password": PASSWORD, "timeout": 10, **options}
        surroundings = Surroundings("karin/caldav", self.clock, ZoneInfo("Europe/Stockholm"))
        self.source: Source = KIND.build(KIND.options(**said), surroundings)
        self.ledgers: dict[str, Ledger] = {}

    def poll(self) -> list[Page]:
        """Asks for the streams, pulls each of them; all pages."""
        pages = []
        for stream in self.source.streams():
            ledger = self.ledgers.setdefault(stream.key, Ledger())
            for page in self.source.pull(stream, ledger.cursor, ledger.known):
                ledger.store(page)
                pages.append(page)
        return pages

    def news(self) -> tuple[list[str], list[str]]:
        """One poll: the UIDs that came, short and sorted, and the names of what is gone."""
        pages = self.poll()
        uids = [i.uid.partition("@")[0] for p in pages for i in p.items if isinstance(i, EventItem)]
        return sorted(uids), sorted(key.rpartition("/")[2] for p in pages for key in p.gone)
