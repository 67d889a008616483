"""One pull of a folder: walk, history, live.

*Walk*: a first delta round without filter, ids only; its end gives the delta link. *History*: plain
paging by date of arrival, newest first. *Live*: what the delta link tells, from then on.

The walk comes before the history so that there is no gap between them: what the walk has passed is
in the folder when the history is read, and what comes after it the delta link tells. A filtered
delta round would be shorter, but ends in silence after 5,000 messages (Microsoft: message: delta).
"""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Final
from urllib.parse import quote

from connectors.graph.answers import NOT_FOUND, Answer, Json, moment, text
from connectors.graph.client import IMMUTABLE, Ask, GraphClient
from connectors.graph.cursor import MOST_SEEN, Cursor
from connectors.graph.folders import path_of
from connectors.graph.messages import HEADER_QUERY, ask_header, item_of, key_of
from crm_sync.core.errors import CrmSyncError, Unreachable
from crm_sync.core.records import Item, Page
from crm_sync.ports import Known

_WALK_PAGE: Final = 500
_MOST_RESTARTS: Final = 3
_MOST_PAGES: Final = 100_000
_FRESH: Final = 24 * 3600
"""Seconds after which a newer delta link is stored although nothing moved: they do not live for
ever (Microsoft: delta query overview, token duration)."""


class Pull:
    """After `pages` has ended, `newest` is the delta link that the next poll should ask for."""

    def __init__(
        self, client: GraphClient, folder: str, cursor: Cursor, page_size: int, known: Known
    ) -> None:
        self._client = client
        self._folder = folder
        self._cursor = cursor
        self._page_size = page_size
        self._known = known
        self._first: Answer | None = None
        self._restarts = 0
        self._delivered: set[str] = set()

    def pages(self, first: Answer | None = None) -> Iterator[Page]:
        """The pages; `first` answers the cursor's delta link when the poll asked it already."""
        self._first = first
        held: Page | None = None
        # A page is held until it is known whether another follows: only the last says no more.
        try:
            for page in self._steps():
                if held is not None:
                    yield replace(held, more=True)
                held = page
        except CrmSyncError:
            # What has come counts, so that each try gets further.
            if held is not None:
                yield replace(held, more=True)
            raise
        if held is not None:
            yield held

    @property
    def newest(self) -> str:
        """The newest delta link."""
        return self._cursor.link

    def _steps(self) -> Iterator[Page]:
        if self._cursor.phase == "walk":
            yield from self._walk()
        if self._cursor.phase == "history":
            yield from self._history()
        yield from self._live()

    # -- walk --------------------------------------------------------------------------------

    def _walk(self) -> Iterator[Page]:
        """A delta round from its beginning, to its delta link."""
        cursor, passed = self._cursor, set[str]()
        begun_here = not cursor.link
        known: Mapping[str, str] = self._known() if cursor.heal else {}
        for _ in range(_MOST_PAGES):
            answer = self._ask(cursor.link or self._beginning(), _WALK_PAGE)
            if answer.is_lost and cursor.link:
                self._restart()
                begun_here, cursor.link, passed = True, "", set()
                continue
            self._check(answer)
            keys = [key_of(row) for row in answer.rows if "@removed" not in row]
            unknown: list[str] = []
            if cursor.heal:
                passed.update(keys)
                unknown = [k for k in self._in_reach(answer.rows) if k not in known]
            items, gone = self._fetch(unknown)
            onward = self._client.link(answer, "@odata.nextLink")
            if onward:
                cursor.link = onward
                yield self._page(items, gone)
                continue
            if cursor.heal and begun_here:
                gone += [key for key in known if key not in passed]
            self._close_round(answer)
            cursor.phase, cursor.heal = "live" if cursor.heal else "history", False
            yield self._page(items, gone)
            return
        raise self._endless()

    def _beginning(self) -> str:
        return f"{path_of(self._client.mailbox, self._folder)}/delta?$select=id,receivedDateTime"

    # -- history -----------------------------------------------------------------------------

    def _history(self) -> Iterator[Page]:
        """Everything since `since`, newest first, by a key and not by an offset.

        An offset would skip a message for each that is deleted meanwhile. The key is the second of
        arrival: Graph tells no fractions, so the page after begins with that second again, and what
        of it has been delivered is left out by its digest.
        """
        cursor = self._cursor
        for _ in range(_MOST_PAGES):
            answer = self._ask(self._history_query(), self._page_size)
            self._check(answer)
            seen = set(cursor.seen)
            fresh = [row for row in answer.rows if _digest(key_of(row)) not in seen]
            more = bool(self._client.link(answer, "@odata.nextLink"))
            self._remember(fresh)
            if not more:
                cursor.phase, cursor.below, cursor.passed, cursor.seen = "live", None, 0, ()
            items = [item for row in fresh for item in self._item(row)]
            if items or not more:
                yield self._page(items, [])
            if not more:
                return
        raise self._endless()

    def _history_query(self) -> str:
        cursor, terms = self._cursor, []
        if cursor.since is not None:
            terms.append(f"receivedDateTime ge {instant(cursor.since)}")
        if cursor.below is not None:
            terms.append(f"receivedDateTime lt {instant(cursor.below + 1)}")
        query = f"$top={self._page_size}&$orderby=receivedDateTime desc&{HEADER_QUERY}"
        if terms:
            query += f"&$filter={' and '.join(terms)}"
        # More than a page may have come in one second, as after a migration. The pages overlap, in
        # case some of them are deleted meanwhile.
        if cursor.passed >= self._page_size:
            query += f"&$skip={cursor.passed - self._page_size // 4}"
        path = path_of(self._client.mailbox, self._folder)
        return f"{path}?{quote(query, safe='$(),=&%:')}"

    def _remember(self, rows: Sequence[Json]) -> None:
        """Notes the second that was reached, and what of it was delivered."""
        cursor = self._cursor
        seconds = [at for row in rows if (at := _second(row)) is not None]
        if not seconds:
            return
        oldest = min(seconds)
        if oldest != cursor.below:
            cursor.below, cursor.passed, cursor.seen = oldest, 0, ()
        here = [_digest(key_of(row)) for row in rows if _second(row) == oldest]
        cursor.passed += len(here)
        cursor.seen = (*cursor.seen, *here)[-MOST_SEEN:]

    # -- live --------------------------------------------------------------------------------

    def _live(self) -> Iterator[Page]:
        """What changed since the delta link: rounds of pages, the link of the last kept."""
        cursor = self._cursor
        for _ in range(_MOST_PAGES):
            answer = self._next_of_round()
            if answer.status == NOT_FOUND:
                return  # the folder was deleted since the poll looked; its mail stays with us
            if answer.is_lost:
                self._restart()
                if cursor.next:
                    # Only the unfinished round is lost: it begins again from its delta link.
                    cursor.next = ""
                    continue
                cursor.phase, cursor.link, cursor.heal = "walk", "", True
                yield from self._walk()
                continue
            self._check(answer)
            items, gone = self._changes(answer.rows)
            cursor.next = self._client.link(answer, "@odata.nextLink")
            if cursor.next:
                yield self._page(items, gone)
                continue
            given = cursor.got
            self._close_round(answer)
            if answer.rows or cursor.got - given > _FRESH:
                yield self._page(items, gone)
            return
        raise self._endless()

    def _next_of_round(self) -> Answer:
        first, self._first = self._first, None
        if first is not None and not self._cursor.next:
            return first
        return self._ask(self._cursor.next or self._cursor.link, self._page_size)

    def _changes(self, rows: Sequence[Json]) -> tuple[list[Item], list[str]]:
        """Items and keys that are gone. Rows come in any order, and more than once."""
        removed = {key_of(row) for row in rows if "@removed" in row}
        present = set(self._in_reach(row for row in rows if "@removed" not in row))
        # Of a message that was both, only the message itself knows which was last.
        doubtful = removed & (present | self._delivered)
        items, gone = self._fetch(sorted((present | doubtful) - {""}))
        return items, sorted(removed - doubtful - {""}) + gone

    def _in_reach(self, rows: Iterator[Json] | Sequence[Json]) -> list[str]:
        """Keys of what arrived since `since`; a row that doesn't say when may have."""
        since = self._cursor.since
        return [
            key
            for row in rows
            if "@removed" not in row
            and (key := key_of(row))
            and (since is None or (at := _second(row)) is None or at >= since)
        ]

    # -- both --------------------------------------------------------------------------------

    def _fetch(self, keys: Sequence[str]) -> tuple[list[Item], list[str]]:
        """The headers of some messages, and which of them are not in this folder any more.

        Not taken from the delta rows: those of a changed message may lack what was selected.
        """
        items: list[Item] = []
        gone: list[str] = []
        answers = self._client.batch([ask_header(self._client.mailbox, key) for key in keys])
        for key, answer in zip(keys, answers, strict=True):
            if is_missing(answer):
                gone.append(key)
                continue
            self._check(answer)
            if text(answer.body.get("parentFolderId")) not in {self._folder, ""}:
                gone.append(key)
            else:
                items += self._item({**answer.body, "id": key})
        self._delivered.update(item.key for item in items)
        return items, gone

    def _item(self, row: Json) -> list[Item]:
        """None, for a draft, for what is too old and for what has no id; else the item."""
        key, since = key_of(row), self._cursor.since
        item = item_of(row, key) if key else None
        at = _second(row)
        too_old = since is not None and at is not None and at < since
        return [] if item is None or too_old else [item]

    def _ask(self, path: str, size: int) -> Answer:
        return self._client.get(Ask(path, (IMMUTABLE, f"odata.maxpagesize={size}")))

    def _check(self, answer: Answer) -> None:
        if not answer.ok:
            raise self._client.failure(answer)

    def _close_round(self, answer: Answer) -> None:
        link = self._client.link(answer, "@odata.deltaLink")
        if not link:
            raise self._client.senseless()
        self._cursor.link, self._cursor.next = link, ""
        self._cursor.got = int(self._client.clock.now().timestamp())

    def _restart(self) -> None:
        self._restarts += 1
        if self._restarts > _MOST_RESTARTS:
            raise self._endless()

    def _endless(self) -> CrmSyncError:
        what = "Microsoft Graph forgets its links faster than they can be followed"
        return Unreachable(what, where=self._client.account, scope="stream")

    def _page(self, items: Sequence[Item], gone: Sequence[str]) -> Page:
        return Page(tuple(items), self._cursor.dumps(), tuple(dict.fromkeys(gone)))


def is_missing(answer: Answer) -> bool:
    """Whether an answer about one message proves that it is not there."""
    code = answer.code
    return answer.status == NOT_FOUND or (
        answer.status == 400 and code.startswith("errorinvalidid")  # noqa: PLR2004  # Bad Request
    )


def _second(row: Mapping[str, object]) -> int | None:
    at = moment(row.get("receivedDateTime"))
    return None if at is None else int(at.timestamp())


def instant(second: int) -> str:
    """Seconds since 1970 as `$filter` takes them."""
    return datetime.fromtimestamp(second, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _digest(key: str) -> str:
    return hashlib.blake2b(key.encode(), digest_size=6).hexdigest()
