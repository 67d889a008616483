"""One thread waits for all servers that tell by themselves when something is new.

What it hears is a hint and no more: a poll stands behind it and finds whatever was missed.
"""

import heapq
import queue
import random
import selectors
import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from crm_sync.core.errors import CrmSyncError
from crm_sync.ports import Watch
from crm_sync.runtime.logs import logger

FIRST_REFRESH: Final = 30.0
SHORT_LIFE: Final = 300.0
"""Seconds; a watch that ended sooner counts as a failure."""

_FIRST_WAIT, _LONGEST_WAIT = 60.0, 3600.0
_STOP_SECONDS: Final = 2.0


@dataclass(frozen=True, slots=True)
class _Held:
    """A watch with its descriptor, and since when it is held."""

    watch: Watch
    descriptor: int
    since: float


@dataclass(slots=True)
class _Trouble:
    """How often in a row an account could not be watched for long, and until when it is let be."""

    times: int = 0
    until: float = 0.0


class Watcher:
    """Calls `hint(name)` in its thread when something may be new in the account of that name.

    `hint` must return quickly; it is called too when a watch has ended: only a poll can tell what
    was missed, and the pull that follows may begin another. `now` counts seconds.
    """

    def __init__(
        self, hint: Callable[[str], None], now: Callable[[], float] = time.monotonic
    ) -> None:
        self._hint = hint
        self._now = now
        self._held: dict[str, _Held] = {}
        self._troubles: dict[str, _Trouble] = {}
        self._due: list[tuple[float, int, str]] = []
        self._new: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._guard = threading.Lock()
        self._stopping = False
        self._selector = selectors.DefaultSelector()
        self._bell, self._door = socket.socketpair()
        for end in (self._bell, self._door):
            end.setblocking(False)
        self._selector.register(self._door, selectors.EVENT_READ, None)
        self._thread = threading.Thread(target=self._run, name="watch", daemon=True)

    def start(self) -> None:
        """Starts the thread."""
        self._thread.start()

    def stop(self) -> None:
        """Ends the thread and closes all watches; none is taken over any more."""
        with self._guard:
            self._stopping = True
        self._ring()
        self._thread.join(_STOP_SECONDS)

    def wants(self, name: str) -> bool:
        """Whether a watch of the account is welcome: it has none, and none has failed lately."""
        with self._guard:
            trouble = self._troubles.get(name, _Trouble())
            return not self._stopping and name not in self._held and self._now() >= trouble.until

    def add(self, name: str, watch: Watch | None) -> None:
        """Takes over a watch, from any thread; None says that there could not be one now."""
        with self._guard:
            if watch is None:
                self._failed(name)
                return
            if self._stopping:
                watch.close()
                return
            self._held[name] = _Held(watch, watch.fileno(), self._now())
        self._new.put(name)
        self._ring()

    def __len__(self) -> int:
        """How many accounts are watched."""
        return len(self._held)

    # -- in the thread -----------------------------------------------------------------------

    def _run(self) -> None:
        while not self._stopping:
            wait = max(self._due[0][0] - self._now(), 0) if self._due else None
            for key, _ in self._selector.select(wait):
                if key.data is None:
                    self._take_over()
                else:
                    self._try(key.data, self._listen)
            while self._due and self._due[0][0] <= self._now():
                _, descriptor, name = heapq.heappop(self._due)
                held = self._held.get(name)
                if held is not None and held.descriptor == descriptor:
                    self._try(name, self._refresh)
        for held in self._held.values():
            held.watch.close()
        self._selector.close()
        self._bell.close()
        self._door.close()

    def _take_over(self) -> None:
        with suppress(BlockingIOError):
            self._door.recv(4096)
        while not self._new.empty():
            self._try(self._new.get(), self._begin)

    def _begin(self, name: str, held: _Held) -> None:
        self._selector.register(held.descriptor, selectors.EVENT_READ, name)
        self._plan(name, held, FIRST_REFRESH)
        self._listen(name, held)

    def _listen(self, name: str, held: _Held) -> None:
        if held.watch.ready():
            self._say(name)

    def _refresh(self, name: str, held: _Held) -> None:
        self._plan(name, held, held.watch.refresh())

    def _plan(self, name: str, held: _Held, seconds: float) -> None:
        heapq.heappush(self._due, (self._now() + seconds, held.descriptor, name))

    def _try(self, name: str, work: Callable[[str, _Held], None]) -> None:
        """Works on one watch; its trouble ends it and no other."""
        held = self._held[name]
        try:
            work(name, held)
        except CrmSyncError as error:
            self._end(name, held, error.what)
        except Exception as error:  # noqa: BLE001  # one account never stops the others
            self._end(name, held, type(error).__name__)

    def _end(self, name: str, held: _Held, reason: str) -> None:
        logger().debug("watch ended", account=name, reason=reason)
        with suppress(KeyError, ValueError):
            self._selector.unregister(held.descriptor)
        held.watch.close()
        with self._guard:
            del self._held[name]
            if self._now() - held.since < SHORT_LIFE:
                self._failed(name)
            else:
                self._troubles.pop(name, None)
        self._say(name)

    def _say(self, name: str) -> None:
        try:
            self._hint(name)
        except Exception as error:  # noqa: BLE001  # a poll stands behind every hint
            logger().warning("hint", account=name, error=type(error).__name__)

    def _failed(self, name: str) -> None:
        trouble = self._troubles.setdefault(name, _Trouble())
        wait = min(_FIRST_WAIT * 2.0**trouble.times, _LONGEST_WAIT)
        trouble.until = self._now() + wait * random.uniform(0.5, 1)  # noqa: S311  # spreads load
        trouble.times = min(trouble.times + 1, 10)

    def _ring(self) -> None:
        with suppress(OSError):  # full: it rings already; closed: nobody is there any more
            self._bell.send(b"\0")
