from datetime import UTC, datetime, timedelta

import pytest

from crm_sync.core.errors import UsageError
from crm_sync.core.records import Attendee, Occurrence
from crm_sync.store import reminders

KARIN, DANIEL = "karin@acme.example", "daniel@acme.example"
LENA = "Lena Vik,Nordvik AB,lena@nordvik.example"


def utc(day: int, hour: int, minute: int = 0) -> datetime:
    """March 2026: the 2nd is a Monday; Stockholm is one hour ahead of UTC."""
    return datetime(2026, 3, day, hour, minute, tzinfo=UTC)


@pytest.fixture
def office(world):
    """Karin's mailbox after its first complete sync, with Lena a customer."""
    world.customers(LENA)
    world.box = world.mailbox()
    world.sync()
    return world


def arrive(world, moment: datetime, **mail) -> None:
    world.clock.move_to(moment)
    folder = mail.pop("folder", "INBOX")
    world.box.deliver(world.mail(**mail), folder)
    world.sync()


def test_two_business_days_from_friday_afternoon_are_over_on_tuesday_afternoon(office):
    arrive(office, utc(6, 15))

    (reminder,) = office.reminders()
    assert reminder["due_at"] == "2026-03-10T15:00:00Z"
    assert reminder["rep"] == KARIN
    assert reminder["contact"] == "lena@nordvik.example"
    assert reminder["state"] == "open"


def test_two_business_days_from_saturday_are_over_on_wednesday_morning(office):
    arrive(office, utc(7, 12))

    assert office.reminders()[0]["due_at"] == "2026-03-11T07:00:00Z"


def test_the_owner_is_reminded_else_the_first_rep_addressed(office):
    office.customers(f"Bo,Bo AB,bo@bo.example,{DANIEL}", header="name,company,emails,owner")
    arrive(office, utc(3, 10), sender="bo@bo.example")
    arrive(office, utc(3, 11), to=f"{DANIEL}, {KARIN}")

    assert [r["rep"] for r in office.reminders()] == [DANIEL, DANIEL]


def test_an_answer_in_the_thread_closes_it(office):
    arrive(office, utc(3, 10), message_id="<q@x>")
    arrive(office, utc(3, 11), sender=KARIN, to="someone@else.example", extra="In-Reply-To: <q@x>")
    assert len(office.reminders()) == 1  # that answer went to a stranger: it is not in the diary

    arrive(office, utc(3, 12), sender=KARIN, to="lena@nordvik.example", extra="In-Reply-To: <q@x>")
    assert office.reminders() == []


def test_a_mail_to_the_contact_outside_the_thread_closes_it(office):
    arrive(office, utc(3, 10))
    arrive(office, utc(3, 11), sender=KARIN, to="lena@nordvik.example", subject="New thread")

    assert office.reminders() == []


def test_a_colleagues_answer_closes_it_too(office):
    other = office.mailbox(DANIEL)
    office.sync()
    arrive(office, utc(3, 10), message_id="<q@x>")
    office.clock.move_to(utc(3, 11))
    other.deliver(office.mail(DANIEL, "lena@nordvik.example", extra="References: <q@x>"), "Sent")
    office.sync()

    assert office.reminders() == []


def test_an_earlier_answer_that_is_pulled_later_does_not_close_it(office):
    arrive(office, utc(3, 10))
    office.box.deliver(office.mail(KARIN, "lena@nordvik.example", at=utc(2, 9)), "Sent")
    office.sync()

    assert len(office.reminders()) == 1


def test_automatic_replies_and_greetings_of_ours_close_nothing(office):
    arrive(office, utc(3, 10), message_id="<q@x>")
    arrive(
        office,
        utc(3, 11),
        sender=KARIN,
        to="lena@nordvik.example",
        extra="In-Reply-To: <q@x>\r\nAuto-Submitted: auto-replied",
    )

    assert len(office.reminders()) == 1


def test_one_reminder_per_contact_and_thread_however_often_she_writes(office):
    arrive(office, utc(3, 10), message_id="<q@x>")
    arrive(office, utc(3, 12), extra="In-Reply-To: <q@x>")
    arrive(office, utc(3, 13), subject="Something else")

    assert [r["since"] for r in office.reminders()] == [
        "2026-03-03T10:00:00Z",
        "2026-03-03T13:00:00Z",
    ]


def test_she_writes_again_after_our_answer_and_waits_anew(office):
    arrive(office, utc(3, 10), message_id="<q@x>")
    arrive(office, utc(3, 11), sender=KARIN, to="lena@nordvik.example", extra="References: <q@x>")
    arrive(office, utc(4, 9), extra="References: <q@x>")

    (reminder,) = office.reminders()
    assert reminder["since"] == "2026-03-04T09:00:00Z"


def test_mail_from_before_the_first_sync_makes_no_reminder(world):
    world.customers(LENA)
    world.mailbox().deliver(world.mail(at=utc(2, 8)))
    world.sync()

    assert world.reminders() == []


def test_done_stays_done_and_snoozed_comes_back(office):
    arrive(office, utc(3, 10), message_id="<q@x>")
    (first,) = office.reminders()
    with office.store.write() as tx:
        reminders.snooze(tx, first["id"], utc(9, 8))
    assert office.reminders()[0]["due_at"] == "2026-03-09T08:00:00Z"
    with office.store.write() as tx:
        reminders.mark_done(tx, first["id"])
    arrive(office, utc(3, 14), extra="In-Reply-To: <q@x>")

    assert office.reminders() == []
    with pytest.raises(UsageError), office.store.write() as tx:
        reminders.mark_done(tx, first["id"])


def meeting(starts: datetime, *, cancelled: bool = False) -> Occurrence:
    people = (Attendee(KARIN), Attendee("lena@nordvik.example"))
    ends = starts + timedelta(hours=1)
    return Occurrence("u1", None, starts, ends, "Demo", None, people, cancelled=cancelled)


def test_a_newly_planned_meeting_closes_it_and_its_cancellation_opens_it_again(office):
    calendar = office.calendar()
    office.sync()
    arrive(office, utc(3, 10))
    office.clock.move_to(utc(3, 12))
    calendar.put("/u1.ics", meeting(utc(20, 9)))
    office.sync()
    assert office.reminders() == []

    calendar.put("/u1.ics", meeting(utc(20, 9), cancelled=True))
    office.sync()
    assert len(office.reminders()) == 1


def test_a_meeting_planned_long_ago_closes_it_when_it_is_held(office):
    calendar = office.calendar()
    calendar.put("/u1.ics", meeting(utc(5, 9)))
    office.sync()
    arrive(office, utc(3, 10))
    assert len(office.reminders()) == 1

    office.clock.move_to(utc(5, 11))
    office.sync()
    assert office.reminders() == []
    assert office.log()[0]["status"] == "held"
