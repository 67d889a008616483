"""What a report about delivery says: which address failed, for good or for now, and which mail.

Reports are read as RFC 3464 lays them down; the free forms of older servers by flufl.bounce.
"""

import re
from codecs import BOM_UTF8
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from email import message_from_bytes
from email.message import Message
from itertools import islice
from typing import Final, Literal

from crm_sync.core.addresses import canonical
from crm_sync.core.clean import clean
from crm_sync.core.mailboxes import parse_addresses
from crm_sync.core.records import Address

Kind = Literal["hard", "soft", "delayed"]

LARGEST: Final = 256 * 1024
"""Octets of a report that are read: it may return the whole mail."""

FADES_IN: Final = timedelta(days=30)
"""After so long a bounce says nothing any more."""

THRESHOLD: Final = 4.0
"""From this score on nothing should be sent to an address unseen."""

_WEIGHTS: Final = {"hard": 8.0, "soft": 2.0}
_MOST_PARTS: Final = 100
_MOST_FAILURES: Final = 50
_MOST_IDS: Final = 10
_LARGEST_FREE_FORM: Final = 64 * 1024
_LONGEST_VALUE: Final = 2000
_STATUS: Final = re.compile(r"(?<![\d.])([245])\.(\d{1,3})\.(\d{1,3})(?![\d.]*\d)")
_FAILURE_CODE: Final = re.compile(r"(?<![\d.])[45]\.\d{1,3}\.\d{1,3}(?![\d.]*\d)")
_REPLY: Final = re.compile(r"(?<![\d.])([45])\d\d(?=[ -])")
# Words of reports without a code that speak of the moment or of the mail.
_PASSING: Final = re.compile(
    r"quota|(?:mailbox|inbox|mail ?folder) (?:is |was |has been )?(?:\w{1,20} )?full"
    r"|(?:mailbox|storage|disk|message|size)[\w ]{0,30}(?:limit|exceed)"
    r"|temporar|try again later|grey-?list|too (?:large|big|many)|spam|policy|blocked|blacklist",
    re.IGNORECASE,
)
# Words of reports that nothing has failed yet.
_WAITING: Final = re.compile(
    r"not (?:yet )?been delivered (?:yet|to all)|(?:is|been|was) (?:delayed|postponed)|still trying"
    r"|(?:will|continue to) (?:continue |keep |be )?(?:try|retr)|delivery attempts will continue"
    r"|(?:just|only) a warning|warning message only",
    re.IGNORECASE,
)
_RECIPIENT: Final = re.compile(
    r"^(?:final|original)-recipient[ \t]*:[ \t]*(\S[^\r\n]{0,400})", re.IGNORECASE | re.MULTILINE
)
_STATUS_FIELD: Final = re.compile(
    r"^status[ \t]*:[ \t]*([245]\.\d{1,3}\.\d{1,3})", re.IGNORECASE | re.MULTILINE
)
_ACTION_FIELD: Final = re.compile(r"^action[ \t]*:[ \t]*([a-z]+)", re.IGNORECASE | re.MULTILINE)
_NO_FAILURE: Final = frozenset({"delivered", "relayed", "expanded"})
_NEAR: Final = 600
_LONGEST_NOTE: Final = 4000
_ADDRESS: Final = re.compile(r"[^\s<>()\[\]\",;:@]{1,64}+@[^\s<>()\[\]\",;:@]{1,255}+")
_ABOUT_US: Final = re.compile(
    r"\W{0,10}(?:(?:original )?sender|(?:mail )?from|return-path|reply-to|contact|postmaster)\b",
    re.IGNORECASE,
)
_SYSTEM: Final = re.compile(r"(?:postmaster|mailer-daemon|abuse|hostmaster)@")
_RETURNED: Final = re.compile(
    r"^[-\s>*#]{0,80}(?:original message|below (?:this line )?is (?:a copy|the original)"
    r"|message header|bounced e-?mail|returned (?:message|mail)\b)|^return-path:|^received:",
    re.IGNORECASE | re.MULTILINE,
)
_IDS: Final = re.compile(
    rb"^[> \t]{0,8}(?:message-id|x-crm-sync-id)[ \t]*:\s{0,4}(<[^<>\s]{1,300}>)",
    re.IGNORECASE | re.MULTILINE,
)
_END_OF_HEADER: Final = re.compile(rb"\r\n\r\n|\n\n|\r\r")


@dataclass(frozen=True, slots=True)
class Failure:
    """One recipient that a mail did not reach.

    `addresses` are canonical, the likeliest first: a server that forwards names another address
    than the one that was written to. `status` is the RFC 3463 code, "" when there was none.
    """

    addresses: tuple[str, ...]
    kind: Kind
    status: str = ""


@dataclass(frozen=True, slots=True)
class Bounce:
    """What a report says: each recipient, and the ids of the mail that came back.

    `original_ids` hold Message-ID and X-CRM-Sync-Id of the returned header, with brackets.
    """

    failures: tuple[Failure, ...] = ()
    original_ids: tuple[str, ...] = ()


def read_bounce(octets: bytes) -> Bounce:
    """Understands a report, given as the raw message; its first 256 KiB are read. Never raises."""
    octets = octets[:LARGEST]
    parts = mail_parts(octets)
    returned = returned_headers(parts)
    sole = sole_recipient(returned)
    failures = _reported(parts, sole) or _told(octets, parts, sole)
    return Bounce(tuple(failures[:_MOST_FAILURES]), original_ids(octets, returned))


def score(events: Iterable[tuple[str, datetime]], now: datetime) -> float:
    """How dead an address is, from (kind, time) of its bounces; times are aware.

    A hard bounce weighs 8, a soft one 2; each fades evenly to nothing within 30 days. So one hard
    bounce alone marks an address for a fortnight, as do three soft ones for some days.
    """
    total = 0.0
    for kind, at in events:
        left = 1 - max(now - at, timedelta(0)) / FADES_IN
        total += _WEIGHTS.get(kind, 0.0) * max(left, 0.0)
    return total


def is_dead(points: float) -> bool:
    """Whether a score says that mail would come back."""
    return points >= THRESHOLD


def kind_of(status: str, *, delayed: bool = False) -> Kind:
    """Whether a failure with this RFC 3463 code is for good.

    4.x.x is temporary by its class. Of the permanent ones these tell of the mail, of us or of the
    moment, and not of the address: 5.1.7 and 5.1.8 (our own address), 5.2.2 (mailbox full, which
    its owner can change), 5.2.3 and 5.3.4 (too large), 5.2.4 (a list), 5.3.x (the other system),
    5.4.x but 5.4.1 and 5.4.4 (loops and time-outs; those two mean no such host or, with Microsoft,
    no such recipient), 5.5.x (protocol), 5.6.x (content), 5.7.x (policy). They are soft: the next
    mail may arrive. What is left (5.0.0, 5.1.x, 5.2.0, 5.2.1, 5.4.1, 5.4.4) is hard. Mail that is
    only delayed may still arrive; its failure would be reported anew.
    """
    if delayed:
        return "delayed"
    found = _STATUS.fullmatch(status)
    if found is None or found[1] == "5":
        subject, detail = (found[2], found[3]) if found else ("0", "0")
        hard = {
            "0": True,
            "1": detail not in ("7", "8"),
            "2": detail in ("0", "1"),
            "4": detail in ("1", "4"),
        }
        return "hard" if hard.get(subject, False) else "soft"
    return "soft"


def mail_parts(octets: bytes) -> list[Message]:
    """The parts of a message, from the outermost in; those that could be read. Never raises."""
    found: list[Message] = []
    if octets.count(b"oundary") > _MOST_PARTS:
        return found  # the parser's time grows with depth times length
    try:
        message = message_from_bytes(octets.removeprefix(BOM_UTF8).lstrip())
        found.extend(islice(message.walk(), _MOST_PARTS))
    except Exception:  # noqa: BLE001  # the parser stumbles over hostile nesting and odd charsets
        return found
    return found


def field(part: Message, name: str) -> str:
    """The first value of a field as one clean line; "" when there is none."""
    try:
        return clean(str(part.get(name, "")), _LONGEST_VALUE).strip()
    except Exception:  # noqa: BLE001  # header objects of a stranger's bytes
        return ""


def blocks(part: Message) -> list[Message]:
    """The groups of fields in a part that the standard library reads as messages."""
    payload = part.get_payload()
    if isinstance(payload, list):
        return [block for block in payload[:_MOST_PARTS] if isinstance(block, Message)]
    return []


def decoded(part: Message) -> bytes:
    """The content of a part, its transfer encoding undone."""
    try:
        payload = part.get_payload(decode=True)
    except Exception:  # noqa: BLE001  # transfer encodings that are none
        return b""
    return payload if isinstance(payload, bytes) else b""


def returned_headers(parts: Sequence[Message]) -> Message | None:
    """The header of the mail that a report gives back, whole or as its header alone."""
    for part in parts[1:]:
        if part.get_content_type() in ("message/rfc822", "message/global"):
            inner = blocks(part)
            if inner and inner[0].keys():
                return inner[0]
        if part.get_content_type() in ("text/rfc822-headers", "message/global-headers"):
            inner = mail_parts(decoded(part).lstrip())
            if inner and inner[0].keys():
                return inner[0]
    return None


def sole_recipient(header: Message | None) -> str | None:
    """Whom the returned mail went to, canonical, if it went to one address alone."""
    if header is None:
        return None
    named = parse_addresses(field(header, "To")) + parse_addresses(field(header, "Cc"))
    found = {canonical(address.address) for address in named}
    return found.pop() if len(found) == 1 else None


def original_ids(octets: bytes, header: Message | None) -> tuple[str, ...]:
    """Message-ID and X-CRM-Sync-Id of the mail that is given back, each once."""
    if header is not None:
        texts = (field(header, "Message-ID"), field(header, "X-CRM-Sync-Id"))
        found = [text for text in texts if text.startswith("<") and text.endswith(">")]
        if found:
            return tuple(dict.fromkeys(found))
    ids = islice(_IDS.finditer(_body(octets)), _MOST_IDS)
    return tuple(dict.fromkeys(clean(match[1].decode("ascii", "replace")) for match in ids))


def _reported(parts: Sequence[Message], sole: str | None) -> list[Failure]:
    """The failures that the fields of a report name (RFC 3464 section 2.3)."""
    found: list[Failure] = []
    for part in parts:
        if part.get_content_type() in ("message/delivery-status", "message/global-delivery-status"):
            groups = [g for g in blocks(part) if g.keys()] or mail_parts(decoded(part).lstrip())
            found += [f for f in (_reported_one(group, sole) for group in groups) if f is not None]
    return found


def _reported_one(group: Message, sole: str | None) -> Failure | None:
    action = field(group, "Action").lower().split(" ")[0]
    if action in _NO_FAILURE:
        return None
    named = [_typed(field(group, name)) for name in ("Original-Recipient", "Final-Recipient")]
    if not any(named):
        return None
    addresses = tuple(dict.fromkeys(a for a in (*named, sole) if a))
    status = _status(field(group, "Status"), field(group, "Diagnostic-Code"))
    return Failure(addresses, kind_of(status, delayed=action == "delayed"), status)


def _typed(value: str) -> str | None:
    """The canonical address in "rfc822; lena@nordvik.example", with or without its type."""
    text = value.rpartition(";")[2].partition("(")[0].strip().strip("<>\"'")
    return canonical(text)


def _status(status: str, diagnostic: str) -> str:
    """The code of a failure: the one that says most, of the report's own and the last server's."""
    own, other = _STATUS.search(status), _STATUS.search(diagnostic)
    if own is not None and (other is None or not own[0].endswith(".0.0")):
        return own[0]
    if other is not None:
        return other[0]
    reply = _REPLY.search(diagnostic)
    return f"{reply[1]}.0.0" if reply else ""


def _told(octets: bytes, parts: Sequence[Message], sole: str | None) -> list[Failure]:
    """The failures that a report of free form tells of."""
    if not parts:
        return []
    words = _words(parts) or _body(octets)[:_LARGEST_FREE_FORM].decode("utf-8", "replace")
    named = _fields_in(words) or _fields_in(octets.decode("utf-8", "replace"))
    if named:
        return named
    late, gone = _recognised(octets)
    gone = gone or _mentioned(words, parts[0]) or tuple(a for a in (sole,) if a and not late)
    found = _FAILURE_CODE.search(words)
    status = found[0] if found else ""
    kind = _kind_in(words, status)
    failures = [Failure((address,), kind, status) for address in gone]
    return failures + [Failure((a,), "delayed", status) for a in late if a not in gone]


def _kind_in(words: str, status: str) -> Kind:
    """Whether a failure is for good, by the words of a report and the code found among them."""
    if not status.startswith("5") and _WAITING.search(words):
        return "delayed"
    return "soft" if not status and _PASSING.search(words) else kind_of(status)


def _fields_in(text: str) -> list[Failure]:
    """The failures whose fields stand in the text, where a part was broken or never made."""
    found: list[Failure] = []
    for match in islice(_RECIPIENT.finditer(text), _MOST_FAILURES):
        address = _typed(match[1])
        about = text[max(match.start() - _NEAR, 0) : match.end() + _NEAR]
        status, action = _STATUS_FIELD.search(about), _ACTION_FIELD.search(about)
        if address and not (action and action[1].lower() in _NO_FAILURE):
            code = status[1] if status else ""
            delayed = action is not None and action[1].lower() == "delayed"
            found.append(Failure((address,), kind_of(code, delayed=delayed), code))
    return found


def _recognised(octets: bytes) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Addresses that flufl.bounce finds: those still being tried, and those given up."""
    from flufl.bounce import all_failures  # noqa: PLC0415  # thirty detectors, rarely wanted

    message = message_from_bytes(octets[:_LARGEST_FREE_FORM])
    if not parse_addresses(field(message, "From")):  # one of its detectors can't do without
        del message["From"]
        message["From"] = "nobody@invalid"
    try:
        temporary, permanent = all_failures(message)
    except Exception:  # noqa: BLE001  # its detectors stumble over mail they do not expect
        temporary, permanent = frozenset(), frozenset()
    return _spellings(temporary), _spellings(permanent)


def _mentioned(words: str, report: Message) -> tuple[str, ...]:
    """Addresses that a report names and that are neither its author's nor its reader's."""
    failed = field(report, "X-Failed-Recipients")
    if failed:
        return _spellings(failed.split(","))
    own = {canonical(a.address) for n in ("From", "To", "Cc") for a in _people(report, n)}
    lines = (line for line in words[:_LONGEST_NOTE].splitlines() if not _ABOUT_US.match(line))
    named = (match[0] for line in lines for match in _ADDRESS.finditer(line))
    return tuple(a for a in _spellings(named) if a not in own and not _SYSTEM.match(a))


def _people(part: Message, name: str) -> tuple[Address, ...]:
    return parse_addresses(field(part, name))


def _spellings(addresses: Iterable[bytes | str]) -> tuple[str, ...]:
    """The canonical forms, each once, in order."""
    found: dict[str, None] = {}
    for address in islice(addresses, _MOST_FAILURES):
        text = address.decode("utf-8", "replace") if isinstance(address, bytes) else address
        spelling = canonical(clean(text).strip().strip("<>"))
        if spelling is not None:
            found[spelling] = None
    return tuple(sorted(found)) if isinstance(addresses, frozenset) else tuple(found)


def _words(parts: Sequence[Message]) -> str:
    """What the server says in words: the first text, without the mail that it gives back."""
    for part in parts:
        if part.get_content_maintype() == "text" and not part.is_multipart():
            text = decoded(part)[:_LARGEST_FREE_FORM].decode("utf-8", "replace")
            return _RETURNED.split(text, maxsplit=1)[0]
    return ""


def _body(octets: bytes) -> bytes:
    """What follows the header."""
    end = _END_OF_HEADER.search(octets)
    return octets[end.end() :] if end else b""
