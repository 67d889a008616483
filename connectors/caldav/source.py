"""A CalDAV account as a `crm_sync.ports.Source`.

A poll is one PROPFIND on the calendar home. Where a calendar's sync-token or ctag moved, its
changes are asked for by token, else by comparing etags; the objects follow in dozens. Once a day
all etags are compared, and recurring meetings are laid out a day further.
"""

import hashlib
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import date, datetime
from typing import Final

from connectors.caldav.calendars import Calendar, Calendars
from connectors.caldav.changes import Changes, Poll, find_changes, is_idle, members
from connectors.caldav.cursor import Cursor, read_cursor, version_of
from connectors.caldav.multistatus import key_of
from connectors.caldav.objects import Raw, fetch
from connectors.caldav.options import CaldavOptions
from connectors.caldav.wire import GONE, BadAnswer, Wire, refusal
from crm_sync.core.clean import clean
from crm_sync.core.errors import CrmSyncError, Refused, Scope, Unreachable, Unreadable
from crm_sync.core.meetings import ParsedObject, read_events
from crm_sync.core.records import (
    Body,
    EventItem,
    Finding,
    Item,
    Locator,
    Page,
    Stream,
    UnreadableItem,
)
from crm_sync.ports import Known, Surroundings

_BATCH: Final = 500
_LARGEST_OCTETS: Final = 256 * 1024


@dataclass(frozen=True, slots=True)
class _Window:
    """What of the calendars matters now; it rolls on with the day."""

    now: datetime
    start: datetime
    end: datetime

    @property
    def until(self) -> date:
        """The day up to which recurring meetings are laid out."""
        return self.end.date()


class CaldavSource:
    """Reads the calendars of one account. It sends PROPFIND, REPORT and GET, nothing else."""

    def __init__(self, options: CaldavOptions, surroundings: Surroundings) -> None:
        self._options = options
        self._clock = surroundings.clock
        self._zone = surroundings.zone
        self._shelter = surroundings.shelter
        self._wire = Wire(options, surroundings.clock)
        self._calendars = Calendars(options, self._wire)
        self._seen: dict[str, Calendar] = {}

    def streams(self) -> Sequence[Stream]:
        """The calendars that hold events, or those of them that are configured."""
        with self._speaking():
            chosen = self._calendars.chosen(self._calendars.look())
        if not chosen:
            raise Refused(
                "none of the configured calendars is there",
                where=self._options.where,
                advice="`crm-sync doctor` names the calendars that are.",
            )
        self._seen = {calendar.key: calendar for calendar in chosen}
        return [Stream(c.key, c.name, "calendar") for c in chosen]

    def pull(self, stream: Stream, cursor: str | None, known: Known) -> Iterator[Page]:
        """What changed in a calendar, in pages; see `crm_sync.ports.Source`."""
        old = read_cursor(cursor) if cursor is not None else None
        window = self._window()
        until = window.until.isoformat()
        calendar = self._calendar(stream.key)
        if old is not None and is_idle(old, calendar, until, window.now):
            return
        with self._speaking("stream"):
            poll = Poll(calendar, known(), until, window.now)
            changes = find_changes(self._wire, old, poll)
            yield from self._pages(old, poll, changes, window)

    def held(self, stream: Stream, since: datetime | None) -> Iterator[Sequence[str]]:
        """All objects: a calendar does not tell when they arrived; see `crm_sync.ports.Source`."""
        del since
        calendar = self._calendar(stream.key)
        with self._speaking("stream"):
            keys = list(members(self._wire, calendar))
        yield from (keys[at : at + _BATCH] for at in range(0, len(keys), _BATCH))

    def read(
        self, locators: Sequence[Locator], *, items: bool = False, octets: bool = False
    ) -> Iterator[Body]:
        """The objects at the locators; the text is the description of what is not private."""
        by_stream: dict[str, list[Locator]] = defaultdict(list)
        for locator in locators:
            if _is_key(locator.stream) and _is_key(locator.key):
                by_stream[locator.stream].append(locator)
            else:
                yield Body(locator, gone=True)
        for stream, wanted in by_stream.items():
            for start in range(0, len(wanted), self._options.page_size):
                chunk = wanted[start : start + self._options.page_size]
                with self._speaking():
                    for locator, raw in self._raws(stream, chunk):
                        yield self._body(locator, raw, items=items, octets=octets)

    def probe(self) -> Iterator[Finding]:
        """Connects, signs in and names the calendars."""
        try:
            with self._speaking():
                found = self._calendars.look()
        except Unreachable as failure:
            yield Finding("connect", ok=False, problem=failure.what, advice=_advice(failure))
            return
        except CrmSyncError as failure:
            yield Finding("connect", ok=True)
            yield Finding("sign-in", ok=False, problem=failure.what, advice=_advice(failure))
            return
        yield Finding("connect", ok=True)
        yield Finding("sign-in", ok=True)
        names = ", ".join(clean(calendar.name, 60) for calendar in found)
        for missing in self._calendars.missing(found):
            problem, advice = "there is no calendar of this name", f"There are: {names}."
            yield Finding(
                f"calendar {clean(missing, 60)}", ok=False, problem=problem, advice=advice
            )
        yield Finding(f"calendars: {names}", ok=True)

    def close(self) -> None:
        """Lets go of the connection. Never raises."""
        self._wire.close()

    @contextmanager
    def _speaking(self, scope: Scope = "account") -> Iterator[None]:
        """Turns bad answers into errors for people; after any error, all begins anew."""
        try:
            yield
        except BadAnswer as bad:
            self._begin_anew()
            raise refusal(bad, self._options, scope) from bad
        except CrmSyncError:
            self._begin_anew()
            raise

    def _begin_anew(self) -> None:
        self._wire.close()
        self._calendars.forget()

    def _window(self) -> _Window:
        now = self._clock.now()
        return _Window(now, now - self._options.look_back, now + self._options.look_ahead)

    def _calendar(self, key: str) -> Calendar:
        if key not in self._seen:
            self.streams()
        if key not in self._seen:
            raise Unreachable(
                "this calendar is no longer listed", where=self._options.where, scope="stream"
            )
        return self._seen[key]

    def _pages(
        self, old: Cursor | None, poll: Poll, changes: Changes, window: _Window
    ) -> Iterator[Page]:
        """The objects in pages; none when all turns out to be as it was.

        Only the last page moves the cursor: what lies before it is told by the versions the diary
        knows.
        """
        keys, size = list(changes.wanted), self._options.page_size
        unfinished = old if old is not None and old.token else Cursor()
        begun = False
        for start in range(0, max(len(keys), 1), size):
            more = start + size < len(keys)
            items, gone = self._read_page(poll, changes, keys[start : start + size], window)
            gone += () if more else changes.gone
            if items or gone or (not more and (begun or _moved(old, changes.cursor))):
                begun = True
                cursor = unfinished if more else changes.cursor
                yield Page(items, cursor.text(), gone, more=more, total=len(keys))

    def _read_page(
        self, poll: Poll, changes: Changes, keys: Sequence[str], window: _Window
    ) -> tuple[tuple[Item, ...], tuple[str, ...]]:
        items: list[Item] = []
        gone: list[str] = []
        for raw in fetch(self._wire, poll.calendar.url, keys):
            if raw.gone:
                gone += [raw.key] if raw.key in poll.known else []
                continue
            item = self._item(raw, changes.wanted[raw.key], window)
            if poll.known.get(item.key) != item.version:
                items.append(item)
        return tuple(items), tuple(gone)

    def _item(self, raw: Raw, etag: str, window: _Window) -> EventItem | UnreadableItem:
        # What will be compared later is the etag of the listing; some servers give another one
        # with the object. Without any, the text is its own version.
        etag = etag or raw.etag or hashlib.sha256(raw.data or b"").hexdigest()
        try:
            found = self._parsed(raw, window)
        except Unreadable as bad:
            return UnreadableItem(raw.key, bad.what, version_of(etag, None))
        version = version_of(etag, window.until if found.recurring else None)
        return EventItem(raw.key, version, found.uid, found.occurrences)

    def _parsed(self, raw: Raw, window: _Window) -> ParsedObject:
        if raw.data is None:
            raise Unreadable("the server can't deliver this object")
        what = raw.data, window.start, window.end, self._zone
        if self._shelter is None:
            return read_events(*what)
        found: ParsedObject = self._shelter.call(read_events, *what)
        return found

    def _raws(self, stream: str, locators: Sequence[Locator]) -> Iterator[tuple[Locator, Raw]]:
        waiting: dict[str, list[Locator]] = defaultdict(list)
        for locator in locators:
            waiting[key_of(locator.key)].append(locator)
        try:
            url = self._calendars.origin() + stream
            for raw in fetch(self._wire, url, list(waiting)):
                for locator in waiting.pop(raw.key):
                    yield locator, raw
        except BadAnswer as bad:
            if bad.status not in GONE:
                raise
            for one in (one for several in waiting.values() for one in several):
                yield one, Raw(one.key, gone=True)

    def _body(self, locator: Locator, raw: Raw, *, items: bool, octets: bool) -> Body:
        if raw.gone:
            return Body(locator, gone=True)
        window = self._window()
        item = self._item(raw, "", window) if items else None
        if octets:
            return Body(locator, item=item, octets=(raw.data or b"")[:_LARGEST_OCTETS])
        try:
            text = self._parsed(raw, window).description
        except Unreadable as bad:
            return Body(locator, item=item, problem=bad.what)
        return Body(locator, text=text, item=item)


def _moved(old: Cursor | None, new: Cursor) -> bool:
    """Whether a cursor says more than the one before; another hour of listing alone does not."""
    if old is None:
        return True
    return replace(old, listed_at=None) != replace(new, listed_at=None) or (
        _day_of(old.listed_at) != _day_of(new.listed_at)
    )


def _day_of(moment: str | None) -> str:
    return (moment or "")[:10]


def _is_key(text: str) -> bool:
    return text.startswith("/") and not any(c in text for c in "\r\n\0")


def _advice(failure: CrmSyncError) -> str:
    return failure.advice or "Trying again later."
