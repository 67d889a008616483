"""Pulling calendars from a real Radicale, and from what is left of it when features are missing."""

import json
import re
from collections.abc import Iterator
from datetime import timedelta

import pytest

from connectors.caldav.cursor import read_cursor
from crm_sync.core.errors import Unreachable
from crm_sync.core.records import EventItem, Locator, UnreadableItem
from tests.servers.calendars import NOW, Account, an_event, running
from tests.servers.fault_http import FaultyServer, Reply, Request
from tests.servers.radicale import Radicale


@pytest.fixture(scope="module")
def radicale() -> Iterator[Radicale]:
    with running(Radicale()) as server:
        yield server


@pytest.fixture
def calendar(radicale, request) -> str:
    return radicale.make_calendar(re.sub(r"\W", "", request.node.name)[:60])


@pytest.fixture
def proxy(radicale) -> Iterator[FaultyServer]:
    with FaultyServer(radicale.host, radicale.port) as proxy:
        yield proxy


@pytest.fixture
def account(proxy, calendar) -> Iterator[Account]:
    account = Account(proxy.url + calendar[1:])
    yield account
    account.source.close()


def put(radicale, calendar, *names):
    for name in names:
        radicale.put(f"{calendar}{name}.ics", an_event(name))


# -- what comes --------------------------------------------------------------------------------


def test_a_series_with_a_moved_and_a_cancelled_slot_comes_as_one_object(
    radicale, calendar, account
):
    head, _, tail = an_event("w", "RRULE:FREQ=WEEKLY;COUNT=3", "DURATION:PT1H").partition(
        "END:VEVENT\n"
    )
    override = "BEGIN:VEVENT\nUID:w@nordvik.example\nDTSTAMP:20260101T000000Z\n{}END:VEVENT\n"
    moved = override.format("RECURRENCE-ID:20260312T100000Z\nDTSTART:20260313T100000Z\n")
    gone = override.format(
        "RECURRENCE-ID:20260319T100000Z\nDTSTART:20260319T100000Z\nSTATUS:CANCELLED\n"
    )
    radicale.put(f"{calendar}w.ics", head + "END:VEVENT\n" + moved + gone + tail)
    ((item,),) = [page.items for page in account.poll()]
    assert isinstance(item, EventItem)
    assert [(o.slot, o.starts_at.day, o.cancelled) for o in item.occurrences] == [
        ("2026-03-05T10:00:00Z", 5, False),
        ("2026-03-12T10:00:00Z", 13, False),
        ("2026-03-19T10:00:00Z", 19, True),
    ]


def test_all_day_and_excluded_days_come_as_days(radicale, calendar, account):
    event = an_event(
        "d",
        "RRULE:FREQ=DAILY;COUNT=3",
        "EXDATE;VALUE=DATE:20260306",
        start="DTSTART;VALUE=DATE:20260305",
    )
    radicale.put(f"{calendar}d.ics", event)
    ((item,),) = [page.items for page in account.poll()]
    assert [str(o.first_day) for o in item.occurrences] == ["2026-03-05", "2026-03-07"]


def test_what_changed_comes_again_and_what_was_deleted_is_gone(radicale, calendar, account):
    put(radicale, calendar, "a", "b", "c")
    assert account.news() == (["a", "b", "c"], [])
    radicale.put(f"{calendar}b.ics", an_event("b", "LOCATION:elsewhere"))
    radicale.delete(f"{calendar}c.ics")
    assert account.news() == (["b"], ["c.ics"])
    assert account.poll() == []


def test_what_was_over_before_the_window_is_remembered_without_a_meeting(
    radicale, calendar, account
):
    radicale.put(f"{calendar}old.ics", an_event("old", start="DTSTART:20200101T100000Z"))
    ((item,),) = [page.items for page in account.poll()]
    assert item.occurrences == ()
    account.clock.advance(timedelta(days=2))
    assert account.news() == ([], [])


def test_a_malformed_object_comes_as_unreadable_beside_the_good_ones(radicale, calendar, account):
    put(radicale, calendar, "a", "b")
    radicale.put(f"{calendar}x.ics", an_event("x", start="DTSTART:00010101T000000"))
    (page,) = account.poll()
    (spoilt,) = [i for i in page.items if isinstance(i, UnreadableItem)]
    assert spoilt.key.endswith("/x.ics")
    assert len(page.items) == 3


# -- tokens, listings, the day -----------------------------------------------------------------


def test_an_idle_poll_is_one_request(proxy, radicale, calendar, account):
    put(radicale, calendar, "a")
    account.poll()
    account.poll()
    proxy.requests.clear()
    assert account.poll() == []
    assert proxy.methods() == ["PROPFIND"]


def test_a_change_costs_three_requests_more_at_most(proxy, radicale, calendar, account):
    put(radicale, calendar, "a")
    account.poll()
    put(radicale, calendar, "b")
    proxy.requests.clear()
    assert account.news() == (["b"], [])
    assert proxy.methods() == ["PROPFIND", "REPORT", "REPORT"]


def test_only_reading_goes_over_the_wire(proxy, radicale, calendar, account):
    put(radicale, calendar, "a", "b")
    account.poll()
    radicale.delete(f"{calendar}a.ics")
    account.poll()
    stream = account.source.streams()[0]
    list(account.source.read([Locator(stream.key, f"{calendar}b.ics")], items=True))
    list(account.source.probe())
    assert set(proxy.methods()) <= {"PROPFIND", "REPORT", "GET", "OPTIONS"}


def test_an_expired_token_costs_a_listing_and_neither_doubles_nor_deletions(
    radicale, calendar, account
):
    put(radicale, calendar, "a", "b", "c")
    account.poll()
    radicale.expire_tokens(calendar.split("/")[2])
    radicale.delete(f"{calendar}c.ics")
    put(radicale, calendar, "d")
    assert account.news() == (["d"], ["c.ics"])
    put(radicale, calendar, "e")
    assert account.news() == (["e"], [])


def test_a_restarted_server_is_read_on(radicale, calendar, account):
    put(radicale, calendar, "a")
    account.poll()
    radicale.stop()
    radicale.start()
    put(radicale, calendar, "b")
    assert account.news() == (["b"], [])


def test_another_process_goes_on_from_the_cursor(proxy, radicale, calendar, account):
    put(radicale, calendar, "a")
    account.poll()
    successor = Account(proxy.url + calendar[1:])
    successor.ledgers = account.ledgers
    put(radicale, calendar, "b")
    assert successor.news() == (["b"], [])
    successor.source.close()


@pytest.mark.parametrize("kept", ["getctag", "nothing"])
def test_a_server_without_tokens_is_compared_by_etags(proxy, radicale, calendar, account, kept):
    def without(_: Request, body: bytes) -> bytes:
        body = re.sub(rb"<sync-token>.*?</sync-token>", b"", body)
        return body if kept == "getctag" else re.sub(rb"<CS:getctag>.*?</CS:getctag>", b"", body)

    proxy.on_answer = without
    put(radicale, calendar, "a", "b", "c")
    assert account.news() == (["a", "b", "c"], [])
    assert account.poll() == []
    radicale.delete(f"{calendar}a.ics")
    put(radicale, calendar, "d")
    assert account.news() == (["d"], ["a.ics"])
    assert b"sync-collection" not in b"".join(r.body for r in proxy.requests)


def test_a_server_without_etags_still_tells_what_changed(proxy, radicale, calendar, account):
    names = rb"<(sync-token|getetag|getlastmodified|CS:getctag)>.*?</\1>"
    proxy.on_answer = lambda _, body: re.sub(names, b"", body)
    put(radicale, calendar, "a", "b")
    assert account.news() == (["a", "b"], [])
    assert account.poll() == []
    radicale.put(f"{calendar}b.ics", an_event("b", "LOCATION:elsewhere"))
    assert account.news() == (["b"], [])


def test_tokens_that_fail_in_any_way_lead_to_a_listing(proxy, radicale, calendar, account):
    put(radicale, calendar, "a")
    account.poll()
    for status in (400, 403, 409, 412, 418, 500, 501, 507, 200):
        proxy.on_request = lambda r, status=status: (
            Reply(status, b"<html/>") if b"sync-collection" in r.body else None
        )
        put(radicale, calendar, f"s{status}")
        assert account.news() == ([f"s{status}"], [])


def test_a_truncated_answer_is_asked_on_from_its_token(proxy, radicale, calendar, account):
    put(radicale, calendar, "a")
    account.poll()
    token = read_cursor(account.ledgers[calendar].cursor).token
    put(radicale, calendar, "b")
    href, status = f"<href>{calendar}</href>", "HTTP/1.1 507 Insufficient Storage"
    marker = f"<response>{href}<status>{status}</status></response>"
    token_after = f"<sync-token>{token}2</sync-token>"
    answers = [f'<multistatus xmlns="DAV:">{marker}{token_after}</multistatus>'.encode()]

    def first_truncated(request: Request) -> Reply | None:
        if b"sync-collection" not in request.body:
            return None
        if answers:
            return Reply(207, answers.pop(), {"Content-Type": "text/xml"})
        assert f"{token}2".encode() in request.body
        request.headers["Content-Length"] = str(len(request.body))
        return None

    proxy.on_request = first_truncated
    assert account.news() == (["b"], [])


def test_a_listing_that_shrank_by_more_than_half_is_believed_only_when_it_repeats(
    proxy, radicale, calendar, account
):
    put(radicale, calendar, "a", "b", "c")
    account.poll()
    found = (
        '<propstat><prop><getetag>"x"</getetag></prop><status>HTTP/1.1 200 OK</status></propstat>'
    )
    itself = f"<response><href>{calendar}</href>{found}</response>"
    empty = f'<multistatus xmlns="DAV:">{itself}</multistatus>'
    account.clock.advance(timedelta(days=1, hours=1))
    proxy.on_request = lambda r: (
        Reply(207, empty.encode(), {"Content-Type": "text/xml"})
        if b"getcontenttype" in r.body
        else None
    )
    assert account.news() == ([], [])
    proxy.on_request = None
    assert account.news() == ([], [])
    for name in ("a", "b", "c"):
        radicale.delete(f"{calendar}{name}.ics")
    radicale.expire_tokens(calendar.split("/")[2])
    assert account.news() == ([], [])
    assert account.news() == ([], ["a.ics", "b.ics", "c.ics"])
    assert account.poll() == []


def test_a_change_that_the_tokens_lost_is_found_within_a_day(proxy, radicale, calendar, account):
    put(radicale, calendar, "a")
    account.poll()
    put(radicale, calendar, "b")
    lost = b'<multistatus xmlns="DAV:"><sync-token>t</sync-token></multistatus>'

    def forgetful(request: Request) -> Reply | None:
        if b"sync-collection" in request.body:
            return Reply(207, lost, {"Content-Type": "text/xml"})
        return None

    proxy.on_request = forgetful
    assert account.news() == ([], [])
    account.clock.advance(timedelta(hours=25))
    assert account.news() == (["b"], [])


def test_every_day_recurring_meetings_are_laid_out_a_day_further(radicale, calendar, account):
    put(radicale, calendar, "single")
    radicale.put(f"{calendar}w.ics", an_event("daily", "RRULE:FREQ=DAILY"))
    account.poll()
    account.clock.advance(timedelta(hours=14))
    assert account.poll() == []
    account.clock.advance(timedelta(hours=2))
    (page,) = account.poll()
    ((item,),) = (page.items,)
    assert item.uid == "daily@nordvik.example"
    last = max(o.starts_at for o in item.occurrences)
    assert last <= NOW + timedelta(days=120, hours=16) < last + timedelta(days=1)
    assert account.poll() == []


# -- one bad object ----------------------------------------------------------------------------


def test_an_object_that_fails_the_whole_answer_is_singled_out(proxy, radicale, calendar, account):
    put(radicale, calendar, *"abcdefg")

    def broken(request: Request) -> Reply | None:
        if b"multiget" in request.body and b"/d.ics" in request.body:
            return Reply(207, b"<multistatus", {"Content-Type": "text/xml"})
        return Reply(500) if request.path.endswith("/d.ics") else None

    proxy.on_request = broken
    (page,) = account.poll()
    assert [i.key.rpartition("/")[2] for i in page.items if isinstance(i, UnreadableItem)] == [
        "d.ics"
    ]
    assert len(page.items) == 7
    assert account.poll() == []


def test_an_object_that_only_fails_among_others_is_read_alone(proxy, radicale, calendar, account):
    put(radicale, calendar, "a", "b")
    proxy.on_request = lambda r: Reply(500) if b"multiget" in r.body else None
    assert account.news() == (["a", "b"], [])


def test_when_the_calendar_itself_fails_no_object_is_blamed(proxy, radicale, calendar, account):
    put(radicale, calendar, "a", "b")
    streams = account.source.streams()
    proxy.on_request = lambda r: None if b"getcontenttype" in r.body else Reply(500)
    with pytest.raises(Unreachable, match="status 500"):
        list(account.source.pull(streams[0], None, dict))
    proxy.on_request = None
    assert account.news() == (["a", "b"], [])


# -- reading -----------------------------------------------------------------------------------


def test_the_description_is_read_unless_the_meeting_is_private(radicale, calendar, account):
    radicale.put(f"{calendar}a.ics", an_event("a", "DESCRIPTION:Bring the offer"))
    radicale.put(f"{calendar}b.ics", an_event("b", "DESCRIPTION:My doctor", "CLASS:PRIVATE"))
    account.poll()
    locators = [Locator(calendar, f"{calendar}{name}.ics") for name in ("a", "b", "never", "a")]
    bodies = list(account.source.read(locators))
    assert sorted((b.locator.key[-7:-4].rpartition("/")[2], b.text, b.gone) for b in bodies) == [
        ("a", "Bring the offer", False),
        ("a", "Bring the offer", False),
        ("b", "", False),
        ("ver", "", True),
    ]


# -- which calendars ---------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["", "karin/", ".well-known/caldav"])
def test_calendars_are_found_from_any_address(radicale, path):
    radicale.make_calendar(f"found-{len(path)}", "Meetings")
    account = Account(radicale.url + path, calendars=["meetings"])
    assert {s.name for s in account.source.streams()} == {"Meetings"}
    account.source.close()


def test_calendars_of_tasks_are_left_out_and_others_are_chosen_by_name_or_address(radicale):
    tasks = radicale.make_calendar("tasks", "Tasks", "VTODO")
    work = radicale.make_calendar("choose", "Chosen One")
    everything = Account(radicale.url)
    keys = {s.key for s in everything.source.streams()}
    assert work in keys
    assert tasks not in keys
    for name in ("chosen one", work, radicale.url + work[1:-1]):
        account = Account(radicale.url, calendars=[name])
        assert [s.key for s in account.source.streams()] == [work]
        account.source.close()
    everything.source.close()


def test_a_cursor_is_versioned_text(radicale, calendar, account):
    account.poll()
    assert json.loads(account.ledgers[calendar].cursor)["v"] == 1
