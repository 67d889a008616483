"""The mailbox behind the scripted IMAP server: its lies, folders, messages, and what is said of them."""

import email
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date, datetime
from itertools import count
from typing import Any

MONTHS = "Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec".split()  # noqa: SIM905  # readable so


@dataclass
class Lies:
    """What the server does wrong; each holds until it is taken back, `cut_after` happens once.

    `uidnext`: "true", "low" (by one) or "missing". `uidvalidity`: "true", "missing" or "flapping"
    (another one whenever it is told). `phantoms`: UIDs beyond the last that SEARCH announces.
    `drip`: bytes a write. `cut_after`: bytes until the line breaks; with `bye` after whole
    responses and a BYE. `bare`: no text after a tagged OK. `arrival`: "true", "missing" or "short" (a day of one digit). `size`: what to add to RFC822.SIZE. `raw_list`: responses to LIST besides.
    """

    uidnext: str = "true"
    uidvalidity: str = "true"
    phantoms: int = 0
    scattered: bool = False
    chatter: bool = False
    bare: bool = False
    empty: bool = False
    size: int = 0
    arrival: str = "true"
    drip: int = 0
    cut_after: int | None = None
    bye: bool = False
    exists_with_idling: bool = False
    raw_list: list[bytes] = field(default_factory=list)
    refuses: Callable[[bytes], bytes | None] = lambda _: None


@dataclass
class Message:
    """A message as it was delivered; `late` ones have a UID and can't be seen yet.

    `number` and `conversation` are what Gmail calls X-GM-MSGID and X-GM-THRID.
    """

    raw: bytes
    arrived_at: datetime
    late: bool = False
    silent: bool = False
    poison: str = ""
    conversation: int = 0
    number: int = field(default_factory=count(1 << 60).__next__)

    def mark(self, name: bytes) -> int:
        """The number of that name."""
        return self.number if name == b"X-GM-MSGID" else self.conversation


@dataclass
class Folder:
    """A folder; UIDs rise and are never given twice within a UIDVALIDITY."""

    name: bytes
    uidvalidity: int
    uses: bytes = b""
    uidnext: int = 1
    messages: dict[int, Message] = field(default_factory=dict)

    def add(self, message: Message) -> int:
        """Delivers a message; its UID."""
        uid, self.uidnext = self.uidnext, self.uidnext + 1
        self.messages[uid] = message
        return uid

    def renumber(self, uidvalidity: int) -> dict[int, int]:
        """Gives all messages new UIDs from 1 on; old UID -> new."""
        old = sorted(self.messages)
        self.messages = {new: self.messages[uid] for new, uid in enumerate(old, 1)}
        self.uidvalidity, self.uidnext = uidvalidity, len(old) + 1
        return {uid: new for new, uid in enumerate(old, 1)}

    def visible(self) -> list[int]:
        """The UIDs that the server admits to."""
        return [uid for uid, message in sorted(self.messages.items()) if not message.late]


def uids_in(text: bytes, known: list[int]) -> set[int]:
    """The UIDs of a sequence-set among `known`; "n:*" means the last one at least."""
    top = max(known, default=0)
    found: set[int] = set()
    for part in text.split(b","):
        first, _, last = part.partition(b":")
        ends = [top if end == b"*" else int(end) for end in (first, last or first)]
        found |= {uid for uid in known if min(ends) <= uid <= max(ends)}
    return found


def search(folder: Folder, words: list[bytes], known: list[int]) -> set[int]:
    """The UIDs among `known` that meet criteria (RFC 3501 section 6.4.4), taken off `words`.

    Raises KeyError, ValueError or IndexError for what this server does not know.
    """
    found = set(known)
    while words:
        found &= _criterion(folder, words, known)
    return found


def _criterion(folder: Folder, words: list[bytes], known: list[int]) -> set[int]:
    word = words.pop(0).upper()
    if word == b"ALL":
        return set(known)
    if word == b"UID":
        return uids_in(words.pop(0), known)
    if word == b"OR":
        return _criterion(folder, words, known) | _criterion(folder, words, known)
    if word in {b"HEADER", b"X-GM-MSGID"}:
        fits, there = _test(word, words), folder.messages
        return {u for u in known if u in there and fits(there[u])}
    if word == b"SINCE":
        day = imap_date(words.pop(0))
        there = folder.messages
        return {u for u in known if u not in there or there[u].arrived_at.date() >= day}
    numbers = uids_in(word, list(range(1, len(known) + 1)))
    return {uid for number, uid in enumerate(known, 1) if number in numbers}


def _test(word: bytes, words: list[bytes]) -> Callable[[Message], bool]:
    if word == b"X-GM-MSGID":
        number = int(words.pop(0))
        return lambda message: message.number == number
    line = b"\n" + words.pop(0).lower() + b": " + words.pop(0).lower()
    return lambda message: line in message.raw.lower()


def imap_date(text: bytes) -> date:
    """A date as SEARCH takes it: 1-Mar-2026."""
    day, month, year = text.decode("ascii").strip('"').split("-")
    return date(int(year), MONTHS.index(month.capitalize()) + 1, int(day))


def internal_date(moment: datetime) -> bytes:
    """An INTERNALDATE."""
    name = MONTHS[moment.month - 1]
    return f"{moment.day:2d}-{name}-{moment:%Y %H:%M:%S} +0000".encode()


def section_of(raw: bytes, section: str) -> bytes | None:
    """The octets of a body section (RFC 3501 section 6.4.5); None where there is none."""
    head, _, text = raw.partition(b"\r\n\r\n")
    section = section.upper()
    whole = {"": raw, "TEXT": text, "HEADER": head + b"\r\n\r\n"}
    if section in whole:
        return whole[section]
    if section.startswith("HEADER.FIELDS"):
        return _fields(head, section.partition("(")[2].rstrip(")").lower().split())
    part: Any = email.message_from_bytes(raw)
    for number in section.split("."):
        parts = part.get_payload() if part is not None and part.is_multipart() else [part]
        part = parts[int(number) - 1] if 0 < int(number) <= len(parts) else None
    if part is None:
        return None
    if part.is_multipart():
        return bytes(part.as_bytes().partition(b"\n\n")[2])
    return str(part.get_payload()).encode("ascii", "surrogateescape")


def _fields(head: bytes, wanted: list[str]) -> bytes:
    lines = re.split(rb"\r\n(?![ \t])", head)
    chosen = [x for x in lines if x.partition(b":")[0].strip().lower().decode("latin-1") in wanted]
    return b"".join(line + b"\r\n" for line in chosen) + b"\r\n"


def structure_of(raw: bytes) -> bytes:
    """BODYSTRUCTURE of a message, without what nobody needs; NIL where it is beyond us."""
    try:
        return _structure(email.message_from_bytes(raw))
    except (RecursionError, LookupError, ValueError):
        return b"NIL"


def _structure(part: Any) -> bytes:
    if part.get_content_type() != "message/rfc822" and part.is_multipart():
        children = b"".join(_structure(child) for child in part.get_payload())
        return b"(%b %b)" % (children, _string(part.get_content_subtype()))
    octets = part.as_bytes() if part.is_multipart() else str(part.get_payload()).encode("latin-1")
    parameters = b" ".join(
        _string(word) for pair in (part.get_params() or [])[1:] for word in pair if word
    )
    encoding = str(part.get("Content-Transfer-Encoding", "7BIT"))
    fields = [
        *(_string(part.get_content_maintype()), _string(part.get_content_subtype())),
        *(b"(%b)" % parameters if parameters else b"NIL", b"NIL", b"NIL"),
        *(_string(encoding), b"%d" % len(octets)),
    ]
    if part.get_content_maintype() == "text":
        fields.append(b"%d" % octets.count(b"\n"))
    if part.get_content_disposition():
        name = part.get_filename()
        named = b'("FILENAME" %b)' % _string(name) if name else b"NIL"
        fields += [b"NIL", b"(%b %b)" % (_string(str(part.get_content_disposition())), named)]
    return b"(%b)" % b" ".join(fields)


def _string(text: str) -> bytes:
    data = text.replace("\r\n", "").encode("utf-8", "surrogateescape")
    if re.search(rb'[\r\n\0"\\\x80-\xff]', data):
        return b"{%d}\r\n%b" % (len(data), data)
    return b'"%b"' % data
