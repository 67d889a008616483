"""Rules that strangers write: followed where they mean something, and never for long."""

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest

from crm_sync.core.meetings import ParsedObject, read_events

START, END = datetime(2025, 11, 1, tzinfo=UTC), datetime(2027, 3, 1, tzinfo=UTC)
MINUTES = ",".join(map(str, range(60)))
HOURS = ",".join(map(str, range(24)))


def laid_out(rule: str, start: str = "20260105T093000", more: str = "") -> ParsedObject:
    text = (
        f"BEGIN:VCALENDAR\nBEGIN:VEVENT\nUID:r\nDTSTART;TZID=Europe/Berlin:{start}\n{rule}\n{more}"
        "END:VEVENT\nEND:VCALENDAR\n"
    )
    return read_events(text.encode(), START, END, ZoneInfo("Europe/Berlin"))


@pytest.mark.parametrize(
    ("rule", "rows"),
    [
        ("FREQ=DAILY;COUNT=10", 10),
        ("FREQ=DAILY;UNTIL=20260110", 6),
        ("FREQ=DAILY;UNTIL=20260110T083000Z", 6),
        ("FREQ=DAILY;UNTIL=20260110T082959Z", 5),
        ("FREQ=DAILY;UNTIL=20260110T093000", 6),
        ("FREQ=WEEKLY;BYDAY=MO,WE;COUNT=5", 5),
        ("FREQ=WEEKLY;INTERVAL=2;UNTIL=20260301", 4),
        ("FREQ=MONTHLY;BYDAY=-1FR;UNTIL=20260401", 4),
        ("FREQ=MONTHLY;BYDAY=MO,TU,WE,TH,FR;BYSETPOS=-1;UNTIL=20260401", 4),
        ("FREQ=YEARLY", 2),
        ("freq=daily;count=3;", 3),
        ("FREQ=DAILY;COUNT=3;X-FOO=1;UNTL=2020", 3),
        ("FREQ=DAILY;UNTIL=20260110;COUNT=-1", 6),
        ("FREQ=DAILY;UNTIL=20251201", 1),
        ("FREQ=HOURLY;COUNT=5", 5),
    ],
)
def test_a_rule_gives_the_meetings_it_means(rule, rows):
    found = laid_out(f"RRULE:{rule}")
    assert len(found.occurrences) == rows
    assert found.problems == ()


@pytest.mark.parametrize(
    "rule",
    [
        "FREQ=DAILY;INTERVAL=0",
        "FREQ=YEARLY;INTERVAL=0",
        "FREQ=DAILY;INTERVAL=-1",
        "FREQ=SECONDLY",
        "FREQ=MINUTELY;INTERVAL=5",
        "FREQ=BIWEEKLY",
        "FREQ=DAILY;BYHOUR=25",
        "FREQ=DAILY;BYDAY=XX",
        "FREQ=MONTHLY;BYMONTHDAY=0",
        "FREQ=DAILY;UNTIL=never",
        "RSCALE=CHINESE;FREQ=YEARLY",
        "COUNT=5",
        "",
    ],
)
def test_a_rule_that_must_not_be_followed_leaves_the_first_date_and_is_told(rule):
    found = laid_out(f"RRULE:{rule}")
    assert len(found.occurrences) == 1
    assert found.problems


@pytest.mark.timeout(20)
@pytest.mark.parametrize("start", ["00010105T093000", "19350105T093000", "20260105T093000"])
@pytest.mark.parametrize(
    "rule",
    [
        "FREQ=HOURLY;BYMONTH=2;BYMONTHDAY=30",
        "FREQ=DAILY;BYMONTH=2;BYMONTHDAY=30",
        "FREQ=DAILY;INTERVAL=7;BYDAY=TU",
        "FREQ=WEEKLY;INTERVAL=9999;BYMONTH=2",
        "FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=30",
        "FREQ=YEARLY;BYSETPOS=300;BYDAY=2MO",
    ],
)
def test_days_that_never_come_are_not_looked_for_long(rule, start):
    assert len(laid_out("\n".join([f"RRULE:{rule}"] * 200), start).occurrences) <= 1


@pytest.mark.timeout(20)
@pytest.mark.parametrize("start", ["00010105T093000", "19710105T093000", "20260105T093000"])
@pytest.mark.parametrize(
    "rule",
    [
        "FREQ=HOURLY",
        f"FREQ=DAILY;BYHOUR={HOURS};BYMINUTE={MINUTES}",
        f"FREQ=MONTHLY;BYDAY=MO,TU,WE,TH,FR,SA,SU;BYHOUR={HOURS};BYMINUTE={MINUTES}",
        "FREQ=HOURLY;COUNT=1000000000",
    ],
)
def test_no_series_brings_more_than_a_thousand_meetings(rule, start):
    found = laid_out(f"RRULE:{rule}", start)
    assert len(found.occurrences) <= 1000
    assert found.problems


@pytest.mark.parametrize(
    ("rule", "start", "first", "rows"),
    [
        ("FREQ=DAILY", "19980105T093000", "2025-11-01T08:30:00Z", 485),
        ("FREQ=WEEKLY;INTERVAL=2", "20160104T093000", "2025-11-10T08:30:00Z", 34),
        ("FREQ=DAILY;INTERVAL=10", "20200101T093000", "2025-11-10T08:30:00Z", 48),
        ("FREQ=YEARLY;INTERVAL=3", "19480601T093000", "2026-06-01T07:30:00Z", 1),
        ("FREQ=YEARLY", "16040601T093000", "2026-06-01T07:30:00Z", 1),
        ("FREQ=YEARLY;BYMONTH=11;BYDAY=4TH", "19990101T093000", "2025-11-27T08:30:00Z", 2),
        ("FREQ=MONTHLY;BYDAY=1MO", "20010101T093000", "2025-11-03T08:30:00Z", 16),
        ("FREQ=YEARLY;BYWEEKNO=53;BYDAY=MO", "20200101T093000", "2026-12-28T08:30:00Z", 1),
    ],
)
def test_an_old_series_keeps_its_step_up_to_the_window(rule, start, first, rows):
    slots = [o.slot for o in laid_out(f"RRULE:{rule}", start).occurrences]
    assert len(slots) == rows
    assert slots[:1] == [first][:rows]


def test_a_rule_given_twice_counts_once_and_two_rules_are_united():
    assert len(laid_out("RRULE:FREQ=DAILY;COUNT=3\nRRULE:FREQ=DAILY;COUNT=3").occurrences) == 3
    assert len(laid_out("RRULE:FREQ=DAILY;COUNT=3\nRRULE:FREQ=WEEKLY;COUNT=3").occurrences) == 5


def test_an_exrule_is_told_because_it_is_not_followed():
    assert laid_out("RRULE:FREQ=DAILY;COUNT=3\nEXRULE:FREQ=DAILY").problems == ("exrule_ignored",)


def test_a_time_that_the_clock_skips_is_a_moment_all_the_same():
    found = laid_out("RRULE:FREQ=DAILY;COUNT=2", "20260328T023000")
    assert [o.slot for o in found.occurrences] == ["2026-03-28T01:30:00Z", "2026-03-29T01:30:00Z"]


@pytest.mark.timeout(20)
def test_ten_thousand_excluded_dates_are_borne():
    dates = ",".join(
        f"2026{m:02}{d:02}T{h:02}3000"
        for m in range(1, 13)
        for d in range(1, 28)
        for h in range(24)
    )
    found = laid_out("RRULE:FREQ=DAILY;COUNT=30", more=f"EXDATE;TZID=Europe/Berlin:{dates}\n")
    assert len(found.occurrences) == 4


@pytest.mark.timeout(30)
def test_a_megabyte_of_events_is_borne():
    events = "".join(
        f"BEGIN:VEVENT\nUID:{n}\nDTSTART:20260105T093000Z\nRRULE:FREQ=DAILY;BYMONTH=2;BYMONTHDAY=30\nEND:VEVENT\n"
        for n in range(9000)
    )
    found = read_events(f"BEGIN:VCALENDAR\n{events}END:VCALENDAR\n".encode(), START, END, UTC)
    assert len(found.occurrences) == 50
    assert found.problems == ("too_many_series",)
