"""Of many contacts those are greeted whose day it is, each in her own zone and calendar."""

from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest
from persiantools.jdatetime import JalaliDate
from sqlalchemy import event

from crm_sync.core.occasions import celebrated_on, parse_day
from crm_sync.flow import plan
from crm_sync.flow.post import GreetingRule

HEADER = "name,emails,birthday,timezone,greeting_basis"
ZONES = ("Pacific/Pago_Pago", "Europe/Stockholm", "Asia/Tehran", "Pacific/Kiritimati")
SEND_AT = time(9)


def persian(on: date) -> str:
    day = JalaliDate.to_jalali(on)
    return f"persian:--{day.month:02}-{day.day:02}"


def days_around(on: date) -> set[str]:
    around = [on + timedelta(days=n) for n in range(-2, 3)]
    leap_days = {"--02-29", "2000-02-29", "persian:--12-30", "persian:1399-12-30"}
    return leap_days | {f"{d:1980-%m-%d}" for d in around} | {persian(d) for d in around}


@pytest.mark.parametrize(
    "now",
    [
        datetime(2026, 2, 28, 8, 30, tzinfo=UTC),
        datetime(2028, 2, 28, 20, 30, tzinfo=UTC),
        datetime(2028, 2, 29, 12, tzinfo=UTC),
        datetime(2026, 3, 20, 6, tzinfo=UTC),  # the last day of a common Persian year
        datetime(2030, 3, 20, 12, tzinfo=UTC),  # the thirtieth of Esfand in a leap year
        datetime(2026, 1, 1, 0, 30, tzinfo=UTC),
        datetime(2026, 12, 31, 23, 30, tzinfo=UTC),
    ],
    ids=str,
)
def test_exactly_those_are_greeted_whose_day_it_is_where_they_are(make_world, now):
    world = make_world(greetings=(GreetingRule("birthday", SEND_AT, "auto"),))
    people = [(day, zone) for day in sorted(days_around(now.date())) for zone in ZONES]
    rows = [f"P{n},p{n}@x.example,{day},{z},consent" for n, (day, z) in enumerate(people)]
    world.customers(*rows, header=HEADER)
    world.clock.move_to(now)
    plan.plan(world.setup, world.post)
    plan.plan(world.setup, world.post)

    expected = []
    for number, (day, zone) in enumerate(people):
        local = now.astimezone(ZoneInfo(zone))
        if celebrated_on(parse_day(day), local.date()) and local.time() >= SEND_AT:
            expected.append(f"p{number}@x.example")
    assert expected, "nobody to greet shows nothing"
    assert sorted(row["to"] for row in world.outbox()) == sorted(expected)


def test_a_turn_reads_no_contact_whose_day_it_is_not_and_asks_once_about_all_others(make_world):
    def statements(celebrating: int) -> int:
        world, asked = make_world(greetings=(GreetingRule("birthday", SEND_AT, "auto"),)), []
        days = ["--03-04"] * celebrating + ["--09-09"] * (100 - celebrating)
        rows = [f"P{n},p{n}@x.example,{day},,consent" for n, day in enumerate(days)]
        world.customers(*rows, header=HEADER)
        world.clock.move_to(datetime(2026, 3, 4, 12, tzinfo=UTC))
        plan.plan(world.setup, world.post)
        assert len(world.outbox()) == celebrating
        event.listen(world.store._engine, "before_cursor_execute", lambda *_: asked.append(1))
        plan.plan(world.setup, world.post)
        return len(asked)

    assert statements(90) == statements(3)
