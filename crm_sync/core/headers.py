"""Header blocks to `Envelope` records, fast and without ever trusting the sender.

The block is split by hand; the standard library serves where a value is unusual. What comes out
has passed `clean`.
"""

import re
from functools import lru_cache
from typing import Final

from crm_sync.core.charsets import decode_raw
from crm_sync.core.clean import HEADER_LIMIT, clean
from crm_sync.core.dates import parse_date
from crm_sync.core.encoded_words import decode_words
from crm_sync.core.errors import Unreadable
from crm_sync.core.mailboxes import parse_addresses
from crm_sync.core.records import Address, Envelope

SIGNS: Final = (
    "Auto-Submitted", "Content-Class", "Errors-To", "Feedback-ID", "List-Id", "List-Post",
    "List-Unsubscribe", "Mailing-List", "Precedence", "User-Agent", "X-Auto-Response-Suppress",
    "X-Autoreply", "X-Autorespond", "X-BeenThere", "X-Bugzilla-Reason", "X-Campaign",
    "X-CampaignID", "X-CRM-Sync-Id", "X-Failed-Recipients", "X-GitHub-Reason", "X-GitLab-Project",
    "X-JIRA-FingerPrint", "X-Loop", "X-Mailer", "X-Mailing-List", "X-Mailman-Version", "X-MC-User",
    "X-Microsoft-Original-Message-ID", "X-Redmine-Host", "X-Report-Abuse", "X-Spam-Flag",
)  # fmt: skip
"""Fields that tell machine mail or our own; kept in `Envelope.signs` under lower-case names."""

HEADER_FIELDS: Final[tuple[str, ...]] = (
    "From",
    "Sender",
    "Reply-To",
    "To",
    "Cc",
    "Date",
    "Subject",
    "Message-ID",
    "In-Reply-To",
    "References",
    "Return-Path",
    "Content-Type",
    "Content-Transfer-Encoding",
    *SIGNS,
)
"""The fields worth asking a mail server for; `parse_envelope` reads no others."""

LARGEST_BLOCK: Final = 256 * 1024
"""Bytes of a header block that are read; the rest is as good as missing."""

LARGEST_FIELD: Final = 64 * 1024
"""Bytes of a field that are read, so that thousands of recipients hide no other field."""

_MOST_LINES: Final = 16_000
_MOST_REFERENCES: Final = 100
_LONGEST_REMEMBERED: Final = 250
_KNOWN: Final = {
    spelling.encode(): name.lower()
    for name in HEADER_FIELDS
    for spelling in (name, name.lower(), name.capitalize())
}
_KNOWN_TEXT: Final = {spelling.decode(): name for spelling, name in _KNOWN.items()}
_REPEATED: Final = frozenset({"to", "cc"})
_SIGN_NAMES: Final = frozenset(name.lower() for name in SIGNS)
_MESSAGE_ID: Final = re.compile(r"<[^<>\s]+>")
_FIELD: Final = re.compile(rb"[!-9;-~]+[ \t]*:")
_FOLD: Final = re.compile(r"\r\n[ \t]+")
_CHARSET: Final = re.compile(rb"charset\s*=\s*\"?([\w.:-]+)", re.IGNORECASE)


def parse_envelope(block: bytes) -> Envelope:
    """The envelope in a header block: all its fields or only some, with or without a body after it.

    Tolerates folding, any line ends, an mbox "From " line, lines without colon, doubled fields,
    raw 8-bit text and every malformed value: what can't be read is left empty. Raises `Unreadable`
    only when there is no header field at all. Reads 256 kB and 16,000 lines at most, and of each
    field 64 kB.
    """
    fields = split_fields(block)
    get = fields.get
    return Envelope(
        message_id=_message_id(get("message-id", "")),
        in_reply_to=_message_ids(get("in-reply-to", "")),
        references=_message_ids(get("references", "")),
        from_=_addresses(get("from")),
        sender=_addresses(get("sender")),
        reply_to=_addresses(get("reply-to")),
        to=_addresses(get("to")),
        cc=_addresses(get("cc")),
        return_path=_return_path(get("return-path")),
        date=parse_date(fields["date"]) if "date" in fields else None,
        subject=_decoded(get("subject", "")),
        content_type=get("content-type", "")[:HEADER_LIMIT],
        transfer_encoding=get("content-transfer-encoding", "").lower()[:HEADER_LIMIT],
        signs={name: _decoded(fields[name]) for name in fields if name in _SIGN_NAMES},
    )


def split_fields(block: bytes) -> dict[str, str]:
    """The known fields of a header block, unfolded and clean: lower-case name -> raw value.

    The first of several counts; those of To and Cc are joined. Raises `Unreadable` as
    `parse_envelope` does.
    """
    return _split_usual(block) or split_fields_tolerantly(block)


def _split_usual(block: bytes) -> dict[str, str] | None:
    """The fields of a block in which all is as most servers hand it out; None for any other.

    ASCII, lines that end in CR LF, printable but for tabs that begin a fold, each field once.
    """
    if len(block) > LARGEST_FIELD or not block.isascii() or block.count(b"\n") > _MOST_LINES:
        return None
    lines = _FOLD.sub(" ", block.decode("ascii").removesuffix("\r\n\r\n")).split("\r\n")
    if not "".join(lines).isprintable():
        return None
    found: dict[str, str] = {}
    known = _KNOWN_TEXT.get
    for name, colon, value in [line.partition(":") for line in lines]:
        field = known(name) or known(name.rstrip().lower())
        if field in found or not name or not colon:
            return None
        if field is not None:
            found[field] = value.strip()
    return found


def split_fields_tolerantly(block: bytes) -> dict[str, str]:
    """The same for any block: what `split_fields` does where something is unusual."""
    lines = _header_lines(block)
    found: dict[str, bytes] = {}
    field, known = None, _KNOWN.get
    for line in lines:
        if line[0] in b" \t":
            if field is not None and len(found[field]) < LARGEST_FIELD:
                found[field] += b" " + line.lstrip()
            continue
        name, _, value = line.partition(b":")
        field = known(name) or known(name.rstrip().lower())
        if field is None:
            continue
        if field not in found:
            found[field] = value
        elif field in _REPEATED:
            if len(found[field]) < LARGEST_FIELD:
                found[field] += b"," + value
        else:
            field = None
    if not found and not any(_FIELD.match(line) for line in lines):
        raise Unreadable("the message has no header")
    return _texts(found)


def _header_lines(block: bytes) -> list[bytes]:
    """The lines before the first empty one, whatever ends them; leading empty ones skipped."""
    block = block[:LARGEST_BLOCK].lstrip(b"\r\n")
    end = block.find(b"\r\n\r\n")
    lines = (block if end < 0 else block[:end]).splitlines()
    if b"" in lines:
        del lines[lines.index(b"") :]
    return lines[:_MOST_LINES]


def _texts(found: dict[str, bytes]) -> dict[str, str]:
    """Values as clean text: ASCII, else UTF-8, else the body's charset, else Windows-1252."""
    charset = ""
    fields: dict[str, str] = {}
    for name, whole in found.items():
        value = whole[:LARGEST_FIELD]
        if value.isascii():
            text = value.decode("ascii")
        else:
            if not charset:
                named = _CHARSET.search(found.get("content-type", b""))
                charset = named[1].decode("latin-1") if named else "utf-8"
            text = decode_raw(value, charset)
        text = text.strip()
        fields[name] = text if text.isprintable() else clean(text, LARGEST_FIELD)
    return fields


def _addresses(value: str | None) -> tuple[Address, ...]:
    if not value:
        return ()
    return _frequent(value) if len(value) <= _LONGEST_REMEMBERED else parse_addresses(value)


# The same people write to the same people: most fields have been seen before.
_frequent: Final = lru_cache(maxsize=1024)(parse_addresses)


def _decoded(value: str) -> str:
    return clean(decode_words(value)).strip() if "=?" in value else value[:HEADER_LIMIT]


def _message_id(value: str) -> str:
    if value and not (value[0] == "<" and value.find(">") == len(value) - 1):
        found = _MESSAGE_ID.search(value)
        value = found[0] if found else value
    return value[:HEADER_LIMIT]


def _message_ids(value: str) -> tuple[str, ...]:
    """Each Message-ID in the field; of very many the first, the thread's root, and the last 100."""
    if not value:
        return ()
    found = _MESSAGE_ID.findall(value) or [word for word in value.split() if "@" in word]
    if len(found) > _MOST_REFERENCES + 1:
        found = [found[0], *found[-_MOST_REFERENCES:]]
    return tuple([text[:HEADER_LIMIT] for text in found])


def _return_path(value: str | None) -> str | None:
    if value is None:
        return None
    return value.removeprefix("<").removesuffix(">").strip()[:HEADER_LIMIT]
