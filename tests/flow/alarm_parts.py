"""Accounts that stop, fall silent and come back, and what people are told of them."""

from dataclasses import replace
from datetime import timedelta

from connectors.memory.source import MemoryMailbox
from crm_sync.core.errors import Refused, Unreachable
from crm_sync.flow import alarms, dispatch
from crm_sync.flow.setup import Person

KARIN, DANIEL, ADMIN = "karin@acme.example", "daniel@acme.example", "it@acme.example"
NAME = f"{KARIN}/imap"
MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)


def withdrawn():
    what = "the permission to use the account was withdrawn or has run out"
    return Refused(what, where=NAME, advice=f"Run: crm-sync login {NAME}", kind="consent")


def unreachable():
    what = "no answer from the server within 30 seconds"
    return Unreachable(what, where="imap:993", advice="Check host and port.", kind="network")


def told(world, *, names=None, endings=()):
    """Plans; the mails that are new in the outbox, oldest first."""
    before = {row["id"] for row in world.outbox()}
    alarms.plan(world.setup, world.post, names or set(world.boxes), lambda: endings)
    return [row for row in reversed(world.outbox()) if row["id"] not in before]


def text(world, row):
    """The text of a mail as it leaves."""
    leave(world)
    drafts = (mail.draft for mail in world.sender.delivered)
    return next(d for d in drafts if d.message_id == row["message_id"]).text


def leave(world):
    """What is queued leaves."""
    dispatch.dispatch(world.setup, world.post)


def told_and_left(world):
    rows = told(world)
    leave(world)
    return rows


def stop(world, box, error=withdrawn):
    box.away = error
    world.sync()
    world.clock.advance(11 * MINUTE)


def fail(world, box, lasting, error=unreachable):
    """It fails at once, and still after that time."""
    box.away = error
    world.sync()
    world.clock.advance(lasting)
    world.sync()


def break_down(world, name):
    """One more team mailbox, whose server is away from the start."""
    box = MemoryMailbox()
    box.away = unreachable
    world.boxes[name] = (box, None)
    world.sync(name)


def mend(world, box):
    box.away = None
    world.sync()


def with_people(world, *, manager=None, admin=None):
    karin, *others = world.setup.reps
    zone = (karin.zone, karin.zone_name)
    person = Person(admin, "", "en", *zone) if admin else None
    karin = replace(karin, manager=manager)
    world.setup = replace(world.setup, reps=(karin, *others), admin=person)
