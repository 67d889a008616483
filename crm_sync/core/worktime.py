"""Working time: when somebody is at work, and when business days are over.

Hours are wall time in one zone; every moment that comes in or goes out is aware UTC.
"""

import re
from collections.abc import Iterator
from datetime import date, datetime, time, timedelta
from functools import lru_cache
from itertools import pairwise
from typing import Final
from zoneinfo import ZoneInfo

from crm_sync.core.clean import clean
from crm_sync.core.durations import Duration
from crm_sync.core.zones import utc_of

Shift = tuple[timedelta, timedelta]
"""From and until, as wall time since midnight; until is not part of it."""

_ONE_DAY: Final = timedelta(days=1)
_LOOK_AHEAD_DAYS: Final = 366
_LONGEST_TEXT: Final = 500
_EXAMPLE: Final = 'write them like "Mon-Fri 08:00-17:00" or "Mon-Thu 08:00-17:00, Fri 08:00-15:00"'

_WEEKDAYS: Final = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
_SHORTEST_NAME: Final = 2
_PART: Final = re.compile(
    r"(?:(?P<first>[a-z]+)(?: ?- ?(?P<last>[a-z]+))?)?"
    r"(?:(?:^| )(?P<from>[0-9:.]+) ?- ?(?P<until>[0-9:.]+))?"
)
_TIME: Final = re.compile(r"([0-9]{1,2})(?:[:.]([0-5][0-9]))?")


class WorkingTime:
    """The working hours of a team or rep in `zone`, with the public holidays of `country`.

    `hours` is text like "Mon-Fri 08:00-17:00"; `country` an ISO 3166 code, "" for no holidays.
    ValueError, with a sentence for a person, when either can't be understood.
    """

    def __init__(self, hours: str, zone: ZoneInfo, country: str = "") -> None:
        self.zone = zone
        self.country = country.strip().upper()
        self._week = parse_week(hours)
        if self.country and self.country not in countries_supported():
            raise ValueError(
                f'"{clean(country, 40)}" is not a country whose holidays are known; '
                "write its two letters, like SE"
            )

    def is_working_day(self, day: date) -> bool:
        """Whether anybody works on `day`: in the working week and no public holiday."""
        return bool(self._shifts(day))

    def opens(self, day: date) -> datetime | None:
        """When work begins on `day`; None when nobody works."""
        shifts = self._shifts(day)
        return self._moment(day, shifts[0][0]) if shifts else None

    def first_working_minute(self, moment: datetime) -> datetime:
        """`moment` itself when it lies in working hours, else when they next begin.

        ValueError when there is no working hour within a year.
        """
        today = moment.astimezone(self.zone).date()
        for day in _days(today, _LOOK_AHEAD_DAYS):
            for start, end in self._shifts(day):
                if moment < self._moment(day, end):
                    return max(moment, self._moment(day, start))
        raise ValueError(f"there is no working hour in the year after {today}")

    def after(self, moment: datetime, duration: Duration) -> datetime:
        """When `duration` is over, counted from the first working minute at or after `moment`.

        Days, business or plain, keep the time on the wall across changes of the clock. A business
        day is over at closing at the latest, and at opening at the earliest, of the day it ends on.
        """
        start = self.first_working_minute(moment)
        if duration.delta is None:
            return self._business_days_later(start, duration.business_days)
        if duration.delta % _ONE_DAY:
            return start + duration.delta
        local = start.astimezone(self.zone)
        return utc_of(local.date() + duration.delta, local.time(), self.zone)

    def business_days_between(self, start: datetime, end: datetime) -> int:
        """How many business days from `start` on are over at `end`: the inverse of `after`."""
        first = self.first_working_minute(start)
        if end <= first:
            return 0
        today = first.astimezone(self.zone).date()
        last = end.astimezone(self.zone).date()
        later = _days(today + _ONE_DAY, (last - today).days)
        over = sum(1 for day in later if self.is_working_day(day))
        is_running = over and self.is_working_day(last) and self._same_time(first, last) > end
        return over - 1 if is_running else over

    def _business_days_later(self, start: datetime, number: int) -> datetime:
        day = start.astimezone(self.zone).date()
        for _ in range(number):
            day = self._next_working_day(day)
        return self._same_time(start, day)

    def _next_working_day(self, day: date) -> date:
        for later in _days(day + _ONE_DAY, _LOOK_AHEAD_DAYS):
            if self.is_working_day(later):
                return later
        raise ValueError(f"there is no working day in the year after {day}")

    def _same_time(self, moment: datetime, day: date) -> datetime:
        """The wall time of `moment` on the working day `day`, moved into its hours where needed."""
        local = moment.astimezone(self.zone)
        wall = local.replace(tzinfo=None) - datetime.combine(local.date(), time.min)
        shifts = self._shifts(day)
        for start, end in shifts:
            if wall < end:
                return self._moment(day, max(wall, start))
        return self._moment(day, shifts[-1][1])

    def _shifts(self, day: date) -> tuple[Shift, ...]:
        if not self.country:
            return self._week.get(day.weekday(), ())
        holidays, working_weekends = _public_days(self.country, day.year)
        if day in holidays:
            return ()
        shifts = self._week.get(day.weekday(), ())
        if not shifts and day in working_weekends:
            return next(iter(self._week.values()))
        return shifts

    def _moment(self, day: date, wall: timedelta) -> datetime:
        wall_clock = datetime.combine(day, time.min) + wall
        return utc_of(wall_clock.date(), wall_clock.time(), self.zone)


def parse_week(text: str) -> dict[int, tuple[Shift, ...]]:
    """Weekday (0 is Monday) to its shifts in order, from text like "Mon-Fri 08:00-12:00, 13-17".

    Days without hours share those that follow ("Mon,Wed,Fri 9-17"), hours without days continue the
    days before them. Weekdays are English, in full or cut short. ValueError says what is wrong.
    """
    try:
        return _parse_week(text[:_LONGEST_TEXT].replace("–", "-").lower())
    except ValueError as error:
        raise ValueError(f'the working hours "{clean(text, 80)}" {error}; {_EXAMPLE}') from None


def countries_supported() -> frozenset[str]:
    """The ISO 3166 codes of the countries whose public holidays are known."""
    from holidays import list_supported_countries  # noqa: PLC0415  # half a second to import

    return frozenset(list_supported_countries(include_aliases=False))


def _parse_week(text: str) -> dict[int, tuple[Shift, ...]]:
    week: dict[int, list[Shift]] = {}
    days: list[int] = []
    has_hours = True
    for part in text.split(","):
        named, shift = _parse_part(" ".join(part.split()))
        if named:
            days = named if has_hours else days + named
        has_hours = shift is not None
        if shift is not None:
            for day in days:
                week.setdefault(day, []).append(shift)
    if not has_hours or not days:
        raise ValueError("name days without hours, or hours without days")
    return {day: _in_order(shifts) for day, shifts in sorted(week.items())}


def _parse_part(part: str) -> tuple[list[int], Shift | None]:
    match = _PART.fullmatch(part)
    if match is None or not part:
        raise ValueError("can't be understood")
    days: list[int] = []
    if match["first"]:
        first = _weekday(match["first"])
        last = _weekday(match["last"]) if match["last"] else first
        days = [(first + n) % 7 for n in range((last - first) % 7 + 1)]
    if match["from"] is None:
        return days, None
    start, end = _wall_time(match["from"]), _wall_time(match["until"])
    if start >= end:
        raise ValueError("end before they begin: hours over midnight belong to two days")
    return days, (start, end)


def _weekday(name: str) -> int:
    matches = [n for n, full in enumerate(_WEEKDAYS) if full.startswith(name)]
    if len(name) < _SHORTEST_NAME or len(matches) != 1:
        raise ValueError(f'name "{clean(name, 20)}", which is no weekday')
    return matches[0]


def _wall_time(written: str) -> timedelta:
    match = _TIME.fullmatch(written)
    wall = timedelta(hours=int(match[1]), minutes=int(match[2] or 0)) if match else None
    if wall is None or wall > _ONE_DAY:
        raise ValueError(f'name "{clean(written, 20)}", which is no time of day')
    return wall


def _in_order(shifts: list[Shift]) -> tuple[Shift, ...]:
    ordered = sorted(shifts)
    if any(later[0] < earlier[1] for earlier, later in pairwise(ordered)):
        raise ValueError("name the same hours twice")
    return tuple(ordered)


def _days(first: date, number: int) -> Iterator[date]:
    return (first + n * _ONE_DAY for n in range(number))


@lru_cache(maxsize=1024)
def _public_days(country: str, year: int) -> tuple[frozenset[date], frozenset[date]]:
    """Public holidays, and weekend days worked in exchange for one, of a country in a year.

    Computed once a year and country and never changed: the library's own object fills itself while
    it is asked, which two threads must not do at once.
    """
    from holidays import country_holidays  # noqa: PLC0415  # half a second to import
    from holidays.constants import DE_FACTO, PUBLIC  # noqa: PLC0415

    supported = country_holidays(country).supported_categories
    # By law Swedish Midsummer Eve and Christmas Eve equal a Sunday without being public holidays.
    categories = tuple(category for category in (PUBLIC, DE_FACTO) if category in supported)
    calendar = country_holidays(country, years=year, categories=categories, observed=True)
    holidays = frozenset(day for day in calendar if day.year == year)
    return holidays, frozenset(calendar.weekend_workdays) - holidays
