from datetime import UTC, datetime, time, timedelta

import pytest

from crm_sync.core.errors import InDoubt, Refused, Unreachable, UsageError
from crm_sync.flow import dispatch, plan
from crm_sync.flow.post import GreetingRule

KARIN, DANIEL = "karin@acme.example", "daniel@acme.example"
HEADER = "name,company,emails,birthday,language,timezone,greeting_basis,owner"
BIRTHDAY = datetime(2026, 3, 4, tzinfo=UTC)


def rule(customers: str = "auto") -> tuple[GreetingRule, ...]:
    return (GreetingRule("birthday", time(9), customers),)


@pytest.fixture
def office(make_world):
    def make(customers: str = "auto", basis: str = "consent", **options):
        world = make_world(greetings=rule(customers), **options)
        row = f"Lena Vik,Nordvik AB,lena@nordvik.example,1980-03-04,sv,,{basis},{KARIN}"
        world.customers(row, header=HEADER)
        return world

    return make


def sent_to(world) -> list[str]:
    return [mail.draft.to[0].address for mail in world.sender.delivered]


def test_a_birthday_greeting_leaves_at_nine_in_the_contacts_zone_once(office):
    world = office()
    world.clock.move_to(datetime(2026, 3, 4, 7, 59, tzinfo=UTC))
    world.turn()
    assert world.outbox() == []

    world.clock.move_to(datetime(2026, 3, 4, 8, 0, tzinfo=UTC))
    for _ in range(3):
        world.turn()
    assert sent_to(world) == ["lena@nordvik.example"]
    draft = world.sender.delivered[0].draft
    assert draft.reply_to[0].address == KARIN
    assert draft.from_.address == "crm@acme.example"
    assert draft.language == "sv"
    assert "1980" not in draft.text + draft.subject
    assert world.outbox()[0]["state"] == "sent"


def test_the_greeting_is_in_the_diary_and_counts_as_no_answer(office):
    world = office()
    world.clock.move_to(datetime(2026, 3, 4, 8, 0, tzinfo=UTC))
    world.turn()

    (entry,) = world.log()
    assert (entry["kind"], entry["direction"], entry["reps"]) == ("greeting", "outbound", [KARIN])
    assert entry["contacts"] == ["lena@nordvik.example"]


def test_next_year_it_leaves_again(office):
    world = office()
    for year in (2026, 2027):
        world.clock.move_to(datetime(year, 3, 4, 10, tzinfo=UTC))
        world.turn()

    assert len(world.sender.delivered) == 2


def test_the_twenty_ninth_of_february_is_greeted_on_the_twenty_eighth_in_common_years(make_world):
    world = make_world(greetings=rule())
    world.customers("Bo,Bo AB,bo@bo.example,--02-29,en,Europe/London,b2b,", header=HEADER)
    greeted = []
    for year in (2026, 2027, 2028):
        for month, day in ((2, 27), (2, 28), (2, 29), (3, 1)):
            if (month, day) == (2, 29) and year != 2028:
                continue
            world.clock.move_to(datetime(year, month, day, 12, tzinfo=UTC))
            before = len(world.sender.delivered)
            world.turn()
            greeted += [(year, month, day)] * (len(world.sender.delivered) - before)

    assert greeted == [(2026, 2, 28), (2027, 2, 28), (2028, 2, 29)]


def test_ask_makes_a_waiting_row_and_tells_the_owner_how_to_approve(office):
    world = office("ask")
    world.clock.move_to(datetime(2026, 3, 4, 8, 30, tzinfo=UTC))
    world.turn()

    rows = {row["kind"]: row for row in world.outbox()}
    greeting = rows["greeting"]
    assert greeting["state"] == "waiting_approval"
    assert sent_to(world) == [KARIN]
    mail = world.sender.delivered[0].draft
    assert f"crm-sync outbox approve {greeting['id']}" in mail.text
    assert greeting["subject"] in mail.text

    dispatch.approve(world.setup, greeting["id"])
    world.turn()
    assert sent_to(world) == [KARIN, "lena@nordvik.example"]


def test_auto_without_a_basis_behaves_as_ask(office):
    world = office("auto", basis="")
    world.clock.move_to(datetime(2026, 3, 4, 8, 30, tzinfo=UTC))
    world.turn()

    assert {r["kind"]: r["state"] for r in world.outbox()}["greeting"] == "waiting_approval"


def test_basis_none_is_never_greeted_and_the_owner_is_told(office):
    world = office("auto", basis="none")
    world.clock.move_to(datetime(2026, 3, 4, 8, 30, tzinfo=UTC))
    for _ in range(2):
        world.turn()

    assert [row["kind"] for row in world.outbox()] == ["notice"]
    assert sent_to(world) == [KARIN]


def test_off_sends_nothing(office):
    world = office("off")
    world.clock.move_to(datetime(2026, 3, 4, 8, 30, tzinfo=UTC))
    world.turn()

    assert world.outbox() == []


def test_off_stops_what_was_queued_before(office):
    world = office("ask")
    world.clock.move_to(datetime(2026, 3, 4, 8, 30, tzinfo=UTC))
    world.turn()
    dispatch.approve(world.setup, next(r["id"] for r in world.outbox() if r["kind"] == "greeting"))
    world.to_customers = False
    world.turn()

    assert sent_to(world) == [KARIN]
    assert {r["kind"]: r["state"] for r in world.outbox()}["greeting"] == "skipped"


def test_what_nobody_approved_by_midnight_is_skipped(office):
    world = office("ask")
    world.clock.move_to(datetime(2026, 3, 4, 8, 30, tzinfo=UTC))
    world.turn()
    number = next(r["id"] for r in world.outbox() if r["kind"] == "greeting")
    world.clock.move_to(datetime(2026, 3, 4, 23, 1, tzinfo=UTC))  # midnight in Stockholm is past

    with pytest.raises(UsageError, match="too late"):
        dispatch.approve(world.setup, number)
    world.turn()
    assert {r["kind"]: r["state"] for r in world.outbox()}["greeting"] == "skipped"
    assert "lena@nordvik.example" not in sent_to(world)


def test_due_shows_what_would_be_sent_and_sends_nothing(office):
    world = office()
    (entry,) = plan.due(world.setup, world.post, BIRTHDAY.date())

    assert entry["state"] == "planned"
    assert entry["id"] is None
    assert entry["to"] == "lena@nordvik.example"
    assert entry["due_at"] == "2026-03-04T08:00:00Z"
    assert world.outbox() == []
    world.clock.move_to(datetime(2026, 3, 4, 8, 30, tzinfo=UTC))
    world.turn()
    assert world.outbox()[0]["message_id"] == entry["message_id"]


# -- law 6: at most once, whatever happens on the way --------------------------------------------


def birthday_at(world) -> None:
    world.clock.move_to(datetime(2026, 3, 4, 8, 30, tzinfo=UTC))


def test_an_error_before_the_final_dot_is_tried_again(office):
    world = office()
    birthday_at(world)
    world.sender.fail_before(Unreachable("the server closed the connection"))
    assert world.turn().error is not None
    assert world.outbox()[0]["state"] == "queued"
    world.clock.advance(timedelta(minutes=2))
    world.turn()

    assert sent_to(world) == ["lena@nordvik.example"]


def test_a_refused_recipient_ends_in_failed_and_retry_is_a_persons_choice(office):
    world = office()
    birthday_at(world)
    world.sender.fail_before(Refused("no such user", scope="item"))
    world.turn()
    world.clock.advance(timedelta(hours=1))
    world.turn()
    assert (world.outbox()[0]["state"], sent_to(world)) == ("failed", [])

    dispatch.retry(world.setup, world.outbox()[0]["id"])
    world.turn()
    assert sent_to(world) == ["lena@nordvik.example"]


def test_a_greeting_in_doubt_waits_for_a_human(office):
    world = office()
    birthday_at(world)
    world.sender.fail_after(InDoubt("no answer after the final dot"), delivered=True)
    for _ in range(3):
        world.turn()
        world.clock.advance(timedelta(minutes=30))

    assert world.outbox()[0]["state"] == "in_doubt"
    assert sent_to(world) == ["lena@nordvik.example"]


def test_our_blind_copy_in_the_team_mailbox_proves_that_it_left(office):
    world = office(with_witness=True)
    box = world.mailbox(None)
    world.sync()
    birthday_at(world)
    world.sender.fail_after(InDoubt("no answer after the final dot"), delivered=True)
    world.turn()
    mail = world.sender.delivered[0].draft
    assert mail.bcc == ("info@acme.example",)
    box.deliver(
        world.mail(
            "crm@acme.example",
            "lena@nordvik.example",
            message_id=mail.message_id,
            extra=f"X-CRM-Sync-Id: {mail.message_id}",
        )
    )
    world.clock.advance(timedelta(minutes=3))
    world.turn()

    assert world.outbox()[0]["state"] == "sent"
    assert [entry["kind"] for entry in world.log()] == ["greeting"]


@pytest.mark.parametrize("step", ["claimed", "sending", "sent, not noted"])
def test_a_crash_at_any_step_never_sends_a_greeting_twice(office, step):
    world = office()
    birthday_at(world)
    plan.plan(world.setup, world.post)

    class Crash(BaseException):
        pass

    deliver = world.sender.send

    def crashing(draft, sending):
        if step == "claimed":
            raise Crash
        if step == "sending":
            sending()
            raise Crash
        deliver(draft, sending)
        raise Crash

    world.sender.send = crashing
    with pytest.raises(Crash):
        dispatch.dispatch(world.setup, world.post)
    world.restart()
    world.sender.send = deliver
    for _ in range(3):
        world.clock.advance(timedelta(minutes=5))
        world.turn()

    expected = {
        "claimed": ("sent", 1),
        "sending": ("in_doubt", 0),
        "sent, not noted": ("in_doubt", 1),
    }
    assert (world.outbox()[0]["state"], len(world.sender.delivered)) == expected[step]


def test_a_cancelled_mail_does_not_leave(office):
    world = office()
    birthday_at(world)
    plan.plan(world.setup, world.post)
    dispatch.cancel(world.setup, world.outbox()[0]["id"])
    world.turn()

    assert world.sender.delivered == []


def test_two_processes_never_send_at_once(office):
    world = office()
    birthday_at(world)
    plan.plan(world.setup, world.post)
    nested = []

    def sending_meanwhile(draft, sending):
        nested.append(dispatch.dispatch(world.setup, world.post).busy)
        return original(draft, sending)

    original = world.sender.send
    world.sender.send = sending_meanwhile
    dispatch.dispatch(world.setup, world.post)

    assert nested == [True]
    assert len(world.sender.delivered) == 1


# -- the digest ---------------------------------------------------------------------------------


@pytest.fixture
def waiting(make_world):
    world = make_world()
    world.customers("Lena Vik,Nordvik AB,lena@nordvik.example")
    world.box = world.mailbox()
    world.box.deliver(world.mail(at=datetime(2026, 2, 20, 9, tzinfo=UTC), subject="Old"))
    world.sync()
    world.clock.move_to(datetime(2026, 3, 3, 10, tzinfo=UTC))
    world.box.deliver(world.mail(subject="Offert 12", text="Kan ni skicka priset?\nMvh"))
    world.sync()
    return world


def test_one_digest_a_rep_and_day_with_a_line_of_context(waiting):
    waiting.clock.move_to(datetime(2026, 3, 5, 9, 59, tzinfo=UTC))
    waiting.turn()
    assert waiting.sender.delivered == []
    waiting.clock.move_to(datetime(2026, 3, 5, 10, 1, tzinfo=UTC))
    for _ in range(3):
        waiting.turn()
        waiting.clock.advance(timedelta(hours=1))

    (mail,) = waiting.sender.delivered
    assert mail.draft.to[0].address == KARIN
    assert "Offert 12" in mail.draft.text
    assert "Kan ni skicka priset?" in mail.draft.text
    assert "crm-sync reminders done 1" in mail.draft.text


def test_the_next_working_day_it_comes_again_at_eight_unless_somebody_answered(waiting):
    waiting.clock.move_to(datetime(2026, 3, 5, 10, 1, tzinfo=UTC))
    waiting.turn()
    waiting.clock.move_to(datetime(2026, 3, 6, 6, 59, tzinfo=UTC))
    waiting.turn()
    assert len(waiting.sender.delivered) == 1
    waiting.clock.move_to(datetime(2026, 3, 6, 7, 0, tzinfo=UTC))
    waiting.turn()
    assert len(waiting.sender.delivered) == 2
    waiting.box.deliver(waiting.mail(KARIN, "lena@nordvik.example"), "Sent")
    waiting.clock.move_to(datetime(2026, 3, 9, 7, 0, tzinfo=UTC))
    waiting.turn()

    assert len(waiting.sender.delivered) == 2


def test_older_mail_is_counted_once_in_the_first_digest(waiting):
    for day in (5, 6):
        waiting.clock.move_to(datetime(2026, 3, day, 12, tzinfo=UTC))
        waiting.turn()

    first, second = (mail.draft.text for mail in waiting.sender.delivered)
    assert first != second
    sentence = "1 mejl från tiden före den första synkroniseringen saknar också svar."
    assert sentence in first
    assert sentence not in second


def test_no_digest_on_a_weekend(waiting):
    waiting.clock.move_to(datetime(2026, 3, 7, 12, tzinfo=UTC))
    waiting.turn()

    assert waiting.sender.delivered == []


def test_a_doubtful_digest_goes_again_under_the_same_id(waiting):
    waiting.clock.move_to(datetime(2026, 3, 5, 10, 1, tzinfo=UTC))
    waiting.sender.fail_after(InDoubt("no answer after the final dot"), delivered=True)
    for _ in range(3):
        waiting.turn()
        waiting.clock.advance(timedelta(minutes=5))

    ids = [mail.draft.message_id for mail in waiting.sender.delivered]
    assert len(ids) == 2
    assert len(set(ids)) == 1
