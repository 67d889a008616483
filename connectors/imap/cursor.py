"""How far a folder has been pulled, as the opaque text of `Page.cursor`."""

import json
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Final, Literal

from crm_sync.core.errors import CursorLost

VERSION: Final = 1
MOST_GAPS: Final = 2000
_LONGEST: Final = 200_000

GapKind = Literal["silent", "failed", "hole"]

_WAITS: Final = (
    timedelta(minutes=1),
    timedelta(minutes=10),
    timedelta(hours=1),
    timedelta(hours=6),
    timedelta(hours=24),
)
_TRIES: Final = {"silent": 5, "failed": 5, "hole": 3}


@dataclass(frozen=True, slots=True)
class Gap:
    """A UID below `next_uid` that is not settled yet.

    "silent": SEARCH announces it, FETCH gives nothing. "failed": already reported as unreadable,
    but the server may come to its senses. "hole": a number that SEARCH left out; servers have been
    seen to bring such a message half an hour later.
    """

    kind: GapKind
    tries: int
    due: datetime

    @classmethod
    def new(cls, kind: GapKind, now: datetime) -> "Gap":
        """A gap just met."""
        return cls(kind, 0, now + _WAITS[0])

    def again(self, now: datetime) -> "Gap | None":
        """After another try in vain; None when it was the last."""
        tries = self.tries + 1
        return None if tries >= _TRIES[self.kind] else Gap(self.kind, tries, now + _WAITS[tries])


@dataclass(frozen=True, slots=True)
class First:
    """A first pull under way: UIDs below `upto` count only when they arrived since `since`."""

    upto: int
    since: datetime


@dataclass(slots=True)
class Cursor:
    """All UIDs below `next_uid` under `uidvalidity` were delivered, are gone, or are in `gaps`."""

    uidvalidity: int
    next_uid: int = 1
    first: First | None = None
    gaps: dict[int, Gap] = field(default_factory=dict)

    def dumps(self) -> str:
        """The text to store."""
        data: dict[str, object] = {
            "v": VERSION,
            "validity": self.uidvalidity,
            "next": self.next_uid,
        }
        if self.first is not None:
            data["first"] = [self.first.upto, self.first.since.isoformat()]
        if self.gaps:
            data["gaps"] = [
                [uid, g.kind, g.tries, int(g.due.timestamp())] for uid, g in self.gaps.items()
            ]
        return json.dumps(data, separators=(",", ":"))

    @classmethod
    def loads(cls, text: str) -> "Cursor":
        """The cursor in a stored text; raises `CursorLost` for anything `dumps` did not write."""
        try:
            if len(text) > _LONGEST:
                raise ValueError("too long")
            return cls._from(json.loads(text))
        except (ValueError, TypeError, KeyError, OverflowError, OSError, RecursionError) as error:
            raise CursorLost(
                "the cursor is garbage or of another version", advice="The folder is pulled again."
            ) from error

    @classmethod
    def _from(cls, data: dict[str, object]) -> "Cursor":
        if type(data["v"]) is not int or data["v"] != VERSION:
            raise ValueError("another version")
        first = data.get("first")
        gaps = data.get("gaps", [])
        if not isinstance(gaps, list):
            raise TypeError("gaps")
        return cls(
            _natural(data["validity"]),
            _natural(data["next"]),
            _first(first) if first is not None else None,
            {_natural(uid): _gap(*rest) for uid, *rest in gaps},
        )


def _natural(value: object) -> int:
    if type(value) is not int or value < 0:
        raise ValueError("no number")
    return value


def _first(value: object) -> First:
    if not isinstance(value, list):
        raise TypeError("first")
    upto, since = value
    moment = datetime.fromisoformat(since)
    if moment.tzinfo is None:
        raise ValueError("no zone")
    return First(_natural(upto), moment.astimezone(UTC))


def _gap(kind: GapKind, tries: object, due: object) -> Gap:
    if kind not in _TRIES:
        raise ValueError("another kind of gap")
    return Gap(kind, min(_natural(tries), 4), datetime.fromtimestamp(_natural(due), UTC))
