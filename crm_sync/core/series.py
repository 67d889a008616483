"""The events of one UID to single meetings: slots, changed slots, deleted slots.

RFC 5545 sections 3.8.4.4 (RECURRENCE-ID), 3.8.5 (EXDATE, RDATE, RRULE).
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final

from crm_sync.core.calendar_text import Component, Property
from crm_sync.core.calendar_times import Moment, When, read_moment, read_moments, read_when
from crm_sync.core.calendar_zones import Zones
from crm_sync.core.recurrence import Span, slots

_FARTHEST_MOVE: Final = timedelta(days=366)
_LONGEST_LOOK_BACK: Final = timedelta(days=62)
_MARGIN: Final = timedelta(days=1)
# Outlook's feeds and gateways leave out of a changed slot what did not change.
_INHERITED: Final[tuple[str, ...]] = (
    "SUMMARY",
    "ORGANIZER",
    "ATTENDEE",
    "CLASS",
    "STATUS",
    "TRANSP",
)


@dataclass(frozen=True, slots=True)
class Row:
    """One meeting: the slot it has in its series (None: it is no series), and what is said of it.

    `changed` tells that an override was written for this very slot.
    """

    slot: Moment | None
    event: Component
    when: When
    changed: bool = False


@dataclass(frozen=True, slots=True)
class _Later:
    """An override of a slot and all that follow (RANGE=THISANDFUTURE)."""

    slot: Moment
    event: Component
    shift: timedelta
    length: timedelta


class Series:
    """All VEVENTs of one UID: a single event, or a series with what was changed in it."""

    def __init__(self, events: Sequence[Component], zones: Zones) -> None:
        masters = [event for event in events if event.first("RECURRENCE-ID") is None]
        # The newest of several masters; max() takes the first of equals.
        self._master = max(masters, key=sequence_of) if masters else None
        self._overrides = [event for event in events if event.first("RECURRENCE-ID") is not None]
        self._zones = zones
        self.problems: list[str] = []
        self.recurring = bool(self._overrides) or any(
            event.first("RRULE") or event.first("RDATE") for event in masters
        )

    def rows(self, start: datetime, end: datetime) -> Iterator[Row]:
        """The meetings whose slots lie about `start` to `end` (aware), and all changed ones.

        The caller drops those outside: only it knows which matter. Raises `ValueError` for an
        event without a start, `OverflowError` for times outside the calendar.
        """
        if self._master is None:
            changed = self._changed(None)
            yield from (self._override(slot, event, None) for slot, event in changed.values())
            return
        base = read_when(self._master, self._zones)
        if base.backwards:
            self.problems.append("ends_before_start")
        if not self.recurring:
            yield Row(None, self._master, base)
            return
        yield from self._laid_out(base, start, end)

    def _laid_out(self, base: When, start: datetime, end: datetime) -> Iterator[Row]:
        assert self._master is not None
        changed = self._changed(base.start)
        deleted = self._deleted(base.start)
        later = self._later(changed, base)
        for slot in self._slots(base, later, start, end):
            name = slot.slot()
            if name not in changed and deleted.isdisjoint(_names(slot)):
                yield self._row(slot, base, later)
        for slot, event in changed.values():
            if deleted.isdisjoint(_names(slot)):
                yield self._override(slot, event, base)

    def _slots(
        self, base: When, later: Sequence[_Later], start: datetime, end: datetime
    ) -> list[Moment]:
        assert self._master is not None
        longest = max(base.length, *(one.length for one in later), timedelta(0))
        moved = max((abs(one.shift) for one in later), default=timedelta(0))
        margin = min(longest + moved, _LONGEST_LOOK_BACK) + _MARGIN
        zone = base.start.zone
        first, last = (t.astimezone(zone).replace(tzinfo=None) for t in (start, end))
        rules = [rule.value for rule in self._master.all("RRULE")]
        dates = [
            day.among(base.start).local
            for day in read_moments(self._master.all("RDATE"), self._zones)
        ]
        if self._master.first("EXRULE"):
            self.problems.append("exrule_ignored")
        found, problems = slots(
            base.start.local, rules, dates, Span(first - margin, last + margin), zone
        )
        self.problems += problems
        planned = [replace(base.start, local=local) for local in found]
        # An hour that the clock skips falls together with the next one.
        return list({slot.slot(): slot for slot in planned}.values())

    def _changed(self, first: Moment | None) -> dict[str, tuple[Moment, Component]]:
        """The overrides by the name of their slot; the newest of several, the first of equals."""
        newest: dict[str, tuple[Moment, Component]] = {}
        for event in self._overrides:
            slot = read_moment(event.first("RECURRENCE-ID"), self._zones)
            if slot is None:
                self.problems.append("bad_recurrence_id")
                continue
            slot = slot.among(first) if first is not None else slot
            rival = newest.get(slot.slot())
            if rival is None or sequence_of(event) > sequence_of(rival[1]):
                newest[slot.slot()] = (slot, event)
        return newest

    def _deleted(self, first: Moment) -> set[str]:
        assert self._master is not None
        days = read_moments(self._master.all("EXDATE"), self._zones)
        deleted = {day.among(first).slot() for day in days}
        # A date deletes all slots of its day.
        return deleted | {day.slot() for day in days if day.all_day}

    def _later(self, changed: Mapping[str, tuple[Moment, Component]], base: When) -> list[_Later]:
        found = []
        for slot, event in changed.values():
            said = event.first("RECURRENCE-ID")
            if said is None or said.params.get("RANGE", "").upper() != "THISANDFUTURE":
                continue
            when = read_when(event, self._zones, replace(base, start=slot))
            shift = when.start.among(base.start).local - slot.local
            found.append(_Later(slot, event, shift, when.length))
        return sorted(found, key=lambda one: one.slot.local)

    def _row(self, slot: Moment, base: When, later: Sequence[_Later]) -> Row:
        assert self._master is not None
        ruling = next((one for one in reversed(later) if one.slot.local <= slot.local), None)
        if ruling is None:
            return Row(slot, self._master, replace(base, start=slot))
        start = replace(slot, local=slot.local + ruling.shift)
        return Row(slot, self._inheriting(ruling.event), When(start, ruling.length))

    def _override(self, slot: Moment, event: Component, base: When | None) -> Row:
        planned = replace(base, start=slot) if base is not None else When(slot, timedelta(0))
        when = read_when(event, self._zones, planned)
        merged = self._inheriting(event)
        if abs(when.start.local - slot.local) > _FARTHEST_MOVE:
            # A sync tool's way to get rid of a slot: moved to 1970 it is not held then.
            self.problems.append("moved_too_far")
            merged = Component(merged.method, {**merged.properties, "STATUS": [_CANCELLED]})
            when = planned
        return Row(slot, merged, when, changed=True)

    def _inheriting(self, event: Component) -> Component:
        if self._master is None:
            return event
        said = self._master.properties
        kept = {name: said[name] for name in _INHERITED if name in said}
        return Component(event.method, {**kept, **event.properties})


_CANCELLED: Final = Property("CANCELLED")


def _names(slot: Moment) -> set[str]:
    return {slot.slot(), slot.local.date().isoformat()}


def sequence_of(event: Component) -> int:
    """SEQUENCE of one event (RFC 5545 section 3.8.7.4); 0 when there is no such number."""
    text = event.word("SEQUENCE")
    return int(text) if text.isdecimal() and len(text) < 10 else 0  # noqa: PLR2004  # an INTEGER
