"""Texts of messages: only text parts are fetched, cut at 256 kB, for many messages at a time."""

from collections import defaultdict, deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from connectors.imap.asking import Asked, Asking, Pending
from connectors.imap.bodystructure import TextPart, read_structure
from connectors.imap.finding import uids_by_number
from connectors.imap.folders import raw_of
from connectors.imap.gmail_ids import EXTENSION
from connectors.imap.headers import SURPRISES, item_of, names_for
from connectors.imap.hint import Hint, read_hint
from connectors.imap.link import Link
from connectors.imap.pace import Pace
from connectors.imap.session import Selected, Session, items_of
from connectors.imap.tokens import Token, Unparsable
from connectors.imap.wire import Reply
from crm_sync.core.errors import Unreadable
from crm_sync.core.records import Attachment, Body, Locator, UnreadableItem
from crm_sync.core.sheltered import Shelter, message_text, part_text

LARGEST_TEXT: Final = 256 * 1024
LARGEST_WHOLE: Final = 1024 * 1024
LARGEST_OCTETS: Final = 256 * 1024
_MOST_AT_ONCE: Final = 200
_MOST_BYTES_AT_ONCE: Final = 4 * 1024 * 1024
_STRUCTURE: Final = b"BODYSTRUCTURE"
_BLANK_LINE: Final = 2
_EMPTY: Final = "the server hands out an empty text in place of the real one"
_WHOLE: Final = b"BODY.PEEK[]<0.%d>" % LARGEST_WHOLE
_OCTETS: Final = b"BODY.PEEK[]<0.%d>" % LARGEST_OCTETS

_Place = tuple[Locator, int | None]
"""A locator and the UID of its message; None when it has none now."""


@dataclass(slots=True)
class _Message:
    """A message to read: where from, what to fetch, what came. `key` is its key as of now."""

    uid: int
    key: str
    hint: Hint | None
    locators: list[Locator] = field(default_factory=list)
    parts: tuple[TextPart, ...] = ()
    whole: bool = False
    attachments: tuple[Attachment, ...] = ()
    replies: list[Reply] = field(default_factory=list)
    items: dict[bytes, Token] = field(default_factory=dict)
    understood: int = 0
    silent: bool = False
    problem: str = ""

    def forget(self) -> None:
        """Lets go of what came: the bodies made of it are out."""
        self.replies.clear()
        self.items.clear()


class Reading:
    """One `read`; raises as `Pull` does."""

    def __init__(
        self, link: Link, shelter: Shelter | None, *, items: bool, octets: bool = False
    ) -> None:
        self._shelter = shelter
        self._link = link
        self._items = items
        self._octets = octets
        self._now = link.clock.now()
        self._pace = Pace(_MOST_AT_ONCE)

    def bodies(self, locators: Sequence[Locator]) -> Iterator[Body]:
        """Exactly one body for each locator, folder by folder."""
        folders: dict[str, list[Locator]] = defaultdict(list)
        for locator in locators:
            folders[locator.stream].append(locator)
        for stream, here in folders.items():
            yield from self._folder(raw_of(stream), here)

    def _folder(self, folder: bytes | None, locators: Sequence[Locator]) -> Iterator[Body]:
        opened = None if folder is None else self._link.once_again(lambda s: self._open(s, folder))
        if folder is None or opened is None:
            yield from (Body(locator, gone=True) for locator in locators)
            return
        asking = Asking(self._link, folder, opened.uidvalidity)
        places = [(locator, _uid(locator.key, opened)) for locator in locators]
        lost = [locator for locator, uid in places if uid is None]
        for body in self._read(asking, _messages(places, opened)):
            if body.gone:
                lost.append(body.locator)
            else:
                yield body
        again = self._find(asking, lost)
        yield from (Body(locator, gone=True) for locator, uid in again if uid is None)
        yield from self._read(asking, _messages(again, opened))

    def _open(self, session: Session, folder: bytes) -> Selected | None:
        return self._link.reopen(session, folder)

    def _find(self, asking: Asking, lost: Sequence[Locator]) -> list[_Place]:
        """Where messages are that were numbered anew, as far as their hints let them be found."""
        hints = [read_hint(locator.hint) for locator in lost]
        numbers = [hint.gmail_id if hint else "" for hint in hints]
        wanted = list(dict.fromkeys(number for number in numbers if number))
        found: Mapping[str, int] = {}
        if wanted and EXTENSION in self._link.session().capabilities:
            found = uids_by_number(asking, wanted)
        return [(at, found.get(number)) for at, number in zip(lost, numbers, strict=True)]

    def _read(self, asking: Asking, messages: Sequence[_Message]) -> Iterator[Body]:
        """Chunk by chunk: while one is decoded the next two are on their way."""
        also = names_for(self._link.session().capabilities) if self._items else b"UID"
        under_way: deque[_Chunk] = deque()
        for part in _chunks(messages, self._pace):
            under_way.append(_Chunk(asking, part, self._pace, also, octets=self._octets))
            under_way[-1].survey()
            if len(under_way) > 1:
                under_way[-2].fetch()
            while len(under_way) > self._pace.ahead:
                yield from self._bodies(under_way.popleft().end(), asking)
        if under_way:
            under_way[-1].fetch()
        while under_way:
            yield from self._bodies(under_way.popleft().end(), asking)

    def _bodies(self, messages: Sequence[_Message], asking: Asking) -> Iterator[Body]:
        silent = sorted(m.uid for m in messages if m.silent)
        announced = asking.announced(silent) if silent else set()
        for message in messages:
            if message.silent and message.uid not in announced:
                yield from (Body(locator, gone=True) for locator in message.locators)
                continue
            if message.silent:
                message.problem = "the server announces it but does not hand it out"
            for locator in message.locators:
                yield self._body(message, locator)
            message.forget()

    def _body(self, message: _Message, locator: Locator) -> Body:
        if message.problem:
            return Body(locator, problem=message.problem)
        try:
            if self._octets:
                body = Body(locator, octets=_octets(message))
            else:
                body = Body(locator, *_text(message, self._shelter))
        except Unreadable as error:
            body = Body(locator, problem=error.what)
        except (Unparsable, *SURPRISES):
            return Body(locator, problem="the text of the message can't be understood")
        if not self._items:
            return body
        item = item_of(message.key, message.replies, self._now)
        if item is None or isinstance(item, UnreadableItem):
            reason = item.reason if item else "the server does not describe the message"
            return Body(locator, item=item, problem=body.problem or reason)
        return replace(body, item=item)


class _Chunk:
    """Some messages on their way through two questions: what is in them, and the texts."""

    def __init__(
        self,
        asking: Asking,
        messages: Sequence[_Message],
        pace: Pace,
        also: bytes,
        *,
        octets: bool,
    ) -> None:
        self._asking = asking
        self._messages = {message.uid: message for message in messages}
        self._pace = pace
        self._slowed = pace.slowed
        self._also = also
        self._octets = octets
        self._survey: Pending | None = None
        self._fetches: list[Pending] = []
        self._fetched = False

    def survey(self) -> None:
        """Asks for the structure of what is more than one plain text."""
        if self._octets:
            return
        uids = sorted(m.uid for m in self._messages.values() if not (m.hint and m.hint.is_plain))
        if uids:
            self._survey = self._asking.begin(uids, b"(%b %b)" % (self._also, _STRUCTURE))

    def fetch(self) -> None:
        """Asks for the texts, in one command for all messages with texts in the same places."""
        if self._fetched:
            return
        self._fetched = True
        if self._survey is not None:
            self._take(self._asking.end(self._survey))
        groups: dict[bytes, list[int]] = defaultdict(list)
        for message in self._messages.values():
            if not message.problem and not message.silent and (wanted := self._wanted(message)):
                groups[wanted].append(message.uid)
        for wanted, uids in groups.items():
            self._fetches.append(self._asking.begin(sorted(uids), wanted))
            if not self._pace.ahead:
                self._take(self._asking.end(self._fetches.pop()))

    def end(self) -> list[_Message]:
        """The messages with all that came for them."""
        self.fetch()
        for pending in self._fetches:
            self._take(self._asking.end(pending))
        if not self._octets:
            self._doubt([m for m in self._messages.values() if _came_empty(m)])
        return list(self._messages.values())

    def _doubt(self, empty: Sequence[_Message]) -> None:
        """Asks how many octets the text of plain messages has that came without any."""
        if not empty:
            return
        uids = sorted(message.uid for message in empty)
        self._take(self._asking.end(self._asking.begin(uids, b"(UID %b)" % _STRUCTURE)))
        for message in empty:
            message.parts = tuple(replace(p, size=_told_size(message)) for p in message.parts)

    def _take(self, asked: Asked) -> None:
        if asked.slowed:
            self._pace.slow_down(self._slowed)
        for uid, replies in asked.replies.items():
            self._messages[uid].replies += replies
        for uid in asked.silent:
            self._messages[uid].silent = True
        for uid, reason in asked.failed.items():
            self._messages[uid].problem = reason

    def _wanted(self, message: _Message) -> bytes:
        """What to fetch of a message; empty when there is no text in it."""
        if self._octets:
            return b"(%b %b)" % (self._also, _OCTETS)
        if message.hint is not None and message.hint.is_plain:
            hint = message.hint
            part = TextPart(
                "TEXT", hint.media_type, hint.transfer_encoding, hint.charset, hint.size
            )
            message.parts = (part,)
            return b"(%b %b)" % (self._also, _section(part))
        try:
            structure = read_structure(_items(message).get(_STRUCTURE))
        except (Unparsable, *SURPRISES):
            message.whole = True
            return b"(UID %b)" % _WHOLE
        message.parts, message.attachments = structure.texts, structure.attachments
        sections = [_section(part) for part in message.parts]
        return b"(UID %b)" % b" ".join(sections) if sections else b""


def _section(part: TextPart) -> bytes:
    return b"BODY.PEEK[%b]<0.%d>" % (part.section.encode("ascii"), LARGEST_TEXT)


def _items(message: _Message) -> dict[bytes, Token]:
    """The data items of all that came so far; each reply is parsed once."""
    for reply in message.replies[message.understood :]:
        message.items |= items_of(reply)
        message.understood += 1
    return message.items


def _came_empty(message: _Message) -> bool:
    """Whether it is one plain text of which not an octet came."""
    if all(len(reply) > 1 and all(reply[1::2]) for reply in message.replies):
        return False  # as nearly always
    if message.hint is None or not message.hint.is_plain:
        return False
    try:
        return _sections(_items(message)).get("TEXT") == b""
    except Unparsable:
        return False


def _told_size(message: _Message) -> int:
    """The octets of all texts by the structure; 0 where it can't be understood."""
    try:
        return sum(p.size for p in read_structure(_items(message).get(_STRUCTURE)).texts)
    except (Unparsable, *SURPRISES):
        return 0


def _text(message: _Message, shelter: Shelter | None) -> tuple[str, tuple[Attachment, ...]]:
    """Text and attachments.

    Raises `Unparsable` when they did not come, `Unreadable` when they took too much or came empty.
    """
    sections = _sections(_items(message))
    if message.whole:
        read = message_text(shelter, _not_empty(sections[""]))
        return read.text, read.attachments
    texts: dict[str, str] = {}
    for part in message.parts:
        if not texts.get(part.unless):
            if not sections[part.section] and part.size > _BLANK_LINE:
                raise Unreadable(_EMPTY)
            texts[part.section] = part_text(
                shelter,
                sections[part.section],
                transfer_encoding=part.transfer_encoding,
                charset=part.charset,
                media_type=part.media_type,
            )
    return "\n\n".join(text for text in texts.values() if text), message.attachments


def _octets(message: _Message) -> bytes:
    """The message itself, cut.

    Raises `Unparsable` or LookupError when it did not come, `Unreadable` when it came empty.
    """
    return _not_empty(_sections(_items(message))[""])[:LARGEST_OCTETS]


def _not_empty(message: bytes) -> bytes:
    """A whole message, which has a header at least; raises `Unreadable`."""
    if not message:
        raise Unreadable(_EMPTY)
    return message


def _sections(items: Mapping[bytes, Token]) -> dict[str, bytes]:
    """The fetched sections by name: "BODY[1.2]<0>" is "1.2"; NIL is an empty text."""
    found: dict[str, bytes] = {}
    for name, value in items.items():
        if name.startswith(b"BODY[") and not isinstance(value, list):
            section = name[5:].partition(b"]")[0].decode("latin-1")
            found[section] = value or b""
    return found


def _uid(key: str, opened: Selected | None) -> int | None:
    """The UID in a key; None when it is of another epoch or no key of ours."""
    validity, _, uid = key.partition(":")
    if opened is None or validity != str(opened.uidvalidity):
        return None
    return int(uid) if uid.isascii() and uid.isdecimal() and 0 < int(uid[:11]) < 2**32 else None


def _messages(places: Iterable[_Place], opened: Selected) -> list[_Message]:
    """The messages at these places; several locators may mean the same one."""
    found: dict[int, _Message] = {}
    for locator, uid in places:
        if uid is None:
            continue
        if uid not in found:
            found[uid] = _Message(uid, f"{opened.uidvalidity}:{uid}", read_hint(locator.hint))
        found[uid].locators.append(locator)
    return list(found.values())


def _chunks(messages: Sequence[_Message], pace: Pace) -> Iterator[list[_Message]]:
    """The messages in parts of bounded number and size."""
    part: list[_Message] = []
    size = 0
    for message in messages:
        expected = min(message.hint.size if message.hint else LARGEST_TEXT // 8, LARGEST_TEXT)
        if part and (len(part) >= pace.size or size + expected > _MOST_BYTES_AT_ONCE):
            yield part
            part, size = [], 0
        part.append(message)
        size += expected
    if part:
        yield part
