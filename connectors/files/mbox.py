"""Mbox files on this machine as a `Source`: they are read, and nothing is marked or locked."""

import os
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import suppress
from datetime import datetime
from itertools import islice
from pathlib import Path, PurePath

from connectors.files import opening
from connectors.files.archive import Archive
from connectors.files.folders import MOST_FOLDERS, Folder, to_key
from connectors.files.mbox_cursor import Cursor, Seen
from connectors.files.mbox_format import Message, is_mbox, message_at, messages, text_of
from connectors.files.mbox_pull import Pull, arrived_since, item_in, seen_of
from connectors.files.messages import Wish, body_of
from connectors.files.options import FileOptions
from connectors.files.walking import walk
from crm_sync.core.folder_choice import refuse_absent
from crm_sync.core.records import Body, Locator, Page, Stream
from crm_sync.ports import Known, Surroundings


class MboxSource(Archive):
    """See `crm_sync.ports.Source`.

    `path` is an mbox file or a folder with many, as Google Takeout and Thunderbird leave them;
    links below it are not followed.
    """

    what = "mbox file"

    def __init__(self, options: FileOptions, surroundings: Surroundings) -> None:
        super().__init__(options, surroundings)
        self._seen: dict[str, Seen] = {}
        self._quiet: dict[str, tuple[str, Seen | None]] = {}
        self._judged: dict[str, tuple[Seen, bool]] = {}

    def streams(self) -> Sequence[Stream]:
        """See `crm_sync.ports.Source.streams`: one `stat` for each file."""
        found = super().streams()
        self._seen = {}
        for folder in self.chosen.values():
            with suppress(OSError):  # its own pull tells what is wrong
                self._seen[folder.key] = seen_of(folder.path.stat())
        return found

    def pull(self, stream: Stream, cursor: str | None, known: Known) -> Iterator[Page]:
        """See `crm_sync.ports.Source.pull`."""
        del known
        refuse_absent(stream)
        at = None if cursor is None else Cursor.loads(cursor)
        folder, seen = self.chosen.get(stream.key), self._seen.get(stream.key)
        if folder is None or (
            at is not None and seen is not None and seen in (at.seen, self._calm(stream, cursor))
        ):
            return
        options = self.options
        pull = Pull(folder.path, at, self.clock.now(), options.reach, options.page_size)
        with self.guarded(folder.path, "stream"):
            for page in pull.pages():
                yield page
                cursor = page.cursor
        if cursor is not None:
            self._quiet[stream.key] = cursor, pull.seen

    def held(self, stream: Stream, since: datetime | None) -> Iterator[Sequence[str]]:
        """See `crm_sync.ports.Source.held`: one reading of the whole file."""
        refuse_absent(stream)
        folder = self.folder(stream.key)
        if folder is None:
            return
        with self.guarded(folder.path, "stream"):
            keys = arrived_since(folder.path, self.begin(since), self.clock.now())
            while batch := list(islice(keys, self.options.page_size)):
                yield batch

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
                continue
            try:
                with opening.opened(folder.path) as descriptor:
                    yield from _bodies(descriptor, here, Wish(items, octets, self.shelter))
            except FileNotFoundError:
                yield from (Body(locator, gone=True) for locator in here)
            except OSError as error:
                raise opening.failure(error, folder.path, "stream") from error

    def _calm(self, stream: Stream, cursor: str | None) -> Seen | None:
        """The state of the file in which we found that nothing follows this cursor."""
        at, seen = self._quiet.get(stream.key, ("", None))
        return seen if at == cursor else None

    def find(self, path: Path) -> list[Folder]:
        """See `Archive.find`."""
        if not path.is_dir():
            judged = self._is_mbox(path, named=True)
            return [Folder(path, ".", _parts((path.name,)), 0)] if judged else []
        found = [
            _folder(Path(entry.path), (*parts, entry.name))
            for _, parts, _, files in walk(path)
            for entry in files
            if not entry.name.startswith(".") and self._is_mbox(Path(entry.path))
        ]
        return found[:MOST_FOLDERS]

    def _is_mbox(self, path: Path, *, named: bool = False) -> bool:
        """Whether a file is an mbox: it begins like one, or is empty and called like one.

        A file that has been judged is opened again only when it changed. For a file that the admin
        `named` OSError is raised; others that can't be read are none.
        """
        try:
            seen = seen_of(path.stat())
            before, judged = self._judged.get(str(path), (None, False))
            if judged or before == seen:
                return judged
            with opening.opened(path) as descriptor:
                judged = is_mbox(descriptor) and (bool(seen[0]) or named or _called_mbox(path))
        except OSError:
            if named:
                raise
            return False
        self._judged[str(path)] = seen, judged
        return judged


def _called_mbox(path: PurePath) -> bool:
    return path.suffix in {"", ".mbox"}


def _folder(path: Path, names: tuple[str, ...]) -> Folder:
    """An mbox in a tree: Thunderbird keeps what is below "Inbox" in "Inbox.sbd"."""
    own = 1
    while own < len(names) and names[-own - 1].endswith(".sbd"):
        own += 1
    parts = _parts(names)
    return Folder(path, to_key("/".join(names)), parts, min(own, len(parts)))


def _parts(names: Sequence[str]) -> tuple[str, ...]:
    """The names for people: without the endings that programs give to files and folders."""
    *above, last = (os.fsencode(name).decode("utf-8", "replace") for name in names)
    if last == "mbox" and above and above[-1].endswith(".mbox"):
        last = above.pop()  # as Apple Mail exports
    return (*(name.removesuffix(".sbd") for name in above), last.removesuffix(".mbox") or last)


def _bodies(descriptor: int, locators: Sequence[Locator], wish: Wish) -> Iterator[Body]:
    """First where each message was; one reading of the whole file for those that have moved."""
    size = os.fstat(descriptor).st_size
    moved: dict[str, list[Locator]] = defaultdict(list)

    def body(locator: Locator, message: Message) -> Body:
        item = item_in(message, locator.key) if wish.items else None
        return body_of(locator, text_of(descriptor, message, wish.most), item, wish)

    for locator in locators:
        start, digest = _place(locator.key)
        message = message_at(descriptor, start, size) if digest else None
        if message is not None and message.digest == digest:
            yield body(locator, message)
        else:
            moved[digest].append(locator)
    yield from (Body(locator, gone=True) for locator in moved.pop("", ()))
    for message in messages(descriptor, 0, size) if moved else ():
        for locator in moved.pop(message.digest, ()):
            yield body(locator, message)
        if not moved:
            break
    yield from (Body(locator, gone=True) for rest in moved.values() for locator in rest)


def _place(key: str) -> tuple[int, str]:
    """Where a message began and what its header was; no digest for what is no key of ours."""
    start, _, digest = key.partition(":")
    with suppress(ValueError):
        if start.isascii() and start.isdecimal() and len(start) < 19:  # noqa: PLR2004  # 63 bits
            return int(start), digest
    return 0, ""
