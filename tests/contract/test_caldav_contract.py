"""CalDAV keeps the promises of every source, on two servers that have little in common."""

import itertools
from collections.abc import Iterator
from datetime import timedelta

import pytest

from crm_sync.core.records import EventItem, Item
from crm_sync.ports import Source
from crm_sync.testing.source_contract import SourceContract
from tests.servers.calendars import NOW, Account, an_event, running
from tests.servers.radicale import CalendarServer, Radicale, Xandikos
from tests.servers.recording_proxy import RecordingProxy

NUMBERS = itertools.count()


def event(number: int, start: str = "") -> str:
    start = start or f"{NOW + timedelta(days=number):%Y%m%dT%H%M%SZ}"
    return an_event(
        f"item {number}", f"DESCRIPTION:text of item {number}", start=f"DTSTART:{start}"
    )


class CalendarBackstage:
    """A new calendar on a running server, with a proxy in front that counts and cuts."""

    stream_name = "Meetings"

    def __init__(self, real: CalendarServer, proxy: RecordingProxy, calendar: str) -> None:
        self.real, self.proxy = real, proxy
        self.path = real.make_calendar(calendar, self.stream_name)

    @property
    def url(self) -> str:
        return f"http://{self.proxy.host}:{self.proxy.port}{self.path}"

    def put(self, number: int) -> None:
        self.real.put(f"{self.path}{number}.ics", event(number))

    def remove(self, number: int) -> None:
        self.real.delete(f"{self.path}{number}.ics")

    def number_of(self, item: Item) -> int:
        assert isinstance(item, EventItem)
        return int(item.occurrences[0].summary.removeprefix("item "))

    def spoil(self, number: int) -> None:
        # What servers can't read they keep to themselves; the first midnight of all they serve.
        self.real.put(f"{self.path}{number}.ics", event(number, "00010101T000000"))

    def reset(self) -> None:
        raise NotImplementedError

    def break_connection(self) -> None:
        self.proxy.cut()

    def go_away(self) -> None:
        self.proxy.refuse()

    def come_back(self) -> None:
        self.proxy.accept()

    def requests(self) -> int:
        return sum(line.endswith(b" HTTP/1.1") for line in self.proxy.commands)


class CalendarContract(SourceContract):
    kind = "calendar"
    can_break = True
    can_count = True

    @pytest.fixture
    def server(self, real: CalendarServer):
        with RecordingProxy(real.host, real.port) as proxy:
            yield CalendarBackstage(real, proxy, f"c{next(NUMBERS)}")

    @pytest.fixture
    def source(self, server: CalendarBackstage) -> Iterator[Source]:
        account = Account(server.url, page_size=self.page_size)
        yield account.source
        account.source.close()


class TestRadicale(CalendarContract):
    @pytest.fixture
    def real(self, radicale: CalendarServer) -> CalendarServer:
        return radicale


class TestXandikos(CalendarContract):
    @pytest.fixture
    def real(self, xandikos: CalendarServer) -> CalendarServer:
        return xandikos


@pytest.fixture(scope="module")
def radicale() -> Iterator[CalendarServer]:
    with running(Radicale()) as server:
        yield server


@pytest.fixture(scope="module")
def xandikos() -> Iterator[CalendarServer]:
    pytest.importorskip("xandikos", reason="Xandikos is not installed (pip install xandikos)")
    with running(Xandikos()) as server:
        yield server
