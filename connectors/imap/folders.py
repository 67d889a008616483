"""Which folders an account has, what they are called, and which of them are pulled.

The choice is made here alone, so that a provider with habits of its own can have another.
"""

import re
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Final

from imapclient import imap_utf7

from connectors.imap.namespaces import Namespaces, namespaces_in
from connectors.imap.tokens import Token, Unparsable, number, tokens
from connectors.imap.wire import Reply
from crm_sync.core.clean import clean
from crm_sync.core.folder_names import LEFT_OUT, USES, plain

MOST_FOLDERS: Final = 10_000
_UNSELECTABLE: Final = {"\\noselect", "\\nonexistent"}
_CONTROL: Final = re.compile(rb"[\0\r\n]")


@dataclass(frozen=True, slots=True)
class Status:
    """What STATUS said of a folder; 0 or None for what it did not say."""

    uidvalidity: int = 0
    uidnext: int | None = None
    messages: int | None = None


@dataclass(frozen=True, slots=True)
class Folder:
    """A folder that can be opened: its name on the wire and for people, its uses, its status.

    `is_own` says that it is neither another user's nor one for all.
    """

    raw: bytes
    name: str
    uses: frozenset[str]
    separator: bytes = b""
    is_own: bool = True
    status: Status | None = None

    @property
    def key(self) -> str:
        """The name on the wire as text: stable, and back again with `raw_of`."""
        return self.raw.decode("latin-1")


def raw_of(key: str) -> bytes | None:
    """The name on the wire that a stream's key stands for; None when it is no such key."""
    try:
        raw = key.encode("latin-1")
    except UnicodeEncodeError:
        return None
    return raw if raw and not _CONTROL.search(raw) else None


def folders_in(replies: Sequence[Reply]) -> list[Folder]:
    """The folders that LIST and STATUS responses tell of, INBOX first; each is read on its own.

    Whose they are is told by a NAMESPACE response.
    """
    found: dict[bytes, Folder] = {}
    namespaces = namespaces_in(replies)
    for reply in replies:
        if not reply[0][:8].upper().startswith((b"* LIST ", b"* XLIST")):
            continue
        with suppress(Unparsable):
            folder = _listed(reply, namespaces)
            if folder is not None and len(found) < MOST_FOLDERS:
                found.setdefault(folder.raw, folder)
    listing = sorted(found.values(), key=lambda f: ("\\inbox" not in f.uses, f.name))
    return with_status(listing, replies)


def with_status(listing: Iterable[Folder], replies: Iterable[Reply]) -> list[Folder]:
    """The folders with what STATUS responses say of them; None where they say nothing."""
    statuses: dict[bytes, Status] = {}
    for reply in replies:
        if reply[0][:9].upper() == b"* STATUS ":
            with suppress(Unparsable):
                raw, status = status_in(reply)
                statuses[raw] = status
    return [replace(folder, status=statuses.get(folder.raw)) for folder in listing]


def status_in(reply: Reply) -> tuple[bytes, Status]:
    """The folder and the numbers in a STATUS response; raises `Unparsable`."""
    words = tokens(reply)
    if len(words) < 4 or not isinstance(words[2], bytes) or not isinstance(words[-1], list):  # noqa: PLR2004  # * STATUS name (…)
        raise Unparsable("no STATUS response")
    data = iter(words[-1])
    pairs = zip(data, data, strict=False)
    items = {key.upper(): number(value) for key, value in pairs if isinstance(key, bytes)}
    uidnext, messages = items.get(b"UIDNEXT", -1), items.get(b"MESSAGES", -1)
    return _same(words[2]), Status(
        max(items.get(b"UIDVALIDITY", 0), 0),
        uidnext if uidnext > 0 else None,
        messages if messages >= 0 else None,
    )


def _listed(reply: Reply, namespaces: Namespaces) -> Folder | None:
    """The folder in a LIST response; None for what can't be opened or named in a command."""
    words = tokens(reply)
    if len(words) < 5 or not isinstance(words[2], list):  # noqa: PLR2004  # * LIST (…) "/" name
        raise Unparsable("no LIST response")
    raw = _name(words[4])
    flags = {f.decode("latin-1").lower() for f in words[2] if isinstance(f, bytes)}
    if not raw or flags & _UNSELECTABLE or _CONTROL.search(raw):
        return None
    name = decode_name(raw)
    separator = words[3] if isinstance(words[3], bytes) else b""
    uses = _uses(name, separator.decode("latin-1"), flags)
    return Folder(raw, name, frozenset(uses), separator, namespaces.is_own(raw))


def _name(word: Token) -> bytes:
    return b"NIL" if word is None else _same(word) if isinstance(word, bytes) else b""


def _same(raw: bytes) -> bytes:
    """INBOX has one name in any case (RFC 3501 section 5.1)."""
    return b"INBOX" if raw.upper() == b"INBOX" else raw


def _uses(name: str, separator: str, flags: set[str]) -> set[str]:
    uses = flags & {"\\junk", "\\trash", "\\drafts", "\\sent", "\\archive", "\\all", "\\flagged"}
    if name.upper() == "INBOX":
        uses.add("\\inbox")
    elif not uses:
        # A use by name only at the top or right under INBOX: "Projects/Draft" is a project.
        path = name.split(separator) if separator else [name]
        if len(path) > 1 and (path[0].upper() == "INBOX" or path[0].startswith("[")):
            path = path[1:]
        if len(path) == 1 and (use := USES.get(plain(path[0]))):
            uses.add(use)
    return uses


def decode_name(raw: bytes) -> str:
    """A folder's name for people: modified UTF-7 (RFC 3501 section 5.1.3), UTF-8 or Latin-1."""
    for decode in (imap_utf7.decode if raw.isascii() else bytes.decode, bytes.decode):
        try:
            return clean(str(decode(raw)), 500) or "?"
        except (ValueError, LookupError, TypeError):
            continue
    return clean(raw.decode("latin-1"), 500) or "?"


def choose(folders: Sequence[Folder], wanted: Sequence[str]) -> list[Folder]:
    """The folders to pull: those `wanted` by use or name, else one's own that hold mail.

    What holds none (see `LEFT_OUT`) is left out with all that lies below it.
    """
    if wanted:
        return [f for f in folders if any(matches(f, word) for word in wanted)]
    roots = tuple(f.raw + f.separator for f in folders if f.uses & LEFT_OUT and f.separator)
    return [
        f for f in folders if f.is_own and not f.uses & LEFT_OUT and not f.raw.startswith(roots)
    ]


def missing(folders: Sequence[Folder], wanted: Sequence[str]) -> list[str]:
    """What is wanted and not there."""
    return [word for word in wanted if not any(matches(f, word) for f in folders)]


def matches(folder: Folder, word: str) -> bool:
    r"""Whether `word` means this folder: a special use of one's own ("\Sent") or its name."""
    if word.startswith("\\"):
        return folder.is_own and word.lower() in folder.uses
    if word.upper() == "INBOX":
        return "\\inbox" in folder.uses
    return word in {folder.name, folder.key}
