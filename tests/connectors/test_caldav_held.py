"""What a calendar holds, for an audit: every object that a pull brings, and no task."""

from collections.abc import Iterator

import pytest

from crm_sync.core.errors import CrmSyncError
from crm_sync.core.records import Locator
from crm_sync.testing.source_contract import held_keys
from tests.servers.calendars import Account, an_event, running
from tests.servers.fault_http import FaultyServer, Reply
from tests.servers.radicale import Radicale

A_TASK = (
    "BEGIN:VCALENDAR\nVERSION:2.0\nPRODID:-//crm-sync//tests//EN\nBEGIN:VTODO\n"
    "UID:task@nordvik.example\nDTSTAMP:20260101T000000Z\nSUMMARY:task\nEND:VTODO\nEND:VCALENDAR\n"
)


@pytest.fixture(scope="module")
def radicale() -> Iterator[Radicale]:
    with running(Radicale()) as server:
        yield server


@pytest.fixture
def proxy(radicale) -> Iterator[FaultyServer]:
    with FaultyServer(radicale.host, radicale.port) as proxy:
        yield proxy


def test_all_that_a_pull_brings_is_held_whenever_it_is(radicale):
    calendar = radicale.make_calendar("times")
    radicale.put(f"{calendar}soon.ics", an_event("soon"))
    radicale.put(f"{calendar}long-ago.ics", an_event("old", start="DTSTART:20010305T100000Z"))
    weekly = an_event("weekly", "RRULE:FREQ=WEEKLY;COUNT=3")
    radicale.put(f"{calendar}weekly.ics", weekly)
    radicale.put(f"{calendar}blank name @.ics".replace(" ", "%20"), an_event("blank"))
    account = Account(radicale.url + calendar[1:])
    account.poll()
    (stream,) = account.source.streams()
    held = held_keys(account.source, stream)
    assert sorted(held) == sorted(account.ledgers[stream.key].versions)
    assert len(held) == 4
    account.source.close()


def test_a_task_in_a_calendar_is_not_held(radicale):
    calendar = radicale.make_calendar("mixed")
    radicale.put(f"{calendar}soon.ics", an_event("soon"))
    radicale.plant("mixed", "task.ics", A_TASK)
    account = Account(radicale.url + calendar[1:])
    (stream,) = account.source.streams()
    held = held_keys(account.source, stream)
    assert [key.rpartition("/")[2] for key in held] == ["soon.ics"]
    account.source.close()


def test_a_listing_that_fails_is_an_error_of_the_stream_and_not_an_empty_calendar(radicale, proxy):
    calendar = radicale.make_calendar("failing")
    radicale.put(f"{calendar}soon.ics", an_event("soon"))
    account = Account(proxy.url + calendar[1:])
    (stream,) = account.source.streams()
    proxy.on_request = lambda request: Reply(500) if b"getetag" in request.body else None
    with pytest.raises(CrmSyncError) as error:
        held_keys(account.source, stream)
    assert error.value.scope == "stream"
    proxy.on_request = None
    assert len(held_keys(account.source, account.source.streams()[0])) == 1
    account.source.close()


def test_octets_are_the_calendar_object_cut_at_256_kib(radicale):
    calendar = radicale.make_calendar("large")
    radicale.put(f"{calendar}large.ics", an_event("large", f"DESCRIPTION:{'x' * 300_000}"))
    account = Account(radicale.url + calendar[1:])
    (stream,) = account.source.streams()
    (key,) = held_keys(account.source, stream)
    (body,) = account.source.read([Locator(stream.key, key)], octets=True)
    assert body.octets.startswith(b"BEGIN:VCALENDAR")
    assert len(body.octets) == 256 * 1024
    assert body.text == ""
    account.source.close()
