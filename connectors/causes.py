"""What lies below an error of an HTTP client."""

from collections.abc import Iterator
from typing import Final

_MOST: Final = 50


def causes_of(failure: BaseException) -> Iterator[BaseException]:
    """A failure and what lies below it: by chain, by urllib3's `reason`, or among its arguments."""
    waiting, seen = [failure], set[int]()
    while waiting and len(seen) < _MOST:
        one = waiting.pop(0)
        if id(one) in seen:
            continue
        seen.add(id(one))
        yield one
        below = (one.__cause__, one.__context__, getattr(one, "reason", None), *one.args)
        waiting += [found for found in below if isinstance(found, BaseException)]
