"""What is new in a folder, and then its history, while the next page is already on its way."""

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from itertools import chain
from typing import Final

from connectors.imap import epoch, failures
from connectors.imap import uids as uid_sets
from connectors.imap.asking import Asked, Asking, Pending
from connectors.imap.cursor import MOST_GAPS, Cursor, Gap, History
from connectors.imap.epoch import Epoch
from connectors.imap.folders import Status
from connectors.imap.headers import item_of, names_for
from connectors.imap.link import Link
from connectors.imap.pace import Pace
from connectors.imap.searching import Searching, falling
from connectors.imap.session import Selected, Session
from connectors.imap.uids import Ranges
from crm_sync.core.errors import Unreachable
from crm_sync.core.records import Item, MailItem, Page, UnreadableItem

LOOK_EVERY: Final = timedelta(minutes=1)
"""While history is pulled for hours, what arrives meanwhile is looked for this often."""

_WATCHED_HOLES: Final = 64
_DUE_AT_ONCE: Final = 500
_MOST_FAILED: Final = MOST_GAPS // 2
_PLACEHOLDER: Final = "placeholder"


def moved(cursor: Cursor | None, status: Status | None, now: datetime, *, history: bool) -> bool:
    """Whether a folder needs a look: it changed, nobody knows, or something is left to do."""
    if cursor is None or status is None or status.uidnext is None:
        return True
    if (status.uidvalidity, status.uidnext) != (cursor.uidvalidity, cursor.next_uid):
        return True
    if history and cursor.history is not None:
        return True
    if cursor.rest is not None and cursor.rest.uidvalidity != status.uidvalidity:
        return True
    return any(gap.due <= now for gap in cursor.gaps.values())


@dataclass(frozen=True, slots=True)
class Wanted:
    """How far back a first pull goes (None: everything), whether now, and messages a page."""

    reach: timedelta | None
    size: int
    history: bool = True


@dataclass(frozen=True, slots=True)
class _Batch:
    """UIDs of one page; `retried` says that they are gaps, `old` that they are history."""

    uids: Sequence[int]
    retried: bool = False
    old: bool = False

    def cut(self, size: int) -> "tuple[_Batch, _Batch]":
        """At most `size` UIDs whose turn is first, and the others: history is gone down."""
        at = max(len(self.uids) - size, 0) if self.old else size
        low, high = replace(self, uids=self.uids[:at]), replace(self, uids=self.uids[at:])
        return (high, low) if self.old else (low, high)


@dataclass(frozen=True, slots=True)
class _Look:
    """What one look at a folder found: gaps to ask for again, new UIDs, UIDNEXT, holes below it."""

    retry: Sequence[int]
    new: Ranges
    end: int
    holes: Sequence[int]


class Pull:
    """One pull of one folder; `cursor` is carried on and must not be used by others.

    Raises errors of the house and, where the connection breaks outside of a FETCH, those of
    `failures.LOST`.
    """

    def __init__(self, link: Link, folder: bytes, cursor: Cursor | None, wanted: Wanted) -> None:
        self._link = link
        self._folder = folder
        self._old = cursor
        self._wanted = wanted
        self._pace = Pace(wanted.size)
        self._searching = Searching(link, folder)
        self._now = link.clock.now()
        self._stored = cursor.dumps() if cursor is not None else None
        self._reset = False
        self._gone: tuple[str, ...] = ()
        self._left = 0
        self._total = 0

    def pages(self) -> Iterator[Page]:
        """The pages: what is new first, then history; none when there is nothing to store."""
        opened = self._link.once_again(self._open)
        if opened is None:
            return
        yield from self._begin(opened)
        old = self._history()
        self._total = self._left = uid_sets.count(old)
        pages = falling(old, self._wanted.size)
        while True:
            yield from self._round(self._look(opened), pages)
            if not self._left:
                break
            again = self._link.once_again(self._open)
            if again is None or again.uidvalidity != opened.uidvalidity:
                return  # the next pull sees to it
            opened, self._now = again, self._link.clock.now()
        if self._reset or self._gone or self._cursor.dumps() != self._stored:
            yield self._page(())

    # -- where to begin ----------------------------------------------------------------------

    def _open(self, session: Session) -> Selected | None:
        return self._link.reopen(session, self._folder)

    def _begin(self, opened: Selected) -> Iterator[Page]:
        """Sets out from the old cursor or from the start; a page only where a pause begins."""
        old, now = self._old, self._now
        if old is None:
            self._cursor = self._fresh(opened, None)
            return
        seen = Epoch(self._link, self._folder, old, opened)
        if not seen.void:
            self._cursor = old
            old.rest, old.resets = epoch.kept(old, opened, now), epoch.recent(old, now)
            self._forget(seen.gone)
            return
        pause = epoch.rest(old, opened, now)
        if pause is None:
            self._cursor = self._fresh(opened, old.since)
            self._cursor.resets = (*epoch.recent(old, now), now)
            self._cursor.rest = old.rest
            self._reset = True
            return
        if pause != old.rest:
            yield Page((), replace(old, rest=pause).dumps())
        raise epoch.flapping(self._link.where)

    def _fresh(self, opened: Selected, since: datetime | None) -> Cursor:
        """A cursor from which all that is there now is history; `since` as it was before."""
        top = opened.uidnext or (self._searching.top() if opened.exists else 0) + 1
        start = None
        if self._wanted.reach is not None:
            start = self._now - self._wanted.reach
            start = min(start, since or start)
        history = History(top) if top > 1 else None
        return Cursor(opened.uidvalidity, top, since=start, history=history)

    def _forget(self, gone: range) -> None:
        """Deleted messages at the top: their numbers may be given to others."""
        if gone:
            cursor = self._cursor
            self._gone = tuple(f"{cursor.uidvalidity}:{uid}" for uid in gone)
            cursor.next_uid = gone.start
            cursor.gaps = {uid: gap for uid, gap in cursor.gaps.items() if uid not in gone}
            cursor.anchors = {uid: m for uid, m in cursor.anchors.items() if uid not in gone}

    # -- what to ask for ---------------------------------------------------------------------

    def _history(self) -> Ranges:
        """The UIDs of history that are still to do."""
        history = self._cursor.history
        if history is None or not self._wanted.history:
            return []
        since = self._cursor.since
        found = self._searching.between(history.floor, history.below - 1, since)
        if not found:
            self._cursor.history = None
        return found

    def _look(self, opened: Selected) -> _Look:
        """What is new or due now."""
        start = self._cursor.next_uid
        new = self._searching.above(start) if opened.exists else []
        end = max(opened.uidnext or 1, start, new[-1].stop if new else 1)
        # Numbers near the top that were given out and not found: a message may turn up late.
        watched = range(max(start, end - _WATCHED_HOLES), end)
        holes = [uid for uid in watched if not any(uid in part for part in new)]
        return _Look(self._due(), new, end, holes)

    def _due(self) -> list[int]:
        """The gaps to ask for again; those that are no longer announced are settled here."""
        gaps = self._cursor.gaps
        due = sorted(uid for uid, gap in gaps.items() if gap.due <= self._now)[:_DUE_AT_ONCE]
        if not due:
            return []
        found = self._searching.find(b"UID " + uid_sets.write_set(due))
        there = [uid for uid in due if any(uid in part for part in found)]
        for uid in set(due).difference(there):
            again = gaps[uid].again(self._now) if gaps[uid].kind == "hole" else None
            self._keep(uid, again)
        return there

    def _round(self, look: _Look, old: Iterator[list[int]]) -> Iterator[Page]:
        """Gaps, then rising new UIDs, then falling old ones until it is time for another look."""
        size = self._wanted.size
        due = [_Batch(look.retry, retried=True)]
        pages = (_Batch(uids) for uids in uid_sets.pages(look.new, size))
        first = len(look.retry) + uid_sets.count(look.new)
        self._left += first
        self._total += first
        if not first:
            self._finish(look)
        for batch, asked in self._asked(chain(due, pages, self._until_due(old))):
            items = self._settle(batch, asked)
            self._left -= len(batch.uids)
            first -= len(batch.uids)
            if not first:
                self._finish(look)
            yield self._page(items, history=batch.old)

    def _until_due(self, old: Iterator[list[int]]) -> Iterator[_Batch]:
        for uids in old:
            yield _Batch(uids, old=True)
            if self._link.clock.now() - self._now >= LOOK_EVERY:
                return

    # -- what came ---------------------------------------------------------------------------

    def _asked(self, batches: Iterator[_Batch]) -> Iterator[tuple[_Batch, Asked]]:
        """Each batch with its answer; the FETCHes of the next ones have been sent by then."""
        self._asking = Asking(self._link, self._folder, self._cursor.uidvalidity)
        waiting: deque[tuple[_Batch, int, Pending]] = deque()
        names = b"(" + names_for(self._link.session().capabilities) + b")"
        for batch in self._parts(batches):
            asked = self._asking.begin(batch.uids, names)
            waiting.append((batch, self._pace.slowed, asked))
            while len(waiting) > self._pace.ahead:
                yield self._answer(*waiting.popleft())
        while waiting:
            yield self._answer(*waiting.popleft())

    def _parts(self, batches: Iterator[_Batch]) -> Iterator[_Batch]:
        """The batches, cut to what may be asked for at once by then."""
        for batch in batches:
            rest = batch
            while rest.uids:
                if self._pace.exhausted:
                    raise failures.slow_mode(self._link.where, self._link.clock.now())
                part, rest = rest.cut(self._pace.size)
                yield part

    def _answer(self, batch: _Batch, slowed: int, pending: Pending) -> tuple[_Batch, Asked]:
        asked = self._asking.end(pending)
        if asked.slowed:
            self._pace.slow_down(slowed)
        return batch, asked

    def _page(self, items: tuple[Item, ...], *, history: bool = False) -> Page:
        """A page with the cursor as it is now; what is said once is said by the first one."""
        reset, self._reset = self._reset, False
        gone, self._gone = self._gone, ()
        self._stored = self._cursor.dumps()
        return Page(
            items,
            self._stored,
            gone=gone,
            more=self._left > 0,
            reset=reset,
            total=self._total,
            history=history,
        )

    def _settle(self, batch: _Batch, asked: Asked) -> tuple[Item, ...]:
        """The items of a batch, in the order of their UIDs; what is left open goes to the gaps."""
        items: list[tuple[int, Item]] = []
        silent = list(asked.silent)
        for uid in batch.uids:
            item = self._item(uid, asked)
            if uid in asked.failed and asked.doubtful and uid not in self._cursor.gaps:
                self._keep(uid, Gap.new("silent", self._now))
            elif item is not None:
                if self._counts(uid, item, batch):
                    items.append((uid, item))
                self._remember(uid, failed=uid in asked.failed or _is_placeholder(item))
            elif uid in asked.replies:
                silent.append(uid)
        self._cursor.anchors = epoch.anchors(self._cursor.anchors, items)
        found = [item for _, item in items]
        if silent:
            found += self._unanswered(sorted(silent))
        self._advance(batch)
        return tuple(found)

    def _advance(self, batch: _Batch) -> None:
        cursor = self._cursor
        if batch.old and cursor.history is not None:
            # `_left` still counts this batch; without the new ones it says how much history is.
            below, floor = batch.uids[0], cursor.history.floor
            left = self._left - len(batch.uids)
            cursor.history = History(below, floor) if left else None
        elif not batch.retried and not batch.old:
            cursor.next_uid = max(cursor.next_uid, batch.uids[-1] + 1)

    def _item(self, uid: int, asked: Asked) -> Item | None:
        key = f"{self._cursor.uidvalidity}:{uid}"
        if uid in asked.failed:
            return UnreadableItem(key, asked.failed[uid])
        return item_of(key, asked.replies.get(uid, ()), self._now)

    def _counts(self, uid: int, item: Item, batch: _Batch) -> bool:
        """Whether an item belongs to this pull: young enough, and not reported as broken before."""
        if isinstance(item, MailItem):
            since = self._cursor.since
            return not batch.old or since is None or item.arrived_at >= since
        gap = self._cursor.gaps.get(uid)
        return gap is None or gap.kind != "failed"

    def _remember(self, uid: int, *, failed: bool) -> None:
        """A failure stays a gap for a while: servers come to their senses."""
        gap = self._cursor.gaps.get(uid)
        if not failed:
            self._keep(uid, None)
        elif gap is not None:
            self._keep(uid, Gap("failed", gap.tries, gap.due).again(self._now))
        elif len(self._cursor.gaps) < _MOST_FAILED:
            self._keep(uid, Gap.new("failed", self._now))

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

    def _finish(self, look: _Look) -> None:
        """All that is new has been settled."""
        self._cursor.next_uid = look.end
        for uid in look.holes:
            self._keep(uid, Gap.new("hole", self._now))


def _is_placeholder(item: Item) -> bool:
    """Whether the server gave something else in place of the message."""
    return isinstance(item, UnreadableItem) and _PLACEHOLDER in item.reason
