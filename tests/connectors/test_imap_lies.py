"""Lies of servers one by one, on the scripted server: what each of them may cost, and what not."""

import select
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from functools import partial

import pytest

from crm_sync.core.errors import CrmSyncError
from crm_sync.testing.source_contract import Ledger
from tests.connectors.imap_parts import poll, subjects
from tests.servers.scripted_imap import FULL, PASSWORD, PLAIN, USER, ScriptedImap

NOW = datetime(2026, 3, 4, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)


@pytest.fixture
def server():
    with ScriptedImap() as server:
        yield server
        assert server.violations == []


@pytest.fixture
def connect(server, build_imap):
    return partial(
        build_imap, host=server.host, port=server.port, security="none", username=USER,
        password=PASSWORD, timeouts={"read": 10, "answer": 20},
    )  # fmt: skip


@pytest.fixture
def source(connect):
    return connect(page_size=2)


def deliver(server, *numbers, late=False):
    for number in numbers:
        raw = f"From: lena@nordvik.example\r\nSubject: m{number}\r\n"
        raw += f"Message-ID: <{number}@x.example>\r\n\r\ntext {number}\r\n"
        server.deliver(b"INBOX", raw.encode(), NOW, late=late)


def sorted_subjects(ledger):
    return sorted(subjects(ledger.items))


def test_a_server_may_say_ok_and_not_a_word_more(server, source):
    server.lies.bare = True
    deliver(server, 1, 2, 3)
    ledger = Ledger()
    poll(source, ledger)
    assert sorted_subjects(ledger) == ["m1", "m2", "m3"]
    assert server.connections == 1


@pytest.mark.parametrize("capabilities", [FULL, PLAIN], ids=["full", "plain"])
def test_an_honest_server_is_pulled_and_then_left_alone(server, source, capabilities):
    server.capabilities = capabilities
    deliver(server, 1, 2, 3)
    ledger = Ledger()
    poll(source, ledger)
    poll(source, ledger)
    server.history.clear()
    poll(source, ledger)
    assert sorted_subjects(ledger) == ["m1", "m2", "m3"]
    assert server.verbs() == (["LIST"] if capabilities is FULL else ["STATUS"])


@pytest.mark.parametrize("how", ["NO", "BAD", "BYE", "cut"])
@pytest.mark.parametrize("uid", [1, 3])
def test_a_message_that_turns_bad_after_it_was_pulled_stops_no_new_one(
    server, source, clock, how, uid
):
    deliver(server, 1, 2, 3)
    ledger = Ledger()
    poll(source, ledger)
    server.folders[b"INBOX"].messages[uid].poison = how
    deliver(server, 4)
    clock.advance(HOUR)
    poll(source, ledger)
    assert sorted_subjects(ledger) == ["m1", "m2", "m3", "m4"]


def test_a_message_that_turns_up_late_is_pulled_after_all(server, source, clock):
    deliver(server, 1)
    ledger = Ledger()
    poll(source, ledger)
    deliver(server, 2, late=True)
    deliver(server, 3)
    poll(source, ledger)
    assert sorted_subjects(ledger) == ["m1", "m3"]
    server.folders[b"INBOX"].messages[2].late = False
    clock.advance(HOUR)
    poll(source, ledger)
    assert sorted_subjects(ledger) == ["m1", "m2", "m3"]


def test_a_message_that_was_late_at_the_first_pull_is_held(server, source):
    deliver(server, 1, late=True)
    deliver(server, 2)
    ledger = Ledger()
    poll(source, ledger)
    server.folders[b"INBOX"].messages[1].late = False
    (inbox,) = source.streams()
    held = {key for keys in source.held(inbox, None) for key in keys}
    assert len(held - ledger.versions.keys()) == 1


def test_messages_announced_in_masses_that_are_not_there_cost_little(server, connect, clock):
    deliver(server, 1)
    server.lies.phantoms = 50_000
    source, ledger = connect(page_size=500), Ledger()
    with pytest.raises(CrmSyncError) as caught:
        for _ in range(3):
            poll(source, ledger)
            clock.advance(HOUR)
    assert caught.value.scope == "stream"
    assert len(server.history) < 200
    server.lies.phantoms = 0
    clock.advance(HOUR)
    poll(source, ledger)
    assert sorted_subjects(ledger) == ["m1"]


@pytest.mark.parametrize("bye", [True, False])
def test_an_end_after_any_part_of_the_conversation_loses_and_doubles_nothing(
    server, source, clock, bye
):
    deliver(server, *range(1, 8))
    ledger, after = Ledger(), 40
    while len(sorted_subjects(ledger)) < 7:
        server.lies.cut_after, server.lies.bye = after, bye
        with suppress(CrmSyncError):
            poll(source, ledger)
        clock.advance(HOUR)
        after += 97
        assert after < 9000
    server.lies.cut_after = None
    poll(source, ledger)
    assert sorted_subjects(ledger) == [f"m{n}" for n in range(1, 8)]


def test_news_beside_the_plus_of_idle_wake_the_poll(server, source):
    deliver(server, 1)
    poll(source, Ledger())
    server.lies.exists_with_idling = True
    deliver(server, 2)
    watch = source.watch()
    assert watch is not None
    assert any(readable(watch) and watch.ready() for _ in range(5))
    watch.close()


def test_new_mail_wakes_the_poll(server, source):
    deliver(server, 1)
    poll(source, Ledger())
    watch = source.watch()
    assert watch is not None
    while not server.is_idle():
        select.select([watch.fileno()], [], [], 0.05)
        watch.ready()
    deliver(server, 2)
    assert any(readable(watch) and watch.ready() for _ in range(5))
    watch.close()


def readable(watch) -> bool:
    return bool(select.select([watch.fileno()], [], [], 5)[0])
