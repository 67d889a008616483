"""Working time: when somebody is at work, and when business days are over."""

import subprocess
import sys
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from crm_sync.core.durations import Duration, parse_duration
from crm_sync.core.worktime import WorkingTime, countries_supported

STOCKHOLM = ZoneInfo("Europe/Stockholm")
TWO_DAYS = parse_duration("2 business days")


def office(hours="Mon-Fri 08:00-17:00", zone="Europe/Stockholm", country=""):
    return WorkingTime(hours, ZoneInfo(zone), country)


def local(text, zone="Europe/Stockholm"):
    return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone)).astimezone(UTC)


def wall(moment, zone="Europe/Stockholm"):
    assert moment.tzinfo is UTC
    return moment.astimezone(ZoneInfo(zone)).strftime("%a %Y-%m-%d %H:%M")


@pytest.mark.parametrize(
    ("arrived", "over"),
    [
        ("2026-03-06 16:00", "Tue 2026-03-10 16:00"),  # Friday afternoon
        ("2026-03-07 12:00", "Wed 2026-03-11 08:00"),  # Saturday
        ("2026-03-06 18:00", "Wed 2026-03-11 08:00"),  # Friday evening
        ("2026-03-06 17:00", "Wed 2026-03-11 08:00"),  # at closing
        ("2026-03-06 06:00", "Tue 2026-03-10 08:00"),  # before opening
        ("2026-03-06 08:00", "Tue 2026-03-10 08:00"),  # at opening
    ],
)
def test_two_business_days_count_from_the_first_working_minute(arrived, over):
    assert wall(office().after(local(arrived), TWO_DAYS)) == over


def test_a_public_holiday_between_is_skipped():
    # Good Friday and Easter Monday 2026: 3 and 6 April
    swedish = office(country="SE")
    assert wall(swedish.after(local("2026-04-01 16:00"), TWO_DAYS)) == "Tue 2026-04-07 16:00"
    assert wall(office().after(local("2026-04-01 16:00"), TWO_DAYS)) == "Fri 2026-04-03 16:00"


def test_business_days_keep_the_time_on_the_wall_when_clocks_change():
    # Europe changes on Sunday 29 March and on Sunday 25 October 2026
    assert wall(office().after(local("2026-03-27 16:00"), TWO_DAYS)) == "Tue 2026-03-31 16:00"
    assert wall(office().after(local("2026-10-23 16:00"), TWO_DAYS)) == "Tue 2026-10-27 16:00"


def test_plain_days_keep_the_time_on_the_wall_and_hours_do_not():
    friday = local("2026-03-27 16:00")
    assert wall(office().after(friday, parse_duration("3d"))) == "Mon 2026-03-30 16:00"
    assert wall(office().after(friday, parse_duration("71h"))) == "Mon 2026-03-30 16:00"


def test_plain_lengths_too_start_with_the_first_working_minute():
    assert wall(office().after(local("2026-03-07 12:00"), parse_duration("4h"))) == (
        "Mon 2026-03-09 12:00"
    )


def test_a_business_day_is_over_at_closing_at_the_latest():
    early_friday = office("Mon-Thu 08:00-17:00, Fri 08:00-15:00")
    assert wall(
        early_friday.after(local("2026-03-05 16:30"), parse_duration("1 business day"))
    ) == ("Fri 2026-03-06 15:00")


def test_the_iranian_week_ends_on_wednesday():
    tehran = office("Sat-Wed 08:00-16:00", "Asia/Tehran", "IR")
    wednesday = local("2026-05-06 15:00", "Asia/Tehran")
    assert wall(tehran.after(wednesday, TWO_DAYS), "Asia/Tehran") == "Sun 2026-05-10 15:00"
    assert tehran.is_working_day(date(2026, 5, 9))  # Saturday
    assert not tehran.is_working_day(date(2026, 5, 8))  # Friday
    assert not tehran.is_working_day(date(2026, 3, 21))  # Nowruz, a Saturday


def test_a_message_in_the_lunch_break_counts_from_after_lunch():
    split = office("Mon-Fri 08:00-12:00, 13:00-17:00")
    assert wall(split.first_working_minute(local("2026-03-06 12:20"))) == "Fri 2026-03-06 13:00"
    assert wall(split.first_working_minute(local("2026-03-06 11:59"))) == "Fri 2026-03-06 11:59"


def test_opens_is_none_when_nobody_works():
    swedish = office(country="SE")
    assert wall(swedish.opens(date(2026, 3, 6))) == "Fri 2026-03-06 08:00"
    assert swedish.opens(date(2026, 3, 7)) is None
    assert swedish.opens(date(2026, 1, 6)) is None  # Epiphany


def test_swedish_sundays_are_no_holidays_for_who_works_on_sundays():
    shop = office("Tue-Sun 10-18", country="SE")
    assert shop.is_working_day(date(2026, 3, 8))


def test_swedish_midsummer_and_christmas_eve_are_free():
    swedish = office(country="SE")
    assert not swedish.is_working_day(date(2026, 6, 19))
    assert not swedish.is_working_day(date(2026, 12, 24))


def test_a_holiday_moved_to_the_year_before_is_free():
    assert not office(country="US", zone="America/New_York").is_working_day(date(2021, 12, 31))


def test_a_chinese_sunday_worked_in_exchange_is_a_working_day():
    chinese = office(zone="Asia/Shanghai", country="CN")
    assert chinese.is_working_day(date(2024, 2, 4))
    assert wall(chinese.opens(date(2024, 2, 4)), "Asia/Shanghai") == "Sun 2024-02-04 08:00"
    assert not chinese.is_working_day(date(2024, 2, 12))


def test_no_country_means_no_holidays():
    assert office().is_working_day(date(2026, 1, 1))


@pytest.mark.parametrize(
    ("arrived", "now", "days"),
    [
        ("2026-03-06 16:00", "2026-03-06 16:30", 0),
        ("2026-03-06 16:00", "2026-03-08 12:00", 0),
        ("2026-03-06 16:00", "2026-03-09 15:59", 0),
        ("2026-03-06 16:00", "2026-03-09 16:00", 1),
        ("2026-03-06 16:00", "2026-03-10 16:00", 2),
        ("2026-03-06 16:00", "2026-03-14 12:00", 5),
        ("2026-03-06 16:00", "2026-03-01 12:00", 0),
    ],
)
def test_how_long_somebody_has_waited(arrived, now, days):
    assert office().business_days_between(local(arrived), local(now)) == days


@pytest.mark.parametrize(
    ("text", "monday", "saturday"),
    [
        ("Mon-Fri 08:00-17:00", "08:00", None),
        ("monday – friday 8-17", "08:00", None),
        ("Mon,Wed,Fri 9-17", "09:00", None),
        ("Sat-Wed 08.30-16.00", "08:30", "08:30"),
        ("Sat 10-12, Mon, Tue 7:15-9", "07:15", "10:00"),
        ("Mon-Sun 00:00-24:00", "00:00", "00:00"),
    ],
)
def test_hours_are_understood_as_people_write_them(text, monday, saturday):
    hours = office(text)
    assert f"{hours.opens(date(2026, 3, 9)).astimezone(STOCKHOLM):%H:%M}" == monday
    opens = hours.opens(date(2026, 3, 7))
    assert (opens and f"{opens.astimezone(STOCKHOLM):%H:%M}") == saturday


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "can't be understood"),
        ("always", "is no weekday"),
        ("T 8-17", "is no weekday"),
        ("Mon-Fri", "days without hours"),
        ("8-17", "hours without days"),
        ("Mon-Fri 8-17, Sat", "days without hours"),
        ("Mon-Fri 17-8", "end before they begin"),
        ("Mon-Fri 8-25", "no time of day"),
        ("Mon-Fri 8:60-17", "no time of day"),
        ("Mon 8-12, Mon 11-17", "the same hours twice"),
        ("Mon 8-17,", "can't be understood"),
        ("Mon\r\n 8-17 \x00", "can't be understood"),
        ("a-" * 100_000, "can't be understood"),
    ],
)
def test_hours_that_make_no_sense_are_refused_with_the_reason(text, reason):
    with pytest.raises(ValueError, match=f'{reason}.*; write them like "Mon-Fri') as refusal:
        office(text)
    assert str(refusal.value).isprintable()
    assert len(str(refusal.value)) < 300


def test_an_unknown_country_is_refused_and_a_small_letter_is_not():
    with pytest.raises(ValueError, match='"Sweden" is not a country whose holidays are known'):
        office(country="Sweden")
    assert office(country="se").country == "SE"
    assert {"SE", "DK", "IR", "VN", "CN", "US"} <= countries_supported()


def test_a_week_without_any_working_hour_is_refused_not_searched_for_ever():
    hours = office("Sat 8-12")
    hours._week = {}
    with pytest.raises(ValueError, match="no working hour in the year after"):
        hours.first_working_minute(local("2026-03-06 16:00"))


def test_the_library_of_holidays_is_imported_only_where_it_is_needed():
    code = (
        "import sys, zoneinfo; from crm_sync.core.worktime import WorkingTime; "
        "WorkingTime('Mon 8-9', zoneinfo.ZoneInfo('UTC')); sys.exit('holidays' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


offices = st.builds(
    office,
    st.sampled_from(
        [
            "Mon-Fri 08:00-17:00",
            "Sat-Wed 06:00-14:30",
            "Mon-Thu 07-12, 13-18, Fri 09-15",
            "Sun 10-11",
        ]
    ),
    st.sampled_from(
        [
            "Europe/Stockholm",
            "Asia/Tehran",
            "America/Santiago",
            "Australia/Lord_Howe",
            "Africa/Cairo",
        ]
    ),
    st.sampled_from(["", "SE", "IR", "CN"]),
)
moments = st.integers(0, 12 * 365 * 24 * 60).map(
    lambda minutes: datetime(2019, 1, 1, tzinfo=UTC) + timedelta(minutes=minutes)
)
lengths = st.one_of(
    st.integers(1, 40).map(lambda n: Duration(business_days=n)),
    st.integers(1, 40).map(lambda n: Duration(delta=timedelta(days=n))),
    st.integers(1, 4000).map(lambda n: Duration(delta=timedelta(minutes=n))),
)


@settings(max_examples=200, deadline=None)
@given(offices, moments, st.timedeltas(timedelta(0), timedelta(days=9)), lengths)
def test_who_wrote_later_is_never_due_earlier(hours, moment, gap, length):
    assert hours.after(moment, length) <= hours.after(moment + gap, length)


@settings(max_examples=200, deadline=None)
@given(offices, moments, st.integers(1, 30))
def test_what_is_over_is_counted_as_waited_and_not_a_moment_before(hours, moment, number):
    over = hours.after(moment, Duration(business_days=number))
    assert hours.business_days_between(moment, over) == number
    assert hours.business_days_between(moment, over - timedelta(microseconds=1)) == number - 1
    assert hours.is_working_day(over.astimezone(hours.zone).date())


@settings(max_examples=200, deadline=None)
@given(offices, moments)
def test_the_first_working_minute_is_its_own_first_working_minute(hours, moment):
    first = hours.first_working_minute(moment)
    assert first >= moment
    assert hours.first_working_minute(first) == first
    opens = hours.opens(first.astimezone(hours.zone).date())
    assert opens is not None
    assert opens <= first
    assume(first > moment)
    assert hours.first_working_minute(first - timedelta(microseconds=1)) == first
