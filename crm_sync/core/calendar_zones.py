"""Names of time zones in calendars (RFC 5545 section 3.2.19) to zones.

Nothing here is shared between calendar objects: a time zone that one invitation defines must not
change what another one means, so the parsers' own cache of zones is never used.
"""

import io
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, timedelta, timezone, tzinfo
from functools import lru_cache
from typing import Final
from zoneinfo import ZoneInfo, available_timezones

from dateutil.tz import tzical
from icalendar.timezone.windows_to_olson import WINDOWS_TO_OLSON

MOST_OBSERVANCES: Final = 60
"""STANDARD and DAYLIGHT parts taken from one VTIMEZONE; Outlook's history needs some forty."""

_LONGEST_NAME: Final = 200
_KEY: Final = re.compile(r"[A-Za-z0-9_.+/-]+")
_CITY: Final = re.compile(r"[A-Za-z][A-Za-z .'-]{2,30}")
_OFFSET: Final = re.compile(r"(?:UTC|GMT)\s*([+-])(\d{1,2})(?::?(\d\d))?", re.IGNORECASE)
_SUMMER_NAMES: Final = {
    "CEST": "Europe/Berlin",
    "EEST": "Europe/Helsinki",
    "BST": "Europe/London",
    "Greenwich Mean Time": "Europe/London",
    "Pacific Time": "America/Los_Angeles",
    "Mountain Time": "America/Denver",
    "Central Time": "America/Chicago",
    "Eastern Time": "America/New_York",
    "tzone://Microsoft/Utc": "UTC",
    "Coordinated Universal Time": "UTC",
}
# Rules that began in 1601 are walked from here: nobody asks for older meetings.
_FIRST_YEAR: Final = "1990"
# What a yearly onset may say. Anything else would let a time zone loop for ever.
_ONSET: Final = re.compile(
    r"FREQ=YEARLY|INTERVAL=1|UNTIL=\d{8}(?:T\d{6}Z?)?|WKST=[A-Z]{2}"
    r"|BYMONTH=\d{1,2}|BYMONTHDAY=(?:1?\d|2[0-8])(?:,(?:1?\d|2[0-8]|29|3[01])){0,7}"
    r"|BYDAY=(?:[+-]?[1-4]|-1|\+?5)?(?:SU|MO|TU|WE|TH|FR|SA)|BYHOUR=\d{1,2}|BYMINUTE=\d{1,2}"
)
_TIME: Final = re.compile(r"\d{8}T\d{6}")
_UTC_OFFSET: Final = re.compile(r"[+-](?:0\d|1[0-5])[0-5]\d(?:[0-5]\d)?")


class Zones:
    """The zones one calendar object names.

    `blocks` are the lines of its VTIMEZONEs, `calendar_zone` its X-WR-TIMEZONE, `default` the
    zone of floating times and of names that nobody knows. `guessed` tells that such a name was met.
    """

    def __init__(
        self, blocks: Sequence[Sequence[str]], calendar_zone: str, default: tzinfo
    ) -> None:
        self.guessed = False
        self._blocks = {_name_of(block): block for block in reversed(blocks)}
        self._resolved: dict[str, tzinfo] = {}
        self.floating = zone_named(calendar_zone) or default

    def get(self, name: str) -> tzinfo:
        """The zone of that TZID, else a guess."""
        name = name.strip().strip('"')
        if name not in self._resolved:
            self._resolved[name] = self._resolve(name)
        return self._resolved[name]

    def _resolve(self, name: str) -> tzinfo:
        block = self._blocks.get(name)
        found = zone_named(name) or (_from_block(block) if block is not None else None)
        if found is None:
            self.guessed = True
            found = _from_description(name) or self.floating
        return found


@lru_cache(maxsize=512)
def zone_named(name: str) -> tzinfo | None:
    """The zone of an IANA or Windows name, or of a globally unique one that ends in one."""
    name = name.strip().strip("/")
    if not name or len(name) > _LONGEST_NAME:
        return None
    if name in WINDOWS_TO_OLSON:
        return ZoneInfo(WINDOWS_TO_OLSON[name])
    if not _KEY.fullmatch(name):
        return None
    parts = name.split("/")[-4:]
    for start in range(len(parts)):
        exact = _names()[0].get("/".join(parts[start:]).lower())
        if exact is not None and (start < len(parts) - 1 or len(parts) == 1):
            return ZoneInfo(exact)
    return None


@lru_cache(maxsize=1)
def _names() -> tuple[Mapping[str, str], Mapping[str, str]]:
    """IANA names by their lower-case spelling, and by the city they end in."""
    known = sorted(available_timezones())
    return (
        {name.lower(): name for name in known},
        {name.rpartition("/")[2].replace("_", " ").lower(): name for name in known if "/" in name},
    )


def _from_description(name: str) -> tzinfo | None:
    """The zone of a description such as `(UTC+01:00) Amsterdam, Berlin` or `GMT+0200`."""
    name = name[:_LONGEST_NAME]
    for words, zone in _SUMMER_NAMES.items():
        if words.lower() in name.lower():
            return ZoneInfo(zone)
    for city in _CITY.findall(name.partition(")")[2]):
        if city.strip().lower() in _names()[1]:
            return ZoneInfo(_names()[1][city.strip().lower()])
    found = _OFFSET.search(name)
    if found is None or int(found[2]) > 14:  # noqa: PLR2004  # the earth's largest offset
        return None
    offset = timedelta(hours=int(found[2]), minutes=int(found[3] or 0))
    return timezone(offset if found[1] == "+" else -offset) if offset else UTC


def _name_of(block: Sequence[str]) -> str:
    for line in block:
        head, _, value = line.partition(":")
        if head.strip().upper().partition(";")[0] == "TZID":
            return value.strip().strip('"')
    return ""


def _from_block(block: Sequence[str]) -> tzinfo | None:
    """The zone a VTIMEZONE defines, cut down to what its reader bears; None without any."""
    place = next((line for line in block if line.upper().startswith("X-LIC-LOCATION:")), "")
    known = zone_named(place.partition(":")[2])
    if known is not None:
        return known
    lines = ["BEGIN:VTIMEZONE", "TZID:x"]
    for kind, observance in _observances(block):
        lines += [f"BEGIN:{kind}", *observance, f"END:{kind}"]
    lines.append("END:VTIMEZONE")
    try:
        found: tzinfo | None = tzical(io.StringIO("\n".join(lines))).get()
    except (ValueError, TypeError, KeyError, IndexError, OverflowError):
        return None
    return found


def _observances(block: Sequence[str]) -> list[tuple[str, list[str]]]:
    found: list[tuple[str, list[str]]] = []
    inside: dict[str, str] | None = None
    for line in block:
        head, _, value = line.strip().partition(":")
        name, value = head.upper().partition(";")[0], value.strip()
        if name == "BEGIN":
            inside = {"": value.upper()} if value.upper() in {"STANDARD", "DAYLIGHT"} else None
        elif name == "END" and inside is not None:
            lines = _onset(inside)
            if lines:
                found.append((inside[""], lines))
            inside = None
        elif inside is not None:
            inside.setdefault(name, value)
    return found[-MOST_OBSERVANCES:]


def _onset(said: Mapping[str, str]) -> list[str]:
    """The lines of one STANDARD or DAYLIGHT; empty when it can't be used."""
    start = said.get("DTSTART", "")
    start = f"{start}T000000" if len(start) == len("20260101") else start[:15]
    offsets = (said.get("TZOFFSETFROM", ""), said.get("TZOFFSETTO", ""))
    if not _TIME.fullmatch(start) or not all(map(_UTC_OFFSET.fullmatch, offsets)):
        return []
    lines = [f"DTSTART:{start}", f"TZOFFSETFROM:{offsets[0]}", f"TZOFFSETTO:{offsets[1]}"]
    rule = said.get("RRULE", "").upper().strip(";")
    if _bearable(rule):
        lines[0] = f"DTSTART:{max(start[:4], _FIRST_YEAR)}{start[4:]}"
        lines.append(f"RRULE:{rule}")
    dates = [day.strip()[:15] for day in said.get("RDATE", "").split(",")]
    lines += [f"RDATE:{day}" for day in dates[:200] if _TIME.fullmatch(day)]
    return lines


def _bearable(rule: str) -> bool:
    parts = rule.split(";")
    if parts[0] != "FREQ=YEARLY" or not all(map(_ONSET.fullmatch, parts)):
        return False
    # The fourth Thursday on the 24th: days that never meet are looked for till the end of time.
    return "BYMONTHDAY" not in rule or not re.search(r"BYDAY=[+-]?\d", rule)
