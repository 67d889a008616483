"""ATTENDEE and ORGANIZER (RFC 5545 section 3.8.4) to `Attendee` records."""

import re
from typing import Final
from urllib.parse import unquote

from crm_sync.core.addresses import canonical
from crm_sync.core.calendar_text import Component, Property
from crm_sync.core.clean import clean
from crm_sync.core.records import Attendee

MOST_ATTENDEES: Final = 1_000
"""Attendees taken from one event; a meeting of more people concerns nobody in particular."""

_MAILTO: Final = re.compile(r"(?:\s*mailto:)+", re.IGNORECASE)
_NOT_PEOPLE: Final = (
    "@resource.calendar.google.com",
    "@group.calendar.google.com",
    "@group.v.calendar.google.com",
    "@virtual",
)
_WORD: Final = re.compile(r"[A-Z0-9-]{1,40}")


def read_attendees(event: Component) -> tuple[Attendee, ...]:
    """The attendees of an event, each address once, at most 1,000.

    Somebody without a usable address (a server's own path, an X.500 name) keeps the name and an
    empty address, and so never matches.
    """
    found: dict[str, Attendee] = {}
    for line in event.all("ATTENDEE")[: 2 * MOST_ATTENDEES]:
        who = read_attendee(line)
        found.setdefault(who.address or who.name, who)
    return tuple(found.values())[:MOST_ATTENDEES]


def read_organizer(event: Component) -> Attendee | None:
    """The organizer of an event; None when there is none."""
    line = event.first("ORGANIZER")
    return read_attendee(line) if line is not None else None


def read_attendee(line: Property) -> Attendee:
    """One participant; parameters in upper case, with the defaults of RFC 5545 where they miss."""
    address = _address(line.params.get("EMAIL", "")) or _address(line.value)
    cutype = _word(line, "CUTYPE", "INDIVIDUAL")
    return Attendee(
        address=address,
        name=clean(line.params.get("CN", "")).strip(),
        partstat=_word(line, "PARTSTAT", "NEEDS-ACTION"),
        cutype="RESOURCE" if address.endswith(_NOT_PEOPLE) else cutype,
        role=_word(line, "ROLE", "REQ-PARTICIPANT"),
    )


def _word(line: Property, name: str, default: str) -> str:
    word = line.params.get(name, "").strip().upper()
    return word if _WORD.fullmatch(word) else default


def _address(value: str) -> str:
    """The addr-spec in a calendar address, lower case; empty when there is none.

    Seen in the wild: `mailto:mailto:a@b`, `"mailto:a@b"`, `<a@b>`, `a@b?subject=x`, `jo%40b`.
    """
    text = _MAILTO.sub("", value[:1000].strip(" \t\"'<>"), count=1)
    text = clean(unquote(text.partition("?")[0]).strip(" \t\"'<>")).lower()
    return text if canonical(text) is not None else ""
