"""How far a maildir has been pulled, as the opaque text of `Page.cursor`."""

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from crm_sync.core.cursors import read_cursor

VERSION: Final = 1
_LONGEST: Final = 20_000

Moments = tuple[int, int]
"""When `new` and `cur` changed last, in nanoseconds."""


class Digest:
    """Stands for a growing sequence of names."""

    def __init__(self) -> None:
        self._hash = hashlib.blake2b(digest_size=16)

    def add(self, names: Iterable[str]) -> str:
        """The digest of all names added so far and these."""
        for name in names:
            self._hash.update(name.encode() + b"\n")
        return self._hash.hexdigest()


NOTHING: Final = Digest().add(())


@dataclass(slots=True)
class Cursor:
    """All messages whose unique names do not sort after `top` have been dealt with.

    `digest` stands for these names: while it agrees, what is new sorts after `top`, and the diary
    need not be asked what it knows. `seen` is the state of the folder at the last complete pull;
    None while one is under way. What arrived before `since` was left out by the first pull.
    """

    top: str = ""
    digest: str = NOTHING
    seen: Moments | None = None
    since: datetime | None = None
    first: bool = True

    def dumps(self) -> str:
        """The text to store."""
        data: dict[str, object] = {"v": VERSION, "top": self.top, "digest": self.digest}
        if self.seen is not None:
            data["seen"] = list(self.seen)
        if self.since is not None:
            data["since"] = self.since.isoformat()
        if self.first:
            data["first"] = True
        return json.dumps(data, separators=(",", ":"))

    @classmethod
    def loads(cls, text: str) -> "Cursor":
        """The cursor in a stored text; raises `CursorLost` for anything `dumps` did not write."""
        return read_cursor(text, {VERSION: cls._from}, longest=_LONGEST)

    @classmethod
    def _from(cls, data: dict[str, Any]) -> "Cursor":
        top, digest, seen, since = data["top"], data["digest"], data.get("seen"), data.get("since")
        if not isinstance(top, str) or not isinstance(digest, str):
            raise TypeError("no names")
        if seen is not None:
            new, cur = (int(value) for value in seen)
            seen = new, cur
        if since is not None:
            since = datetime.fromisoformat(since).astimezone(UTC)
        return cls(top, digest, seen, since, first=data.get("first") is True)
