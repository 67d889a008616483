"""The records that travel through the house: frozen, without behaviour, without storage.

Times are aware UTC `datetime`s unless a name says `local`. Text has passed the one boundary
(`core.clean`): no CR, LF, NUL or lone surrogates.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Literal

StreamKind = Literal["mail", "calendar"]

MOST_OCTETS = 256 * 1024
"""Of a message that is read as it is, no more is taken."""


@dataclass(frozen=True, slots=True)
class Address:
    """A mailbox as a header or an ATTENDEE spells it (RFC 5322 section 3.4).

    `address` is the addr-spec, cleaned but with its case kept; empty when there was none.
    """

    address: str
    name: str = ""


@dataclass(frozen=True, slots=True)
class Envelope:
    """What the header of one message says (RFC 5322 section 3.6).

    `message_id`, `in_reply_to` and `references` keep their angle brackets. `date` is None when it
    is missing or no date. `return_path` is None when there is no such field, "" for the null path.
    `signs` holds the remaining fields that tell machine mail, lower-case name -> first value.
    """

    message_id: str = ""
    in_reply_to: tuple[str, ...] = ()
    references: tuple[str, ...] = ()
    from_: tuple[Address, ...] = ()
    sender: tuple[Address, ...] = ()
    reply_to: tuple[Address, ...] = ()
    to: tuple[Address, ...] = ()
    cc: tuple[Address, ...] = ()
    return_path: str | None = None
    date: datetime | None = None
    subject: str = ""
    content_type: str = ""
    transfer_encoding: str = ""
    signs: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class MailItem:
    """One message as a source saw it.

    `key` names it in its stream for as long as the stream's epoch lasts (IMAP:
    "UIDVALIDITY:UID"). `arrived_at` is the server's date of arrival (INTERNALDATE). `size` is in
    bytes and may be wrong. `hint` is text of the connector's own that makes `read` cheaper.
    """

    key: str
    arrived_at: datetime
    size: int
    envelope: Envelope
    hint: str = ""


@dataclass(frozen=True, slots=True)
class Attendee:
    """A participant of a meeting (RFC 5545 section 3.8.4.1); values of parameters in upper case."""

    address: str
    name: str = ""
    partstat: str = "NEEDS-ACTION"
    cutype: str = "INDIVIDUAL"
    role: str = "REQ-PARTICIPANT"


@dataclass(frozen=True, slots=True)
class Occurrence:
    """One meeting that takes place once: a single event or one slot of a series.

    `slot` is the original start: ISO 8601 in UTC ("2026-03-04T09:00:00Z"), a date for all-day, None
    when the event does not recur. `starts_at`/`ends_at` are aware UTC; for an all-day meeting they
    are None and `first_day`/`last_day` (inclusive) hold its days.
    """

    uid: str
    slot: str | None
    starts_at: datetime | None
    ends_at: datetime | None
    summary: str
    organizer: Attendee | None
    attendees: tuple[Attendee, ...]
    cancelled: bool = False
    private: bool = False
    transparent: bool = False
    first_day: date | None = None
    last_day: date | None = None
    sequence: int = 0

    @property
    def all_day(self) -> bool:
        """Whether the meeting has days and no times."""
        return self.first_day is not None


@dataclass(frozen=True, slots=True)
class EventItem:
    """One calendar object: an event or a series, laid out in the window of its source.

    `key` is its href, `version` an opaque text of the connector's own (the etag and what it needs
    to know to decide later whether to read the object again).
    """

    key: str
    version: str
    uid: str
    occurrences: tuple[Occurrence, ...]


@dataclass(frozen=True, slots=True)
class UnreadableItem:
    """An item that could not be understood: where it is and why, never what it says."""

    key: str
    reason: str
    version: str = ""


Item = MailItem | EventItem | UnreadableItem


@dataclass(frozen=True, slots=True)
class Stream:
    """A folder or a calendar of an account. `key` is stable, `name` is for people."""

    key: str
    name: str
    kind: StreamKind


@dataclass(frozen=True, slots=True)
class Page:
    """A part of what is new in a stream, and the cursor that stands for having stored it.

    `gone` are keys that the source proved to be gone. `reset` says that all earlier keys of the
    stream are void (UIDVALIDITY changed). `more` says that further pages follow in this pull.
    `total` is the number of items this pull will bring, where the source knows it. `history` says
    that the page brings what was there before the first pull, newest first.
    """

    items: tuple[Item, ...]
    cursor: str
    gone: tuple[str, ...] = ()
    more: bool = False
    reset: bool = False
    total: int | None = None
    history: bool = False


@dataclass(frozen=True, slots=True)
class Locator:
    """Where to find an item again: the stream's key, the item's key, the connector's own hint."""

    stream: str
    key: str
    hint: str = ""


@dataclass(frozen=True, slots=True)
class Attachment:
    """Name, media type and decoded size in bytes (0 when unknown) of an attachment."""

    name: str
    media_type: str
    size: int


@dataclass(frozen=True, slots=True)
class Body:
    """What `Source.read` found at a locator.

    `item` is the item read anew, when it was asked for. `gone` says that nothing is there any more;
    `problem` says in a few words of ours why text or item could not be read. `octets` is the
    message itself, cut at 256 KiB, when it was asked for.
    """

    locator: Locator
    text: str = ""
    attachments: tuple[Attachment, ...] = ()
    item: Item | None = None
    gone: bool = False
    problem: str = ""
    octets: bytes = b""


@dataclass(frozen=True, slots=True)
class Draft:
    """A mail of ours, complete: what a Sender hands over and never changes.

    `bcc` are envelope recipients that no header names. `headers` are further fields in order.
    """

    message_id: str
    date: datetime
    from_: Address
    to: tuple[Address, ...]
    subject: str
    text: str
    html: str
    language: str
    reply_to: tuple[Address, ...] = ()
    bcc: tuple[str, ...] = ()
    headers: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Receipt:
    """The server's answer to a mail it accepted, and the recipients it would not take."""

    answer: str
    refused: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of `check` or `doctor`."""

    name: str
    ok: bool
    problem: str = ""
    advice: str = ""
