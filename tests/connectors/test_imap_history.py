"""History: newest first, resumable at any page, never in the way of what is new, in daily shares."""

import json
from datetime import UTC, datetime, timedelta
from functools import partial

import pytest
from pydantic import ValidationError

from connectors.imap.gmail import GmailOptions
from connectors.imap.options import ImapOptions
from connectors.imap.searching import falling
from connectors.imap.uids import ranges
from crm_sync.ports import Metered
from crm_sync.testing.source_contract import Ledger, pull
from tests.connectors.imap_parts import fill_inbox, numbered_mail, uids, uids_of

NOW = datetime(2026, 3, 4, 12, tzinfo=UTC)
COUNT = 11


@pytest.fixture
def user(user, dovecot):
    fill_inbox(dovecot, user, COUNT, NOW)
    return user


@pytest.fixture
def connect(connect):
    return partial(connect, page_size=3, folders=["INBOX"])


def inbox_of(source):
    (inbox,) = source.streams()
    return inbox


def poll(source, ledger):
    return [uids(page.items) for page in pull(source, inbox_of(source), ledger)]


# -- the order -----------------------------------------------------------------------------------


def test_history_comes_newest_first_in_pages_that_say_so(connect):
    source = connect()
    pages = pull(source, inbox_of(source), Ledger())
    assert [uids(p.items) for p in pages] == [[9, 10, 11], [6, 7, 8], [3, 4, 5], [1, 2]]
    assert all(p.history for p in pages)
    assert {p.total for p in pages} == {COUNT}


def test_what_arrives_later_is_no_history(dovecot, user, connect):
    source, ledger = connect(), Ledger()
    poll(source, ledger)
    dovecot.append(user, "INBOX", numbered_mail(12), NOW)
    (page,) = pull(source, inbox_of(source), ledger)
    assert uids(page.items) == [12]
    assert not page.history


def test_a_crash_after_any_page_goes_on_there_with_what_is_new_first(dovecot, user, connect):
    source, first = connect(), Ledger()
    moments = []
    for page in source.pull(inbox_of(source), None, dict):
        first.store(page)
        moments.append(first.copy())
    dovecot.append(user, "INBOX", numbered_mail(12), NOW)
    everything = [[9, 10, 11], [6, 7, 8], [3, 4, 5], [1, 2]]
    for done, moment in enumerate(moments, 1):
        assert poll(connect(), moment) == [[12], *everything[done:]]
        assert sorted(uids(moment.items)) == list(range(1, COUNT + 2))
        assert poll(connect(), moment) == []


def test_what_arrives_while_history_is_pulled_for_long_does_not_wait_for_its_end(
    dovecot, user, connect, clock
):
    dovecot.seed(user, "INBOX", ((numbered_mail(n), NOW) for n in range(12, 31)))
    source, ledger = connect(), Ledger()
    pages = source.pull(inbox_of(source), None, dict)
    ledger.store(next(pages))
    uid = dovecot.append(user, "INBOX", numbered_mail(31), NOW)
    clock.advance(timedelta(minutes=2))
    rest = []
    for page in pages:
        ledger.store(page)
        rest.append((uids(page.items), page.history, page.more))
    assert ([uid], False, True) in rest
    assert rest.index(([uid], False, True)) < len(rest) // 2
    assert [more for _, _, more in rest] == [True] * (len(rest) - 1) + [False]
    assert sorted(uids(ledger.items)) == list(range(1, uid + 1))
    assert poll(source, ledger) == []


def test_a_server_that_takes_minutes_for_everything_still_gets_through_its_history(
    connect, clock, proxy
):
    def slow(line: bytes) -> None:
        del line
        clock.advance(timedelta(minutes=5))

    proxy.on_command = slow
    source, ledger = connect(), Ledger()
    poll(source, ledger)
    assert sorted(uids(ledger.items)) == list(range(1, COUNT + 1))


@pytest.mark.parametrize("size", [1, 2, 3, 7, 100])
def test_falling_pages_hold_each_uid_once_from_the_top(size):
    numbers = [1, 2, 3, 7, 8, 20, 21, 22, 23, 40]
    pages = list(falling(ranges(numbers), size))
    assert [uid for page in pages for uid in reversed(page)] == numbers[::-1]
    assert [len(page) for page in pages[:-1]] == [size] * (len(pages) - 1)
    assert all(page == sorted(page) for page in pages)


# -- cursors of before -----------------------------------------------------------------------------


def of_version_1(dovecot, user, next_uid, **more):
    data = {"v": 1, "validity": dovecot.uidvalidity(user, "INBOX"), "next": next_uid, **more}
    return json.dumps(data)


def test_a_first_pull_by_rising_numbers_that_was_stopped_is_finished(dovecot, user, connect):
    ledger = Ledger()
    ledger.cursor = of_version_1(dovecot, user, 4, first=[10, "2026-01-01T00:00:00+00:00"])
    assert poll(connect(), ledger) == [[10, 11], [7, 8, 9], [4, 5, 6]]
    assert poll(connect(), ledger) == []


@pytest.mark.parametrize("more", [{}, {"first": [4, "2026-01-01T00:00:00+00:00"]}])
def test_a_finished_cursor_of_before_brings_what_is_new(dovecot, user, connect, more):
    ledger = Ledger()
    ledger.cursor = of_version_1(dovecot, user, 4, **more)
    assert [uid for page in poll(connect(), ledger) for uid in page] == list(range(4, COUNT + 1))
    assert poll(connect(), ledger) == []


def test_the_gaps_of_a_cursor_of_before_are_asked_for(dovecot, user, connect):
    ledger = Ledger()
    gaps = [[5, "silent", 1, int(NOW.timestamp()) - 5]]
    ledger.cursor = of_version_1(dovecot, user, COUNT + 1, gaps=gaps)
    assert poll(connect(), ledger) == [[5]]


# -- a share of traffic a day ----------------------------------------------------------------------


def test_without_history_only_what_is_new_comes_and_the_rest_later(dovecot, user, connect):
    source, ledger = connect(), Ledger()
    assert isinstance(source, Metered)
    source.want_history(wanted=False)
    assert poll(source, ledger) == [[]]
    assert poll(source, ledger) == []
    dovecot.append(user, "INBOX", numbered_mail(12), NOW)
    assert poll(source, ledger) == [[12]]
    source.want_history(wanted=True)
    assert poll(source, ledger) == [[9, 10, 11], [6, 7, 8], [3, 4, 5], [1, 2]]


def test_a_poll_without_history_asks_nothing_of_the_folder(connect, proxy):
    source, ledger = connect(), Ledger()
    inbox = inbox_of(source)
    ledger.store(next(source.pull(inbox, None, dict)))
    source.want_history(wanted=False)
    source.streams()
    proxy.forget()
    assert poll(source, ledger) == []
    assert proxy.verbs() == ["LIST"]


def test_octets_are_counted_over_all_connections(connect, proxy):
    source = connect()
    assert source.octets() == 0
    ledger = Ledger()
    poll(source, ledger)
    assert source.octets() == proxy.bytes_from_server
    proxy.cut()
    poll(source, ledger)
    list(source.read(ledger.locators(inbox_of(source))))
    assert 0 <= proxy.bytes_from_server - source.octets() < 200  # what the cut swallowed
    assert proxy.connections == 2


@pytest.mark.parametrize(
    ("text", "octets"),
    [("1500 MB", 1_500_000_000), ("2GB", 2_000_000_000), ("none", None), ("NONE", None)],
)
def test_an_amount_of_traffic_is_written_as_people_write_it(text, octets):
    options = ImapOptions(host="h", username="u", password="p", history_per_day=text)
    assert options.daily_octets == octets


@pytest.mark.parametrize("text", ["", "1500", "0 MB", "-1 MB", "1.5 GB", "much", "1 TB"])
def test_an_amount_that_is_none_is_told(text):
    with pytest.raises(ValidationError, match="1500 MB"):
        ImapOptions(host="h", username="u", password="p", history_per_day=text)


def test_gmail_leaves_its_users_a_part_of_their_share():
    options = GmailOptions(username="karin@acme.example", client_id="x", client_secret="y")
    assert options.daily_octets == 1_500_000_000
    assert ImapOptions(host="h", username="u", password="p").daily_octets is None


# -- what is there now -----------------------------------------------------------------------------


def held(source, since=None):
    batches = list(source.held(inbox_of(source), since))
    assert all(batches)
    return [uid for batch in batches for uid in uids_of(batch)]


def test_held_tells_the_keys_a_pull_brings_each_once(dovecot, user, connect):
    source, ledger = connect(), Ledger()
    poll(source, ledger)
    keys = [key for batch in source.held(inbox_of(source), None) for key in batch]
    assert sorted(keys) == sorted(item.key for item in ledger.items)
    dovecot.expunge(user, "INBOX", [4, 5])
    assert sorted(held(source)) == [n for n in range(1, COUNT + 1) if n not in {4, 5}]


@pytest.mark.parametrize("esearch", [True, False])
def test_held_goes_through_large_folders_in_windows(connect, proxy, monkeypatch, esearch):
    monkeypatch.setattr("connectors.imap.searching.WINDOW", 4)
    monkeypatch.setattr("connectors.imap.searching._KEYS_AT_ONCE", 3)
    if not esearch:
        proxy.on_answer = lambda line: line.replace(b" ESEARCH", b"") + b"\r\n"
    source = connect()
    assert sorted(held(source)) == list(range(1, COUNT + 1))
    assert proxy.verbs().count("SEARCH") == 3


def test_deletions_meanwhile_make_held_leave_nothing_out(
    dovecot, user, connect, proxy, monkeypatch
):
    monkeypatch.setattr("connectors.imap.searching.WINDOW", 4)
    source = connect()
    batches = source.held(inbox_of(source), None)
    found = uids_of(next(batches))
    dovecot.expunge(user, "INBOX", [2, 3])
    for batch in batches:
        found += uids_of(batch)
    assert sorted(set(found)) == sorted(found)
    assert set(found) >= {n for n in range(1, COUNT + 1) if n not in {2, 3}}


def test_held_since_leaves_out_what_is_older_and_never_more(dovecot, user, connect):
    old, older, five, two = (
        dovecot.append(user, "INBOX", numbered_mail(days), NOW - timedelta(days=days))
        for days in (200, 40, 5, 2)
    )
    recent = set(held(connect(), NOW - timedelta(days=3)))
    assert two in recent
    assert not {old, older, five} & recent
    assert len(recent) == COUNT + 1
    assert {old, older, five} & set(held(connect(since="90d"))) == {older, five}
    assert old in held(connect(since="all"))


def test_held_of_a_folder_that_is_gone_or_never_was_is_nothing(dovecot, user, connect):
    dovecot.add_user(user, ["Customers"])
    source = connect(folders=["Customers"])
    (stream,) = source.streams()
    dovecot.delete_folder(user, "Customers")
    assert list(source.held(stream, None)) == []


def test_reading_octets_gives_the_message_itself(connect):
    source, ledger = connect(), Ledger()
    inbox = inbox_of(source)
    pull(source, inbox, ledger)
    (body,) = source.read(ledger.locators(inbox)[:1], octets=True)
    assert body.octets == numbered_mail(9)
