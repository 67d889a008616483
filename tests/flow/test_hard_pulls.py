from datetime import UTC, datetime, timedelta

import pytest

from connectors.memory.source import Mail
from crm_sync.core.errors import Unreachable
from crm_sync.flow import explain
from crm_sync.store import accounts, diary, texts

KARIN, DANIEL = "karin@acme.example", "daniel@acme.example"
LENA = "Lena Vik,Nordvik AB,lena@nordvik.example"


def utc(day, hour=9, minute=0):
    return datetime(2026, 3, day, hour, minute, tzinfo=UTC)


def quarantine(world):
    with world.store.read() as tx:
        return diary.quarantined(tx)


def test_identical_mails_without_message_id_in_two_mailboxes_do_not_stop_the_diary(world):
    world.customers(LENA)
    karin, daniel = world.mailbox(), world.mailbox(DANIEL)
    same = world.mail(message_id="")
    karin.deliver(world.mail(subject="other"))
    karin.deliver(same)  # UID 2 at Karin
    world.sync()
    daniel.deliver(same)
    daniel.deliver(same)  # UIDs 1, 2 at Daniel
    world.sync()
    assert len(world.log()) == 3


def test_fp_simplest(world):
    """Karin's INBOX 1:1 and Sent folder 1:1, 1:2"""
    world.customers(LENA)
    karin = world.mailbox()
    same = world.mail(message_id="")
    karin.deliver(same)
    karin.deliver(same)
    karin.deliver(same, "Archive")
    karin.deliver(world.mail(subject="x"), "Archive")
    karin.deliver(same, "Archive")
    world.sync()
    assert len(world.log()) == 3


def test_reply_to_a_greeting_in_doubt_then_witness(make_world):
    from datetime import time

    from crm_sync.core.errors import InDoubt
    from crm_sync.flow.post import GreetingRule

    world = make_world(greetings=(GreetingRule("birthday", time(9), "auto"),), with_witness=True)
    world.customers(
        f"Lena Vik,Nordvik AB,lena@nordvik.example,1980-03-04,sv,,consent,{KARIN}",
        header="name,company,emails,birthday,language,timezone,greeting_basis,owner",
    )
    karin = world.mailbox()
    team = world.mailbox(None)
    world.sync()
    world.clock.move_to(utc(4, 8))
    world.sender.fail_after(InDoubt("no answer"), delivered=True)
    world.turn()
    (row,) = [r for r in world.outbox() if r["kind"] == "greeting"]
    assert row["state"] == "in_doubt"
    world.clock.move_to(utc(4, 8, 30))
    karin.deliver(world.mail(subject="Tack!", extra=f"In-Reply-To: {row['message_id']}"))
    world.sync(f"{KARIN}/imap")
    from crm_sync.core.headers import parse_envelope

    data = world.sender.delivered[0].data
    team.deliver(Mail(parse_envelope(data), world.clock.now(), ""))
    world.sync("team/imap")
    assert [r["state"] for r in world.outbox() if r["kind"] == "greeting"] == ["sent"]


def test_reply_to_a_greeting_in_doubt_then_retry_sends_every_time(make_world):
    from datetime import time

    from crm_sync.core.errors import InDoubt
    from crm_sync.flow import dispatch
    from crm_sync.flow.post import GreetingRule

    world = make_world(greetings=(GreetingRule("birthday", time(9), "auto"),))
    world.customers(
        f"Lena Vik,Nordvik AB,lena@nordvik.example,1980-03-04,sv,,consent,{KARIN}",
        header="name,company,emails,birthday,language,timezone,greeting_basis,owner",
    )
    karin = world.mailbox()
    world.sync()
    world.clock.move_to(utc(4, 8))
    world.sender.fail_after(InDoubt("no answer"), delivered=True)
    world.turn()
    (row,) = [r for r in world.outbox() if r["kind"] == "greeting"]
    karin.deliver(world.mail(subject="Tack!", extra=f"In-Reply-To: {row['message_id']}"))
    world.sync()
    dispatch.retry(world.setup, row["id"])
    world.turn()
    assert world.outbox()[-1]["state"] == "sent"


@pytest.mark.parametrize("how", ["Archive", "Kunder", "two accounts"])
def test_the_past_of_a_new_customer_is_found_where_the_mail_was_moved(world, how):
    box = world.mailbox()
    m = world.mail(to=f"{KARIN}, {DANIEL}")
    key = box.deliver(m)
    if how == "two accounts":
        other = world.mailbox(DANIEL)
        other.deliver(m)
        world.sync()
        box.remove(key)
    else:
        world.sync()
        box.move(key, "INBOX", how)
        world.sync()
    world.customers(LENA)
    world.sync()
    world.sync()
    assert world.subjects() == ["Offert"]


def test_text_of_a_mail_that_was_moved_before_it_was_fetched(world):
    world.customers(LENA)
    box = world.mailbox()
    key = box.deliver(world.mail(text="the words"))
    box.fail_next()  # streams ok
    real = box.read

    def broken(*a, **k):
        raise Unreachable("away")

    box.read = broken
    world.sync()
    box.read = real
    box.move(key, "INBOX", "Archive")
    for _ in range(8):
        world.clock.move_by(timedelta(minutes=1)) if hasattr(world.clock, "move_by") else None
        world.sync()
    (entry,) = world.log()
    assert world.text(entry["id"]) == "the words"


def test_unmatched_mail_that_leaves_quarantine_is_found_for_a_later_customer(world):
    box = world.mailbox()
    key = box.deliver(world.mail(message_id="<q@x>"))
    box.make_unreadable(key)
    world.sync()
    (q,) = quarantine(world)
    box.make_unreadable(key, reason="")
    with world.store.write() as tx:
        texts.decide(tx, q["id"], "retry")
    world.sync()
    assert quarantine(world) == []
    print(explain.explain(world.setup, "<q@x>"))
    world.customers(LENA)
    world.sync()
    assert world.subjects() == ["Offert"]


def test_recalled_history_takes_the_second_look_too(world):
    box = world.mailbox()
    body = "This is an automatic reply. I am out of office until Monday. This is an automated message, please do not reply."
    box.deliver(world.mail(text=body))
    world.customers(LENA)
    world.sync()
    before = world.subjects()
    assert before == []


def test_recalled_history_takes_the_second_look_too2(world):
    box = world.mailbox()
    body = "This is an automatic reply. I am out of office until Monday. This is an automated message, please do not reply."
    box.deliver(world.mail(text=body))
    world.sync()
    world.customers(LENA)
    world.sync()
    assert world.subjects() == []


def test_demotion_leaves_the_next_unanswered_mail_with_its_reminder(world):
    world.customers(LENA)
    box = world.mailbox()
    world.sync()
    world.clock.move_to(utc(3))
    body = "This is an automatic reply. This is an automated message, please do not reply."
    box.deliver(world.mail(message_id="<a@x>", text=body, at=utc(3, 8)))
    box.deliver(
        world.mail(
            message_id="<b@x>",
            extra="In-Reply-To: <a@x>",
            text="Hello, please call me",
            at=utc(3, 8, 30),
        )
    )
    world.sync()
    print(world.log())
    assert len(world.log()) == 1
    assert [r["since"] for r in world.reminders()] == ["2026-03-03T08:30:00Z"]


def test_no_mid_no_date_two_mailboxes(world):
    from dataclasses import replace

    world.customers(LENA)
    karin, daniel = world.mailbox(), world.mailbox(DANIEL)
    m = world.mail(to=f"{KARIN}, {DANIEL}", message_id="")
    e = replace(m.envelope, date=None)
    karin.deliver(Mail(e, utc(3, 9, 0), "x"))
    from datetime import timedelta

    daniel.deliver(Mail(e, utc(3, 9, 0) + timedelta(seconds=2), "x"))
    world.sync()
    assert len(world.log()) == 1


def test_reassigned_account_uses_the_new_rep_at_once(world):
    world.customers(LENA)
    with world.store.write() as tx:
        accounts.declare(tx, "sales", "mailbox", "memory", KARIN)
    with world.store.write() as tx:
        row = accounts.declare(tx, "sales", "mailbox", "memory", DANIEL)
    assert row.rep == DANIEL


def test_all_reps_who_had_a_mail_are_on_it_when_its_customer_is_added_later(world):
    for box in (world.mailbox(), world.mailbox(DANIEL)):
        box.deliver(world.mail(message_id="<one@x.example>"))
    world.sync()
    assert world.log() == []
    world.customers(LENA)
    world.sync()
    (entry,) = world.log()
    assert entry["reps"] == [KARIN, DANIEL]
