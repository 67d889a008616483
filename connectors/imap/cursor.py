"""How far a folder has been pulled, as the opaque text of `Page.cursor`."""

import json
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Final, Literal

from crm_sync.core.cursors import read_cursor

VERSION: Final = 2
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
class History:
    """What was there before the first pull: UIDs from `floor` to `below` - 1 are still to do."""

    below: int
    floor: int = 1


@dataclass(frozen=True, slots=True)
class Rest:
    """A pause while a server renumbers a folder again and again.

    Until `until` the folder has to keep `uidvalidity`; `tries` pauses went before this one.
    """

    uidvalidity: int
    tries: int
    until: datetime


@dataclass(slots=True)
class Cursor:
    """What was pulled under `uidvalidity`.

    All UIDs below `next_uid`, apart from `history`, were delivered, are gone, or are in `gaps`.
    History counts from `since` on (None: all of it). `anchors` holds a checksum of the Message-ID
    for the last few UIDs, by which messages are known again. `resets` are the moments of the last
    day at which all numbers became void.
    """

    uidvalidity: int
    next_uid: int = 1
    since: datetime | None = None
    history: History | None = None
    gaps: dict[int, Gap] = field(default_factory=dict)
    anchors: dict[int, int] = field(default_factory=dict)
    resets: tuple[datetime, ...] = ()
    rest: Rest | None = None

    def dumps(self) -> str:
        """The text to store."""
        data: dict[str, object] = {
            "v": VERSION,
            "validity": self.uidvalidity,
            "next": self.next_uid,
        }
        if self.since is not None:
            data["since"] = self.since.isoformat()
        if self.history is not None:
            data["history"] = [self.history.below, self.history.floor]
        if self.gaps:
            data["gaps"] = [[uid, g.kind, g.tries, _stamp(g.due)] for uid, g in self.gaps.items()]
        if self.anchors:
            data["anchors"] = list(self.anchors.items())
        if self.resets:
            data["resets"] = [_stamp(at) for at in self.resets]
        if self.rest is not None:
            data["rest"] = [self.rest.uidvalidity, self.rest.tries, _stamp(self.rest.until)]
        return json.dumps(data, separators=(",", ":"))

    @classmethod
    def loads(cls, text: str) -> "Cursor":
        """The cursor in a stored text, of this version or the one before.

        Raises `CursorLost` for anything that `dumps` did not write.
        """
        return read_cursor(text, _READERS, longest=_LONGEST)


def _read_1(data: dict[str, object]) -> Cursor:
    """Version 1 went through a first pull by rising UIDs: `first` is [upto, since]."""
    cursor = Cursor(_natural(data["validity"]), _natural(data["next"]), gaps=_gaps(data))
    if data.get("first") is not None:
        upto, since = _list(data["first"])
        cursor.since = _moment(since)
        if _natural(upto) > cursor.next_uid:
            cursor.history = History(_natural(upto), cursor.next_uid)
            cursor.next_uid = _natural(upto)
    return cursor


def _read_2(data: dict[str, object]) -> Cursor:
    cursor = Cursor(_natural(data["validity"]), _natural(data["next"]), gaps=_gaps(data))
    if data.get("since") is not None:
        cursor.since = _moment(data["since"])
    if data.get("history") is not None:
        below, floor = _list(data["history"])
        cursor.history = History(_natural(below), _natural(floor))
    pairs = (_list(pair) for pair in _list(data.get("anchors", [])))
    cursor.anchors = {_natural(uid): _natural(mark) for uid, mark in pairs}
    cursor.resets = tuple(_time(at) for at in _list(data.get("resets", [])))
    if data.get("rest") is not None:
        validity, tries, until = _list(data["rest"])
        cursor.rest = Rest(_natural(validity), _natural(tries), _time(until))
    return cursor


_READERS: Final = {1: _read_1, 2: _read_2}


def _stamp(moment: datetime) -> int:
    return int(moment.timestamp())


def _time(stamp: object) -> datetime:
    return datetime.fromtimestamp(_natural(stamp), UTC)


def _moment(text: object) -> datetime:
    if not isinstance(text, str):
        raise TypeError("no date")
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError("no zone")
    return moment.astimezone(UTC)


def _natural(value: object) -> int:
    if type(value) is not int or value < 0:
        raise ValueError("no number")
    return value


def _list(value: object) -> list[object]:
    if not isinstance(value, list):
        raise TypeError("no list")
    return value


def _gaps(data: dict[str, object]) -> dict[int, Gap]:
    return dict(map(_gap, _list(data.get("gaps", []))))


def _gap(value: object) -> tuple[int, Gap]:
    uid, kind, tries, due = _list(value)
    if kind not in _TRIES:
        raise ValueError("another kind of gap")
    return _natural(uid), Gap(kind, min(_natural(tries), 4), _time(due))  # type: ignore[arg-type]
