"""The data items of a first look at messages: how they are asked for and read."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Final

from connectors.imap import gmail_ids
from connectors.imap.hint import hint_of
from connectors.imap.session import items_of, uid_of
from connectors.imap.tokens import Token, Unparsable, number
from connectors.imap.wire import Reply
from crm_sync.core.errors import Unreadable
from crm_sync.core.headers import HEADER_FIELDS, parse_envelope
from crm_sync.core.records import Envelope, MailItem, UnreadableItem

NAMES: Final = (
    b"UID INTERNALDATE RFC822.SIZE BODY.PEEK[HEADER.FIELDS ("
    + " ".join(HEADER_FIELDS).encode()
    + b")]"
)
"""Cheaper and sturdier than ENVELOPE, which servers build wrongly from bad headers."""

_USUAL: Final = re.compile(
    rb'\* \d+ FETCH \(UID \d+ INTERNALDATE "([^"]{20,30})" RFC822\.SIZE (\d{1,15}) '
    rb"BODY\[HEADER\.FIELDS \([^)]*\)\] \{\d+\}"
)
_DATE: Final = re.compile(
    r"\s*(\d{1,2})-([A-Za-z]{3})-(\d{4}) (\d\d)[:.](\d\d)[:.](\d\d) ([+-]\d{4})"
)
_USUAL_DATE: Final = re.compile(
    r"([ 0-3][0-9])-([A-Z][a-z]{2})-([0-9]{4}) ((?!24)[0-9]{2}:[0-9]{2}:[0-9]{2}) ([+-][0-9]{4})"
)
_MONTHS: Final = {
    m: n
    for n, m in enumerate("jan feb mar apr may jun jul aug sep oct nov dec".split(), 1)  # noqa: SIM905  # readable so
}
_MONTHS_IN_DIGITS: Final = {name.capitalize(): f"{n:02}" for name, n in _MONTHS.items()}
_PLACEHOLDER: Final = "Retrieval using the IMAP4 protocol failed"

# What parsers raise on mail that nobody foresaw: it concerns that message alone.
SURPRISES: Final = (
    *(ValueError, TypeError, LookupError, AttributeError, OverflowError, RecursionError),
)


@dataclass(slots=True)
class Row:
    """What the server said of one message; None for what is missing or no date.

    `marks` are those of `gmail_ids.marks_of`.
    """

    arrived_at: datetime | None
    size: int
    header: bytes
    marks: Mapping[str, str] = field(default_factory=dict)


def names_for(capabilities: frozenset[str]) -> bytes:
    """The data items to ask a server with these capabilities for."""
    return b" ".join([NAMES, *gmail_ids.NAMES]) if gmail_ids.EXTENSION in capabilities else NAMES


def read_row(replies: Iterable[Reply]) -> Row | None:
    """The first look in the responses for one UID; None when they hold none, as when flags changed.

    Raises `Unparsable`.
    """
    for reply in replies:
        if len(reply) == 3 and reply[2] == b")" and (usual := _USUAL.fullmatch(reply[0])):  # noqa: PLR2004  # text, literal, text
            return Row(parse_date(usual[1]), int(usual[2]), reply[1])
    items: dict[bytes, Token] = {}
    for reply in replies:
        items |= items_of(reply)
    return row_of(items)


def row_of(items: dict[bytes, Token]) -> Row | None:
    """The first look among data items."""
    for name, value in items.items():
        if name.startswith(b"BODY[HEADER") and uid_of(items) > 0:
            date = items.get(b"INTERNALDATE")
            arrived_at = parse_date(date) if isinstance(date, bytes) else None
            header = value if isinstance(value, bytes) else b""
            size = max(number(items.get(b"RFC822.SIZE")), 0)
            return Row(arrived_at, size, header, gmail_ids.marks_of(items))
    return None


def parse_date(value: bytes) -> datetime | None:
    """An INTERNALDATE in UTC (RFC 3501 section 9, date-time; one-digit days too)."""
    usual = _USUAL_DATE.fullmatch(value.decode("latin-1"))
    if usual is None:
        return parse_date_tolerantly(value)
    day, month, year, time, zone = usual.groups()
    try:
        # Only `fromisoformat` makes a moment of text in one step of C.
        date = f"{year}-{_MONTHS_IN_DIGITS[month]}-{day.replace(' ', '0')}"
        return datetime.fromisoformat(f"{date}T{time}{zone}").astimezone(UTC)
    except (KeyError, ValueError, OverflowError):
        return parse_date_tolerantly(value)


def parse_date_tolerantly(value: bytes) -> datetime | None:
    """The same for any text: what `parse_date` does where something is unusual."""
    found = _DATE.match(value.decode("latin-1"))
    if found is None:
        return None
    day, month, year, hour, minute, second, zone = found.groups()
    try:
        date = int(year), _MONTHS[month.lower()], int(day)
        time = int(hour), int(minute), int(second)
        return datetime(*date, *time, tzinfo=UTC) - _offset(zone)
    except (ValueError, OverflowError, KeyError):
        return None


@lru_cache(maxsize=100)
def _offset(zone: str) -> timedelta:
    offset = timedelta(hours=int(zone[1:3]), minutes=int(zone[3:5]))
    if offset >= timedelta(days=1):
        raise ValueError("no zone is a day off")
    return -offset if zone[0] == "-" else offset


def item_of(key: str, replies: Iterable[Reply], now: datetime) -> MailItem | UnreadableItem | None:
    """The message that the responses for one UID tell of; None when they tell of none.

    What can't be understood is an `UnreadableItem`. Without a date of arrival the message's own
    date counts, else `now`.
    """
    try:
        row = read_row(replies)
        return None if row is None else _item(key, row, now)
    except Unparsable:
        return UnreadableItem(key, "the server's description of the message can't be understood")
    except Unreadable as error:
        return UnreadableItem(key, error.what)
    except SURPRISES:
        return UnreadableItem(key, "the header of the message can't be understood")


def _item(key: str, row: Row, now: datetime) -> MailItem | UnreadableItem:
    envelope = parse_envelope(row.header)
    if row.marks:
        envelope = replace(envelope, signs={**envelope.signs, **row.marks})
    if _is_placeholder(envelope):
        return UnreadableItem(key, "the server hands out a placeholder instead of the message")
    arrived_at = row.arrived_at or envelope.date or now
    hint = hint_of(envelope, row.size, gmail_ids.message_of(row.marks))
    return MailItem(key, arrived_at, row.size, envelope, hint)


def _is_placeholder(envelope: Envelope) -> bool:
    """Whether Exchange wrote this in place of a message it could not convert."""
    if not envelope.subject.startswith(_PLACEHOLDER):
        return False
    return any("Microsoft Exchange" in a.name for a in envelope.from_) or not envelope.message_id
