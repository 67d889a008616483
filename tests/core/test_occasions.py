"""Days that come back every year."""

from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo, available_timezones

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from crm_sync.core.occasions import (
    YearlyDay,
    celebrated_on,
    greeting_window,
    next_date,
    parse_day,
)

STOCKHOLM = ZoneInfo("Europe/Stockholm")
ZONES = sorted(available_timezones() - {"Factory", "localtime"})
THIRTY_YEARS = [date(2020, 1, 1) + timedelta(days=n) for n in range(30 * 365 + 8)]


def celebrations(text, first=date(2020, 1, 1), last=date(2049, 12, 31)):
    day = parse_day(text)
    found = ((on, celebrated_on(day, on)) for on in THIRTY_YEARS if first <= on <= last)
    return {on: year for on, year in found if year is not None}


@pytest.mark.parametrize(
    "text",
    ["1982-08-03", "--08-03", "--02-29", "2000-02-29", "persian:1361-05-12", "persian:--12-30",
     "persian:1403-12-30"],
)  # fmt: skip
def test_a_day_is_written_as_it_was_read(text):
    assert str(parse_day(text)) == text


def test_a_persian_birthday_keeps_its_calendar():
    assert parse_day(" persian:1361-05-12 ") == YearlyDay("persian", 1361, 5, 12)


@pytest.mark.parametrize(
    "text",
    ["1900-02-29", "2026-02-30", "--02-30", "--13-01", "--00-01", "0000-01-01",
     "persian:1402-12-30", "persian:--07-31", "persian:9999-01-01"],
)  # fmt: skip
def test_a_day_that_does_not_exist_is_refused(text):
    with pytest.raises(ValueError, match="there is no day"):
        parse_day(text)


@pytest.mark.parametrize(
    "text", ["", "3/8/1982", "1982-8-3", "82-08-03", "--0803", "١٩٨٢-٠٨-٠٣", "x" * 9999]
)
def test_what_is_no_date_is_refused_with_examples(text):
    with pytest.raises(
        ValueError, match="is not a date; write it like 1982-08-03, --08-03"
    ) as refusal:
        parse_day(text)
    assert len(str(refusal.value)) < 200


@pytest.mark.parametrize(
    "text", ["lunar:1984-05-12", "chinese:1984-05-12", "hijri:1404-05-12", "Persian:1-1"]
)
def test_another_calendar_is_refused_with_those_supported(text):
    with pytest.raises(ValueError, match="not supported; Gregorian and Persian dates are"):
        parse_day(text)


def test_29_february_is_celebrated_on_28_february_in_common_years():
    found = celebrations("2000-02-29", date(2023, 1, 1), date(2026, 12, 31))
    assert found == {
        date(2023, 2, 28): 2023,
        date(2024, 2, 29): 2024,
        date(2025, 2, 28): 2025,
        date(2026, 2, 28): 2026,
    }


def test_30_esfand_is_celebrated_on_29_esfand_in_common_years():
    found = celebrations("persian:1399-12-30", date(2024, 1, 1), date(2026, 12, 31))
    assert found == {
        date(2024, 3, 19): 1402,
        date(2025, 3, 20): 1403,
        date(2026, 3, 20): 1404,
    }


def test_a_persian_birthday_moves_against_the_gregorian_calendar():
    found = celebrations("persian:1361-10-11", date(2024, 1, 1), date(2026, 12, 31))
    assert found == {
        date(2024, 1, 1): 1402,
        date(2024, 12, 31): 1403,
        date(2026, 1, 1): 1404,
    }


def test_nobody_is_congratulated_in_the_year_of_birth_or_before():
    day = parse_day("2026-05-12")
    assert celebrated_on(day, date(2025, 5, 12)) is None
    assert celebrated_on(day, date(2026, 5, 12)) is None
    assert celebrated_on(day, date(2027, 5, 12)) == 2027
    assert next_date(day, date(2020, 1, 1)) == date(2027, 5, 12)


@pytest.mark.parametrize("on", [date(1, 1, 1), date(600, 3, 1), date(9999, 12, 31)])
def test_dates_outside_a_calendar_are_celebrated_by_nobody(on):
    assert celebrated_on(parse_day("persian:--05-12"), on) is None


days = st.one_of(
    st.dates(date(1930, 1, 1), date(2019, 12, 31)).map(lambda d: f"{d:%Y-%m-%d}"),
    st.dates(date(2000, 1, 1), date(2000, 12, 31)).map(lambda d: f"-{d:-%m-%d}"),
    st.tuples(st.integers(1310, 1390), st.integers(1, 12), st.integers(1, 29)).map(
        lambda d: f"persian:{d[0]}-{d[1]:02}-{d[2]:02}"
    ),
)


@settings(max_examples=10, deadline=None)
@given(days)
@example("--02-29")
@example("2004-02-29")
@example("persian:--12-30")
@example("persian:1375-12-30")
@example("persian:--01-01")
def test_each_year_of_its_calendar_has_exactly_one_celebration(text):
    found = celebrations(text)
    years = list(found.values())
    assert years == list(range(years[0], years[-1] + 1))
    assert len(years) in {29, 30, 31}

    day, on = parse_day(text), THIRTY_YEARS[0] - timedelta(days=1)
    followed = []
    while (on := next_date(day, on)) <= THIRTY_YEARS[-1]:
        followed.append(on)
    assert followed == list(found)


def test_a_greeting_may_leave_from_the_chosen_hour_until_midnight():
    window = greeting_window(date(2026, 3, 12), time(9, 0), STOCKHOLM)
    assert window.due_at == datetime(2026, 3, 12, 8, tzinfo=UTC)
    assert window.expires_at == datetime(2026, 3, 12, 23, tzinfo=UTC)


def test_the_day_of_the_time_change_has_an_hour_less():
    window = greeting_window(date(2026, 3, 29), time(0, 0), STOCKHOLM)
    assert window.expires_at - window.due_at == timedelta(hours=23)


@settings(max_examples=150, deadline=None)
@given(
    st.dates(date(2015, 1, 1), date(2036, 12, 31)),
    st.times(max_value=time(21, 0)),
    st.sampled_from(ZONES),
)
@example(date(2026, 4, 24), time(0, 30), "Africa/Cairo")  # midnight itself is skipped
@example(date(2026, 9, 6), time(0, 0), "America/Santiago")
@example(date(2026, 9, 5), time(9, 0), "America/Santiago")  # ends at 01:00 of the next day
@example(date(2026, 10, 31), time(9, 0), "America/Havana")  # midnight comes twice on the next day
@example(date(2026, 3, 28), time(9, 0), "America/Nuuk")
def test_in_every_zone_a_greeting_leaves_on_its_local_day(on, send_at, name):
    zone = ZoneInfo(name)
    due_at, expires_at = greeting_window(on, send_at, zone)
    moment = timedelta(microseconds=1)
    assert due_at < expires_at
    assert due_at.astimezone(zone).date() == on
    assert (expires_at - moment).astimezone(zone).date() == on
    assert expires_at.astimezone(zone).date() == on + timedelta(days=1)
