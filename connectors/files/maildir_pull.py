"""What is new in one maildir, page by page."""

import os
import re
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from connectors.files import opening
from connectors.files.folders import from_key, to_key
from connectors.files.maildir_cursor import Cursor, Digest, Moments
from connectors.files.messages import HEADER, LONG_HEADER, header_of, item_of, moment
from crm_sync.core.records import Item, MailItem, Page, UnreadableItem
from crm_sync.ports import Known

_FLAGS: Final = re.compile(r"[:;!][12],[^/]*\Z")
_TIME: Final = re.compile(r"([0-9]{9,10})\.")
_TICK: Final = timedelta(seconds=2)
"""Some disks tell the time of a change in steps of two seconds."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a message lies: "new" or "cur", and the name of its file, flags included."""

    folder: str
    name: str

    @property
    def hint(self) -> str:
        """The place as text; `read_hint` reads it."""
        return to_key(f"{self.folder}/{self.name}")


def places(maildir: Path) -> dict[str, Place]:
    """The messages of a maildir by key: the unique part of their names. Raises OSError.

    `new` comes first: a message that a mail program moves to `cur` meanwhile is seen twice, never
    missed.
    """
    found: dict[str, Place] = {}
    for folder in ("new", "cur"):
        try:
            entries = os.scandir(maildir / folder)
        except FileNotFoundError:
            continue
        with entries:
            for entry in entries:
                if not entry.name.startswith(".") and not entry.is_dir(follow_symlinks=False):
                    found[key_of(entry.name)] = Place(folder, entry.name)
    return found


def key_of(name: str) -> str:
    """The key in a file's name: it survives changed flags and the move from `new` to `cur`."""
    return to_key(_FLAGS.sub("", name))


def read_hint(hint: str, key: str) -> Place | None:
    """Where the message of that key was last; None for what is no such hint."""
    folder, _, name = from_key(hint).partition("/")
    usable = folder in {"new", "cur"} and name[:1] not in {"", "."} and not set("/\0") & set(name)
    return Place(folder, name) if usable and key_of(name) == key else None


def arrived_since(maildir: Path, since: datetime | None) -> list[str]:
    """The keys of a maildir's messages, without those that arrived before `since`. Raises OSError.

    Where only a message's own date tells, it is among them.
    """
    found = places(maildir)
    if since is None:
        return list(found)
    return [key for key, place in found.items() if not _is_older(maildir, place, since)]


def _is_older(maildir: Path, place: Place, since: datetime) -> bool:
    try:
        status = (maildir / place.folder / place.name).stat(follow_symlinks=False)
    except FileNotFoundError:
        return False  # it has moved within the maildir, most likely
    arrived_at = _arrival(place.name, moment(status.st_mtime))
    return arrived_at is not None and arrived_at < since


def moments(maildir: Path) -> Moments:
    """When `new` and `cur` changed last; 0 for what is not there. Raises OSError."""
    return _changed(maildir / "new"), _changed(maildir / "cur")


def _changed(folder: Path) -> int:
    try:
        return folder.stat().st_mtime_ns
    except FileNotFoundError:
        return 0


class Pull:
    """One pull of one maildir; raises OSError where the folder can't be read.

    `now` is the time of the pull, `reach` how far back a first one goes (None: everything).
    """

    def __init__(
        self,
        maildir: Path,
        cursor: Cursor | None,
        now: datetime,
        reach: timedelta | None,
        size: int,
    ) -> None:
        self._maildir = maildir
        self._now = now
        self._size = size
        self._is_first = cursor is None
        self._cursor = cursor or Cursor(since=now - reach if reach else None)
        self._vanished: set[str] = set()

    def pages(self, known: Known) -> Iterator[Page]:
        """The pages; none when there is nothing to store."""
        self.seen = self._settled(moments(self._maildir))
        self._places = places(self._maildir)
        names, cursor, digest = sorted(self._places), self._cursor, Digest()
        passed = bisect_right(names, cursor.top)
        in_order = digest.add(names[:passed]) == cursor.digest
        since = cursor.since if cursor.first or not in_order else None
        todo = names[passed:] if in_order else _unknown(names, known())
        for start in range(0, len(todo), self._size):
            keys = todo[start : start + self._size]
            items = self._items(keys, since)
            more = start + self._size < len(todo)
            if in_order:
                cursor.top, cursor.digest = keys[-1], digest.add(self._remaining(keys))
            if not more:
                self._finish(names)
            yield Page(items, cursor.dumps(), more=more, total=len(todo))
            cursor.seen = None
        if not todo and (self._is_first or cursor.first or not in_order):
            self._finish(names)
            yield Page((), cursor.dumps(), total=0)

    def _settled(self, seen: Moments) -> Moments | None:
        """When the folder changed last; None while it may change again within the same tick."""
        age = self._now - datetime.fromtimestamp(max(seen) / 1e9, UTC)
        return seen if age > _TICK else None

    def _finish(self, names: Sequence[str]) -> None:
        self._cursor.top = names[-1] if names else ""
        self._cursor.digest = Digest().add(self._remaining(names))
        self._cursor.seen, self._cursor.first = self.seen, False

    def _remaining(self, keys: Iterable[str]) -> Iterator[str]:
        """Those that were there: a message that turns up again after all must be noticed."""
        return (key for key in keys if key not in self._vanished)

    def _items(self, keys: Sequence[str], since: datetime | None) -> tuple[Item, ...]:
        found: list[Item] = []
        missing: list[str] = []
        for key in keys:
            try:
                found += self._item(key, since)
            except FileNotFoundError:
                missing.append(key)
        if missing:
            # Flags changed, or the message moved to `cur`: its file has another name now.
            self._places = places(self._maildir)
        for key in missing:
            try:
                found += self._item(key, since)
            except (FileNotFoundError, KeyError):
                self._vanished.add(key)
        return tuple(found)

    def _item(self, key: str, since: datetime | None) -> list[Item]:
        """The message as an item; nothing when it is too old. Raises FileNotFoundError."""
        item = read_item(self._maildir, key, self._places[key])
        if since is not None and isinstance(item, MailItem) and item.arrived_at < since:
            return []
        return [item]


def read_item(maildir: Path, key: str, place: Place) -> Item:
    """A message as an item. Raises FileNotFoundError when it is not there (any more)."""
    try:
        with opening.opened(maildir / place.folder / place.name) as descriptor:
            status = os.fstat(descriptor)
            header, complete = header_of(opening.read_at(descriptor, 0, HEADER))
            if not complete:
                header, _ = header_of(opening.read_at(descriptor, 0, LONG_HEADER))
    except FileNotFoundError:
        raise
    except OSError as error:
        return UnreadableItem(key, opening.reason(error))
    changed = moment(status.st_mtime)
    arrived_at = _arrival(place.name, changed)
    return item_of(key, header, status.st_size, arrived_at, place.hint)


def _arrival(name: str, changed: datetime | None) -> datetime | None:
    """When a message was delivered: a copied archive tells it by its names or by its files' times.

    Both can only be too late.
    """
    stamp = _TIME.match(name)
    delivered = moment(int(stamp[1])) if stamp else None
    return min((at for at in (delivered, changed) if at is not None), default=None)


def _unknown(names: Sequence[str], known: Mapping[str, str]) -> list[str]:
    return [name for name in names if name not in known]
