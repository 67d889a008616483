"""Recurrence rules (RFC 5545 section 3.3.10) laid out in a window, within bounds whatever they say.

Rules come from strangers. `INTERVAL=0` never ends, secondly rules and impossible days (30 February)
keep a rule engine busy for minutes. So each rule is first reduced to what meetings need, then
moved next to the window, and then to the end of the engine's calendar.
"""

import calendar
import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, time, timedelta, tzinfo
from typing import Any, Final

from dateutil import rrule as engine

from crm_sync.core.calendar_times import parse_value

MOST_SLOTS: Final = 1_000
"""Slots of one series laid out in one window."""

MOST_RULES: Final = 10
"""RRULE lines taken from one event."""

_MOST_BEFORE: Final = 50_000
_FREQUENCIES: Final = {
    "HOURLY": engine.HOURLY,
    "DAILY": engine.DAILY,
    "WEEKLY": engine.WEEKLY,
    "MONTHLY": engine.MONTHLY,
    "YEARLY": engine.YEARLY,
}
_UNITS: Final = {
    engine.HOURLY: timedelta(hours=1),
    engine.DAILY: timedelta(days=1),
    engine.WEEKLY: timedelta(weeks=1),
}
_NUMBERS: Final = {
    "BYMONTH": (1, 12),
    "BYMONTHDAY": (-31, 31),
    "BYYEARDAY": (-366, 366),
    "BYWEEKNO": (-53, 53),
    "BYSETPOS": (-366, 366),
    "BYHOUR": (0, 23),
    "BYMINUTE": (0, 59),
}
# RFC 5545 has no use for these; an engine would filter by them, in vain, for centuries.
_MEANINGLESS: Final = {
    engine.HOURLY: {"BYSETPOS", "BYWEEKNO"},
    engine.DAILY: {"BYSETPOS", "BYWEEKNO", "BYYEARDAY"},
    engine.WEEKLY: {"BYMONTHDAY", "BYWEEKNO", "BYYEARDAY"},
    engine.MONTHLY: {"BYWEEKNO", "BYYEARDAY"},
    engine.YEARLY: set[str](),
}
_DAYS: Final = {"MO": 0, "TU": 1, "WE": 2, "TH": 3, "FR": 4, "SA": 5, "SU": 6}
_WEEKDAY: Final = re.compile(r"([+-]?\d{1,2})?(MO|TU|WE|TH|FR|SA|SU)")
_NUMBER: Final = re.compile(r"[+-]?\d{1,9}")


@dataclass(frozen=True, slots=True)
class Span:
    """A stretch of naive local time, both ends included."""

    first: datetime
    last: datetime


class BadRuleError(ValueError):
    """A rule that is not followed; the event keeps its first date."""


def slots(
    start: datetime,
    rules: Sequence[str],
    dates: Collection[datetime],
    span: Span,
    zone: tzinfo,
) -> tuple[list[datetime], list[str]]:
    """The starts of a series within `span`, sorted, at most 1,000, and what was wrong with it.

    All times are naive and local to `zone`. `start` is always a slot (other programs show it even
    where the rule does not hit it), and so is each of `dates` (RDATE).
    """
    found = {day for day in (start, *dates) if span.first <= day <= span.last}
    problems: list[str] = []
    for text in dict.fromkeys(rules[:MOST_RULES]):
        try:
            found.update(_laid_out(text, start, span, zone))
        except BadRuleError as bad:
            problems.append(str(bad))
        except (ValueError, TypeError, OverflowError, KeyError):
            problems.append("bad_rule")
    if len(found) > MOST_SLOTS:
        problems.append("too_many_occurrences")
    return sorted(found)[:MOST_SLOTS], problems


def _laid_out(text: str, start: datetime, span: Span, zone: tzinfo) -> Iterator[datetime]:
    said = read_rule(text, zone)
    until = min(said.pop("until", span.last), span.last)
    start = _nearer(start, said, span.first)
    if until < start:
        return
    shift = _shift(start, span.last)
    if shift is None:
        raise BadRuleError("rule_out_of_range")
    if "count" not in said:  # the engine bears one of both
        said["until"] = until + shift
    first, taken = span.first + shift, 0
    for walked, slot in enumerate(engine.rrule(dtstart=start + shift, **said)):
        if slot > until + shift:
            return
        if slot >= first:
            yield slot - shift
            taken += 1
        if taken > MOST_SLOTS:
            return
        if walked > _MOST_BEFORE:
            raise BadRuleError("rule_too_dense")


def _shift(start: datetime, last: datetime) -> timedelta | None:
    """How far to move a rule so that the engine's calendar ends soon after the window.

    The engine looks for a next hit until the year 9999, and 30 February takes it seconds. The
    calendar repeats every 400 years, and from 1901 to 2099 every 28 years: so what happens up to
    `last` happens in the same way just before 9999. None when the years lie outside.
    """
    cycles = max(0, -(-(last.year - 1998) // 28))
    back = timedelta(days=cycles * (28 * 365 + 7))
    if last.year > 2098 or start.year - 28 * cycles < 1902:  # noqa: PLR2004  # see above
        return None
    return timedelta(days=20 * 146_097) - back


def _nearer(start: datetime, said: dict[str, Any], first: datetime) -> datetime:
    """A later start of the same rule, in step with it: years of slots need not be walked again."""
    interval: int = said["interval"]
    if "count" in said or start >= first:
        return start
    unit = _UNITS.get(said["freq"])
    if unit is not None:
        steps = (first - start) // (interval * unit) - 1
        return start + max(0, steps) * interval * unit
    if said["freq"] == engine.YEARLY:
        year = start.year + max(0, (first.year - start.year) // interval - 1) * interval
        while (start.month, start.day) == (2, 29) and not calendar.isleap(year):
            year -= interval
        return start.replace(year=max(year, start.year))
    return start


def read_rule(text: str, zone: tzinfo) -> dict[str, Any]:
    """The arguments of `dateutil.rrule.rrule` that a rule stands for, without its start.

    Parts that mean nothing are dropped. Raises `BadRuleError` for what must not be followed.
    """
    pairs = (part.partition("=") for part in text.upper().replace(" ", "").split(";"))
    parts = {name: value for name, _, value in pairs if value}
    freq = _FREQUENCIES.get(parts.pop("FREQ", ""))
    if freq is None or "RSCALE" in parts:
        raise BadRuleError("rule_not_followed")
    said: dict[str, Any] = {"freq": freq, "interval": _interval(parts.pop("INTERVAL", "1"))}
    count = parts.get("COUNT", "")
    if _NUMBER.fullmatch(count) and int(count) > 0:
        said["count"] = min(int(count), _MOST_BEFORE)
    if "UNTIL" in parts:
        said["until"] = _until(parts["UNTIL"], zone)
    if parts.get("WKST") in _DAYS:
        said["wkst"] = _DAYS[parts["WKST"]]
    for name, (low, high) in _NUMBERS.items():
        if name in parts and name not in _MEANINGLESS[freq]:
            said[name.lower()] = _numbers(parts[name], low, high)
    if "BYDAY" in parts:
        said["byweekday"] = _weekdays(parts["BYDAY"], ordinals=freq <= engine.MONTHLY)
    return {name: value for name, value in said.items() if value not in ([], None)}


def _interval(value: str) -> int:
    number = int(value) if _NUMBER.fullmatch(value) else 0
    if number < 1:
        raise BadRuleError("rule_without_interval")
    return min(number, 10_000)


def _until(value: str, zone: tzinfo) -> datetime:
    """UNTIL as naive local time; a date includes its whole day."""
    until = parse_value(value)
    if until is None:
        raise BadRuleError("rule_with_bad_until")
    if not isinstance(until, datetime):
        return datetime.combine(until, time.max)
    return until.astimezone(zone).replace(tzinfo=None) if until.tzinfo else until


def _numbers(value: str, low: int, high: int) -> list[int]:
    numbers = {int(part) for part in value.split(",") if _NUMBER.fullmatch(part)}
    if low < 0:
        numbers.discard(0)  # days are counted from 1, or from -1 backwards
    wanted = sorted(number for number in numbers if low <= number <= high)
    if not wanted:
        raise BadRuleError("rule_not_followed")
    return wanted


def _weekdays(value: str, *, ordinals: bool) -> list[Any]:
    found = [_WEEKDAY.fullmatch(part) for part in value.split(",")[:100]]
    days = {(match[2], int(match[1] or 0) if ordinals else 0) for match in found if match}
    if not days:
        raise BadRuleError("rule_not_followed")
    return [
        engine.weekday(_DAYS[day], number) if number else engine.weekday(_DAYS[day])
        for day, number in sorted(days)
    ]
