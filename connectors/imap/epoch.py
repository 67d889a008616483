"""Whether the UIDs a cursor stands for still mean the same messages (RFC 3501 section 2.3.1.1).

UIDVALIDITY should tell, but servers change it in circles, or keep it and number anew all the same.
"""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Final
from zlib import crc32

from connectors.imap import failures
from connectors.imap.cursor import Cursor, Rest
from connectors.imap.headers import item_of
from connectors.imap.link import Link
from connectors.imap.searching import Searching
from connectors.imap.session import Selected
from crm_sync.core.errors import Unreachable
from crm_sync.core.headers import HEADER_FIELDS
from crm_sync.core.records import Item, MailItem

MOST_RESETS: Final = 5
"""So often within a day a folder may be numbered anew; after that it has to rest."""

RESTS: Final = (
    timedelta(minutes=15),
    timedelta(hours=1),
    timedelta(hours=6),
    timedelta(hours=12),
)
_DAY: Final = timedelta(days=1)
_ANCHORS: Final = 3
_LOOKED_AT: Final = 10
_MOST_GONE: Final = 1000
# The fields of a page: the others have a say in where a strange header is cut and how it is read.
_HEADER: Final = b"(UID BODY.PEEK[HEADER.FIELDS (" + " ".join(HEADER_FIELDS).encode() + b")])"


class Epoch:
    """Compares a cursor with the folder as it was just opened.

    `void`: all numbers mean other messages now. `gone`: UIDs of deleted messages at the top whose
    numbers the server is about to give out again. Raises errors of the house and `failures.LOST`.
    """

    def __init__(self, link: Link, folder: bytes, old: Cursor, opened: Selected) -> None:
        self._link = link
        self._folder = folder
        self._old = old
        self.gone: range = range(0)
        self.void = old.uidvalidity != opened.uidvalidity or self._recycled(opened)

    def _recycled(self, opened: Selected) -> bool:
        same = self._same_mails()
        if same is False:
            return True
        if opened.uidnext is None or opened.uidnext >= self._old.next_uid:
            return False
        if Searching(self._link, self._folder).above(opened.uidnext):
            return False
        # UIDNEXT fell, and nothing is above it.
        gone = range(opened.uidnext, self._old.next_uid)
        if same is None or len(gone) > _MOST_GONE:
            return True
        self.gone = gone
        return False

    def _same_mails(self) -> bool | None:
        """Whether the anchors are the messages they were; None when none is left."""
        uids = sorted(self._old.anchors)
        session = self._link.session()
        if not uids or self._link.open(session, self._folder) is None:
            return None
        try:
            fetch = session.fetch(uids, _HEADER)
            session.finish(fetch)
        except failures.LOST:
            # What breaks the conversation must not do so at every pull; a dead line shows anyway.
            self._link.drop()
            return None
        now = self._link.clock.now()
        found = [item_of(str(uid), fetch.replies.get(uid, ()), now) for uid in uids]
        marks = {uid: _mark(item) for uid, item in zip(uids, found, strict=True)}
        told = [mark == self._old.anchors[uid] for uid, mark in marks.items() if mark is not None]
        return all(told) if told else None


def _mark(item: Item | None) -> int | None:
    """Sixteen bits of a Message-ID: enough to notice another one, too few to tell whose it was."""
    if not isinstance(item, MailItem) or not item.envelope.message_id:
        return None
    return crc32(item.envelope.message_id.encode()) & 0xFFFF


def anchors(known: dict[int, int], items: Sequence[tuple[int, Item]]) -> dict[int, int]:
    """The anchors after a page with these items, rising: the last few that have a Message-ID."""
    last = items[-_LOOKED_AT:]
    marks = known | {uid: mark for uid, item in last if (mark := _mark(item)) is not None}
    return {uid: marks[uid] for uid in sorted(marks)[-_ANCHORS:]}


def recent(old: Cursor, now: datetime) -> tuple[datetime, ...]:
    """The moments of the last day at which all numbers became void."""
    return tuple(at for at in old.resets if abs(now - at) < _DAY)


def rest(old: Cursor, opened: Selected, now: datetime) -> Rest | None:
    """The pause that a folder needs whose numbers are void once more; None to begin anew.

    A value that was kept for as long as the pause lasted is believed.
    """
    if len(recent(old, now)) < MOST_RESETS:
        return None
    pause = old.rest
    if pause is None or pause.uidvalidity != opened.uidvalidity:
        tries = pause.tries + 1 if pause else 0
        return Rest(opened.uidvalidity, tries, now + RESTS[min(tries, len(RESTS) - 1)])
    # An end further off than any pause of ours was set by a clock that was wrong.
    return pause if now < pause.until <= now + RESTS[-1] else None


def kept(old: Cursor, opened: Selected, now: datetime) -> Rest | None:
    """What to remember of a pause when the numbers of old hold again."""
    if old.rest is None or not recent(old, now):
        return None
    return replace(old.rest, uidvalidity=opened.uidvalidity)


def flapping(where: str) -> Unreachable:
    """The error of a folder that rests."""
    return Unreachable(
        "the server numbers this folder anew again and again (UIDVALIDITY)",
        where=where,
        advice="Its admin should look at the folder. Nothing is lost: it is read on when the "
        "numbers hold still.",
        scope="stream",
    )
