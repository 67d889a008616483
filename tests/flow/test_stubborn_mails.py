"""Mails that break whatever carries them, and mailboxes that refuse: they cost only themselves."""

from datetime import timedelta

import pytest

from connectors.memory.filing import MemoryFiling
from connectors.memory.sender import MemorySender
from crm_sync.core.errors import Refused, Unreachable
from crm_sync.flow import dispatch
from crm_sync.flow.health import SIGN_IN_PAUSE
from crm_sync.store import outbox
from crm_sync.store.outbox import NewRow

MINUTE = timedelta(minutes=1)


def queue(world, *numbers: int) -> None:
    with world.store.write() as tx:
        for number in numbers:
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
                due_at=world.clock.now(),
                expires_at=None,
                message_id=f"<{number}@acme.example>",
            )
            outbox.add(tx, row)


def states(world) -> dict[str, str]:
    return {row["subject"]: row["state"] for row in world.outbox()}


class Breaking(MemorySender):
    """Loses its connection over one mail, always, or stumbles over it before or after its end."""

    def __init__(self, subject: str, error: Exception, *, after: bool = False):
        super().__init__(looks_back=False)
        self._subject, self._error, self._after = subject, error, after

    def send(self, draft, sending):
        if draft.subject != self._subject:
            return super().send(draft, sending)
        if self._after:
            sending()
        raise self._error


class Refusing(MemorySender):
    """A server that does not let us sign in; `asked` counts the tries."""

    asked = 0

    def __init__(self, kind: str = "password"):
        super().__init__(looks_back=False)
        self._kind = kind

    def send(self, draft, sending):
        self.asked += 1
        raise Refused("the sign-in is refused", kind=self._kind)


def test_a_mail_that_breaks_every_connection_holds_up_no_other(world):
    world.sender = Breaking("n1", Unreachable("the connection broke at the data"))
    queue(world, 1, 2, 3)
    dispatch.dispatch(world.setup, world.post)
    world.clock.advance(2 * MINUTE)
    dispatch.dispatch(world.setup, world.post)
    assert states(world) == {"n1": "queued", "n2": "sent", "n3": "sent"}


def test_a_sender_that_refuses_the_sign_in_is_asked_four_times_an_hour_at_most(world):
    world.sender = Refusing()
    queue(world, 1, 2, 3)
    for _ in range(60):
        dispatch.dispatch(world.setup, world.post)
        world.clock.advance(MINUTE)
    assert SIGN_IN_PAUSE == 15 * MINUTE
    assert world.sender.asked == 4


def test_a_sender_that_is_locked_is_asked_every_half_hour_at_most(world):
    world.sender = Refusing(kind="locked")
    queue(world, 1, 2, 3)
    for _ in range(60):
        dispatch.dispatch(world.setup, world.post)
        world.clock.advance(MINUTE)
    assert world.sender.asked == 2


@pytest.mark.parametrize(("after", "state"), [(False, "queued"), (True, "in_doubt")])
def test_a_fault_inside_a_sender_ends_neither_the_daemon_nor_other_mail(world, after, state):
    world.sender = Breaking("n1", IndexError("list index out of range"), after=after)
    queue(world, 1, 2)
    dispatch.dispatch(world.setup, world.post)
    world.clock.advance(2 * MINUTE)
    dispatch.dispatch(world.setup, world.post)
    assert states(world) == {"n1": state, "n2": "sent"}
    (told,) = [row["error"] for row in world.outbox() if row["subject"] == "n1"]
    assert "IndexError" in told
    assert "out of range" not in told


class RefusingFiling(MemoryFiling):
    """A mailbox whose password is wrong; `asked` counts the tries."""

    asked = 0

    def keep(self, draft, place):
        self.asked += 1
        raise Refused("the password is wrong", kind="password")


def test_a_mailbox_that_refuses_copies_is_not_asked_once_for_each_of_them(world):
    filing = RefusingFiling()
    world.team = {"open_filing": lambda: filing, "keeps_copy": True}
    queue(world, 1, 2, 3, 4)
    post = world.post
    for _ in range(10):
        dispatch.dispatch(world.setup, post)
        world.clock.advance(timedelta(seconds=5))
    assert set(states(world).values()) == {"sent"}
    assert filing.asked == 1


class StumblingFiling(MemoryFiling):
    """A mailbox whose connector has a fault."""

    def keep(self, draft, place):
        raise IndexError("list index out of range")


def test_a_fault_inside_a_mailbox_of_copies_ends_nothing_and_shows_no_words_of_it(world):
    filing = StumblingFiling()
    world.team = {"open_filing": lambda: filing, "keeps_copy": True}
    queue(world, 1, 2)
    post = world.post
    told = []
    for _ in range(3):
        told += dispatch.dispatch(world.setup, post).errors
        world.clock.advance(MINUTE)
    assert states(world) == {"n1": "sent", "n2": "sent"}
    assert told
    assert all("IndexError" in e.sentence() and "range" not in e.sentence() for e in told)
