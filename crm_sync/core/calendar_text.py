"""iCalendar text (RFC 5545 section 3.1) to components, line by line and leniently.

Real calendars hold broken lines, unclosed components and time zones that no parser likes. Here a
bad line costs that line, a bad component costs that component, never the whole object. What a
value means is left to the readers of the components.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from icalendar.parser.content_line import UFOLD, Contentline

from crm_sync.core.errors import Unreadable

LARGEST: Final = 1_000_000
"""Bytes of one calendar object; larger ones carry inlined files, not meetings."""

MOST_EVENTS: Final = 5_000
"""Components VEVENT taken from one object."""

_WANTED: Final = frozenset(
    {
        *("UID", "SUMMARY", "DESCRIPTION", "STATUS", "CLASS", "TRANSP", "SEQUENCE", "METHOD"),
        *("DTSTART", "DTEND", "DURATION", "RRULE", "EXRULE", "RDATE", "EXDATE", "RECURRENCE-ID"),
        *("ORGANIZER", "ATTENDEE", "X-MICROSOFT-CDO-BUSYSTATUS", "X-WR-TIMEZONE"),
    }
)
_NAME: Final = re.compile(r"[ \t]*([A-Za-z0-9-]+)[ \t]*[:;]")
_MAILTO: Final = re.compile(r"mailto:\s*([^\s:;,<>\"]{1,256}@[^\s:;,<>\"]{1,256})", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Property:
    """One content line: its value as it stands, still escaped, and its parameters in upper case.

    A parameter that is a list of values arrives joined by commas.
    """

    value: str
    params: Mapping[str, str] = field(default_factory=dict)

    def text(self) -> str:
        """The value as TEXT (RFC 5545 section 3.3.11), unescaped."""
        return _ESCAPED.sub(lambda found: _ESCAPES.get(found[1], found[1]), self.value)


_ESCAPED: Final = re.compile(r"\\(.)", re.DOTALL)
_ESCAPES: Final = {"n": "\n", "N": "\n"}


@dataclass(slots=True)
class Component:
    """A VEVENT: its properties by upper-case name, and the METHOD of the calendar around it."""

    method: str = ""
    properties: dict[str, list[Property]] = field(default_factory=dict)

    def all(self, name: str) -> Sequence[Property]:
        """All properties of that name, in order."""
        return self.properties.get(name, ())

    def first(self, name: str) -> Property | None:
        """The first property of that name: of several UID lines Outlook means the first."""
        found = self.properties.get(name)
        return found[0] if found else None

    def word(self, name: str) -> str:
        """The first value of that name in upper case, empty when there is none."""
        found = self.first(name)
        return found.value.strip().upper() if found else ""


@dataclass(slots=True)
class CalendarText:
    """What stands in a calendar object: events, lines of its time zones, X-WR-TIMEZONE."""

    events: list[Component] = field(default_factory=list)
    zones: list[list[str]] = field(default_factory=list)
    zone_name: str = ""
    cut_off: bool = False


def parse_calendar(raw: bytes) -> CalendarText:
    """The components of a calendar object. Raises `Unreadable` for what is none or too large."""
    if len(raw) > LARGEST:
        raise Unreadable("the calendar object is larger than 1 MB")
    text = _decode(raw)
    if not re.search(r"^[ \t]*BEGIN:(?:VCALENDAR|VEVENT)", text, re.MULTILINE | re.IGNORECASE):
        raise Unreadable("this is no calendar object")
    return _Reader().read(UFOLD.sub("", text).split("\n"))


def _decode(raw: bytes) -> str:
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = raw.decode("cp1252", errors="replace")
    return text.replace("\r\n", "\n").replace("\r", "\n")


class _Reader:
    """Walks the lines with one open component at most; what is nested in an event is skipped."""

    def __init__(self) -> None:
        self._found = CalendarText()
        self._event: Component | None = None
        self._zone: list[str] | None = None
        self._method = ""
        self._nested = 0

    def read(self, lines: Sequence[str]) -> CalendarText:
        """The whole object."""
        for line in lines:
            word = line.strip().upper()
            if word.startswith("BEGIN:"):
                self._begin(word[6:].strip(), line)
            elif word.startswith("END:"):
                self._end(word[4:].strip(), line)
            elif self._zone is not None:
                self._zone.append(line)
            elif self._nested == 0:
                self._property(line)
        self._found.cut_off = self._event is not None
        return self._found

    def _begin(self, name: str, line: str) -> None:
        if name == "VCALENDAR":
            self._method = ""
        elif name == "VEVENT":
            # An event that nobody closed ends where the next one begins.
            self._close_event()
            self._event, self._zone, self._nested = Component(self._method), None, 0
        elif name == "VTIMEZONE" and self._event is None:
            self._zone = []
        elif self._zone is not None:
            self._zone.append(line)
        else:
            self._nested += 1

    def _end(self, name: str, line: str) -> None:
        if name == "VEVENT":
            self._close_event()
        elif name == "VTIMEZONE" and self._zone is not None:
            self._found.zones.append(self._zone)
            self._zone = None
        elif self._zone is not None:
            self._zone.append(line)
        else:
            self._nested = max(0, self._nested - 1)

    def _close_event(self) -> None:
        if self._event is not None and len(self._found.events) < MOST_EVENTS:
            self._found.events.append(self._event)
        self._event, self._nested = None, 0

    def _property(self, line: str) -> None:
        match = _NAME.match(line)
        name = match[1].upper() if match else ""
        if name not in _WANTED:
            return
        found = _parse_line(name, line)
        if found is None:
            return
        if self._event is not None:
            self._event.properties.setdefault(name, []).append(found)
        elif name == "METHOD":
            self._method = found.value.strip().upper()
        elif name == "X-WR-TIMEZONE":
            self._found.zone_name = found.value.strip()


def _parse_line(name: str, line: str) -> Property | None:
    try:
        _, params, value = Contentline(line).raw_parts()  # type: ignore[no-untyped-call]
    except (ValueError, IndexError):
        return _salvage(name, line)
    return Property(value, {key.upper(): _joined(content) for key, content in params.items()})


def _salvage(name: str, line: str) -> Property | None:
    """What can be had of a broken line: `NAME:value` without parameters, or just an address."""
    found = _MAILTO.search(line)
    if found and name in {"ATTENDEE", "ORGANIZER"}:
        return Property(found[1])
    head, colon, value = line.partition(":")
    return Property(value) if colon and head.strip().upper() == name else None


def _joined(content: object) -> str:
    return ", ".join(str(part).strip() for part in _each(content))


def _each(content: object) -> Iterator[object]:
    if isinstance(content, list):
        yield from content
    else:
        yield content
