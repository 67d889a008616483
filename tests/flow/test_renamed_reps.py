"""A rep who is renamed keeps her customers, reminders, mails and history (her aliases tell)."""

from dataclasses import replace
from datetime import UTC, datetime, time

import pytest

from connectors.memory.filing import MemoryFiling
from connectors.memory.sender import MemorySender
from crm_sync.core.headers import parse_envelope
from crm_sync.core.records import Address, Attendee, Occurrence
from crm_sync.flow import dispatch, plan
from crm_sync.flow.post import GreetingRule, Way
from crm_sync.store import customers, diary, reminders

KARIN, NEW, DANIEL = "karin@acme.example", "karin.ek@acme.example", "daniel@acme.example"
HEADER = "name,company,emails,birthday,greeting_basis,owner"
NINE = datetime(2026, 3, 4, 8, 30, tzinfo=UTC)


@pytest.fixture
def office(make_world):
    """Lena is Karin's customer; Daniel stands first in the file."""

    def make(mode="auto", **options):
        world = make_world(greetings=(GreetingRule("birthday", time(9), mode),), **options)
        world.setup = replace(world.setup, reps=world.setup.reps[::-1])
        basis = "" if mode == "ask" else "consent"
        row = f"Lena Vik,Nordvik AB,lena@nordvik.example,1980-03-04,{basis},{KARIN}"
        world.customers(row, header=HEADER)
        world.box = world.mailbox()
        world.sync()
        return world

    return make


def rename(world):
    """What is read from the configuration in which the old address is an alias."""
    reps = {address: NEW if rep == KARIN else rep for address, rep in world.setup.team.reps.items()}
    people = [replace(p, email=NEW) if p.email == KARIN else p for p in world.setup.reps]
    team = replace(world.setup.team, reps={NEW: NEW, **reps})
    world.setup = replace(world.setup, team=team, reps=tuple(people))
    world.boxes[f"{NEW}/imap"] = (world.boxes.pop(f"{KARIN}/imap")[0], NEW)


def leave(world):
    """Karin is taken out of the configuration altogether."""
    reps = {a: rep for a, rep in world.setup.team.reps.items() if rep != KARIN}
    team = replace(world.setup.team, reps=reps)
    people = tuple(p for p in world.setup.reps if p.email != KARIN)
    world.setup = replace(world.setup, team=team, reps=people)
    world.boxes.clear()


def arrive(world, moment, **mail):
    world.clock.move_to(moment)
    world.box.deliver(world.mail(**mail), "INBOX")
    world.sync()


def by_kind(world):
    return {row["kind"]: row for row in world.outbox()}


def log(world, **which):
    with world.store.read() as tx:
        return diary.interactions(tx, rep_today=world.setup.rep, **which)


def open_reminders(world):
    with world.store.read() as tx:
        return reminders.listing(tx, rep_today=world.setup.rep)


# -- greetings ------------------------------------------------------------------------------------


def test_a_greeting_that_needs_approval_is_shown_to_the_renamed_owner_and_bears_her_name(office):
    world = office("ask")
    rename(world)
    world.clock.move_to(NINE)
    world.turn()

    rows = by_kind(world)
    assert rows["approval"]["to"] == NEW
    assert [m.draft.to[0].address for m in world.sender.delivered] == [NEW]
    dispatch.approve(world.setup, rows["greeting"]["id"])
    world.turn()
    greeting = world.sender.delivered[-1].draft
    assert greeting.reply_to == (Address(NEW),)
    assert "Karin Ek" in greeting.text
    assert "Daniel" not in greeting.text


def test_what_was_queued_before_leaves_by_her_sender_as_she_is_called_now(office):
    own = MemorySender(looks_back=False)
    world = office(ways={KARIN: Way(Address(KARIN, "Karin Ek"), lambda: own)})
    world.clock.move_to(NINE)
    plan.plan(world.setup, world.post)
    rename(world)
    way = Way(Address(NEW, "Karin Ek"), lambda: own)
    world.ways = {NEW: way, KARIN: way}
    world.turn()

    (mail,) = own.delivered
    assert mail.draft.from_ == Address(NEW, "Karin Ek")
    (row,) = world.outbox()
    assert (row["state"], row["from"], row["via"]) == ("sent", NEW, NEW)


def test_her_sender_that_still_writes_from_the_old_address_sends_what_was_approved(office):
    own = MemorySender(looks_back=False)
    old = Way(Address(KARIN, "Karin Ek"), lambda: own)
    world = office(ways={KARIN: old})
    world.clock.move_to(NINE)
    plan.plan(world.setup, world.post)
    rename(world)
    world.ways = {NEW: old, KARIN: old}
    world.turn()

    assert [mail.draft.from_.address for mail in own.delivered] == [KARIN]


def test_a_draft_that_was_queued_lies_among_the_drafts_of_the_renamed_owner(office):
    filing = MemoryFiling()
    world = office("draft", drafts={KARIN: lambda: filing})
    world.clock.move_to(NINE)
    plan.plan(world.setup, world.post)
    rename(world)
    world.drafts = {NEW: lambda: filing}
    world.turn()

    assert [row["state"] for row in world.outbox()] == ["drafted"]
    (draft,) = filing.kept["drafts"]
    assert parse_envelope(draft).from_ == (Address(NEW, "Karin Ek"),)


# -- reminders and digests ------------------------------------------------------------------------


def test_open_reminders_and_the_digest_go_to_the_new_address(office):
    world = office()
    arrive(world, datetime(2026, 3, 5, 10, tzinfo=UTC))
    rename(world)
    (reminder,) = open_reminders(world)
    assert reminder["rep"] == NEW

    world.clock.move_to(datetime(2026, 3, 10, 8, tzinfo=UTC))
    world.turn()
    assert world.sender.delivered[-1].draft.to[0].address == NEW
    assert world.reminders()[0]["rep"] == NEW


def test_a_digest_that_was_queued_goes_to_the_new_address_once(office):
    world = office()
    arrive(world, datetime(2026, 3, 5, 10, tzinfo=UTC))
    world.clock.move_to(datetime(2026, 3, 10, 8, tzinfo=UTC))
    plan.plan(world.setup, world.post)
    rename(world)
    for _ in range(2):
        world.turn()

    digests = [row for row in world.outbox() if row["kind"] == "digest"]
    assert [(row["to"], row["state"]) for row in digests] == [(NEW, "sent")]
    assert [m.draft.to[0].address for m in world.sender.delivered].count(NEW) == 1


def test_who_got_the_days_digest_under_the_old_address_gets_no_second(office):
    world = office()
    arrive(world, datetime(2026, 3, 5, 10, tzinfo=UTC))
    world.clock.move_to(datetime(2026, 3, 10, 8, tzinfo=UTC))
    world.turn()
    rename(world)
    world.turn()

    assert [row["to"] for row in world.outbox() if row["kind"] == "digest"] == [KARIN]
    (reminder,) = open_reminders(world)
    assert reminder["message_id"] == world.sender.delivered[-1].draft.message_id


def test_mail_from_before_the_first_sync_is_counted_once_for_both_addresses(make_world):
    world = make_world()
    world.customers(
        f"Lena,Nordvik AB,lena@nordvik.example,{KARIN}", header="name,company,emails,owner"
    )
    world.box = world.mailbox()
    world.box.deliver(world.mail(subject="Old"), "INBOX")
    world.sync()
    arrive(world, datetime(2026, 3, 3, 10, tzinfo=UTC), subject="New")
    texts = []
    for day in (10, 11):
        world.clock.move_to(datetime(2026, 3, day, 8, tzinfo=UTC))
        world.turn()
        texts.append(world.sender.delivered[-1].draft.text)
        if day == 10:
            rename(world)
    first, second = texts
    assert len(first.splitlines()) > len(second.splitlines())


# -- history --------------------------------------------------------------------------------------


def test_her_history_lists_her_once_and_is_found_by_her_new_address(office):
    world = office()
    arrive(world, datetime(2026, 3, 2, 10, tzinfo=UTC), subject="Before")
    rename(world)
    arrive(world, datetime(2026, 3, 3, 10, tzinfo=UTC), subject="After", to=NEW)

    # Her mailbox bears a new name, so it is pulled from the start, and shows what was known.
    assert [(i["subject"], i["reps"]) for i in log(world)] == [("After", [NEW]), ("Before", [NEW])]
    assert [i["subject"] for i in log(world, rep=NEW)] == ["After", "Before"]
    assert log(world, rep=DANIEL) == []
    with world.store.read() as tx:
        assert diary.one(tx, 1, rep_today=world.setup.rep)["reps"] == [NEW]


def test_her_customers_are_listed_and_found_under_her_new_address(office):
    world = office()
    rename(world)
    with world.store.read() as tx:
        (found,) = customers.listing(tx, NEW, rep_today=world.setup.rep)
    assert found["owner"] == NEW


def test_an_alias_is_known_however_it_is_spelt(office):
    world = office()
    rename(world)
    for spelt in (NEW, KARIN, "Karin@ACME.example"):
        assert world.setup.rep(spelt) == NEW
        assert world.setup.person(spelt).name == "Karin Ek"
    assert world.setup.rep("bo@bo.example") == "bo@bo.example"
    assert world.setup.person("bo@bo.example") is None


def test_a_meeting_she_declines_after_the_renaming_loses_her(office):
    world = office()
    calendar = world.calendar(DANIEL)
    at = datetime(2026, 3, 10, 9, tzinfo=UTC)

    def meeting(who, partstat):
        daniel = Attendee(DANIEL, partstat="ACCEPTED")
        people = (Attendee("lena@nordvik.example"), daniel, Attendee(who, partstat=partstat))
        return Occurrence("u1", None, at, at.replace(hour=10), "Möte", daniel, people)

    calendar.put("m1", meeting(KARIN, "ACCEPTED"))
    world.sync()
    assert set(log(world)[0]["reps"]) == {KARIN, DANIEL}
    rename(world)
    calendar.put("m1", meeting(NEW, "DECLINED"))
    world.sync()
    assert log(world)[0]["reps"] == [DANIEL]


def test_who_has_left_keeps_her_history_and_her_customers_go_to_who_answers_now(office):
    world = office()
    arrive(world, datetime(2026, 3, 5, 10, tzinfo=UTC))
    leave(world)
    assert log(world)[0]["reps"] == [KARIN]
    plan.plan(world.setup, world.post)
    assert [r["rep"] for r in open_reminders(world)] == [DANIEL]
