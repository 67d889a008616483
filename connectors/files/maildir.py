"""Maildirs on this machine as a `Source`: they are read, and nothing is moved, marked or locked."""

import os
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Final

from imapclient import imap_utf7

from connectors.files import opening
from connectors.files.archive import Archive
from connectors.files.folders import MOST_FOLDERS, Folder, to_key
from connectors.files.maildir_cursor import Cursor, Moments
from connectors.files.maildir_pull import (
    Place,
    Pull,
    arrived_since,
    moments,
    places,
    read_hint,
    read_item,
)
from connectors.files.messages import Wish, body_of
from connectors.files.options import FileOptions
from connectors.files.walking import walk
from crm_sync.core.folder_choice import refuse_absent
from crm_sync.core.records import Body, Locator, Page, Stream
from crm_sync.ports import Known, Surroundings

_INSIDE: Final = frozenset({"cur", "new", "tmp"})


class MaildirSource(Archive):
    """See `crm_sync.ports.Source`.

    `path` is a maildir, with its folders beside `cur` as Maildir++ has them (".Sent.2025"), or a
    tree of maildirs; links in it are not followed.
    """

    what = "maildir"

    def __init__(self, options: FileOptions, surroundings: Surroundings) -> None:
        super().__init__(options, surroundings)
        self._moments: dict[str, Moments] = {}
        self._quiet: dict[str, tuple[str, Moments | None]] = {}

    def streams(self) -> Sequence[Stream]:
        """See `crm_sync.ports.Source.streams`: two `stat` for each folder."""
        found = super().streams()
        self._moments = {}
        for folder in self.chosen.values():
            with suppress(OSError):  # its own pull tells what is wrong
                self._moments[folder.key] = moments(folder.path)
        return found

    def pull(self, stream: Stream, cursor: str | None, known: Known) -> Iterator[Page]:
        """See `crm_sync.ports.Source.pull`."""
        refuse_absent(stream)
        at = None if cursor is None else Cursor.loads(cursor)
        folder, seen = self.chosen.get(stream.key), self._moments.get(stream.key)
        if folder is None or (
            at is not None and seen is not None and seen in (at.seen, self._calm(stream, cursor))
        ):
            return
        options = self.options
        pull = Pull(folder.path, at, self.clock.now(), options.reach, options.page_size)
        with self.guarded(folder.path, "stream"):
            for page in pull.pages(known):
                yield page
                cursor = page.cursor
        if cursor is not None:
            self._quiet[stream.key] = cursor, pull.seen

    def held(self, stream: Stream, since: datetime | None) -> Iterator[Sequence[str]]:
        """See `crm_sync.ports.Source.held`: names and times of files, none is opened."""
        refuse_absent(stream)
        folder = self.folder(stream.key)
        if folder is None:
            return
        with self.guarded(folder.path, "stream"):
            keys = arrived_since(folder.path, self.begin(since))
        size = self.options.page_size
        yield from (keys[at : at + size] for at in range(0, len(keys), size))

    def read(
        self, locators: Sequence[Locator], *, items: bool = False, octets: bool = False
    ) -> Iterator[Body]:
        """See `crm_sync.ports.Source.read`."""
        wanted: dict[str, list[Locator]] = defaultdict(list)
        for locator in locators:
            wanted[locator.stream].append(locator)
        for stream, here in wanted.items():
            folder = self.folder(stream)
            if folder is None:
                yield from (Body(locator, gone=True) for locator in here)
            else:
                yield from self._bodies(folder.path, here, Wish(items, octets, self.shelter))

    def _bodies(self, maildir: Path, locators: Sequence[Locator], wish: Wish) -> Iterator[Body]:
        """First where each message was last; one look at the folder for those that have moved."""
        moved = []
        for locator in locators:
            place = read_hint(locator.hint, locator.key)
            body = None if place is None else _read(maildir, locator, place, wish)
            if body is None:
                moved.append(locator)
            else:
                yield body
        if not moved:
            return
        with self.guarded(maildir, "stream"):
            there = places(maildir)
        for locator in moved:
            place = there.get(locator.key)
            body = None if place is None else _read(maildir, locator, place, wish)
            yield body or Body(locator, gone=True)

    def _calm(self, stream: Stream, cursor: str | None) -> Moments | None:
        """When the folder changed last before we found that nothing follows this cursor."""
        at, seen = self._quiet.get(stream.key, ("", None))
        return seen if at == cursor else None

    def find(self, path: Path) -> list[Folder]:
        """See `Archive.find`."""
        found: list[Folder] = []
        own: dict[str, int] = {}
        for place, parts, directories, _ in walk(path, _INSIDE):
            is_maildir = "cur" in directories
            above = own.get("/".join(parts[:-1]), 0)
            own["/".join(parts)] = above + 1 if parts and (is_maildir or above) else 0
            if is_maildir:
                found.append(_folder(place, parts, above))
        return found[:MOST_FOLDERS]


def _folder(path: Path, parts: Sequence[str], above: int) -> Folder:
    """A maildir, called as its place says; the one at the top is the INBOX.

    `above` folders that it lies in are the account's own too.
    """
    if not parts:
        return Folder(path, ".", ("INBOX",), 1)
    *before, last = parts
    names = _names(last)
    # What Maildir++ puts beside `cur` begins at the top of its account.
    own = len(names) + (0 if last.startswith(".") else above)
    steps = [name for part in before for name in _names(part)]
    return Folder(path, to_key("/".join(parts)), (*steps, *names), own)


def _names(part: str) -> list[str]:
    """The folders that one step of a path stands for: ".Work.Done" are two (Maildir++)."""
    names = part[1:].split(".") if part.startswith(".") and len(part) > 1 else [part]
    return [_decoded(name) for name in names]


def _decoded(name: str) -> str:
    """A name for people: modified UTF-7 (RFC 3501 section 5.1.3) or as it is."""
    raw = os.fsencode(name)
    try:
        return imap_utf7.decode(raw) if raw.isascii() and b"&" in raw else raw.decode()
    except (ValueError, LookupError, TypeError):
        return raw.decode("utf-8", "replace")


def _read(maildir: Path, locator: Locator, place: Place, wish: Wish) -> Body | None:
    """The body at a place; None when nothing is there."""
    try:
        item = read_item(maildir, locator.key, place) if wish.items else None
        with opening.opened(maildir / place.folder / place.name) as descriptor:
            raw = opening.read_at(descriptor, 0, wish.most)
    except FileNotFoundError:
        return None
    except OSError as error:
        return Body(locator, problem=opening.reason(error))
    return body_of(locator, raw, item, wish)
