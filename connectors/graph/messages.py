"""Messages as Graph describes them: which properties we ask for, and what becomes of them."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Final
from urllib.parse import quote

from connectors.graph.answers import Json, listed, mapping, moment, text
from connectors.graph.client import IMMUTABLE, Ask
from crm_sync.core.clean import clean, clean_text
from crm_sync.core.errors import Unreadable
from crm_sync.core.headers import HEADER_FIELDS, parse_envelope
from crm_sync.core.records import (
    Address,
    Attachment,
    Envelope,
    MailItem,
    UnreadableItem,
)
from crm_sync.core.sheltered import Shelter, html_text

_LARGEST_TEXT: Final = 1024 * 1024
_MOST_ADDRESSES: Final = 1000
_MOST_ATTACHMENTS: Final = 1000
_MOST_HEADERS: Final = 4000
_LONGEST_ID: Final = 1000
_LONGEST_NAME: Final = 255

# Copies in Sent Items have no internetMessageHeaders; these MAPI properties tell the thread all
# the same (MS-OXOMSG: PidTagInReplyToId, PidTagInternetReferences), and the size.
_IN_REPLY_TO: Final = "String 0x1042"
_REFERENCES: Final = "String 0x1039"
_SIZE: Final = "Integer 0x0E08"

# A field of ours in a copy of what we sent (PS_INTERNET_HEADERS): Exchange may replace its
# Message-ID, and may have lowered the name, which is compared with case.
_HEADERS: Final = "String {00020386-0000-0000-C000-000000000046} Name "
_OURS: Final = "X-CRM-Sync-Id"

_SELECT: Final = (
    "id,receivedDateTime,sentDateTime,isDraft,parentFolderId,internetMessageId,subject,from,sender,"
    "replyTo,toRecipients,ccRecipients,internetMessageHeaders"
)
_PROPERTIES: Final = "singleValueExtendedProperties($filter={})".format(
    " or ".join(
        f"id eq '{name}'"
        for name in (_IN_REPLY_TO, _REFERENCES, _SIZE, _HEADERS + _OURS, _HEADERS + _OURS.lower())
    )
)
_ATTACHMENTS: Final = "attachments($select=name,contentType,size)"
_KNOWN: Final = frozenset(name.lower() for name in HEADER_FIELDS)

HEADER_QUERY: Final = f"$select={_SELECT}&$expand={quote(_PROPERTIES, safe='$(),=')}"
"""What a header needs: `internetMessageHeaders` comes only when it is selected."""

_AS_TEXT: Final = 'outlook.body-content-type="text"'


def ask_header(mailbox: str, key: str) -> Ask:
    """Asks for the header of one message."""
    return Ask(f"{mailbox}/messages/{quote(key, safe='')}?{HEADER_QUERY}")


def ask_body(mailbox: str, key: str, *, header: bool) -> Ask:
    """Asks for the text and the attachments' names of one message, with its header if wanted."""
    path = f"{mailbox}/messages/{quote(key, safe='')}"
    select, expand = ("body", _ATTACHMENTS)
    if header:
        select, expand = f"{_SELECT},body", f"{_PROPERTIES},{_ATTACHMENTS}"
    query = f"?$select={select}&$expand={quote(expand, safe='$(),=')}"
    return Ask(path + query, (IMMUTABLE, _AS_TEXT))


def mime_path(mailbox: str, key: str) -> str:
    """Where a message lies as it was sent."""
    return f"{mailbox}/messages/{quote(key, safe='')}/$value"


def key_of(row: Json) -> str:
    """The id of a message; "" where there is none that could be one."""
    key = text(row.get("id"))
    return key if key.isascii() and key.isprintable() and len(key) <= _LONGEST_ID else ""


def item_of(row: Json, key: str) -> MailItem | UnreadableItem | None:
    """The item a row describes; None for a draft, which is no mail yet."""
    if row.get("isDraft") is True:
        return None
    arrived_at = moment(row.get("receivedDateTime")) or moment(row.get("sentDateTime"))
    if arrived_at is None:
        return UnreadableItem(key, "the server gives no date for the message")
    properties = _properties(row)
    envelope = _envelope(row, properties)
    if not (envelope.from_ or envelope.message_id or envelope.subject or envelope.to):
        return UnreadableItem(key, "the message has no header")
    return MailItem(key, arrived_at, _size(properties.get(_SIZE.lower())), envelope)


def text_of(row: Json, shelter: Shelter | None = None) -> str:
    """The text of a body, of HTML its lines; at most 1 MB of characters. Raises `Unreadable`."""
    body = mapping(row.get("body"))
    content = clean_text(text(body.get("content")), _LARGEST_TEXT)
    if text(body.get("contentType")).lower() == "html":
        content = clean_text(html_text(shelter, content), _LARGEST_TEXT)
    return content.strip()


def attachments_of(row: Json) -> tuple[Attachment, ...]:
    """Name, type and size of what is attached."""
    found = map(mapping, listed(row.get("attachments"))[:_MOST_ATTACHMENTS])
    return tuple(
        Attachment(
            clean(text(part.get("name"))).strip()[-_LONGEST_NAME:],
            clean(text(part.get("contentType")).lower(), _LONGEST_NAME),
            _size(part.get("size")),
        )
        for part in found
    )


def _envelope(row: Json, properties: Mapping[str, str]) -> Envelope:
    """The header as it was sent, with what Graph knows where the header says nothing."""
    try:
        sent = parse_envelope(_block(row))
    except Unreadable:
        sent = Envelope()
    threads = _threads(properties)
    ours = properties.get((_HEADERS + _OURS).lower(), "")
    return replace(
        sent,
        signs={_OURS.lower(): clean(ours), **sent.signs} if ours else sent.signs,
        message_id=clean(text(row.get("internetMessageId"))).strip() or sent.message_id,
        in_reply_to=sent.in_reply_to or threads.in_reply_to,
        references=sent.references or threads.references,
        from_=sent.from_ or _addresses([row.get("from")]),
        sender=sent.sender or _addresses([row.get("sender")]),
        reply_to=sent.reply_to or _addresses(listed(row.get("replyTo"))),
        to=sent.to or _addresses(listed(row.get("toRecipients"))),
        cc=sent.cc or _addresses(listed(row.get("ccRecipients"))),
        date=sent.date or moment(row.get("sentDateTime")),
        subject=sent.subject or clean(text(row.get("subject"))).strip(),
    )


def _block(row: Json) -> bytes:
    """The header fields that matter, as a header block."""
    lines: list[str] = []
    for field in map(mapping, listed(row.get("internetMessageHeaders"))[:_MOST_HEADERS]):
        name = text(field.get("name"))
        if name.lower() in _KNOWN:
            lines.append(f"{name}: {_one_line(text(field.get('value')))}\r\n")
    return "".join(lines).encode("utf-8", "replace")


def _threads(properties: Mapping[str, str]) -> Envelope:
    """In-Reply-To and References from their MAPI properties, read as fields."""
    fields = {
        "In-Reply-To": properties.get(_IN_REPLY_TO.lower(), ""),
        "References": properties.get(_REFERENCES.lower(), ""),
    }
    lines = [f"{name}: {_one_line(value)}\r\n" for name, value in fields.items() if value]
    return parse_envelope("".join(lines).encode("utf-8", "replace")) if lines else Envelope()


def _one_line(value: str) -> str:
    return " ".join(value.splitlines())


def _properties(row: Json) -> dict[str, str]:
    """Extended properties, id in lower case (Graph answers `0xe08` for `0x0E08`) -> value."""
    found = map(mapping, listed(row.get("singleValueExtendedProperties"))[:100])
    return {_normal_id(text(one.get("id"))): text(one.get("value")) for one in found}


def _normal_id(name: str) -> str:
    kind, _, tag = name.lower().partition(" 0x")
    return f"{kind} 0x{tag.zfill(4)}" if tag else name.lower()


def _addresses(recipients: Iterable[object]) -> tuple[Address, ...]:
    found: list[Address] = []
    for recipient in recipients:
        spelt = mapping(mapping(recipient).get("emailAddress"))
        address = clean(text(spelt.get("address"))).strip()
        name = clean(text(spelt.get("name"))).strip()
        if address or name:
            found.append(Address(address, "" if name == address else name))
        if len(found) == _MOST_ADDRESSES:
            break
    return tuple(found)


def _size(value: object) -> int:
    if isinstance(value, str) and value.isascii() and value.isdigit():
        value = int(value[:15])
    return value if type(value) is int and 0 <= value < 2**50 else 0
