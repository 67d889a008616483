"""Greetings that do not leave: days that nobody was there for, and addresses that bounced."""

from datetime import UTC, datetime, time

import pytest

from crm_sync.flow.post import GreetingRule
from crm_sync.store import notices
from crm_sync.store.notices import NewEvent

HEADER = "name,company,emails,birthday,greeting_basis,owner"
LENA = "Lena Vik,Nordvik AB,lena@nordvik.example,1980-03-04,consent,karin@acme.example"


@pytest.fixture
def office(make_world):
    world = make_world(greetings=(GreetingRule("birthday", time(9), "auto"),))
    world.customers(LENA, header=HEADER)
    return world


def turn_on(world, year, month, day, hour=10):
    world.clock.move_to(datetime(year, month, day, hour, tzinfo=UTC))
    world.turn()


def greetings(world):
    return [(row["key"], row["state"]) for row in world.outbox() if row["kind"] == "greeting"]


def test_a_day_that_nobody_was_there_for_leaves_a_skipped_greeting_and_sends_nothing(office):
    turn_on(office, 2026, 3, 2)
    turn_on(office, 2026, 3, 6)

    ((key, state),) = greetings(office)
    assert (key.rsplit("/", 1)[1], state) == ("2026", "skipped")
    assert office.sender.delivered == []
    turn_on(office, 2027, 3, 4)
    assert len(office.sender.delivered) == 1


def test_days_before_the_first_turn_leave_nothing(office):
    turn_on(office, 2026, 3, 6)
    assert greetings(office) == []


def test_a_greeting_that_left_is_not_skipped_afterwards(office):
    turn_on(office, 2026, 3, 4)
    turn_on(office, 2026, 3, 7)
    assert [state for _, state in greetings(office)] == ["sent"]


def test_a_greeting_to_an_address_that_bounced_lately_waits_for_a_persons_yes(office):
    event = NewEvent(
        b"k" * 16, "lena@nordvik.example", "hard_bounce", datetime(2026, 3, 1, tzinfo=UTC), "5.1.1"
    )
    with office.store.write() as tx:
        notices.add(tx, [event])
    turn_on(office, 2026, 3, 4)

    assert [state for _, state in greetings(office)] == ["waiting_approval"]
    (row,) = [row for row in office.outbox() if row["kind"] == "greeting"]
    assert "mail to it bounced on 2026-03-01" in row["reason"]


def test_an_old_bounce_holds_nothing_back(office):
    event = NewEvent(
        b"k" * 16, "lena@nordvik.example", "hard_bounce", datetime(2026, 1, 1, tzinfo=UTC), "5.1.1"
    )
    with office.store.write() as tx:
        notices.add(tx, [event])
    turn_on(office, 2026, 3, 4)
    assert [state for _, state in greetings(office)] == ["sent"]
