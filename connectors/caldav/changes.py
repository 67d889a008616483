"""What moved in a calendar since a cursor: by sync-token (RFC 6578), else by its etags."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final

from connectors.caldav.calendars import Calendar
from connectors.caldav.cursor import Cursor, is_up_to_date, must_be_laid_out
from connectors.caldav.multistatus import DAV, MEMBERS, changes_since
from connectors.caldav.wire import GONE, BadAnswer, Wire

_MOST_PAGES: Final = 100
_NO_EVENTS: Final = ("component=vtodo", "component=vjournal")


@dataclass(frozen=True, slots=True)
class Changes:
    """Keys to read with the etags the server named, keys proved gone, and where that leads."""

    wanted: Mapping[str, str]
    gone: tuple[str, ...]
    cursor: Cursor


@dataclass(frozen=True, slots=True)
class Poll:
    """One look at one calendar: its marks, what the diary knows, and the day to lay out until."""

    calendar: Calendar
    known: Mapping[str, str]
    until: str
    now: datetime


def is_idle(old: Cursor, calendar: Calendar, until: str, now: datetime) -> bool:
    """Whether nothing can have moved: the marks are the same and the window has not rolled."""
    same = old.token == calendar.token if calendar.token else old.ctag == calendar.ctag != ""
    return same and old.until == until and not old.listing_is_due(now)


def find_changes(wire: Wire, old: Cursor | None, poll: Poll) -> Changes:
    """What to read and what to forget. Raises `BadAnswer` when the calendar can't be listed."""
    if old is not None and old.token and poll.calendar.token and not old.listing_is_due(poll.now):
        try:
            return _by_token(wire, old, poll)
        except BadAnswer:
            # An expired token is refused with 403 here, 412 or 500 there: all lead to the listing,
            # and if the calendar as a whole is refused, so is that.
            pass
    return _by_listing(wire, old, poll)


def _by_token(wire: Wire, old: Cursor, poll: Poll) -> Changes:
    token, changed, removed = old.token, dict[str, str](), set[str]()
    for _ in range(_MOST_PAGES):
        answer = wire.report(poll.calendar.url, changes_since(token), 1)
        for member in answer.members:
            if member.key.rstrip("/") == poll.calendar.key.rstrip("/"):
                continue
            if member.status in GONE and not member.props:
                removed.add(member.key)
                changed.pop(member.key, None)
            else:
                changed[member.key] = member.text(f"{DAV}getetag")
                removed.discard(member.key)
        if not answer.truncated:
            break
        if not answer.sync_token or answer.sync_token == token:
            raise BadAnswer(507)
        token = answer.sync_token
    if not answer.sync_token:
        raise BadAnswer(0)
    rolled = {
        key: ""
        for key, version in poll.known.items()
        if must_be_laid_out(version, poll.until) and key not in removed
    }
    cursor = replace(
        old, token=answer.sync_token, ctag=poll.calendar.ctag, until=poll.until, doubt=False
    )
    gone = tuple(key for key in poll.known if key in removed)
    return Changes(_stale({**rolled, **changed}, poll), gone, cursor)


def _by_listing(wire: Wire, old: Cursor | None, poll: Poll) -> Changes:
    listed = members(wire, poll.calendar)
    missing = tuple(key for key in poll.known if key not in listed)
    doubtful = bool(missing) and 2 * len(listed) < len(poll.known)
    believed = not doubtful or (old is not None and old.doubt)
    calendar = poll.calendar
    cursor = Cursor(
        token=calendar.token,
        # Servers that can't list still change their ctag: an empty listing proves nothing.
        ctag=calendar.ctag if listed else "",
        until=poll.until,
        listed_at=poll.now.isoformat() if believed else None,
        doubt=doubtful and not believed,
    )
    return Changes(_stale(listed, poll), missing if believed else (), cursor)


def members(wire: Wire, calendar: Calendar) -> dict[str, str]:
    """All objects in a calendar: key -> etag, or what else changes with them."""
    found = {}
    for member in wire.propfind(calendar.url, MEMBERS, 1).members:
        kind = member.text(f"{DAV}getcontenttype").lower().replace(" ", "")
        if (
            member.key.rstrip("/") != calendar.key.rstrip("/")
            and f"{DAV}collection" not in member.children(f"{DAV}resourcetype")
            and not kind.endswith(_NO_EVENTS)
            and member.status not in GONE
        ):
            etag = member.text(f"{DAV}getetag") or member.text(f"{DAV}getlastmodified")
            found[member.key] = etag
    return found


def _stale(found: Mapping[str, str], poll: Poll) -> dict[str, str]:
    return {
        key: etag
        for key, etag in found.items()
        if not is_up_to_date(poll.known.get(key), etag, poll.until)
    }
