"""How far an mbox has been pulled, as the opaque text of `Page.cursor`."""

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from crm_sync.core.cursors import read_cursor

VERSION: Final = 1
_LONGEST: Final = 2000
_ADVICE: Final = "The file is pulled again."

Seen = tuple[int, int]
"""Size in bytes, and when the file changed last, in nanoseconds."""


@dataclass(frozen=True, slots=True)
class Last:
    """The last message that was dealt with: where its From_ line begins, what its header is."""

    offset: int
    digest: str


@dataclass(slots=True)
class Cursor:
    """All messages up to `last` have been dealt with (None: not one yet).

    `seen` is the state of the file at the last complete pull; None while one is under way. During
    the first pull `first` tells the file's size at its begin, and since when messages count that
    lie before.
    """

    last: Last | None = None
    seen: Seen | None = None
    first: tuple[int, datetime] | None = None

    def dumps(self) -> str:
        """The text to store."""
        data: dict[str, object] = {"v": VERSION}
        if self.last is not None:
            data["last"] = [self.last.offset, self.last.digest]
        if self.seen is not None:
            data["seen"] = list(self.seen)
        if self.first is not None:
            data["first"] = [self.first[0], self.first[1].isoformat()]
        return json.dumps(data, separators=(",", ":"))

    @classmethod
    def loads(cls, text: str) -> "Cursor":
        """The cursor in a stored text; raises `CursorLost` for anything `dumps` did not write."""
        return read_cursor(text, {VERSION: cls._from}, longest=_LONGEST, advice=_ADVICE)

    @classmethod
    def _from(cls, data: dict[str, Any]) -> "Cursor":
        last, seen, first = data.get("last"), data.get("seen"), data.get("first")
        cursor = cls()
        if last is not None:
            offset, digest = last
            cursor.last = Last(_natural(offset), str(digest))
        if seen is not None:
            size, changed = seen
            cursor.seen = _natural(size), int(changed)
        if first is not None:
            upto, since = first
            cursor.first = _natural(upto), datetime.fromisoformat(since).astimezone(UTC)
        return cursor


def _natural(value: object) -> int:
    if type(value) is not int or value < 0:
        raise ValueError("no number")
    return value
