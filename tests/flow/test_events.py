from datetime import UTC, date, datetime, timedelta

from crm_sync.core.records import Attendee, Occurrence
from crm_sync.flow.explain import explain

KARIN, DANIEL = "karin@acme.example", "daniel@acme.example"
LENA = "lena@nordvik.example"
NORDVIK = f"Lena Vik,Nordvik AB,{LENA}"
START = datetime(2026, 3, 10, 9, tzinfo=UTC)


def slot(
    week: int | None = None, *, starts: datetime = START, people=(KARIN, LENA), **changes
) -> Occurrence:
    moved = starts + timedelta(weeks=week or 0)
    values = {
        "uid": "weekly@acme.example",
        "slot": None if week is None else f"{START + timedelta(weeks=week):%Y-%m-%dT%H:%M:%SZ}",
        "starts_at": moved,
        "ends_at": moved + timedelta(hours=1),
        "summary": "Avstämning",
        "organizer": None,
        "attendees": tuple(p if isinstance(p, Attendee) else Attendee(p) for p in people),
    }
    return Occurrence(**{**values, **changes})


def test_a_meeting_is_planned_until_it_is_over_and_held_then(world):
    world.customers(NORDVIK)
    world.calendar().put("/a.ics", slot())
    world.sync()
    (entry,) = world.log()
    assert (entry["kind"], entry["direction"], entry["status"]) == ("meeting", None, "planned")
    assert entry["uid"] == "weekly@acme.example"
    assert (entry["contacts"], entry["reps"]) == ([LENA], [KARIN])
    assert entry["recurrence_id"] is None

    world.clock.move_to(START + timedelta(hours=2))
    world.sync()
    assert world.log()[0]["status"] == "held"


def test_each_occurrence_is_one_interaction_and_a_moved_one_stays_itself(world):
    world.customers(NORDVIK)
    calendar = world.calendar()
    calendar.put("/a.ics", slot(0), slot(1), slot(2))
    world.sync()
    ids = {e["recurrence_id"]: e["id"] for e in world.log()}
    later = START + timedelta(weeks=1, hours=3)
    moved = slot(1, starts=START + timedelta(hours=3))
    calendar.put("/a.ics", slot(0), moved, slot(2, cancelled=True))
    world.sync()

    log = {e["recurrence_id"]: e for e in world.log()}
    assert {k: e["id"] for k, e in log.items()} == ids
    assert log["2026-03-17T09:00:00Z"]["occurred_at"] == f"{later:%Y-%m-%dT%H:%M:%SZ}"
    assert [e["status"] for e in world.log()] == ["cancelled", "planned", "planned"]


def test_a_slot_that_vanished_from_its_series_is_cancelled_and_a_past_one_stays(world):
    world.customers(NORDVIK)
    calendar = world.calendar()
    calendar.put("/a.ics", slot(-2), slot(0), slot(1))
    world.sync()
    calendar.put("/a.ics", slot(1))
    world.sync()

    assert {e["recurrence_id"][:10]: e["status"] for e in world.log()} == {
        "2026-02-24": "held",
        "2026-03-10": "cancelled",
        "2026-03-17": "planned",
    }


def test_a_deleted_event_is_cancelled_unless_another_calendar_still_holds_it(world):
    world.customers(NORDVIK)
    first, second = world.calendar(), world.calendar(DANIEL)
    both = slot(people=(KARIN, DANIEL, LENA))
    first.put("/a.ics", both)
    second.put("/b.ics", both)
    world.sync()
    (entry,) = world.log()
    assert sorted(entry["reps"]) == [DANIEL, KARIN]

    first.remove("/a.ics")
    world.sync()
    assert world.log()[0]["status"] == "planned"
    second.remove("/b.ics")
    world.sync()
    assert world.log()[0]["status"] == "cancelled"


def test_a_deleted_event_of_the_past_stays_held(world):
    world.customers(NORDVIK)
    calendar = world.calendar()
    calendar.put("/a.ics", slot(starts=START - timedelta(weeks=3)))
    world.sync()
    calendar.remove("/a.ics")
    world.sync()

    assert world.log()[0]["status"] == "held"


def test_an_all_day_meeting_starts_at_midnight_in_the_teams_zone(world):
    world.customers(NORDVIK)
    day = date(2026, 3, 12)
    world.calendar().put("/a.ics", slot(starts_at=None, ends_at=None, first_day=day, last_day=day))
    world.sync()

    (entry,) = world.log()
    assert entry["all_day"] is True
    assert (entry["occurred_at"], entry["ends_at"]) == (
        "2026-03-11T23:00:00Z",
        "2026-03-12T23:00:00Z",
    )


def test_internal_private_and_declined_meetings_stay_out(world):
    world.customers(NORDVIK)
    calendar = world.calendar()
    declined = Attendee(KARIN, partstat="DECLINED")
    calendar.put("/internal.ics", slot(uid="internal", people=(KARIN, DANIEL)))
    calendar.put("/private.ics", slot(uid="private", private=True))
    calendar.put("/declined.ics", slot(uid="declined", people=(declined, LENA)))
    room = Attendee("room@nordvik.example", cutype="ROOM")
    calendar.put("/room.ics", slot(uid="room", people=(KARIN, room)))
    (pulled,) = world.sync()

    assert world.log() == []
    assert (pulled.seen, pulled.ignored) == (4, 4)
    reasons = {
        uid: explain(world.setup, uid)[0]["reason"] for uid in ("internal", "private", "declined")
    }
    assert reasons == {"internal": "internal", "private": "private", "declined": "declined"}


def test_past_and_coming_meetings_appear_when_the_customer_does(world):
    calendar = world.calendar()
    calendar.put("/a.ics", slot(-2), slot(0), slot(1))
    (before,) = world.sync()
    world.customers(NORDVIK)
    (after,) = world.sync()

    assert (before.unmatched, after.found) == (1, 1)
    assert [e["status"] for e in world.log()] == ["planned", "planned", "held"]


def test_an_object_that_can_not_be_read_is_quarantined_and_leaves_when_it_is_mended(world):
    from crm_sync.store import diary

    world.customers(NORDVIK)
    calendar = world.calendar()
    calendar.make_unreadable("/a.ics")
    calendar.put("/b.ics", slot(uid="b"))
    (pulled,) = world.sync()
    assert (pulled.errors, pulled.logged) == (1, 1)

    calendar.put("/a.ics", slot(uid="a"))
    world.sync()
    assert len(world.log()) == 2
    with world.store.read() as tx:
        assert diary.quarantined(tx) == []


def test_lost_tokens_bring_nothing_twice(world):
    world.customers(NORDVIK)
    calendar = world.calendar()
    calendar.put("/a.ics", slot(0), slot(1))
    world.sync()
    calendar.forget_tokens()
    calendar.put("/b.ics", slot(uid="b"))
    (pulled,) = world.sync()

    assert len(world.log()) == 3
    assert pulled.seen == 1
