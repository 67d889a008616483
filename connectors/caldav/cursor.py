"""Where a pull of one calendar stands, and the version of each object, as text."""

import json
from dataclasses import asdict, dataclass
from datetime import date, datetime, timedelta
from typing import Any, Final

from crm_sync.core import cursors
from crm_sync.core.clean import clean

VERSION: Final = 1
FULL_LISTING_EVERY: Final = timedelta(days=1)
"""Servers lose changes silently; a full comparison a day finds them."""

_LONGEST: Final = 20_000
_ADVICE: Final = "The calendar is pulled again."


@dataclass(frozen=True, slots=True)
class Cursor:
    """What is known of the server's side after the last page.

    `token` is the sync-token, `ctag` the older kind of the same. `until` is the day up to which
    recurring meetings are laid out. `listed_at` is when all members were last compared, None when
    that is due. `doubt` says that the last comparison missed so many that it was not believed.
    """

    token: str = ""
    ctag: str = ""
    until: str = ""
    listed_at: str | None = None
    doubt: bool = False

    def text(self) -> str:
        """The cursor for the diary."""
        return json.dumps({"v": VERSION, **asdict(self)})

    def listing_is_due(self, now: datetime) -> bool:
        """Whether all members must be compared again."""
        if self.listed_at is None:
            return True
        at = datetime.fromisoformat(self.listed_at)
        return not at <= now < at + FULL_LISTING_EVERY


def read_cursor(text: str) -> Cursor:
    """The cursor the diary kept. Raises `CursorLost` for anything we have not written."""
    return cursors.read_cursor(text, {VERSION: _read}, longest=_LONGEST, advice=_ADVICE)


def _read(fields: dict[str, Any]) -> Cursor:
    if fields.keys() != Cursor.__dataclass_fields__.keys():
        raise ValueError("other fields")
    found = Cursor(**fields)
    if not all(isinstance(word, str) for word in (found.token, found.ctag, found.until)):
        raise TypeError("no words")
    if found.listed_at is not None and datetime.fromisoformat(found.listed_at).tzinfo is None:
        raise ValueError("no zone")
    return found


def version_of(etag: str, laid_out_until: date | None) -> str:
    """The version of an object: its etag, and for a recurring one how far it is laid out."""
    until = laid_out_until.isoformat() if laid_out_until is not None else ""
    return f"{clean(etag)};{until}"


def is_up_to_date(version: str | None, etag: str, until: str) -> bool:
    """Whether an object known in that version need not be read again."""
    if version is None or not etag:
        return False
    known, _, laid_out = version.rpartition(";")
    return known == clean(etag) and laid_out in {"", until}


def must_be_laid_out(version: str, until: str) -> bool:
    """Whether a known object recurs and new meetings of it have come into the window."""
    return version.rpartition(";")[2] not in {"", until}
