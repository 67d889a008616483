from dataclasses import replace
from datetime import UTC, datetime, timedelta

from crm_sync.core.records import Attendee, Occurrence
from crm_sync.flow import explain

KARIN, DANIEL = "karin@acme.example", "daniel@acme.example"
LENA = "Lena Vik,Nordvik AB,lena@nordvik.example"


def utc(day, hour=9, minute=0):
    return datetime(2026, 3, day, hour, minute, tzinfo=UTC)


def occ(starts, *who, uid="u1", slot=None, hours=1, **kw):
    who = who or ("lena@nordvik.example",)
    return Occurrence(
        uid,
        slot,
        starts,
        starts + timedelta(hours=hours),
        kw.pop("summary", "Möte"),
        Attendee(KARIN),
        tuple(Attendee(w) for w in who),
        **kw,
    )


def go(world, d):
    world.clock.move_to(d)
    world.sync()


def test_guest_added_to_an_internal_meeting_is_found_when_imported_later(world):
    cal = world.calendar()
    cal.put("a", occ(utc(10), DANIEL))
    world.sync()
    cal.put("a", occ(utc(10), DANIEL, "lena@nordvik.example"))
    world.sync()
    print(explain.explain(world.setup, "u1"))
    world.customers(LENA)
    world.sync()
    assert len(world.log()) == 1


def test_private_copy_first_public_copy_second_then_import(world):
    a, b = world.calendar(), world.calendar(DANIEL)
    a.put("a", occ(utc(10), DANIEL, "lena@nordvik.example", private=True))
    b.put("b", occ(utc(10), DANIEL, "lena@nordvik.example"))
    world.sync()
    world.customers(LENA)
    world.sync()
    assert len(world.log()) == 1


def test_meeting_stays_when_the_domain_becomes_shared(world):
    world.customers(LENA)
    cal = world.calendar()
    cal.put("a", occ(utc(10), "bo@nordvik.example"))
    world.sync()
    assert [m["status"] for m in world.log()] == ["planned"]
    world.customers("Eva,Other AB,eva@nordvik.example")
    cal.put("a", occ(utc(10), "bo@nordvik.example", summary="Möte, rum 2"))
    world.sync()
    (m,) = world.log()
    assert (m["status"], [c["name"] for c in m["customers"]]) == ("planned", ["Nordvik AB"])


def test_held_meetings_stay_with_the_old_customer_when_the_contact_changes_jobs(world):
    world.customers(LENA)
    cal = world.calendar()
    past = [occ(utc(d, 8), uid="s", slot=f"2026-03-{d:02}T08:00:00Z") for d in (3, 10)]
    cal.put("a", *past)
    go(world, utc(12))
    world.customers("Lena Vik,Söder AB,lena@nordvik.example")
    cal.put("a", *past, occ(utc(17, 8), uid="s", slot="2026-03-17T08:00:00Z"))
    world.sync()
    got = {m["recurrence_id"][:10]: [c["name"] for c in m["customers"]] for m in world.log()}
    assert got["2026-03-03"] == ["Nordvik AB"]


def test_stale_copy_with_lower_sequence_does_not_win(world):
    world.customers(LENA)
    a, b = world.calendar(), world.calendar(DANIEL)
    a.put("a", occ(utc(12), DANIEL, "lena@nordvik.example", sequence=2))
    b.put("b", occ(utc(10), DANIEL, "lena@nordvik.example", sequence=0))
    world.sync()
    assert world.log()[0]["occurred_at"] == "2026-03-12T09:00:00Z"


def test_copy_with_hidden_guests_does_not_drop_customers(world):
    world.customers(LENA, "Bo,Bo AB,bo@bo.example")
    a, b = world.calendar(), world.calendar(DANIEL)
    a.put(
        "a",
        replace(
            occ(utc(12), KARIN, DANIEL, "bo@bo.example"), organizer=Attendee("lena@nordvik.example")
        ),
    )
    b.put("b", replace(occ(utc(12), DANIEL), organizer=Attendee("lena@nordvik.example")))
    world.sync()
    assert sorted(c["name"] for c in world.log()[0]["customers"]) == ["Bo AB", "Nordvik AB"]


def test_deleted_just_after_it_was_over(world):
    world.customers(LENA)
    cal = world.calendar()
    cal.put("a", occ(utc(3, 9)))
    world.sync()
    cal.remove("a")
    go(world, utc(3, 10, 0))
    go(world, utc(4))
    go(world, utc(5))
    assert world.log()[0]["status"] in ("held", "cancelled")


def test_deleted_while_it_runs(world):
    world.customers(LENA)
    cal = world.calendar()
    cal.put("a", occ(utc(3, 9)))
    world.sync()
    cal.remove("a")
    go(world, utc(3, 9, 30))
    go(world, utc(5))
    assert world.log()[0]["status"] in ("held", "cancelled")


def test_account_removed_meeting_is_held_all_the_same(world):
    world.customers(LENA)
    cal = world.calendar()
    cal.put("a", occ(utc(3, 9)))
    world.mailbox()
    world.sync()
    del world.boxes[f"{KARIN}/caldav"]
    go(world, utc(5))
    assert world.log()[0]["status"] == "held"


def test_account_down_meeting_is_held_all_the_same(world):
    from crm_sync.core.errors import Refused

    world.customers(LENA)
    cal = world.calendar()
    cal.put("a", occ(utc(3, 9)))
    world.mailbox()
    world.sync()
    cal.away = lambda: Refused("no")
    go(world, utc(5))
    assert world.log()[0]["status"] == "held"


def test_recalled_series_leaves_no_unmatched_behind(world):
    cal = world.calendar()
    cal.put("a", *[occ(utc(d, 9), slot=f"2026-03-{d:02}T09:00:00Z") for d in (3, 10, 17)])
    world.sync()
    world.customers(LENA)
    r = world.sync()
    print(r[0].found)
    assert len(world.log()) == 3
    assert {i["outcome"] for i in explain.explain(world.setup, "u1")} == {"logged"}


def test_unmatched_event_leaves_quarantine_then_import(world):
    from crm_sync.store import diary, texts

    cal = world.calendar()
    cal.make_unreadable("a")
    world.sync()
    with world.store.read() as tx:
        (q,) = diary.quarantined(tx)
    cal.put("a", occ(utc(10)))
    # healed without the connector noticing a change: retry reads it
    with world.store.write() as tx:
        texts.decide(tx, q["id"], "retry")
    real = cal.pull
    cal.pull = lambda *a: iter(())
    world.sync()
    cal.pull = real
    assert explain.explain(world.setup, "u1")[0]["outcome"] == "unmatched"
