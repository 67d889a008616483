"""One message of an archive: its header as an item, the parts of it that archives add."""

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from connectors.files.folders import left_out
from crm_sync.core.charsets import decode_raw
from crm_sync.core.dates import EARLIEST_YEAR
from crm_sync.core.encoded_words import decode_words
from crm_sync.core.errors import Unreadable
from crm_sync.core.headers import LARGEST_BLOCK, LARGEST_FIELD, parse_envelope
from crm_sync.core.records import Body, Item, Locator, MailItem, UnreadableItem
from crm_sync.core.sheltered import Shelter, message_text
from crm_sync.core.text import LARGEST_MESSAGE

LARGEST_OCTETS: Final = 256 * 1024
"""Bytes of a message that are handed out when the message itself is asked for."""

HEADER: Final = LARGEST_FIELD
"""Bytes at the start of a message that are read for its header."""

LONG_HEADER: Final = LARGEST_BLOCK
"""The same where the header is longer than that."""

# What parsers raise on mail that nobody foresaw: it concerns that message alone.
_SURPRISES: Final = (
    *(ValueError, TypeError, LookupError, AttributeError, OverflowError, RecursionError),
)
_END: Final = re.compile(rb"(\A|\n)\r?\n")
_VOLATILE: Final = re.compile(
    rb"^(?:x-mozilla-(?:status2?|keys)|x?-?status|x-keywords|x-uid|x-imap(?:base)?|lines"
    rb"|content-length)[ \t]*:[^\n]*\n(?:[ \t][^\n]*\n)*",
    re.IGNORECASE | re.MULTILINE,
)
_LABELS: Final = re.compile(
    rb"^x-gmail-labels:([^\n]*(?:\n[ \t][^\n]*)*)", re.IGNORECASE | re.MULTILINE
)
_MOZILLA: Final = re.compile(
    rb"^x-mozilla-status:[ \t]*([0-9a-f]{4})[ \t\r]*$", re.IGNORECASE | re.MULTILINE
)
_EARLIEST: Final = datetime(EARLIEST_YEAR, 1, 1, tzinfo=UTC)
_TELLING: Final = (b"x-mozilla-status:", b"x-gmail-labels:", b"x-imap:")
_EXPUNGED: Final = 0x0008
_INTERNAL: Final = re.compile(rb"^x-imap:", re.IGNORECASE | re.MULTILINE)
_FOLD: Final = re.compile(r"\r?\n[ \t]+")


def header_of(head: bytes) -> tuple[bytes, bool]:
    """The header block at the start of a message, and whether its end was there."""
    end = _END.search(head)
    return (head, False) if end is None else (head[: end.end(1)], True)


def item_of(
    key: str, header: bytes, size: int, arrived_at: datetime | None, hint: str = ""
) -> Item:
    """A message as an item; what can't be understood is an `UnreadableItem`.

    Without `arrived_at` the message's own date counts, else the earliest time of a mail.
    """
    try:
        envelope = parse_envelope(header)
    except Unreadable as error:
        return UnreadableItem(key, error.what)
    except _SURPRISES:
        return UnreadableItem(key, "the header of the message can't be understood")
    return MailItem(key, arrived_at or envelope.date or _EARLIEST, size, envelope, hint)


@dataclass(frozen=True, slots=True)
class Wish:
    """What is read of a message besides its text: the item, or in place of the text the octets."""

    items: bool
    octets: bool
    shelter: Shelter | None

    @property
    def most(self) -> int:
        """How many bytes of the message are read for it."""
        return LARGEST_OCTETS if self.octets else LARGEST_MESSAGE + 1


def body_of(locator: Locator, raw: bytes, item: Item | None, wish: Wish) -> Body:
    """The message itself, or text and attachments of what can be understood of it."""
    if wish.octets:
        return Body(locator, item=item, octets=raw)
    if isinstance(item, UnreadableItem):
        return Body(locator, item=item, problem=item.reason)
    try:
        text = message_text(wish.shelter, raw)
    except Unreadable as error:
        return Body(locator, item=item, problem=error.what)
    except _SURPRISES:
        return Body(locator, item=item, problem="the text of the message can't be understood")
    return Body(locator, text.text, text.attachments, item)


def lasting(header: bytes) -> bytes:
    """A header block without the fields in which mail programs note a message's state."""
    return _VOLATILE.sub(b"", header)


def is_no_mail(header: bytes) -> bool:
    """Whether an mbox holds this message only in form.

    It was deleted in Thunderbird and the folder not compacted yet, it is the note that some mail
    servers keep at the top of an mbox, or Gmail calls it spam, trash or a draft.
    """
    lower = header.lower()
    if not any(name in lower for name in _TELLING):
        return False
    mozilla = _MOZILLA.search(header)
    if mozilla is not None and int(mozilla[1], 16) & _EXPUNGED:
        return True
    if _INTERNAL.search(header):
        return True
    labels = _LABELS.search(header)
    return labels is not None and any(left_out(label) for label in _labels(labels[1]))


def _labels(value: bytes) -> list[str]:
    """The labels that Gmail's export writes into a header, in the language of the account."""
    text = decode_words(_FOLD.sub(" ", decode_raw(value)))
    return [label.strip().strip('"') for label in text.split(",")]


def moment(seconds: float) -> datetime | None:
    """Seconds since 1970 as aware UTC; None for what is no time of a mail."""
    try:
        at = datetime.fromtimestamp(seconds, UTC)
    except (ValueError, OverflowError, OSError):
        return None
    return at if at.year >= EARLIEST_YEAR else None
