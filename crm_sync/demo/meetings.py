"""The demo's meetings: calendar objects, and the interactions that each becomes."""

import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Any, Literal
from zoneinfo import ZoneInfo

from icalendar import Calendar, Event, vCalAddress

from crm_sync.demo.people import DATA, Party, People
from crm_sync.demo.truth import Expected

TEAM_ZONE = ZoneInfo("Europe/Stockholm")
AHEAD = timedelta(days=120)
"""How far endless series are laid out; the demo's configuration says the same."""


@dataclass(frozen=True, slots=True)
class Series:
    """How a meeting recurs: every so many weeks, `times` times (None: without end).

    `moved` maps a slot's number to its new start, `cancelled` and `skipped` are numbers of slots.
    """

    every: int
    times: int | None
    moved: Mapping[int, datetime]
    cancelled: frozenset[int]
    skipped: frozenset[int]


@dataclass(frozen=True, slots=True)
class Meeting:
    """One calendar object. `who` starts with the organizer; `days` is set for all-day meetings."""

    uid: str
    who: tuple[Party, ...]
    start: datetime
    length: timedelta
    summary: str
    days: int = 0
    series: Series | None = None
    cancelled: bool = False
    private: bool = False
    fate: str = "logged"
    words: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class PlacedEvent:
    """A calendar object in a calendar: whose, which, under what name, and its bytes."""

    user: str
    calendar: str
    href: str
    ics: bytes


@dataclass(frozen=True, slots=True)
class _Slot:
    """One occurrence: its original start and where it ended up."""

    original: datetime
    start: datetime
    cancelled: bool


def meetings(people: People, now: datetime) -> Iterator[Meeting]:
    """All meetings of `data/meetings.toml`, counted from `now`."""
    table = tomllib.loads((DATA / "meetings.toml").read_text(encoding="utf-8"))
    today = now.astimezone(TEAM_ZONE).date()
    for number, spec in enumerate(table["meeting"]):
        zone = ZoneInfo(spec.get("zone", "Europe/Stockholm"))
        start = _local(today + timedelta(days=spec["day"]), spec.get("at", "00:00"), zone)
        yield Meeting(
            uid=f"demo-{number:02}@acme.example",
            who=tuple(people.party(words) for words in spec["who"]),
            start=start,
            length=timedelta(minutes=spec.get("minutes", 60)),
            summary=spec["summary"],
            days=spec.get("days", 0),
            series=_series(spec["repeat"], start) if "repeat" in spec else None,
            cancelled=spec.get("status") == "cancelled",
            private=spec.get("class") == "PRIVATE",
            fate=spec.get("fate", "logged"),
            words=tuple(spec.get("words", ())),
        )


def _series(spec: Mapping[str, Any], start: datetime) -> Series:
    moved = {}
    if "moved" in spec:
        slot = spec["moved"]["slot"]
        day = _week(start, spec["every"] * slot).date() + timedelta(days=spec["moved"]["days"])
        moved[slot] = _local(day, spec["moved"]["at"], start.tzinfo)
    return Series(
        every=spec["every"],
        times=spec.get("times"),
        moved=moved,
        cancelled=frozenset({spec["cancelled"]} if "cancelled" in spec else ()),
        skipped=frozenset({spec["skipped"]} if "skipped" in spec else ()),
    )


def _local(day: date, clock: str, zone: Any) -> datetime:
    return datetime.combine(day, time.fromisoformat(clock), zone)


def _week(start: datetime, weeks: int) -> datetime:
    """The same time of day on the wall, that many weeks later."""
    return datetime.combine(start.date() + timedelta(weeks=weeks), start.time(), start.tzinfo)


def expected(meeting: Meeting, now: datetime) -> Iterator[Expected]:
    """The interactions that a logged meeting becomes: one for each time it takes place."""
    for slot in _slots(meeting, now):
        if meeting.days:
            first = _local(meeting.start.date(), "00:00", TEAM_ZONE)
            ends_at = _local(first.date() + timedelta(days=meeting.days), "00:00", TEAM_ZONE)
        else:
            first, ends_at = slot.start, slot.start + meeting.length
        yield Expected(
            kind="meeting",
            occurred_at=first,
            ends_at=ends_at,
            all_day=bool(meeting.days),
            subject=meeting.summary,
            parties=meeting.who,
            uid=meeting.uid,
            recurrence_id=slot.original if meeting.series else None,
            status=_status(ends_at, cancelled=slot.cancelled, now=now),
        )


def _status(
    ends_at: datetime, *, cancelled: bool, now: datetime
) -> Literal["planned", "held", "cancelled"]:
    if cancelled:
        return "cancelled"
    return "held" if ends_at <= now else "planned"


def _slots(meeting: Meeting, now: datetime) -> Iterator[_Slot]:
    series = meeting.series
    if series is None:
        yield _Slot(meeting.start, meeting.start, meeting.cancelled)
        return
    number = 0
    original = meeting.start
    while original < now + AHEAD and (series.times is None or number < series.times):
        if number not in series.skipped:
            start = series.moved.get(number, original)
            yield _Slot(original, start, number in series.cancelled)
        number += 1
        original = _week(meeting.start, series.every * number)


def place(meeting: Meeting, now: datetime) -> list[PlacedEvent]:
    """The copies of a meeting: one in the calendar of each rep who takes part."""
    ics = _compose(meeting, now)
    reps = dict.fromkeys(party.rep for party in meeting.who if party.rep)
    return [PlacedEvent(rep, "work", f"{meeting.uid.split('@')[0]}.ics", ics) for rep in reps]


def _compose(meeting: Meeting, now: datetime) -> bytes:
    """The calendar object (RFC 5545): the event, its overrides, the zones it names."""
    calendar = Calendar()
    calendar.add("prodid", "-//crm-sync//demo//EN")
    calendar.add("version", "2.0")
    master = _event(meeting, meeting.start, now)
    calendar.add_component(master)
    if meeting.series is not None:
        rule = {"freq": "weekly", "interval": meeting.series.every}
        if meeting.series.times is not None:
            rule["count"] = meeting.series.times
        master.add("rrule", rule)
        for number in sorted(meeting.series.skipped):
            master.add("exdate", _week(meeting.start, meeting.series.every * number))
        for override in _overrides(meeting, meeting.series, now):
            calendar.add_component(override)
    calendar.add_missing_timezones(date(now.year - 2, 1, 1), date(now.year + 2, 1, 1))
    return bytes(calendar.to_ical())


def _overrides(meeting: Meeting, series: Series, now: datetime) -> Iterator[Event]:
    for number in sorted({*series.moved, *series.cancelled}):
        original = _week(meeting.start, series.every * number)
        override = _event(meeting, series.moved.get(number, original), now)
        override.add("recurrence-id", original)
        if number in series.cancelled:
            override["status"] = "CANCELLED"
        yield override


def _event(meeting: Meeting, start: datetime, now: datetime) -> Event:
    event = Event()
    event.add("uid", meeting.uid)
    event.add("dtstamp", (now - timedelta(days=100)).astimezone(UTC))
    event.add("summary", meeting.summary)
    event.add("dtstart", start.date() if meeting.days else start)
    if meeting.days:
        event.add("dtend", start.date() + timedelta(days=meeting.days))
    else:
        event.add("dtend", start + meeting.length)
    event.add("status", "CANCELLED" if meeting.cancelled else "CONFIRMED")
    if meeting.private:
        event.add("class", "PRIVATE")
    organizer, *others = meeting.who
    if others:
        event.add("organizer", _address(organizer))
        for party in meeting.who:
            attendee = _address(party)
            attendee.params["PARTSTAT"] = "ACCEPTED"
            event.add("attendee", attendee)
    return event


def _address(party: Party) -> vCalAddress:
    address = vCalAddress(f"mailto:{party.address}")
    address.params["CN"] = party.name
    return address
