"""Twins of a mailbox and a calendar that live in memory: deterministic and quick, for tests.

Each has two sides. The `Source` side behaves as a real connector does, pages, cursors and faults
included; the other verbs are what happens on the server while nobody looks.
"""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import ClassVar, Final, Generic, TypeVar

from crm_sync.core.errors import CrmSyncError, CursorLost
from crm_sync.core.records import (
    Attachment,
    Body,
    Envelope,
    EventItem,
    Finding,
    Item,
    Locator,
    MailItem,
    Occurrence,
    Page,
    Stream,
    StreamKind,
    UnreadableItem,
)
from crm_sync.ports import Known

Fault = Callable[[], CrmSyncError]


LARGEST_OCTETS: Final = 256 * 1024


@dataclass(frozen=True, slots=True)
class Mail:
    """A message as the memory holds it. `raw` is there where a test cares about every octet."""

    envelope: Envelope
    arrived_at: datetime
    text: str = ""
    attachments: tuple[Attachment, ...] = ()
    size: int = 1000
    unreadable: str = ""
    raw: bytes = b""


@dataclass(slots=True)
class Folder:
    """A folder: messages by UID under a UIDVALIDITY."""

    validity: int = 1
    next_uid: int = 1
    mails: dict[int, Mail] = field(default_factory=dict)
    hidden: set[int] = field(default_factory=set)

    def shown(self) -> dict[int, Mail]:
        """What the server tells of: the mails that it does not hide."""
        return {uid: mail for uid, mail in self.mails.items() if uid not in self.hidden}


Held = TypeVar("Held")


class _Memory(Generic[Held]):
    """What both twins share: streams that hold something, faults to order, counted requests."""

    kind: ClassVar[StreamKind]

    def __init__(self, new: Callable[[], Held], names: Sequence[str], page_size: int) -> None:
        self.page_size = page_size
        self.requests = 0
        self.away: Fault | None = None
        self._new = new
        self._faults: list[Fault] = []
        self._held: dict[str, Held] = {name: new() for name in names}

    def fail_next(self, *faults: Fault) -> None:
        """The next requests raise these, one each; e.g. `lambda: Unreachable("no answer")`."""
        self._faults.extend(faults)

    def streams(self) -> Sequence[Stream]:
        """All folders or calendars; costs one request."""
        self._request()
        return [Stream(name, name, self.kind) for name in self._held]

    def probe(self) -> Iterator[Finding]:
        """One finding: whether the memory is to be reached."""
        try:
            self._request()
        except CrmSyncError as error:
            yield Finding("connect", ok=False, problem=error.what, advice="wait a little")
        else:
            yield Finding("connect", ok=True)

    def close(self) -> None:
        """There is nothing to let go of."""

    def _request(self) -> None:
        self.requests += 1
        if self.away is not None:
            raise self.away()
        if self._faults:
            fault = self._faults.pop(0)
            raise fault()

    def _open(self, name: str) -> Held:
        return self._held.setdefault(name, self._new())


class MemoryMailbox(_Memory[Folder]):
    """A mailbox: keys are "UIDVALIDITY:UID", cursors JSON, as those of IMAP.

    Folders come into being when something is delivered there.
    """

    kind: ClassVar[StreamKind] = "mail"

    def __init__(self, *folders: str, page_size: int = 500) -> None:
        super().__init__(Folder, folders or ("INBOX",), page_size)

    # -- what happens on the server ----------------------------------------------------------

    def deliver(self, mail: Mail, folder: str = "INBOX") -> str:
        """Puts a mail into a folder; its key."""
        there = self._open(folder)
        uid, there.next_uid = there.next_uid, there.next_uid + 1
        there.mails[uid] = mail
        return f"{there.validity}:{uid}"

    def remove(self, key: str, folder: str = "INBOX") -> Mail:
        """Expunges a mail."""
        return self._held[folder].mails.pop(_uid(key))

    def move(self, key: str, source: str, target: str) -> str:
        """Moves a mail to another folder, where it gets a new key."""
        return self.deliver(self.remove(key, source), target)

    def copy(self, key: str, source: str, target: str) -> str:
        """Copies a mail to another folder; the copy's key."""
        return self.deliver(self._held[source].mails[_uid(key)], target)

    def make_unreadable(self, key: str, folder: str = "INBOX", reason: str = "spoilt") -> None:
        """From now on the mail can't be understood; an empty reason heals it."""
        mails = self._held[folder].mails
        mails[_uid(key)] = replace(mails[_uid(key)], unreadable=reason)

    def hide(self, key: str, folder: str = "INBOX") -> None:
        """The server does not tell of a mail, as some do with one that came a moment ago."""
        self._held[folder].hidden.add(_uid(key))

    def show(self, key: str, folder: str = "INBOX") -> None:
        """The server tells of a hidden mail after all."""
        self._held[folder].hidden.discard(_uid(key))

    def reset_uidvalidity(self, folder: str = "INBOX") -> None:
        """Renumbers a folder: all its keys are void."""
        there = self._held[folder]
        mails = dict(enumerate(there.mails.values(), 1))
        self._held[folder] = Folder(there.validity + 1, len(mails) + 1, mails)

    def remove_folder(self, folder: str) -> None:
        """Deletes a folder with all that is in it."""
        del self._held[folder]

    # -- the Source --------------------------------------------------------------------------

    def pull(self, stream: Stream, cursor: str | None, known: Known) -> Iterator[Page]:
        """See `crm_sync.ports.Source.pull`."""
        del known
        validity, next_uid = (None, 1) if cursor is None else _numbers(cursor)
        there = self._held.get(stream.key)
        if there is None or (validity, next_uid) == (there.validity, there.next_uid):
            return
        reset = validity is not None and validity != there.validity
        if reset or validity is None:
            next_uid = 1
        self._request()
        uids = sorted(uid for uid in there.shown() if uid >= next_uid)
        total, validity, end = len(uids), there.validity, there.next_uid
        while True:
            now, uids = uids[: self.page_size], uids[self.page_size :]
            items = tuple(_seen(there, uid) for uid in now if uid in there.mails)
            reached = _cursor(validity, now[-1] + 1 if uids else end)
            yield Page(items, reached, more=bool(uids), reset=reset, total=total)
            reset = False
            if not uids:
                return
            self._request()

    def held(self, stream: Stream, since: datetime | None) -> Iterator[Sequence[str]]:
        """See `crm_sync.ports.Source.held`."""
        self._request()
        there = self._held.get(stream.key)
        if there is None:
            return
        young = [u for u, m in there.shown().items() if since is None or m.arrived_at >= since]
        yield from _batches([f"{there.validity}:{uid}" for uid in young], self.page_size)

    def read(
        self, locators: Sequence[Locator], *, items: bool = False, octets: bool = False
    ) -> Iterator[Body]:
        """See `crm_sync.ports.Source.read`."""
        if locators:
            self._request()
        for locator in locators:
            there = self._held.get(locator.stream)
            mail = there and there.shown().get(_uid(locator.key))
            if not there or not mail or locator.key != f"{there.validity}:{_uid(locator.key)}":
                yield Body(locator, gone=True)
                continue
            item = _seen(there, _uid(locator.key)) if items else None
            if octets:
                yield Body(locator, item=item, octets=_octets(mail))
            elif mail.unreadable:
                yield Body(locator, item=item, problem=mail.unreadable)
            else:
                yield Body(locator, mail.text, mail.attachments, item)


@dataclass(slots=True)
class Calendar:
    """A calendar: objects by href, each with the change it was last part of, and tombstones."""

    epoch: int = 1
    change: int = 0
    objects: dict[str, tuple[int, EventItem | UnreadableItem]] = field(default_factory=dict)
    buried: dict[str, int] = field(default_factory=dict)


class MemoryCalendar(_Memory[Calendar]):
    """A calendar account: keys are hrefs, versions count up, cursors stand for a change."""

    kind: ClassVar[StreamKind] = "calendar"

    def __init__(self, *calendars: str, page_size: int = 100) -> None:
        super().__init__(Calendar, calendars or ("calendar",), page_size)

    # -- what happens on the server ----------------------------------------------------------

    def put(self, href: str, *occurrences: Occurrence, calendar: str = "calendar") -> EventItem:
        """Writes an event or all occurrences of a series; again under the same href: changes it."""
        change = self._next_change(calendar)
        item = EventItem(href, f"v{change}", occurrences[0].uid, occurrences)
        self._held[calendar].objects[href] = (change, item)
        self._held[calendar].buried.pop(href, None)
        return item

    def make_unreadable(
        self, href: str, reason: str = "spoilt", calendar: str = "calendar"
    ) -> None:
        """Puts an object that can't be understood at an href."""
        change = self._next_change(calendar)
        self._held[calendar].objects[href] = (change, UnreadableItem(href, reason, f"v{change}"))

    def remove(self, href: str, calendar: str = "calendar") -> None:
        """Deletes an object."""
        change = self._next_change(calendar)
        del self._held[calendar].objects[href]
        self._held[calendar].buried[href] = change

    def move(self, href: str, source: str, target: str) -> None:
        """Moves an object to another calendar under the same href."""
        _, item = self._held[source].objects[href]
        self.remove(href, source)
        self._open(target).objects[href] = (self._next_change(target), item)

    def forget_tokens(self, calendar: str = "calendar") -> None:
        """Makes every cursor of a calendar unusable, as servers do with old sync tokens."""
        self._held[calendar].epoch += 1

    # -- the Source --------------------------------------------------------------------------

    def pull(self, stream: Stream, cursor: str | None, known: Known) -> Iterator[Page]:
        """See `crm_sync.ports.Source.pull`."""
        epoch, change = (0, 0) if cursor is None else _numbers(cursor)
        there = self._held.get(stream.key)
        if there is None or (epoch, change) == (there.epoch, there.change):
            return
        self._request()
        if epoch == there.epoch:
            gone = tuple(href for href, when in there.buried.items() if when > change)
            versions: Mapping[str, str] = {}
        else:
            change, versions = 0, known()
            gone = tuple(href for href in versions if href not in there.objects)
        changed = sorted(
            [
                pair
                for pair in there.objects.values()
                if pair[0] > change and _is_new(pair, versions)
            ],
            key=lambda pair: pair[0],
        )
        total, epoch, end = len(changed), there.epoch, there.change
        while True:
            now, changed = changed[: self.page_size], changed[self.page_size :]
            reached = _cursor(epoch, now[-1][0] if changed else end)
            items = tuple(item for _, item in now)
            yield Page(items, reached, gone, more=bool(changed), total=total)
            gone = ()
            if not changed:
                return
            self._request()

    def held(self, stream: Stream, since: datetime | None) -> Iterator[Sequence[str]]:
        """See `crm_sync.ports.Source.held`; a calendar does not know when objects arrived."""
        del since
        self._request()
        there = self._held.get(stream.key)
        yield from _batches(list(there.objects) if there else [], self.page_size)

    def read(
        self, locators: Sequence[Locator], *, items: bool = False, octets: bool = False
    ) -> Iterator[Body]:
        """See `crm_sync.ports.Source.read`; the objects here are not made of octets."""
        del octets
        if locators:
            self._request()
        for locator in locators:
            there = self._held.get(locator.stream)
            _, item = (there and there.objects.get(locator.key)) or (0, None)
            if item is None:
                yield Body(locator, gone=True)
            elif isinstance(item, UnreadableItem):
                yield Body(locator, item=item if items else None, problem=item.reason)
            else:
                yield Body(locator, item=item if items else None)

    def _next_change(self, calendar: str) -> int:
        there = self._open(calendar)
        there.change += 1
        return there.change


def _is_new(pair: tuple[int, EventItem | UnreadableItem], versions: Mapping[str, str]) -> bool:
    return versions.get(pair[1].key) != pair[1].version


def _seen(folder: Folder, uid: int) -> Item:
    mail, key = folder.mails[uid], f"{folder.validity}:{uid}"
    if mail.unreadable:
        return UnreadableItem(key, mail.unreadable)
    return MailItem(key, mail.arrived_at, mail.size, mail.envelope, hint="memory")


def _octets(mail: Mail) -> bytes:
    """The message itself; where a test gave none, the least that is one."""
    envelope = mail.envelope
    head = f"Message-ID: {envelope.message_id}\r\nSubject: {envelope.subject}\r\n\r\n"
    return (mail.raw or f"{head}{mail.text}\r\n".encode())[:LARGEST_OCTETS]


def _batches(keys: Sequence[str], size: int) -> Iterator[Sequence[str]]:
    return (keys[at : at + size] for at in range(0, len(keys), size))


def _uid(key: str) -> int:
    uid = key.rpartition(":")[2]
    return int(uid) if uid.isdecimal() else 0


def _cursor(*numbers: int) -> str:
    return json.dumps({"v": 1, "at": numbers})


def _numbers(cursor: str) -> tuple[int, int]:
    """The two numbers in a cursor; raises `CursorLost`."""
    try:
        read = json.loads(cursor)
        if read["v"] is True or read["v"] != 1:
            raise CursorLost("the cursor is of another version")
        first, second = read["at"]
        return int(first), int(second)
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise CursorLost("the cursor is garbage") from error
