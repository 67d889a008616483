"""DATE, DATE-TIME and DURATION values of events (RFC 5545 sections 3.3.4 to 3.3.6)."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from typing import Final

from icalendar.prop import vDDDTypes, vDuration

from crm_sync.core.calendar_text import Component, Property
from crm_sync.core.calendar_zones import Zones

MOST_DATES: Final = 20_000
"""RDATE and EXDATE values taken from one event."""

_DAY: Final = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Moment:
    """A time on a clock on the wall, or a whole day: `local` is naive, midnight for a day."""

    local: datetime
    zone: tzinfo
    all_day: bool = False

    def utc(self) -> datetime:
        """The moment, aware UTC; of a day its midnight. Raises `OverflowError` out of 1 to 9999."""
        return self.local.replace(tzinfo=self.zone).astimezone(UTC)

    def slot(self) -> str:
        """The moment as `Occurrence.slot` names it."""
        if self.all_day:
            return self.local.date().isoformat()
        return self.utc().isoformat().replace("+00:00", "Z")

    def among(self, first: "Moment") -> "Moment":
        """The same moment in the terms of a series that starts at `first`.

        A day stands for the slot on that day, and a time in a series of days for its day.
        """
        if self.all_day:
            at = first.local.time()
            return replace(first, local=datetime.combine(self.local.date(), at))
        local = self.utc().astimezone(first.zone).replace(tzinfo=None)
        if first.all_day:
            local = datetime.combine(self.local.date(), time.min)
        return replace(first, local=local)


@dataclass(frozen=True, slots=True)
class When:
    """When an event takes place; `length` is exact time, or whole days for an all-day event."""

    start: Moment
    length: timedelta
    backwards: bool = False

    def end(self) -> datetime:
        """The end, aware UTC."""
        return self.start.utc() + self.length

    def last_day(self) -> date:
        """The last day, inclusive, of an all-day event."""
        return (self.start.local + self.length - _DAY).date()


def read_when(event: Component, zones: Zones, fallback: When | None = None) -> When:
    """When an event takes place, by DTSTART and DTEND or DURATION.

    Missing times come from `fallback`. An event that ends before it starts has no length. Raises
    `ValueError` when there is no usable start.
    """
    start = read_moment(event.first("DTSTART"), zones)
    if start is None:
        if fallback is None:
            raise ValueError("no DTSTART")
        return fallback
    shortest = _DAY if start.all_day else timedelta(0)
    length = _length(event, start, zones)
    if length is None:
        same_kind = fallback is not None and fallback.start.all_day == start.all_day
        return When(start, fallback.length if fallback is not None and same_kind else shortest)
    return When(start, max(length, shortest), backwards=length < timedelta(0))


def _length(event: Component, start: Moment, zones: Zones) -> timedelta | None:
    end = read_moment(event.first("DTEND"), zones)
    if end is not None and start.all_day:
        days = (end.local.date() - start.local.date()).days
        # An all-day event ends on the day before DTEND, unless DTEND is a time of day.
        return timedelta(days=days if end.all_day else days + 1)
    if end is not None:
        return end.utc() - start.utc()
    duration = event.first("DURATION")
    if duration is None:
        return None
    try:
        text = duration.value.strip().upper()
        length: timedelta = vDuration.from_ical(text)  # type: ignore[no-untyped-call]
    except (ValueError, OverflowError):
        return None
    return timedelta(days=-(-length // _DAY)) if start.all_day else length


def read_moment(found: Property | None, zones: Zones) -> Moment | None:
    """The time a property names; None when it names none."""
    return next(iter(_read([found], zones)), None) if found is not None else None


def read_moments(found: Sequence[Property], zones: Zones) -> list[Moment]:
    """All times in lists such as EXDATE and RDATE, at most 20,000; of a period its start."""
    moments: list[Moment] = []
    for moment in _read(found, zones):
        moments.append(moment)
        if len(moments) >= MOST_DATES:
            break
    return moments


def _read(found: Sequence[Property], zones: Zones) -> Iterator[Moment]:
    for one in found:
        # Outlook's TZID=tzone://Microsoft/Custom is cut at its own colon.
        rest, _, value = one.value.rpartition(":")
        name = one.params.get("TZID", "")
        zone = zones.get(f"{name}:{rest}" if rest else name) if name or rest else None
        for text in value.split(","):
            moment = _moment(text.partition("/")[0].strip().upper(), zone, zones.floating)
            if moment is not None:
                yield moment


def _moment(text: str, zone: tzinfo | None, floating: tzinfo) -> Moment | None:
    value = parse_value(text)
    if isinstance(value, datetime):
        # A zone beside a Z is a contradiction; the zone was written by a person's program.
        local_zone = zone or (UTC if value.tzinfo else floating)
        return Moment(value.replace(tzinfo=None), local_zone)
    if value is not None:
        return Moment(datetime.combine(value, time.min), floating, all_day=True)
    return None


def parse_value(text: str) -> date | None:
    """A DATE or DATE-TIME, aware only with a Z; None for anything else."""
    try:
        value = vDDDTypes.from_ical(text)  # type: ignore[no-untyped-call]
    except (ValueError, TypeError, OverflowError):
        return None
    return value if isinstance(value, date) else None
