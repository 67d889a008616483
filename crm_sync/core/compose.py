"""Drafts to bytes: the one place where a mail of ours becomes an RFC 5322 message.

Fields are written here and not by `email.headerregistry`: CPython 3.11 changes display names when
it folds long ones, and takes `=?` in plain text for an encoded word. What was written is parsed
back, and refused unless it has the planned fields and addresses.
"""

import base64
import hashlib
import hmac
import re
from collections.abc import Iterable
from email import policy
from email.message import EmailMessage
from email.parser import HeaderParser
from email.utils import format_datetime

from crm_sync.core.addresses import canonical_domain
from crm_sync.core.clean import clean
from crm_sync.core.records import Address, Draft

MAX_LINE = 998
"""Octets in a line without its CRLF (RFC 5322 section 2.1.1)."""

MAX_RECIPIENTS = 100
"""What large providers take in one mail."""

_FOLD = "\r\n "
_FOLD_AT = 76
_WORD_OCTETS = 36  # 48 characters of base64: with "=?utf-8?b?" and a field's name within 76
_MAX_ADDRESS = 320
_MAX_REFERENCES = 20
_MAX_IDS = 65_536

_PRINTABLE = re.compile(r"[ -~]*")
_ATOMS = re.compile(r"[\w!#$%&'*+/=?^`{|}~-]+( [\w!#$%&'*+/=?^`{|}~-]+)*", re.ASCII)
_DOT_ATOM = re.compile(r"[^\x00-\x20\x7f()<>\[\]:;@\\,.\"]+(\.[^\x00-\x20\x7f()<>\[\]:;@\\,.\"]+)*")
_QUOTED = re.compile(r'"((?:[^"\\]|\\.)*)"')
_LABEL = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?")
_LITERAL = re.compile(r"\[[0-9A-Za-z:.]{2,60}\]")
_FIELD_NAME = re.compile(r"[!-9;-~]{1,70}")
_MESSAGE_ID = re.compile(r"<[!-;=?A-~]{1,180}@[!-;=?A-~]{1,180}>")
_LANGUAGE = re.compile(r"[A-Za-z]{2,8}(-[A-Za-z0-9]{1,8})*")
_CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]")
_BARE = re.compile(rb"\r(?!\n)|(?<!\r)\n")

_OURS = frozenset(
    {"from", "sender", "to", "cc", "bcc", "reply-to", "subject", "date", "message-id"}
    | {"mime-version", "return-path", "received"}
)
_IDENTIFIERS = frozenset({"in-reply-to", "references"})


def compose(draft: Draft) -> bytes:
    """The draft as an RFC 5322 message with CRLF line ends, the same bytes each time.

    multipart/alternative, text first; 7-bit throughout, except for non-ASCII local parts (see
    `needs_smtputf8`). There is no Bcc field. Raises ValueError, in words of ours, for what can't
    be sent: an address, Message-ID or field name that is none, no recipient, too many of them.
    """
    planned = _fields(draft)
    wire = policy.SMTPUTF8 if needs_smtputf8(draft) else policy.SMTP
    message = EmailMessage(policy=wire.clone(refold_source="none", cte_type="7bit"))
    for name, value in planned:
        message.set_raw(name, value)
    message.set_content(_body(draft.text))
    message.add_alternative(_body(draft.html), subtype="html")
    message.set_boundary(_boundary(draft))
    names = [*(name for name, _ in planned), "MIME-Version", "Content-Type"]
    if language := _language(draft.language):
        message.set_raw("Content-Language", language)
        names.append("Content-Language")
    data = message.as_bytes()
    _check(data, names, draft)
    return data


def message_id(secret: bytes, natural_key: str, domain: str) -> str:
    """The Message-ID of the mail with this natural key: the same after every restart and restore.

    160 bits of HMAC-SHA256, so that it tells nothing about the key and can't be guessed. Raises
    ValueError for a domain that is none.
    """
    digest = hmac.digest(secret, natural_key.encode(), "sha256")[:20]
    return f"<{base64.b32encode(digest).decode().lower()}@{_domain(domain)}>"


def needs_smtputf8(draft: Draft) -> bool:
    """Whether an address has a non-ASCII local part, which takes RFC 6531 to deliver."""
    named = (address.address for address in (draft.from_, *draft.to, *draft.reply_to))
    return any(not address.rpartition("@")[0].isascii() for address in (*named, *draft.bcc))


def addr_spec(address: str) -> str:
    """The address as it goes over the wire: local part quoted where needed, domain in A-labels.

    Lenient, for it comes from real mail. Raises ValueError for what can't be an address at all.
    """
    local, domain = _parts(address)
    if not _DOT_ATOM.fullmatch(local):
        local = _quoted(local)
    return f"{local}@{domain}"


def _parts(address: str) -> tuple[str, str]:
    local, _, domain = address.strip().rpartition("@")
    if quoted := _QUOTED.fullmatch(local):
        local = re.sub(r"\\(.)", r"\1", quoted[1])
    if not local or not local.isprintable() or len(address) > _MAX_ADDRESS:
        raise ValueError("an address is not one that mail can be sent to")
    return local, _domain(domain)


def _domain(domain: str) -> str:
    """The domain in lower case and A-labels (RFC 5890), or a domain literal."""
    if _LITERAL.fullmatch(domain):
        return domain
    wire = canonical_domain(domain)
    if not all(_LABEL.fullmatch(label) for label in wire.split(".")):
        raise ValueError("the domain of an address is not one that mail can be sent to")
    return wire


def _fields(draft: Draft) -> list[tuple[str, str]]:
    """The planned fields in order, each folded and ready for the wire."""
    if not draft.to or len(draft.to) + len(draft.bcc) > MAX_RECIPIENTS:
        raise ValueError(f"a mail needs a recipient and takes {MAX_RECIPIENTS} at most")
    if not _MESSAGE_ID.fullmatch(draft.message_id):
        raise ValueError("the Message-ID is none")
    if draft.date.tzinfo is None:
        raise ValueError("the date has no zone")
    fields = [("From", _mailboxes([draft.from_])), ("To", _mailboxes(draft.to))]
    if draft.reply_to:
        fields.append(("Reply-To", _mailboxes(draft.reply_to)))
    fields += [
        ("Subject", _unstructured(draft.subject)),
        ("Date", format_datetime(draft.date)),
        ("Message-ID", draft.message_id),
    ]
    return fields + _further(draft.headers)


def _further(headers: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
    fields: dict[str, tuple[str, str]] = {}
    for name, value in headers:
        key = name.lower()
        taken = key in _OURS or key in fields or key.startswith(("content-", "resent-"))
        if taken or not _FIELD_NAME.fullmatch(name):
            raise ValueError(
                "a further field is misnamed, doubled, or one that the mail has anyway"
            )
        text = _ids(value) if key in _IDENTIFIERS else _unstructured(value)
        if text:
            fields[key] = (name, text)
    return list(fields.values())


def _mailboxes(addresses: Iterable[Address]) -> str:
    return ",\r\n ".join(_mailbox(address) for address in addresses)


def _mailbox(address: Address) -> str:
    spec = addr_spec(address.address)
    name = _one_line(address.name)
    if not name:
        return spec
    phrase = _phrase(name)
    return f"{phrase}{' ' if len(phrase) + len(spec) < _FOLD_AT else _FOLD}<{spec}>"


def _phrase(name: str) -> str:
    if not _is_plain(name) or len(name) >= _FOLD_AT:
        return _encoded_words(name)
    return name if _ATOMS.fullmatch(name) else _quoted(name)


def _quoted(text: str) -> str:
    return '"' + re.sub(r'(["\\])', r"\\\1", text) + '"'


def _unstructured(value: str) -> str:
    text = _one_line(value)
    tokens = re.findall(r" *[^ ]+", text)
    if not _is_plain(text) or any(len(token) > MAX_LINE // 2 for token in tokens):
        return _encoded_words(text)
    return _folded(tokens)


def _ids(value: str) -> str:
    """Message-IDs of a thread; the first and the last ones when there are many."""
    ids = [word for word in clean(value, _MAX_IDS).split() if _MESSAGE_ID.fullmatch(word)]
    return _folded([f" {word}" for word in ids[:1] + ids[1:][-_MAX_REFERENCES:]]).strip()


def _folded(tokens: Iterable[str]) -> str:
    """Joins tokens that begin with their own spaces, folding before some (section 2.2.3)."""
    lines = [""]
    for token in tokens:
        if lines[-1] and len(lines[-1]) + len(token) > _FOLD_AT:
            lines.append("")
        lines[-1] += token
    return "\r\n".join(lines)


def _one_line(text: str) -> str:
    return clean(text).strip()


def _is_plain(text: str) -> bool:
    """Whether the text can stand in a field as it is, and can't be mistaken for encoded words."""
    return bool(_PRINTABLE.fullmatch(text)) and "=?" not in text


def _encoded_words(text: str) -> str:
    """The text as encoded words, each on its line (RFC 2047 section 2); no character is split."""
    chunks = [b""]
    for character in text:
        octets = character.encode()
        if len(chunks[-1]) + len(octets) > _WORD_OCTETS:
            chunks.append(b"")
        chunks[-1] += octets
    return _FOLD.join(f"=?utf-8?b?{base64.b64encode(chunk).decode()}?=" for chunk in chunks)


def _body(text: str) -> str:
    whole = text.encode("utf-8", "replace").decode()
    return _CONTROLS.sub("", re.sub(r"\r\n?", "\n", whole))


def _boundary(draft: Draft) -> str:
    """Derived from all that it parts, so that it can't occur in it."""
    parts = (draft.message_id, draft.text, draft.html)
    digest = hashlib.sha256("\0".join(parts).encode("utf-8", "replace"))
    return f"=_{digest.hexdigest()[:40]}"


def _language(tag: str) -> str:
    tag = tag.replace("_", "-")
    if tag and not _LANGUAGE.fullmatch(tag):
        raise ValueError("the language of the mail is not a language tag")
    return tag


def _check(data: bytes, names: list[str], draft: Draft) -> None:
    """Reads the message back: what a stranger's text slipped in must never leave the house."""
    parsed = HeaderParser(policy=policy.default).parsestr(data.decode())
    if parsed.keys() != names:
        raise ValueError("the mail would have other fields than planned")
    fields = {"From": [draft.from_], "To": draft.to, "Reply-To": draft.reply_to}
    for name, planned in fields.items():
        found = [(a.username, a.domain) for f in parsed.get_all(name, []) for a in f.addresses]
        if found != [_parts(address.address) for address in planned]:
            raise ValueError("the mail would name other addresses than planned")
    if _BARE.search(data) or max(map(len, data.split(b"\r\n"))) > MAX_LINE:
        raise ValueError("the mail would have lines that mail can't have")
