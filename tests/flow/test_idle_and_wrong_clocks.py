"""What a turn costs when nothing is due, and what is left of a clock that was wrong for a while."""

from datetime import timedelta

import pytest
from sqlalchemy import event
from sqlalchemy.engine import Engine

from crm_sync.core.errors import Unreachable
from crm_sync.flow import dispatch, plan
from crm_sync.flow.budget import Limits
from crm_sync.store import outbox
from crm_sync.store.outbox import NewRow

YEAR = timedelta(days=365)


@pytest.fixture
def statements():
    """The statements that any database gets."""
    said: list[str] = []

    def hear(_connection, _cursor, statement, *_):
        said.append(statement)

    event.listen(Engine, "before_cursor_execute", hear)
    yield said
    event.remove(Engine, "before_cursor_execute", hear)


def queue(world, number: int) -> None:
    row = NewRow(
        key=f"notice/{number}",
        kind="notice",
        state="queued",
        recipient="karin@acme.example",
        recipient_name="Karin Ek",
        sender="crm@acme.example",
        reply_to="",
        subject=f"n{number}",
        text="text",
        html="",
        language="en",
        reason="a test",
        due_at=world.clock.now() - YEAR,
        expires_at=None,
        message_id=f"<{number}@acme.example>",
    )
    with world.store.write() as tx:
        outbox.add(tx, row)


def test_planning_reads_no_more_when_many_wait_and_nobody_is_due(world, statements):
    box = world.mailbox()
    world.customers(*(f"P{n},C{n},p{n}@c{n}.example" for n in range(12)))
    world.sync()
    world.clock.advance(timedelta(minutes=5))
    plan.plan(world.setup, world.post)
    costs = []
    for part in (range(2), range(2, 12)):
        for n in part:
            box.deliver(world.mail(f"p{n}@c{n}.example"))
        world.sync()
        world.clock.advance(timedelta(minutes=5))
        statements.clear()
        assert plan.plan(world.setup, world.post) == 0
        costs.append(len(statements))
    assert len(world.reminders()) == 12
    assert costs[0] == costs[1]


def test_a_mail_that_waits_for_a_year_by_a_clock_that_was_wrong_leaves_now(world):
    queue(world, 1)
    world.clock.advance(YEAR)
    world.sender.fail_before(Unreachable("it is down"))
    assert dispatch.dispatch(world.setup, world.post).failed == 1
    world.clock.advance(-YEAR)
    assert dispatch.dispatch(world.setup, world.post).sent == 1


def test_mails_that_left_by_a_clock_that_was_wrong_use_up_no_limit_now(world):
    world.team = {"limits": Limits(per_minute=2, per_day=2)}
    world.clock.advance(YEAR)
    for number in (1, 2):
        queue(world, number)
    assert dispatch.dispatch(world.setup, world.post).sent == 2
    world.clock.advance(-YEAR)
    queue(world, 3)
    assert dispatch.dispatch(world.setup, world.post).sent == 1


def test_health_is_told_again_once_the_clock_was_set_back(world):
    world.mailbox()
    world.clock.advance(YEAR)
    world.sync()
    world.clock.advance(-YEAR)
    world.sync()
    assert world.account().last_success == world.clock.now()
    assert world.account().complete_until == world.clock.now()
