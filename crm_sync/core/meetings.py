"""Calendar objects to meetings: RFC 5545 as it is met in the wild, laid out in a window.

A recurring meeting becomes one `Occurrence` per slot. A slot is the start the series meant: a
meeting that was moved keeps its slot, and so stays the same meeting.
"""

import hashlib
import re
from dataclasses import dataclass
from datetime import datetime, tzinfo
from typing import Final

from crm_sync.core.attendees import read_attendees, read_organizer
from crm_sync.core.calendar_text import CalendarText, Component, parse_calendar
from crm_sync.core.calendar_zones import Zones
from crm_sync.core.clean import clean, clean_text
from crm_sync.core.errors import Unreadable
from crm_sync.core.records import Occurrence
from crm_sync.core.recurrence import MOST_SLOTS
from crm_sync.core.series import Row, Series, sequence_of

LONGEST_DESCRIPTION: Final = 20_000
"""Characters of a description."""

MOST_SERIES: Final = 50
"""Recurring UIDs that are followed in one object; RFC 4791 section 4.1 allows one UID at all."""

_LONGEST_UID: Final = 1_000
# Answers to invitations and proposals (RFC 5546) that lie about in calendars are no meetings.
_NO_MEETING: Final = frozenset({"REPLY", "COUNTER", "REFRESH", "DECLINECOUNTER"})
_BUSY_STATUS: Final = "X-MICROSOFT-CDO-BUSYSTATUS"
_CANCELLED_PREFIXES: Final = (
    "canceled:", "cancelled:", "inställt:", "aflyst:", "avlyst:", "peruutettu:", "abgesagt:",
    "annulé:", "annulé :", "geannuleerd:", "cancelado:", "annullato:", "odwołane:", "đã hủy:",
    "已取消:", "لغو شد:",
)  # fmt: skip
_OUTLOOK_ID: Final = "040000008200E00074C5B7101A82E008"
_FOREIGN_UID: Final = "7643616C2D55696401000000"
_HEX: Final = re.compile(r"(?:[0-9A-Fa-f]{2}){40,500}")


@dataclass(frozen=True, slots=True)
class ParsedObject:
    """A calendar object as read: its UID, what happens in the window, whether it recurs.

    `problems` are words of ours, such as `zone_unknown`. `description` is the text of its first
    event, empty when that is private.
    """

    uid: str
    occurrences: tuple[Occurrence, ...]
    recurring: bool
    problems: tuple[str, ...] = ()
    description: str = ""


@dataclass(frozen=True, slots=True)
class _Window:
    start: datetime
    end: datetime

    def keeps(self, row: Row) -> bool:
        """Whether a meeting matters: it touches the window, or its slot lies in it.

        What is no series matters until it was over before the window.
        """
        starts = row.when.start.utc()
        if starts < self.start and row.when.end() <= self.start:
            return False
        if row.slot is None or starts < self.end:
            return True
        return row.changed and row.slot.utc() < self.end


def read_events(
    raw: bytes, window_start: datetime, window_end: datetime, zone: tzinfo
) -> ParsedObject:
    """The meetings of a calendar object (RFC 5545, RFC 4791 section 4.1).

    A series is laid out where it touches the window (aware times), at most 1,000 slots; a single
    event is left out only when it was over before the window. `zone` is that of floating times
    and of unknown zones. Deleted slots (EXDATE) are absent, cancelled ones are marked. Raises
    `Unreadable` when no event in the object can be read.
    """
    text = parse_calendar(raw)
    zones = Zones(text.zones, text.zone_name, zone)
    groups = _by_uid(text)
    problems = ["cut_off"] if text.cut_off else []
    found: list[Occurrence] = []
    read = recurring = 0
    for uid, events in groups.items():
        series = Series(events, zones)
        recurring += series.recurring
        if series.recurring and recurring > MOST_SERIES:
            problems.append("too_many_series")
            continue
        try:
            found += _occurrences(uid, series, _Window(window_start, window_end), problems)
            read += 1
        except (ValueError, TypeError, KeyError, OverflowError):
            problems.append("unreadable_event")
    if not read and (groups or text.cut_off):
        raise Unreadable("no event in this calendar object can be read")
    if zones.guessed:
        problems.append("zone_unknown")
    return ParsedObject(
        uid=next(iter(groups), ""),
        occurrences=tuple(found),
        recurring=recurring > 0,
        problems=tuple(dict.fromkeys(problems)),
        description=_description(text),
    )


def normal_uid(uid: str) -> str:
    """A UID in the form that all copies of a meeting share.

    Outlook writes the date of an occurrence into its GlobalObjectId, and wraps UIDs of others
    into one (MS-OXCICAL 2.1.3.1.1.20.26): the date is zeroed, the other's UID unwrapped.
    """
    uid = clean(uid, _LONGEST_UID).strip()
    plain = uid.upper()
    if not plain.startswith(_OUTLOOK_ID) or not _HEX.fullmatch(plain):
        return uid
    if plain.startswith(_FOREIGN_UID, 80):
        foreign = bytes.fromhex(plain[80 + len(_FOREIGN_UID) :]).partition(b"\0")[0]
        return clean(foreign.decode("utf-8", "replace"), _LONGEST_UID).strip() or plain
    return plain[:32] + "0" * 8 + plain[40:]


def _by_uid(text: CalendarText) -> dict[str, list[Component]]:
    groups: dict[str, list[Component]] = {}
    for event in text.events:
        if event.method not in _NO_MEETING:
            groups.setdefault(_uid(event), []).append(event)
    return groups


def _uid(event: Component) -> str:
    found = event.first("UID")
    uid = normal_uid(found.text()) if found is not None else ""
    if uid:
        return uid
    said = "|".join(event.word(name) for name in ("DTSTART", "RECURRENCE-ID", "SUMMARY"))
    return f"nouid-{hashlib.sha256(said.encode('utf-8', 'replace')).hexdigest()[:40]}"


def _occurrences(
    uid: str, series: Series, window: _Window, problems: list[str]
) -> list[Occurrence]:
    rows = [row for row in series.rows(window.start, window.end) if window.keeps(row)]
    rows.sort(key=lambda row: row.when.start.utc())
    if len(rows) > MOST_SLOTS:
        problems.append("too_many_occurrences")
    problems += series.problems
    return [_occurrence(uid, row) for row in rows[:MOST_SLOTS]]


def _occurrence(uid: str, row: Row) -> Occurrence:
    event, when = row.event, row.when
    attendees = read_attendees(event)
    summary = event.first("SUMMARY")
    first = when.start.local.date() if when.start.all_day else None
    return Occurrence(
        uid=uid,
        slot=row.slot.slot() if row.slot is not None else None,
        starts_at=None if first else when.start.utc(),
        ends_at=None if first else when.end(),
        summary=clean(summary.text()).strip() if summary is not None else "",
        organizer=read_organizer(event),
        attendees=attendees,
        cancelled=_is_cancelled(event),
        private=_is_private(event),
        transparent=event.word("TRANSP") == "TRANSPARENT" or event.word(_BUSY_STATUS) == "FREE",
        first_day=first,
        last_day=when.last_day() if first else None,
        sequence=sequence_of(event),
    )


def _is_cancelled(event: Component) -> bool:
    if event.method == "CANCEL" or event.word("STATUS") == "CANCELLED":
        return True
    summary = event.first("SUMMARY")
    # Outlook's feeds say so in the subject only.
    return (
        event.word(_BUSY_STATUS) == "FREE"
        and summary is not None
        and summary.text().strip().lower().startswith(_CANCELLED_PREFIXES)
    )


def _is_private(event: Component) -> bool:
    return event.word("CLASS") in {"PRIVATE", "CONFIDENTIAL"}


def _description(text: CalendarText) -> str:
    if not text.events or any(_is_private(event) for event in text.events):
        return ""
    found = text.events[0].first("DESCRIPTION")
    return clean_text(found.text(), LONGEST_DESCRIPTION) if found is not None else ""
