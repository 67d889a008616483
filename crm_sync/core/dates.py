"""The Date field (RFC 5322 section 3.3) to an aware UTC moment, tolerantly."""

import re
from datetime import UTC, datetime, timedelta, timezone
from email.utils import parsedate_tz
from typing import Final

EARLIEST_YEAR: Final = 1990
"""Dates before it are broken clocks or fun, not mail."""

_LONGEST: Final = 100
_MONTHS: Final = {
    name: f"{number:02}"
    for number, name in enumerate(
        ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"), 1
    )
}
_USUAL: Final = re.compile(
    r"\s*+(?:[A-Z][a-z][a-z], ++)?([0-9][0-9]?) ([A-Z][a-z][a-z]) ([12][0-9]{3}) "
    r"([0-9]{2}:[0-9]{2}:[0-9]{2}) ([+-][0-9]{4})(?: \([A-Z]+\))?\s*+$"
)
_ANCIENT: Final = re.compile(r"\s0[0-9]{3}\s")
_ISO: Final = re.compile(
    r"\s*[0-9]{4}-[0-9]{2}-[0-9]{2}[T ][0-9]{2}:[0-9]{2}"
    r"(:[0-9]{2}(\.[0-9]+)?)?(Z|[+-][0-9]{2}:?[0-9]{2})?\s*$"
)


def parse_date(value: str) -> datetime | None:
    """The moment that a Date field names, aware UTC; None when it names none since 1990.

    A date without a zone is taken for UTC. Whether a date lies too far ahead is the caller's
    to judge: it knows when the message arrived.
    """
    usual = _USUAL.match(value)
    if usual is None:
        return parse_date_by_library(value)
    day, month, year, time, zone = usual.groups()
    try:
        # Only `fromisoformat` makes a moment of text in one step of C.
        local = datetime.fromisoformat(f"{year}-{_MONTHS[month]}-{day:0>2}T{time}{zone}")
        moment = local.astimezone(UTC)
    except (KeyError, ValueError, OverflowError):
        return parse_date_by_library(value)
    return moment if moment.year >= EARLIEST_YEAR else None


def parse_date_by_library(value: str) -> datetime | None:
    """The same by `email.utils`, with everything it is known to raise caught."""
    value = value[:_LONGEST]
    try:
        moment = datetime.fromisoformat(value.strip()) if _ISO.match(value) else _rfc5322(value)
        if moment is None:
            return None
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=UTC)
        moment = moment.astimezone(UTC)
    except (ValueError, TypeError, IndexError, OverflowError, AttributeError):
        return None
    return moment if moment.year >= EARLIEST_YEAR else None


def _rfc5322(value: str) -> datetime | None:
    parsed = parsedate_tz(value)
    # The library takes the year 0001 for 2001.
    if parsed is None or _ANCIENT.search(value):
        return None
    year, month, day, hour, minute, second = parsed[:6]
    zone = timezone(timedelta(seconds=parsed[9] or 0))
    # A leap second has no place in `datetime`.
    return datetime(year, month, day, hour, minute, min(second, 59), tzinfo=zone)
