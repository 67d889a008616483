import contextlib
import shutil
from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta

import pytest

from connectors.memory.source import Mail
from crm_sync.core.errors import InDoubt, Unreachable, UsageError
from crm_sync.core.headers import parse_envelope
from crm_sync.flow import dispatch, explain, plan, status
from crm_sync.flow.post import GreetingRule
from crm_sync.store import accounts, customers

KARIN, DANIEL = "karin@acme.example", "daniel@acme.example"
LENA = "Lena Vik,Nordvik AB,lena@nordvik.example"
H = "name,company,emails,birthday,language,timezone,greeting_basis,owner"


def utc(day, hour=9, minute=0):
    return datetime(2026, 3, day, hour, minute, tzinfo=UTC)


def arrive(w, at, box=None, folder="INBOX", **m):
    w.clock.move_to(at)
    (box or w.box).deliver(w.mail(**m), folder)
    w.sync()


@pytest.fixture
def office(world):
    world.customers(LENA)
    world.box = world.mailbox()
    world.sync()
    return world


@pytest.fixture
def greet(make_world):
    def make(how="auto", basis="consent", **o):
        w = make_world(greetings=(GreetingRule("birthday", time(9), how),), **o)
        w.customers(
            f"Lena Vik,Nordvik AB,lena@nordvik.example,1980-03-04,sv,,{basis},{KARIN}", header=H
        )
        return w

    return make


def greetings_sent(w):
    return [
        m.draft.to[0].address
        for m in w.sender.delivered
        if m.draft.to[0].address.endswith("nordvik.example")
    ]


def test_new_mailbox_pulled_first_does_not_swallow_the_reminder(office):
    new = office.mailbox(DANIEL)
    office.clock.move_to(utc(3, 10))
    m = office.mail(to=f"{KARIN}, {DANIEL}")
    office.box.deliver(m)
    new.deliver(m)
    office.sync(f"{DANIEL}/imap")
    office.sync(f"{KARIN}/imap")
    assert len(office.reminders()) == 1


def test_domain_writer_who_becomes_a_contact_is_closed_by_a_mail_to_her(office):
    arrive(office, utc(3, 10), sender="bo@nordvik.example")
    office.customers("Bo,Nordvik AB,bo@nordvik.example")
    arrive(office, utc(3, 11), sender=KARIN, to="bo@nordvik.example", subject="new", folder="Sent")
    assert office.reminders() == []


def test_domain_writer_who_becomes_a_contact_has_one_reminder(office):
    arrive(office, utc(3, 10), sender="bo@nordvik.example", message_id="<q@x>")
    office.customers("Bo,Nordvik AB,bo@nordvik.example")
    arrive(office, utc(3, 12), sender="bo@nordvik.example", extra="In-Reply-To: <q@x>")
    assert len(office.reminders()) == 1


def test_contact_with_two_addresses_on_one_mail_is_listed_once(office):
    office.customers("Lena Vik,Nordvik AB,lena@nordvik.example|lena@home.example")
    arrive(office, utc(3, 10), to=f"{KARIN}, lena@home.example")
    assert len(office.reminders()) == 1
    office.clock.move_to(utc(10, 9))
    plan.plan(office.setup, office.post)
    print(office.outbox()[0]["reason"])
    assert office.outbox()[0]["reason"].startswith("1 unanswered")


def test_owner_changes_before_it_is_due(office):
    arrive(office, utc(3, 10))
    office.customers(
        f"Lena Vik,Nordvik AB,lena@nordvik.example,{DANIEL}", header="name,company,emails,owner"
    )
    office.clock.move_to(utc(10, 9))
    plan.plan(office.setup, office.post)
    assert [r["to"] for r in office.outbox()] == [DANIEL]


def test_rep_left_the_team_nobody_is_forgotten(office):
    arrive(office, utc(3, 10))
    office.setup = replace(office.setup, reps=office.setup.reps[1:])  # Karin is gone from [[reps]]
    office.clock.move_to(utc(10, 9))
    plan.plan(office.setup, office.post)
    assert [r["to"] for r in office.outbox()] == [DANIEL]


def test_backdated_mail_after_our_mail_still_waits(office):
    arrive(office, utc(3, 12), sender=KARIN, to="lena@nordvik.example", folder="Sent")
    office.clock.move_to(utc(3, 14))
    m = office.mail(
        at=utc(3, 11), subject="written on the train"
    )  # her clock/queue: Date before our mail
    office.box.deliver(Mail(m.envelope, utc(3, 14), "please call"))
    office.sync()
    assert len(office.reminders()) == 1


def test_customers_fast_clock_does_not_keep_it_open(office):
    office.clock.move_to(utc(3, 9))
    m = office.mail(at=utc(4, 8), message_id="<q@x>")  # her clock is 23 h fast
    office.box.deliver(Mail(m.envelope, utc(3, 9), "x"))
    office.sync()
    arrive(
        office,
        utc(3, 11),
        sender=KARIN,
        to="lena@nordvik.example",
        extra="In-Reply-To: <q@x>",
        folder="Sent",
    )
    assert office.reminders() == []


def test_merged_threads(office):
    arrive(office, utc(3, 10), message_id="<a@x>")
    arrive(office, utc(3, 11), message_id="<b@x>")
    assert len(office.reminders()) == 2
    arrive(office, utc(3, 12), message_id="<c@x>", extra="References: <a@x> <b@x>")
    assert [r["since"] for r in office.reminders()] == ["2026-03-03T10:00:00Z"]


def test_basis_none_imported_while_it_waits(greet):
    w = greet("ask")
    w.clock.move_to(utc(4, 8))
    w.turn()
    w.customers(f"Lena Vik,Nordvik AB,lena@nordvik.example,1980-03-04,sv,,none,{KARIN}", header=H)
    (row,) = [r for r in w.outbox() if r["kind"] == "greeting"]
    with contextlib.suppress(Exception):
        dispatch.approve(w.setup, row["id"])
    w.turn()
    assert greetings_sent(w) == []


def test_occasion_switched_off_after_queued(greet):
    w = greet("auto")
    w.clock.move_to(utc(4, 8))
    w.sender.fail_before(Unreachable("down"))
    w.turn()
    w.greetings = (GreetingRule("birthday", time(9), "off"),)
    w.clock.move_to(utc(4, 9))
    w.turn()
    assert greetings_sent(w) == []


def test_a_long_round_sends_no_greeting_after_midnight(make_world):
    w = make_world(greetings=(GreetingRule("birthday", time(9), "auto"),))
    w.customers(
        f"A,N AB,a@nordvik.example,1980-03-04,sv,,consent,{KARIN}",
        f"B,N AB,b@nordvik.example,1980-03-04,sv,,consent,{KARIN}",
        header=H,
    )
    w.clock.move_to(utc(4, 22, 50))  # 23:50 in Stockholm
    real = w.sender.send

    def slow(draft, sending):
        out = real(draft, sending)
        w.clock.move_to(w.clock.now() + timedelta(minutes=11))
        return out

    w.sender.send = slow
    w.turn()
    assert len(greetings_sent(w)) == 1


def test_in_doubt_retried_by_a_person_then_the_copy_comes_back(greet):
    w = greet(with_witness=True)
    team = w.mailbox(None)
    w.sync()
    w.clock.move_to(utc(4, 8))
    w.sender.fail_after(InDoubt("?"), delivered=True)
    w.turn()
    (row,) = [r for r in w.outbox() if r["kind"] == "greeting"]
    dispatch.retry(w.setup, row["id"])
    team.deliver(Mail(parse_envelope(w.sender.delivered[0].data), w.clock.now()))
    w.turn()
    assert len(greetings_sent(w)) == 1


def test_restored_database_does_not_greet_twice(greet):
    w = greet(with_witness=True)
    team = w.mailbox(None)
    w.sync()
    w.store.close()
    shutil.copytree(w.folder, w.folder.parent / "backup")
    w.restart()
    w.clock.move_to(utc(4, 8))
    w.turn()
    assert len(greetings_sent(w)) == 1
    team.deliver(Mail(parse_envelope(w.sender.delivered[0].data), w.clock.now()))
    w.sync()
    w.store.close()
    shutil.rmtree(w.folder)
    shutil.copytree(w.folder.parent / "backup", w.folder)
    w.restart()
    w.clock.move_to(utc(4, 9))
    w.turn()
    assert len(greetings_sent(w)) == 1


def test_reps_false_sends_no_notice(greet, monkeypatch):
    w = greet(basis="none")
    cls = type(w)
    orig = cls.post.fget
    monkeypatch.setattr(cls, "post", property(lambda s: replace(orig(s), to_reps=False)))
    w.clock.move_to(utc(4, 8))
    w.turn()
    assert w.sender.delivered == []


def test_retry_after_midnight_says_so(greet):
    w = greet()
    w.clock.move_to(utc(4, 8))
    w.sender.fail_after(InDoubt("?"), delivered=True)
    w.turn()
    (row,) = [r for r in w.outbox() if r["kind"] == "greeting"]
    w.clock.move_to(utc(5, 8))
    with pytest.raises(UsageError, match="too late"):
        dispatch.retry(w.setup, row["id"])
    w.turn()

    assert w.outbox()[0]["state"] == "in_doubt"


def test_due_on_another_day_lists_only_that_day(greet):
    w = greet("ask")
    w.clock.move_to(utc(4, 8))
    w.turn()
    assert plan.due(w.setup, w.post, date(2026, 7, 1)) == []


def test_explain_our_own_mail(greet):
    w = greet("ask")
    w.clock.move_to(utc(4, 8))
    w.turn()
    for r in w.outbox():
        print(r["kind"], explain.explain(w.setup, r["message_id"])[0]["outcome"])
    assert explain.explain(w.setup, w.outbox()[0]["message_id"])[0]["outcome"] != "unknown"


def test_synchronous_of_sending(greet):
    w = greet()
    w.clock.move_to(utc(4, 8))
    plan.plan(w.setup, w.post)
    seen = []
    from crm_sync.store import outbox

    real = outbox.move

    def move(tx, i, old, new, **v):
        if new == "sending":
            seen.append(tx.exec_driver_sql("PRAGMA synchronous").scalar())
        return real(tx, i, old, new, **v)

    outbox.move = move
    try:
        dispatch.dispatch(w.setup, w.post)
    finally:
        outbox.move = real
    assert seen == [2]


def test_never_synced_is_not_healthy(world):
    with world.store.write() as tx:
        accounts.declare(tx, "a/imap", "mailbox", "imap", KARIN)
    assert not status.status(world.setup, ["a/imap"])["healthy"]


def test_clock_jump_forward_and_back_keeps_polling(office):
    office.clock.move_to(datetime(2038, 1, 1, tzinfo=UTC))
    office.sync()
    office.clock.move_to(utc(3))
    with office.store.read() as tx:
        due = accounts.due(tx, office.clock.now())
    s = status.status(office.setup, [f"{KARIN}/imap"])
    print(s)
    assert due != set()


def test_clock_jump_is_seen_by_status(office):
    office.clock.move_to(datetime(2038, 1, 1, tzinfo=UTC))
    office.sync()
    office.clock.move_to(utc(3))
    s = status.status(office.setup, [f"{KARIN}/imap"])
    print(s)
    assert not s["healthy"]


def test_person_at_two_companies_twice_changes_nothing(world):
    rows = ("Eva,A AB,eva@eva.example", "Eva,B AB,eva@eva.example")
    print(world.customers(*rows))
    r = world.customers(*rows)
    print(r)
    assert (r["created"], r["updated"]) == (0, 0)


def test_customer_by_address_after_a_change_of_jobs(world):
    world.customers(LENA)
    world.customers("Lena Vik,Söder AB,lena@nordvik.example")
    with world.store.read() as tx:
        assert customers.find(tx, "lena@nordvik.example") == 2


def test_customers_query_matches_values_only(world):
    world.customers(LENA)
    with world.store.read() as tx:
        assert customers.listing(tx, "timezone") == []


def test_huge_id(world):
    from crm_sync.core.errors import UsageError

    with world.store.read() as tx, pytest.raises(UsageError):
        customers.find(tx, "9" * 30)


def test_unicode_local_part_with_space_digit(greet):
    pass
