"""What is new in one mbox file, page by page, without ever holding more than a page."""

import os
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

from connectors.files import opening
from connectors.files.mbox_cursor import Cursor, Last, Seen
from connectors.files.mbox_format import Message, message_at, messages
from connectors.files.messages import is_no_mail, item_of, moment
from crm_sync.core.records import Item, MailItem, Page

_WRITING: Final = timedelta(seconds=30)
"""How young a file is in which a message without the end of its header is still being written."""

_LONGEST_STRETCH: Final = 256 * 1024 * 1024
"""Bytes after which a page is due even when it holds little: less to read again after a crash."""


def seen_of(status: os.stat_result) -> Seen:
    """The state of a file by which a change is noticed."""
    return status.st_size, status.st_mtime_ns


def key_of(message: Message) -> str:
    """The key of a message: its place, and what stands there."""
    return f"{message.start}:{message.digest}"


class Pull:
    """One pull of one file; raises OSError.

    `now` is the time of the pull, `reach` how far back a first one goes (None: everything).
    """

    def __init__(
        self, path: Path, cursor: Cursor | None, now: datetime, reach: timedelta | None, size: int
    ) -> None:
        self._path = path
        self._old = cursor
        self._now = now
        self._reach = reach
        self._size = size

    def pages(self) -> Iterator[Page]:
        """The pages; none when there is nothing to store."""
        with opening.opened(self._path) as descriptor:
            status = os.fstat(descriptor)
            self.seen: Seen | None = seen_of(status)
            self._changed = moment(status.st_mtime) or self._now
            yield from self._pages(descriptor, status.st_size)

    def _pages(self, descriptor: int, size: int) -> Iterator[Page]:
        reset = self._begin(descriptor, size)
        cursor, due = self._cursor, reset or self._old is None
        items: list[Item] = []
        read_from = start = cursor.last.offset if cursor.last else 0
        for message in messages(descriptor, start, size):
            if cursor.last is not None and message.start <= cursor.last.offset:
                continue
            if len(items) >= self._size or message.start - read_from > _LONGEST_STRETCH:
                yield Page(tuple(items), cursor.dumps(), more=True, reset=reset)
                items, reset, read_from = [], False, message.start
            if _is_being_written(message, self._changed, self._now):
                self.seen = None
                break
            items += self._items(message)
            cursor.last, due = Last(message.start, message.digest), True
        if due:
            cursor.seen, cursor.first = self.seen, None
            yield Page(tuple(items), cursor.dumps(), reset=reset)

    def _begin(self, descriptor: int, size: int) -> bool:
        """Sets out from the old cursor or from the start; whether earlier keys are void."""
        if self._old is not None and self._is_as_before(descriptor, size, self._old.last):
            self._cursor = self._old
            self._cursor.seen = None
            return False
        self._cursor = Cursor()
        if self._reach is not None:
            self._cursor.first = size, self._now - self._reach
        return self._old is not None

    @staticmethod
    def _is_as_before(descriptor: int, size: int, last: Last | None) -> bool:
        """Whether the last message is where it was: then the file has only grown."""
        if last is None:
            return True
        found = message_at(descriptor, last.offset, size)
        return found is not None and found.digest == last.digest

    def _items(self, message: Message) -> list[Item]:
        """The message as an item; nothing when it is too old or no mail."""
        if is_no_mail(message.header):
            return []
        item = item_in(message)
        first = self._cursor.first
        if first is not None and isinstance(item, MailItem):
            upto, since = first
            if message.start < upto and item.arrived_at < since:
                return []
        return [item]


def arrived_since(path: Path, since: datetime | None, now: datetime) -> Iterator[str]:
    """The keys of a file's messages, without those that arrived before `since`. Raises OSError."""
    with opening.opened(path) as descriptor:
        status = os.fstat(descriptor)
        changed = moment(status.st_mtime) or now
        for message in messages(descriptor, 0, status.st_size):
            if _is_being_written(message, changed, now):
                return
            if not is_no_mail(message.header) and not _is_older(message, since):
                yield key_of(message)


def _is_being_written(message: Message, changed: datetime, now: datetime) -> bool:
    """Whether only a part of the last message's header has been written so far."""
    return not message.complete and timedelta() <= now - changed < _WRITING


def _is_older(message: Message, since: datetime | None) -> bool:
    item = item_in(message) if since is not None else None
    return since is not None and isinstance(item, MailItem) and item.arrived_at < since


def item_in(message: Message, key: str = "") -> Item:
    """A message as an item, under its own key or the one it is known by."""
    return item_of(key or key_of(message), message.header, message.size, message.arrived_at)
