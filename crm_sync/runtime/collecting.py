"""Python's cycle collector, kept from going through the whole program again and again."""

import gc
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

_RARELY: Final = (50_000, 20, 20)
"""Allocations before a collection; a page of 500 messages makes some 20,000 objects, no cycles."""

_guard = threading.Lock()
_users = 0
_before = gc.get_threshold()


@contextmanager
def rare_collections() -> Iterator[None]:
    """While many messages are read: collections are rare and leave alone what was there before.

    A pull makes many objects that die by themselves, and each looks to the collector like a reason
    to search all modules for cycles: a tenth of a first sync. Threads may use it side by side.
    """
    global _users, _before  # noqa: PLW0603  # the collector is one for the whole process
    with _guard:
        _users += 1
        if _users == 1:
            _before = gc.get_threshold()
            gc.set_threshold(*_RARELY)
            gc.freeze()
    try:
        yield
    finally:
        with _guard:
            _users -= 1
            if not _users:
                gc.unfreeze()
                gc.set_threshold(*_before)
