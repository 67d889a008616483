"""Gmail's slow mode: what is asked for becomes less, and nothing is lost by it."""

import random
from datetime import UTC, datetime, timedelta

import pytest

from connectors.imap.gmail import KIND
from crm_sync.core.errors import Throttled
from crm_sync.core.records import MailItem
from crm_sync.ports import Surroundings
from crm_sync.testing.source_contract import Ledger, pull
from tests.connectors.imap_parts import subjects
from tests.flow.conftest import KARIN, World
from tests.servers.scripted_imap import FULL, PASSWORD, USER, ScriptedImap
from tests.servers.slow_mode import SlowMode

NOW = datetime(2026, 3, 4, 12, tzinfo=UTC)
ALL = b"[Gmail]/All Mail"


@pytest.fixture
def server():
    with ScriptedImap(FULL | {"X-GM-EXT-1"}) as server:
        server.make(ALL, b"\\All")
        yield server
        assert server.violations == []


@pytest.fixture
def wire(server):
    with SlowMode(server.host, server.port) as wire:
        yield wire


@pytest.fixture
def gmail(clock):
    """Connects to a mailbox; closes it in the end."""
    opened = []

    def connect(wire, clock=clock, **options):
        chosen = {"page_size": 100, "since": "all"} | options
        options = KIND.options(
            host=wire.host, port=wire.port, security="none", username=USER, auth="password",
            password=PASSWORD, timeouts={"read": 10, "answer": 20}, **chosen,
        )  # fmt: skip
        opened.append(KIND.build(options, Surroundings("karin/gmail", clock, UTC)))
        return opened[-1]

    yield connect
    for source in opened:
        source.close()


def deliver(server, *numbers, at=NOW):
    for number in numbers:
        raw = (
            f"From: lena@nordvik.example\r\nTo: {KARIN}\r\nSubject: {number}\r\n"
            f"Message-ID: <{number}@nordvik.example>\r\n\r\ntext {number}\r\n"
        )
        server.deliver(ALL, raw.encode(), at - timedelta(hours=1))


def poll(source, ledger):
    (stream,) = source.streams()
    return pull(source, stream, ledger)


def numbers(ledger):
    return [int(subject) for subject in subjects(ledger.items)]


def under_way(wire):
    return [fetch.under_way for fetch in wire.fetches]


# -- a pull --------------------------------------------------------------------------------------


def test_nobody_told_to_slow_down_asks_for_whole_pages_and_three_at_a_time(server, wire, gmail):
    deliver(server, *range(450))
    ledger = Ledger()
    poll(gmail(wire), ledger)
    assert wire.sizes == [100, 100, 100, 100, 50]
    assert max(under_way(wire)) == 3
    assert sorted(numbers(ledger)) == list(range(450))


def test_told_once_it_asks_for_half_and_for_one_page_at_a_time_until_the_pull_is_over(
    server, wire, gmail
):
    deliver(server, *range(450))
    wire.slow = lambda answer: answer == 0
    ledger, source = Ledger(), gmail(wire)
    poll(source, ledger)
    # Three pages were on their way when it was told.
    assert wire.sizes == [100, 100, 100, 50, 50, 50]
    assert under_way(wire)[3:] == [1, 1, 1]
    assert sorted(numbers(ledger)) == list(range(450))
    wire.fetches.clear()
    deliver(server, *range(450, 650))
    poll(source, ledger)
    # The first one looks whether the last mails are still the same ones.
    assert wire.sizes == [3, 100, 100]
    assert sorted(numbers(ledger)) == list(range(650))


def test_told_again_and_again_it_asks_for_less_and_less_and_then_leaves_the_server_alone(
    server, wire, gmail
):
    deliver(server, *range(450))
    wire.slow = lambda _: True
    ledger, source = Ledger(), gmail(wire)
    with pytest.raises(Throttled) as caught:
        poll(source, ledger)
    assert wire.sizes == [100, 100, 100, 50, 25]
    assert caught.value.kind == "throttled"
    assert caught.value.scope == "account"
    assert "pause" in caught.value.what
    # All that was handed out has come, newest first as ever.
    assert sorted(numbers(ledger)) == list(range(75, 450))


def test_what_is_left_comes_when_the_server_is_asked_again(server, wire, gmail):
    deliver(server, *range(450))
    wire.slow = lambda _: True
    ledger, source = Ledger(), gmail(wire)
    with pytest.raises(Throttled):
        poll(source, ledger)
    deliver(server, 450)
    wire.slow = lambda _: False
    poll(source, ledger)
    assert sorted(numbers(ledger)) == list(range(451))


def test_the_last_page_may_be_slow_without_any_trouble(server, wire, gmail):
    deliver(server, *range(20))
    wire.slow = lambda _: True
    ledger, source = Ledger(), gmail(wire)
    assert not poll(source, ledger)[-1].more
    assert poll(source, ledger) == []
    assert numbers(ledger) == list(range(20))


def test_pages_that_are_small_already_do_not_become_smaller(server, wire, gmail):
    deliver(server, *range(60))
    wire.slow = lambda _: True
    ledger = Ledger()
    with pytest.raises(Throttled):
        poll(gmail(wire, page_size=10), ledger)
    assert wire.sizes == [10, 10, 10, 10]
    assert under_way(wire)[3] == 1


@pytest.mark.parametrize("seed", range(5))
def test_however_it_is_slowed_down_every_mail_comes_once(server, gmail, seed):
    """News and history, told now and then or always, with pulls that begin again and again."""
    chance = random.Random(seed)
    often = chance.choice([0.1, 0.5, 1.0])
    deliver(server, *range(70))
    with SlowMode(server.host, server.port, counting=False) as wire:
        wire.slow = lambda _: chance.random() < often
        ledger, source, top = Ledger(), gmail(wire, page_size=4), 70
        for _ in range(25):
            try:
                poll(source, ledger)
            except Throttled:
                deliver(server, top)
                top += 1
        wire.slow = lambda _: False
        poll(source, ledger)
        source.close()
    assert sorted(numbers(ledger)) == list(range(top))
    assert all(isinstance(item, MailItem) for item in ledger.items)


# -- texts ---------------------------------------------------------------------------------------


def test_texts_are_asked_for_more_slowly_too_and_all_of_them_come(server, wire, gmail):
    deliver(server, *range(800))
    source, ledger = gmail(wire, page_size=500), Ledger()
    poll(source, ledger)
    (stream,) = source.streams()
    wire.fetches.clear()
    wire.slow = lambda _: True
    bodies = list(source.read(list(ledger.locators(stream))))
    assert sorted(body.text for body in bodies) == sorted(f"text {n}" for n in range(800))
    assert wire.sizes == [200, 200, 200, 100, 50, 25, 25]
    assert under_way(wire)[2:] == [1] * 5


# -- the whole program ---------------------------------------------------------------------------


def test_the_account_waits_longer_and_longer_and_the_diary_has_everything_once(
    server, gmail, tmp_path
):
    world = World(tmp_path)
    world.customers("Lena,Nordvik AB,lena@nordvik.example")
    deliver(server, *range(60), at=world.clock.now())
    with SlowMode(server.host, server.port, counting=False) as wire:
        world.boxes[f"{KARIN}/imap"] = (gmail(wire, world.clock, page_size=5), KARIN)
        wire.slow = lambda _: True
        waits = []
        while (pulled := world.sync()[0]).error is not None:
            assert "asks for a pause" in pulled.error
            account = world.account()
            assert account.state == "failing"
            waits.append(account.next_pull - world.clock.now())
            world.clock.move_to(account.next_pull)
        assert len(waits) == 2
        assert timedelta(minutes=1) <= waits[0] < waits[1] <= timedelta(hours=1)
        assert sorted(int(entry["subject"]) for entry in world.log()) == list(range(60))
        assert all(world.text(e["id"]) == f"text {e['subject']}" for e in world.log())
    world.store.close()
