"""What is new in a folder, page by page, while the next page is already on its way."""

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import chain
from typing import Final

from connectors.imap import uids as uid_sets
from connectors.imap.asking import Asked, Asking, Pending
from connectors.imap.cursor import MOST_GAPS, Cursor, First, Gap
from connectors.imap.folders import Status
from connectors.imap.headers import item_of, names_for
from connectors.imap.link import Link
from connectors.imap.session import Selected, Session
from connectors.imap.uids import Ranges
from crm_sync.core.errors import Unreachable
from crm_sync.core.records import Item, MailItem, Page, UnreadableItem

AHEAD: Final = 2
"""FETCHes under way beyond the page at hand, so that a long line is never idle."""

_WATCHED_HOLES: Final = 64
_DUE_AT_ONCE: Final = 500
_MONTHS: Final = (
    *("Jan", "Feb", "Mar", "Apr", "May", "Jun"),
    *("Jul", "Aug", "Sep", "Oct", "Nov", "Dec"),
)


def moved(cursor: Cursor | None, status: Status | None, now: datetime) -> bool:
    """Whether a folder needs a look: it changed, nobody knows, or a gap is due."""
    if cursor is None or status is None or status.uidnext is None:
        return True
    if (status.uidvalidity, status.uidnext) != (cursor.uidvalidity, cursor.next_uid):
        return True
    return any(gap.due <= now for gap in cursor.gaps.values())


@dataclass(frozen=True, slots=True)
class _Batch:
    """UIDs of one page; `retried` says that they are gaps."""

    uids: Sequence[int]
    retried: bool = False


class Pull:
    """One pull of one folder; `cursor` is carried on and must not be used by others.

    `reach` says how far back a first pull goes (None: everything). Raises errors of the house and,
    where the connection breaks outside of a FETCH, those of `failures.LOST`.
    """

    def __init__(
        self, link: Link, folder: bytes, cursor: Cursor | None, reach: timedelta | None, size: int
    ) -> None:
        self._link = link
        self._folder = folder
        self._old = cursor
        self._reach = reach
        self._size = size
        self._now = link.clock.now()

    def pages(self) -> Iterator[Page]:
        """The pages; none when there is nothing to store."""
        opened = self._link.once_again(self._open)
        if opened is None:
            return
        before = self._old.dumps() if self._old is not None else None
        reset = self._begin(opened)
        retry = self._due()
        new = self._new(opened)
        batches, count = self._batches(retry, new)
        end = max(opened.uidnext or 1, self._cursor.next_uid, new[-1].stop if new else 1)
        holes = self._holes(new, end)
        for batch, asked in self._asked(batches, opened.uidvalidity):
            items = self._settle(batch, asked)
            count -= 1
            if not count:
                self._finish(end, holes)
            total = uid_sets.count(new) + len(retry)
            yield Page(items, self._text(), more=count > 0, reset=reset, total=total)
            reset = False
        if not retry and not new:
            self._finish(end, holes)
            if reset or self._text() != before:
                yield Page((), self._text(), reset=reset, total=0)

    # -- what to ask for ---------------------------------------------------------------------

    def _open(self, session: Session) -> Selected | None:
        return self._link.reopen(session, self._folder)

    def _begin(self, opened: Selected) -> bool:
        """Sets out from the old cursor or from the start; whether earlier keys are void."""
        old = self._old
        if old is not None and old.uidvalidity == opened.uidvalidity and not self._shrank(opened):
            self._cursor = old
            return False
        self._cursor = Cursor(opened.uidvalidity)
        if self._reach is not None:
            self._cursor.first = First(opened.uidnext or self._top() + 1, self._now - self._reach)
        return old is not None

    def _shrank(self, opened: Selected) -> bool:
        """Whether numbers began anew without a word: UIDNEXT fell, and nothing is above it."""
        if self._old is None or opened.uidnext is None or opened.uidnext >= self._old.next_uid:
            return False
        return not uid_sets.since(self._search(b"UID %d:*" % opened.uidnext), opened.uidnext)

    def _top(self) -> int:
        """The highest UID, where the server does not tell UIDNEXT."""
        found = self._search(b"UID *")
        return found[-1].stop - 1 if found else 0

    def _new(self, opened: Selected) -> Ranges:
        """What SEARCH finds from `next_uid` on; below `first.upto` only what is young enough."""
        start, first = self._cursor.next_uid, self._cursor.first
        old: Ranges = []
        if not opened.exists:
            return []
        if first is not None and start < first.upto:
            # Days are the server's own: a day more, the exact moment is compared later.
            day = first.since - timedelta(days=1)
            date = b"%d-%s-%d" % (day.day, _MONTHS[day.month - 1].encode(), day.year)
            old = self._search(b"UID %d:%d SINCE %s" % (start, first.upto - 1, date))
            old = uid_sets.since(old, start)
            start = first.upto
        return uid_sets.union([*old, *uid_sets.since(self._search(b"UID %d:*" % start), start)])

    def _due(self) -> list[int]:
        """The gaps to ask for again; those that are no longer announced are settled here."""
        gaps = self._cursor.gaps
        due = sorted(uid for uid, gap in gaps.items() if gap.due <= self._now)[:_DUE_AT_ONCE]
        if not due:
            return []
        found = self._search(b"UID " + uid_sets.write_set(due))
        there = [uid for uid in due if any(uid in part for part in found)]
        for uid in set(due).difference(there):
            again = gaps[uid].again(self._now) if gaps[uid].kind == "hole" else None
            self._keep(uid, again)
        return there

    def _batches(self, retry: Sequence[int], new: Ranges) -> tuple[Iterator[_Batch], int]:
        """The pages to come and their number: gaps first, then rising UIDs."""
        gaps = [_Batch(uids, retried=True) for uids in ([retry] if retry else [])]
        fresh = (_Batch(uids) for uids in uid_sets.pages(new, self._size))
        return chain(gaps, fresh), len(gaps) + -(-uid_sets.count(new) // self._size)

    def _holes(self, new: Ranges, end: int) -> list[int]:
        """Numbers near the top that were given out and not found: a message may turn up late."""
        if self._cursor.first is not None or self._cursor.next_uid == 1:
            return []
        watched = range(max(self._cursor.next_uid, end - _WATCHED_HOLES), end)
        return [uid for uid in watched if not any(uid in part for part in new)]

    def _search(self, criteria: bytes) -> Ranges:
        session = self._link.session()
        if self._link.open(session, self._folder) is None:
            return []
        found = session.search(criteria)
        if isinstance(found, list):
            return found
        raise self._link.refused(found.text, "SEARCH")

    # -- what came ---------------------------------------------------------------------------

    def _asked(self, batches: Iterator[_Batch], uidvalidity: int) -> Iterator[tuple[_Batch, Asked]]:
        """Each batch with its answer; the FETCHes of the next ones have been sent by then."""
        self._asking = Asking(self._link, self._folder, uidvalidity)
        waiting: deque[tuple[_Batch, Pending]] = deque()
        names = b"(" + names_for(self._link.session().capabilities) + b")"
        for batch in batches:
            waiting.append((batch, self._asking.begin(batch.uids, names)))
            if len(waiting) > AHEAD:
                batch_now, pending = waiting.popleft()
                yield batch_now, self._asking.end(pending)
        for batch, pending in waiting:
            yield batch, self._asking.end(pending)

    def _settle(self, batch: _Batch, asked: Asked) -> tuple[Item, ...]:
        """The items of a batch, in the order of their UIDs; what is left open goes to the gaps."""
        items: list[Item] = []
        silent = list(asked.silent)
        for uid in batch.uids:
            item = self._item(uid, asked)
            if uid in asked.failed and asked.doubtful and uid not in self._cursor.gaps:
                self._keep(uid, Gap.new("silent", self._now))
            elif item is not None:
                if self._counts(uid, item):
                    items.append(item)
                self._remember(uid, failed=uid in asked.failed)
            elif uid in asked.replies:
                silent.append(uid)
        if silent:
            items += self._unanswered(sorted(silent))
        if not batch.retried:
            self._cursor.next_uid = max(self._cursor.next_uid, batch.uids[-1] + 1)
        return tuple(items)

    def _item(self, uid: int, asked: Asked) -> Item | None:
        key = f"{self._cursor.uidvalidity}:{uid}"
        if uid in asked.failed:
            return UnreadableItem(key, asked.failed[uid])
        return item_of(key, asked.replies.get(uid, ()), self._now)

    def _counts(self, uid: int, item: Item) -> bool:
        """Whether an item belongs to this pull: young enough, and not reported as broken before."""
        first = self._cursor.first
        if isinstance(item, MailItem):
            return first is None or uid >= first.upto or item.arrived_at >= first.since
        gap = self._cursor.gaps.get(uid)
        return gap is None or gap.kind != "failed"

    def _remember(self, uid: int, *, failed: bool) -> None:
        """A failure stays a gap for a while: servers come to their senses."""
        gap = self._cursor.gaps.get(uid)
        if not failed:
            self._keep(uid, None)
        elif gap is None:
            self._keep(uid, Gap.new("failed", self._now))
        else:
            self._keep(uid, Gap("failed", gap.tries, gap.due).again(self._now))

    def _unanswered(self, uids: Sequence[int]) -> list[Item]:
        """UIDs the server said nothing about: gone meanwhile, or a gap to come back to."""
        found: list[Item] = []
        announced = self._asking.announced(uids)
        for uid in uids:
            gap = self._cursor.gaps.get(uid)
            again = gap.again(self._now) if gap else Gap.new("silent", self._now)
            if uid in announced and again is None:
                key = f"{self._cursor.uidvalidity}:{uid}"
                found.append(UnreadableItem(key, "the server announces it but never hands it out"))
            self._keep(uid, again if uid in announced else None)
        return found

    def _keep(self, uid: int, gap: Gap | None) -> None:
        if gap is None:
            self._cursor.gaps.pop(uid, None)
            return
        self._cursor.gaps[uid] = gap
        if len(self._cursor.gaps) > MOST_GAPS:
            raise Unreachable(
                "the server announces messages that it does not hand out",
                where=self._link.where,
                advice="Its admin should look at the folder; nothing is lost, we try again.",
                scope="stream",
            )

    def _finish(self, end: int, holes: Sequence[int]) -> None:
        self._cursor.next_uid, self._cursor.first = end, None
        for uid in holes:
            self._keep(uid, Gap.new("hole", self._now))

    def _text(self) -> str:
        return self._cursor.dumps()
