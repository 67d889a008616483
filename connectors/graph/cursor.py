"""How far a folder has been pulled, as the opaque text of `Page.cursor`."""

import json
from dataclasses import asdict, dataclass, replace
from typing import Any, Final, Literal, get_args

from crm_sync.core.cursors import read_cursor

VERSION: Final = 1
MOST_SEEN: Final = 5000

_LONGEST: Final = 200_000
_LONGEST_LINK: Final = 16 * 1024
_END_OF_TIME: Final = 4_102_444_800  # the year 2100

Phase = Literal["walk", "history", "live"]


@dataclass(slots=True)
class Cursor:
    """A place on the way walk -> history -> live; moments are seconds since 1970, in UTC.

    `link`: in "walk" where the first delta round goes on ("" begins it), afterwards the newest
    delta link. `next`: in "live", where an unfinished round goes on. `got`: when `link` was given.
    `since`: what arrived before does not count. `heal`: the walk follows a lost delta link; what
    the diary doesn't know is delivered by it, and no history follows. `below`, `seen`: in
    "history", the second that was reached and which of its messages (digests) were delivered;
    `passed` is how many.
    """

    phase: Phase = "walk"
    link: str = ""
    next: str = ""
    got: int = 0
    since: int | None = None
    heal: bool = False
    below: int | None = None
    passed: int = 0
    seen: tuple[str, ...] = ()

    def dumps(self) -> str:
        """The text to store."""
        given = {name: value for name, value in asdict(self).items() if value or value == 0}
        return json.dumps({"v": VERSION, **given}, separators=(",", ":"))

    @classmethod
    def loads(cls, stored: str) -> "Cursor":
        """The cursor in a stored text; raises `CursorLost` for anything `dumps` did not write."""
        return read_cursor(stored, {VERSION: cls._from}, longest=_LONGEST)

    @classmethod
    def _from(cls, data: dict[str, Any]) -> "Cursor":
        if data["phase"] not in get_args(Phase):
            raise ValueError("another phase")
        data["seen"] = tuple(str(digest) for digest in data.get("seen", []))
        cursor = cls(**data)
        _links(cursor.link, cursor.next)
        _numbers(cursor.got, cursor.passed, *(m for m in (cursor.since, cursor.below) if m))
        if cursor.phase != "walk" and not cursor.link:
            raise ValueError("no link")
        return replace(cursor, heal=bool(cursor.heal))


def _links(*values: object) -> None:
    if not all(isinstance(value, str) and len(value) <= _LONGEST_LINK for value in values):
        raise TypeError("no link")


def _numbers(*values: object) -> None:
    if not all(type(value) is int and abs(value) < _END_OF_TIME for value in values):
        raise TypeError("no number")
