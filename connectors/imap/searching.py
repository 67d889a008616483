"""Which UIDs a folder holds, by SEARCH with UIDs, numbers and days alone: some know no more."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from itertools import chain
from typing import Final

from connectors.imap import uids as uid_sets
from connectors.imap.link import Link
from connectors.imap.uids import Ranges

WINDOW: Final = 50_000
"""Messages asked about at a time where all are meant: ten digits each make a line of 550 kB."""

_KEYS_AT_ONCE: Final = 1000
_MONTHS: Final = (
    *("Jan", "Feb", "Mar", "Apr", "May", "Jun"),
    *("Jul", "Aug", "Sep", "Oct", "Nov", "Dec"),
)


class Searching:
    """Searches one folder. Raises errors of the house and `failures.LOST`."""

    def __init__(self, link: Link, folder: bytes) -> None:
        self._link = link
        self._folder = folder

    def find(self, criteria: bytes) -> Ranges:
        """The UIDs that meet `criteria`; none when the folder is gone."""
        session = self._link.session()
        if self._link.open(session, self._folder) is None:
            return []
        found = session.search(criteria)
        if isinstance(found, list):
            return found
        raise self._link.refused(found.text, "SEARCH")

    def above(self, first: int) -> Ranges:
        """All UIDs from `first` on."""
        return uid_sets.since(self.find(b"UID %d:*" % first), first)

    def between(self, first: int, last: int, since: datetime | None) -> Ranges:
        """The UIDs from `first` to `last`, by and large without what arrived before `since`."""
        if first > last:
            return []
        found = uid_sets.since(self.find(b"UID %d:%d%b" % (first, last, arrived(since))), first)
        return [range(part.start, min(part.stop, last + 1)) for part in found if part.start <= last]

    def top(self) -> int:
        """The highest UID, where the server does not tell UIDNEXT; 0 for an empty folder."""
        found = self.find(b"UID *")
        return found[-1].stop - 1 if found else 0

    def held(self, exists: int, since: datetime | None) -> Iterator[list[int]]:
        """All UIDs, highest first, in batches; `exists` is the number of messages.

        It goes down by message numbers: deletions meanwhile move those above a message only, so
        that none is left out; what shows twice is dropped.
        """
        lowest = uid_sets.LARGEST + 1
        for last in range(exists, 0, -WINDOW):
            # A number that was just deleted away would be an error; "*" never is.
            end = b"*" if last == exists else b"%d" % last
            numbers = b"%d:%b" % (max(last - WINDOW + 1, 1), end)
            found = self.find(numbers + arrived(since))
            fresh = [range(p.start, min(p.stop, lowest)) for p in found if p.start < lowest]
            if uid_sets.count(fresh) > 2 * WINDOW:
                raise self._link.out_of_order("the server lists more messages than it has")
            yield from falling(fresh, _KEYS_AT_ONCE)
            lowest = fresh[0].start if fresh else lowest


def arrived(since: datetime | None) -> bytes:
    """The end of SEARCH criteria for what arrived since then; empty for None.

    Days are the server's own, in its zone: one more is asked for.
    """
    if since is None:
        return b""
    return b" SINCE " + date_of(since - timedelta(days=1))


def date_of(moment: datetime) -> bytes:
    """A date (RFC 3501 section 9); names of months are English in any locale."""
    return b"%d-%b-%d" % (moment.day, _MONTHS[moment.month - 1].encode(), moment.year)


def falling(parts: Ranges, size: int) -> Iterator[list[int]]:
    """The UIDs in lists of `size`: the highest first, each list rising."""
    left: list[range] = list(parts)
    while left:
        page: list[range] = []
        room = size
        while left and room:
            part = left.pop()
            cut = max(part.stop - room, part.start)
            page.append(range(cut, part.stop))
            room -= part.stop - cut
            if cut > part.start:
                left.append(range(part.start, cut))
        yield list(chain.from_iterable(reversed(page)))
