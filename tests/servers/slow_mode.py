"""Gmail's slow mode, played in front of a server: FETCHes succeed, and [THROTTLED] is said of it."""

import re
import threading
from collections.abc import Callable
from dataclasses import dataclass

from tests.servers.recording_proxy import RecordingProxy

_FETCH = re.compile(rb"(\S+) UID FETCH ([\d:,]+) ")
_QUIET = 0.3
"""Seconds after which a client that could have sent another command is taken to wait."""
_MOST_AHEAD = 3


@dataclass(frozen=True)
class Fetch:
    """A FETCH as the server saw it: for how many UIDs, and how many were under way with it."""

    size: int
    under_way: int


class SlowMode(RecordingProxy):
    """`slow` is asked of each FETCH, by its place in the order of answers from 0 on.

    `fetches` holds those that were answered. With `counting` each answer is held back until the
    client has had time to send further commands; without, `under_way` says little.
    """

    def __init__(self, host: str, port: int, *, counting: bool = True) -> None:
        super().__init__(host, port)
        self.slow: Callable[[int], bool] = lambda _: False
        self.fetches: list[Fetch] = []
        self._counting = counting
        self._asked: dict[bytes, int] = {}
        self._changed = threading.Condition()
        self.on_command, self.on_answer = self._hear, self._tell

    @property
    def sizes(self) -> list[int]:
        """How many UIDs each FETCH asked for."""
        return [fetch.size for fetch in self.fetches]

    def _hear(self, line: bytes) -> None:
        if found := _FETCH.match(line):
            with self._changed:
                self._asked[found[1]] = sum(map(_count, found[2].split(b",")))
                self._changed.notify()

    def _tell(self, line: bytes) -> bytes | None:
        tag = line.partition(b" ")[0]
        with self._changed:
            if tag not in self._asked:
                return None
            if self._counting:
                self._changed.wait_for(lambda: len(self._asked) >= _MOST_AHEAD, _QUIET)
            self.fetches.append(Fetch(self._asked[tag], len(self._asked)))
            del self._asked[tag]
            slow = self.slow(len(self.fetches) - 1)
        return tag + b" OK Success [THROTTLED]\r\n" if slow else None


def _count(part: bytes) -> int:
    first, _, last = part.partition(b":")
    return int(last or first) - int(first) + 1
