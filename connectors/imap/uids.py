"""Sets of UIDs: as ranges in memory, compressed on the wire (RFC 3501 section 9, sequence-set)."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import Final

LARGEST: Final = 2**32 - 1

Ranges = list[range]
"""Rising, without overlap. What a hostile server announces costs nothing until it is asked for."""


def read_set(text: str) -> Ranges:
    """The ranges in a sequence-set such as "3:5,9"; raises ValueError."""
    found: Ranges = []
    for part in text.split(","):
        first, _, last = part.partition(":")
        low, high = sorted((int(first), int(last or first)))
        if not 0 < low <= high <= LARGEST:
            raise ValueError("no UIDs")
        found.append(range(low, high + 1))
    return union(found)


def ranges(uids: Iterable[int]) -> Ranges:
    """Single UIDs, in any order, as ranges."""
    found: Ranges = []
    start = last = -1
    for uid in sorted(uids):
        if uid > last + 1 and start >= 0:
            found.append(range(start, last + 1))
        if uid > last + 1 or start < 0:
            start = uid
        last = uid
    if start >= 0:
        found.append(range(start, last + 1))
    return found


def union(parts: Iterable[range]) -> Ranges:
    """Any ranges, joined where they overlap or touch."""
    found: Ranges = []
    for part in sorted((p for p in parts if p), key=lambda p: p.start):
        if found and part.start <= found[-1].stop:
            found[-1] = range(found[-1].start, max(found[-1].stop, part.stop))
        else:
            found.append(part)
    return found


def since(parts: Ranges, first: int) -> Ranges:
    """What is at or above `first`: servers answer "n:*" with the last message even below n."""
    return [range(max(p.start, first), p.stop) for p in parts if p.stop > first]


def count(parts: Ranges) -> int:
    """How many UIDs there are."""
    return sum(len(p) for p in parts)


def pages(parts: Ranges, size: int) -> Iterator[list[int]]:
    """The UIDs, rising, in lists of `size`."""
    each = (uid for part in parts for uid in part)
    while page := list(islice(each, size)):
        yield page


def write_set(uids: Sequence[int]) -> bytes:
    """UIDs as a sequence-set: 500 of ten digits stay below 6 kB (RFC 7162 section 4 allows 8)."""
    return b",".join(
        b"%d" % p.start if len(p) == 1 else b"%d:%d" % (p.start, p.stop - 1) for p in ranges(uids)
    )
