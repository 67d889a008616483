"""Servers that lie, stumble and break off: one bad message costs nothing but itself."""

import re
from contextlib import suppress
from datetime import UTC, datetime, timedelta

import pytest

from crm_sync.core.errors import Throttled, Unreachable
from crm_sync.core.records import MailItem, UnreadableItem
from crm_sync.testing.source_contract import Ledger, pull
from tests.connectors.imap_parts import fill_inbox, numbered_mail, subjects, swap_inbox, uids

NOW = datetime(2026, 3, 4, 12, tzinfo=UTC)
COUNT = 12


@pytest.fixture
def user(user, dovecot):
    fill_inbox(dovecot, user, COUNT, NOW)
    return user


@pytest.fixture
def connect(connect):
    def build(silence=10.0):
        return connect(page_size=5, timeouts={"connect": 5, "read": silence, "answer": 20})

    return build


@pytest.fixture
def source(connect):
    return connect()


def poll(source, ledger):
    inbox = source.streams()[0]
    assert inbox.name == "INBOX"
    return pull(source, inbox, ledger)


def readable(ledger):
    """The UIDs of what came readable, sorted, repeats kept; a first pull goes newest first."""
    return sorted(uids(i for i in ledger.items if isinstance(i, MailItem)))


def unreadable(ledger):
    return uids(i for i in ledger.items if isinstance(i, UnreadableItem))


def asks_for(line: bytes, uid: int) -> bool:
    found = re.match(rb"\S+ UID FETCH (\S+) ", line)
    if found is None:
        return False
    for part in found[1].split(b","):
        low, _, high = part.partition(b":")
        if int(low) <= uid <= int(high or low):
            return True
    return False


def refusing(uid: int):
    def answer(line: bytes) -> bytes | None:
        if asks_for(line, uid):
            return line.split()[0] + b" NO Server error while fetching messages\r\n"
        return None

    return answer


ALL = list(range(1, COUNT + 1))


@pytest.mark.parametrize("bad", [1, 7, COUNT])
def test_a_message_the_server_refuses_costs_only_itself(source, proxy, bad):
    proxy.on_command = refusing(bad)
    ledger = Ledger()
    poll(source, ledger)
    assert readable(ledger) == [u for u in ALL if u != bad]
    assert unreadable(ledger) == [bad]
    assert poll(source, ledger) == []


def test_a_refused_message_comes_after_all_when_the_server_recovers(source, proxy, clock):
    proxy.on_command = refusing(7)
    ledger = Ledger()
    poll(source, ledger)
    proxy.on_command = None
    clock.advance(timedelta(minutes=2))
    poll(source, ledger)
    assert readable(ledger) == ALL
    clock.advance(timedelta(days=3))
    assert poll(source, ledger) == []


def test_a_message_that_stays_refused_is_reported_once_and_then_left_alone(source, proxy, clock):
    proxy.on_command = refusing(7)
    ledger = Ledger()
    for _ in range(8):
        poll(source, ledger)
        clock.advance(timedelta(days=2))
    assert unreadable(ledger) == [7]
    assert poll(source, ledger) == []


@pytest.mark.parametrize("bad", [1, 7, COUNT])
@pytest.mark.parametrize("spoilt", [b"garbage without a star", b"* BYE internal error", b"* 7 {99"])
def test_a_message_that_breaks_the_conversation_costs_only_itself(source, proxy, bad, spoilt):
    def spoil(line: bytes) -> bytes | None:
        if line.startswith(b"* %d FETCH (UID %d " % (bad, bad)):
            return spoilt + b"\r\n"
        return None

    proxy.on_answer = spoil
    ledger = Ledger()
    poll(source, ledger)
    assert readable(ledger) == [u for u in ALL if u != bad]
    assert unreadable(ledger) == [bad]
    assert proxy.connections < 15


def test_a_description_that_breaks_the_grammar_costs_only_its_message(source, proxy):
    def spoil(line: bytes) -> bytes | None:
        if line.startswith(b"* 7 FETCH (UID 7 "):
            return line.replace(b"INTERNALDATE", b") INTERNALDATE") + b"\r\n"
        return None

    proxy.on_answer = spoil
    ledger = Ledger()
    poll(source, ledger)
    assert readable(ledger) == [u for u in ALL if u != 7]
    assert unreadable(ledger) == [7]
    assert proxy.connections == 1


def test_a_cut_in_the_middle_of_a_pull_loses_and_doubles_nothing(source, proxy):
    cuts = []

    def cut(line: bytes) -> bytes | None:
        if line.startswith(b"* 8 FETCH") and not cuts:
            cuts.append(line)
            proxy.cut()
            return b""
        return None

    proxy.on_answer = cut
    ledger = Ledger()
    poll(source, ledger)
    assert readable(ledger) == ALL
    assert cuts


def test_a_cut_after_any_byte_of_the_conversation_loses_and_doubles_nothing(source, proxy):
    poll(source, Ledger())
    whole = proxy.bytes_from_server
    for place in range(1, whole, whole // 60):
        source.close()
        proxy.forget()
        proxy.cut_after = place
        ledger = Ledger()
        for _ in range(2):
            with suppress(Unreachable):
                poll(source, ledger)
                bodies = list(source.read(ledger.locators(source.streams()[0])))
        assert proxy.cut_after is None
        assert readable(ledger) == ALL, place
        assert unreadable(ledger) == []
        assert sorted(b.text for b in bodies) == sorted(f"text {n}" for n in ALL)


def swallowing(uid: int):
    """Drops the response for a UID: its first line, its literal, its last line."""
    dropping = False

    def swallow(line: bytes) -> bytes | None:
        nonlocal dropping
        if line.startswith(b"* %d FETCH" % uid):
            dropping = True
        elif line.startswith((b"* ", b"C")):
            dropping = False
        return b"" if dropping else None

    return swallow


def test_a_message_announced_but_not_handed_out_is_asked_for_again(source, proxy, clock):
    proxy.on_answer = swallowing(7)
    ledger = Ledger()
    poll(source, ledger)
    assert readable(ledger) == [u for u in ALL if u != 7]
    assert unreadable(ledger) == []
    assert poll(source, ledger) == []
    proxy.on_answer = None
    clock.advance(timedelta(minutes=2))
    poll(source, ledger)
    assert readable(ledger) == ALL


def test_a_message_never_handed_out_is_reported_in_the_end(source, proxy, clock):
    proxy.on_answer = swallowing(7)
    ledger = Ledger()
    for _ in range(8):
        poll(source, ledger)
        clock.advance(timedelta(days=2))
    assert unreadable(ledger) == [7]
    assert poll(source, ledger) == []


def test_a_message_that_turns_up_late_below_uidnext_is_not_lost(
    source, proxy, clock, dovecot, user
):
    ledger = Ledger()
    poll(source, ledger)
    for number in (13, 14):
        dovecot.append(user, "INBOX", numbered_mail(number), NOW)

    def hide(line: bytes) -> bytes | None:
        if line.startswith(b"* ESEARCH"):
            return re.sub(rb"13:14|13,14", b"14", line) + b"\r\n"
        return None

    proxy.on_answer = hide
    poll(source, ledger)
    assert readable(ledger) == [*ALL, 14]
    proxy.on_answer = None
    assert poll(source, ledger) == []
    clock.advance(timedelta(minutes=2))
    poll(source, ledger)
    assert readable(ledger) == [*ALL, 13, 14]


def test_servers_that_do_not_tell_uidnext_or_uidvalidity_are_pulled_too(
    source, proxy, dovecot, user
):
    proxy.on_answer = lambda line: (
        re.sub(rb"\[UID(NEXT|VALIDITY) \d+\]|UID(NEXT|VALIDITY) \d+", b"", line) + b"\r\n"
    )
    ledger = Ledger()
    poll(source, ledger)
    assert readable(ledger) == ALL
    assert poll(source, ledger) == []
    dovecot.append(user, "INBOX", numbered_mail(13), NOW)
    poll(source, ledger)
    assert readable(ledger) == [*ALL, 13]
    bodies = source.read(ledger.locators(source.streams()[0])[-1:])
    assert [b.text for b in bodies] == ["text 13"]


def test_numbers_given_anew_under_the_same_uidvalidity_are_noticed(source, proxy, dovecot, user):
    ledger = Ledger()
    poll(source, ledger)
    for number in (50, 51):
        dovecot.append(user, "Other", numbered_mail(number), NOW)
    swap_inbox(dovecot, user, proxy)
    proxy.rewrite = lambda line: line.replace(b'EXAMINE "INBOX"', b'EXAMINE "Other"')
    ledger.items.clear()
    pages = poll(source, ledger)
    assert pages[0].reset
    assert subjects(ledger.items) == ["m50", "m51"]


@pytest.mark.parametrize(
    ("said", "wait"),
    [
        (b"BAD Request is throttled. Suggested Backoff Time: 92415 milliseconds", 92),
        (b"NO [OVERQUOTA] Account exceeded command or bandwidth limits.", 3600),
    ],
)
def test_a_server_that_asks_for_a_pause_is_obeyed(source, proxy, said, wait):
    proxy.on_command = lambda line: (
        line.split()[0] + b" " + said + b"\r\n" if b"UID FETCH" in line else None
    )
    with pytest.raises(Throttled) as error:
        poll(source, Ledger())
    assert error.value.retry_at is not None
    assert int((error.value.retry_at - NOW).total_seconds()) == wait


def test_a_server_that_fails_at_everything_is_unreachable_and_no_message_is_blamed(source, proxy):
    proxy.on_command = lambda line: (
        line.split()[0] + b" NO internal error\r\n" if b"UID FETCH" in line else None
    )
    ledger = Ledger()
    with pytest.raises(Unreachable):
        poll(source, ledger)
    assert ledger.items == []
    proxy.on_command = None
    poll(source, ledger)
    assert readable(ledger) == ALL


def test_a_message_that_is_refused_alone_is_reported_when_it_is_refused_again(
    source, proxy, clock, dovecot, user
):
    ledger = Ledger()
    poll(source, ledger)
    dovecot.append(user, "INBOX", numbered_mail(13), NOW)
    proxy.on_command = refusing(13)
    poll(source, ledger)
    assert unreadable(ledger) == []
    clock.advance(timedelta(minutes=2))
    poll(source, ledger)
    assert unreadable(ledger) == [13]
    proxy.on_command = None
    clock.advance(timedelta(days=2))
    poll(source, ledger)
    assert readable(ledger) == [*ALL, 13]


def test_a_server_that_falls_silent_is_unreachable_and_no_message_is_blamed(connect, proxy):
    source = connect(silence=0.4)
    proxy.on_command = lambda line: b"" if b"UID FETCH" in line else None
    ledger = Ledger()
    with pytest.raises(Unreachable) as error:
        poll(source, ledger)
    assert "silent" in error.value.what
    assert ledger.items == []


def test_a_body_the_server_refuses_is_a_problem_of_that_body_alone(source, proxy):
    ledger = Ledger()
    inbox = source.streams()[0]
    pull(source, inbox, ledger)
    proxy.on_command = refusing(7)
    bodies = list(source.read(ledger.locators(inbox)))
    assert len(bodies) == COUNT
    assert {b.locator.key.partition(":")[2]: b.problem != "" for b in bodies} == {
        str(u): u == 7 for u in ALL
    }


def test_a_structure_that_cannot_be_understood_is_read_as_a_whole(source, proxy):
    ledger = Ledger()
    inbox = source.streams()[0]
    pull(source, inbox, ledger)
    proxy.on_answer = lambda line: (
        re.sub(rb"BODYSTRUCTURE \(.*\)\)", b"BODYSTRUCTURE ())", line) + (b"\r\n")
    )
    where = [type(x)(x.stream, x.key) for x in ledger.locators(inbox)]
    texts = sorted(b.text for b in source.read(where))
    assert texts == sorted(f"text {n}" for n in ALL)
    assert any(b"BODY.PEEK[]<0." in line for line in proxy.commands)
