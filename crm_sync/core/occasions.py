"""Days that come back every year: how they are written, and on which dates they are celebrated.

A day is kept as a rule in its own calendar. The Gregorian date of a Persian birthday repeated
would be a day off in almost half of the years.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from typing import Final, Literal, NamedTuple
from zoneinfo import ZoneInfo

from persiantools.jdatetime import JalaliDate

from crm_sync.core.clean import clean
from crm_sync.core.zones import utc_of

CalendarName = Literal["gregorian", "persian"]

_FORM: Final = re.compile(r"(?:(persian):)?(?:([0-9]{4})|-)-([0-9]{2})-([0-9]{2})")
_EXAMPLES: Final = "write it like 1982-08-03, --08-03 or persian:1361-05-12"
_OTHER_CALENDAR: Final = re.compile(r"[A-Za-z][A-Za-z-]*:")


@dataclass(frozen=True, slots=True)
class YearlyDay:
    """A month and day of a calendar, with the year it began in where that is known."""

    calendar: CalendarName
    year: int | None
    month: int
    day: int

    def __str__(self) -> str:
        """The text that `parse_day` reads."""
        prefix = "" if self.calendar == "gregorian" else f"{self.calendar}:"
        year = "-" if self.year is None else f"{self.year:04}"
        return f"{prefix}{year}-{self.month:02}-{self.day:02}"


class GreetingWindow(NamedTuple):
    """When a greeting may leave, both aware UTC: not before `due_at`, no more at `expires_at`."""

    due_at: datetime
    expires_at: datetime


def parse_day(text: str) -> YearlyDay:
    """The day that `text` names: "1982-08-03", "--08-03", "persian:1361-05-12", "persian:--05-12".

    ValueError, with a sentence for a person, for another calendar and for a day there is not;
    without a year, the last days of leap years are days.
    """
    written = text.strip()
    form = _FORM.fullmatch(written)
    if form is None:
        if _OTHER_CALENDAR.match(written):
            raise ValueError(
                f'the calendar of "{clean(written, 40)}" is not supported; '
                f"Gregorian and Persian dates are: {_EXAMPLES}"
            )
        raise ValueError(f'"{clean(written, 40)}" is not a date; {_EXAMPLES}')
    calendar: CalendarName = "persian" if form[1] else "gregorian"
    day = YearlyDay(calendar, int(form[2]) if form[2] else None, int(form[3]), int(form[4]))
    try:
        rules = _CALENDARS[calendar]
        rules.date_of(rules.leap_year if day.year is None else day.year, day.month, day.day)
    except ValueError:
        raise ValueError(
            f'there is no day "{clean(written, 40)}" in the {calendar} calendar'
        ) from None
    return day


def celebrated_on(day: YearlyDay, on: date) -> int | None:
    """The year of the day's own calendar if it is celebrated on the local date `on`, else None.

    The last day of a leap year's month (29 February, 30 Esfand) is celebrated a day earlier in
    common years. A day is never celebrated in the year it began in, nor before.
    """
    try:
        year = _CALENDARS[day.calendar].year_of(on)
        is_today = _date_in_year(day, year) == on
    except ValueError:  # before the calendar's first year or after its last
        return None
    began = day.year if day.year is not None else 0
    return year if is_today and year > began else None


def next_date(day: YearlyDay, after: date) -> date:
    """The first local date later than `after` on which `day` is celebrated.

    ValueError when that lies beyond the calendar's last year.
    """
    year = _CALENDARS[day.calendar].year_of(after)
    if day.year is not None:
        year = max(year, day.year + 1)
    date_ = _date_in_year(day, year)
    return date_ if date_ > after else _date_in_year(day, year + 1)


def greeting_window(on: date, send_at: time, zone: ZoneInfo) -> GreetingWindow:
    """From `send_at` on the local date `on` until that day ends in `zone`.

    Where clocks skip `send_at` it moves forward; where it comes twice the first is meant.
    """
    return GreetingWindow(
        due_at=utc_of(on, send_at, zone),
        expires_at=utc_of(on + timedelta(days=1), time.min, zone),
    )


def _date_in_year(day: YearlyDay, year: int) -> date:
    """The Gregorian date of `day` in `year` of its calendar."""
    date_of = _CALENDARS[day.calendar].date_of
    try:
        return date_of(year, day.month, day.day)
    except ValueError:
        return date_of(year, day.month, day.day - 1)


class _Calendar(NamedTuple):
    """Between a calendar's own years and Gregorian dates; ValueError for a day there is not."""

    year_of: Callable[[date], int]
    date_of: Callable[[int, int, int], date]
    leap_year: int


def _persian_year(on: date) -> int:
    year: int = JalaliDate.to_jalali(on).year  # type: ignore[no-untyped-call]
    return year


def _persian_date(year: int, month: int, day: int) -> date:
    gregorian: date = JalaliDate(year, month, day).to_gregorian()  # type: ignore[no-untyped-call]
    return gregorian


_CALENDARS: Final[dict[CalendarName, _Calendar]] = {
    "gregorian": _Calendar(lambda on: on.year, date, 2000),
    "persian": _Calendar(_persian_year, _persian_date, 1403),
}
