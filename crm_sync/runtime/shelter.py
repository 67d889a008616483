"""A shelter made of child processes: hostile content can only ever cost the child that reads it.

A child has limits on memory, processor time and files, is killed when it says nothing for too long,
and is started when it is needed. It ends when its parent does: its standard input ends.

What comes back was made by a process that read hostile bytes: `crm_sync.runtime.answers` takes
nothing from it but what our own code could have said.
"""

import os
import pickle
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from time import monotonic
from typing import Any, Final

from crm_sync.core.errors import Unreachable, Unreadable
from crm_sync.runtime.answers import CORE, LARGEST_ANSWER, Answer, BadAnswer, read_answer
from crm_sync.runtime.shelter_child import PREFIX

TOO_MUCH: Final = "it takes too much time or memory to read"
BROKEN: Final = "it breaks the process that reads it"

ANSWER_SECONDS: Final = 10.0
"""How long work may take by the wall clock; its processor time ends earlier, see the child."""

_START_SECONDS: Final = 30.0
# A child that held more keeps the memory; a new one is cheaper than that.
_LARGEST_KEPT: Final = 1024 * 1024
_MOST_CHILDREN: Final = 2
_PROGRAM: Final = "crm_sync.runtime.shelter_child"
# Our secrets may be in the environment; the child needs none of it but how to find its libraries.
_PASSED_ON: Final = ("LD_LIBRARY_PATH", "PYTHONHOME", "PYTHONTZPATH", "SYSTEMROOT")


class ProcessShelter:
    """A `crm_sync.ports.Shelter` for all threads of a process; children start at the first call."""

    def __init__(self, most: int = min(_MOST_CHILDREN, os.cpu_count() or 1)) -> None:
        self._room = threading.BoundedSemaphore(most)
        self._idle: list[_Child] = []
        self._guard = threading.Lock()
        self._closed = False

    def call(self, function: Callable[..., Any], /, *arguments: Any) -> Any:
        """See `crm_sync.ports.Shelter.call`; the function's return type is what may come back.

        That is made of texts, whole numbers, booleans, dates, times in UTC, None, tuples of one
        type and records of `core`. Raises `Unreachable` when no child can be started.
        """
        if not function.__module__.startswith(CORE):
            raise TypeError(f"{function.__module__} is not part of {CORE}")
        request = pickle.dumps((function, arguments), pickle.HIGHEST_PROTOCOL)
        with self._room:
            answer = self._ask(request, function) or self._ask(request, function)
        if answer is None or answer.problem:
            raise Unreadable(answer.problem if answer else TOO_MUCH)
        return answer.value

    def close(self) -> None:
        """Ends the children; further calls find none to keep."""
        with self._guard:
            self._closed, idle = True, self._idle
            self._idle = []
        for child in idle:
            child.end()

    def _ask(self, request: bytes, function: Callable[..., Any]) -> Answer | None:
        """The answer of a child; None when somebody killed it, which need not be our work's fault.

        Raises `Unreadable` when the work was too much, or the answer is none.
        """
        child = self._child()
        try:
            said = child.ask(request)
            answer = read_answer(said, function)
        except BaseException as error:
            status = child.end()
            if isinstance(error, EOFError | ConnectionError) and status == -signal.SIGKILL:
                return None
            if isinstance(error, BadAnswer):
                raise Unreadable(BROKEN) from None
            if isinstance(error, EOFError | OSError):
                raise Unreadable(TOO_MUCH) from None
            raise
        self._keep(child, len(request) + len(said))
        return answer

    def _child(self) -> "_Child":
        """A child that waits for work."""
        with self._guard:
            while self._idle:
                child = self._idle.pop()
                if child.is_alive():
                    return child
                child.end()
        try:
            return _Child()
        except (OSError, EOFError):
            raise Unreachable(
                "the process that reads texts can't be started",
                advice="Check how much memory and how many processes the program may have.",
            ) from None

    def _keep(self, child: "_Child", size: int) -> None:
        with self._guard:
            if not self._closed and size <= _LARGEST_KEPT:
                self._idle.append(child)
                return
        child.end()


class _Child:
    """One child process and the socket to it. Raises `OSError` or `EOFError` when it is no more."""

    def __init__(self) -> None:
        self._socket, theirs = socket.socketpair()
        with theirs:
            try:
                self._process = subprocess.Popen(  # noqa: S603  # a module of ours
                    [sys.executable, "-P", "-m", _PROGRAM],
                    stdin=theirs.fileno(),
                    stdout=theirs.fileno(),
                    stderr=subprocess.DEVNULL,
                    env=_environment(),
                )
            except BaseException:
                self._socket.close()
                raise
        try:
            self._receive(monotonic() + _START_SECONDS)
        except BaseException:
            self.end()
            raise

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    def is_alive(self) -> bool:
        """Whether it can still be asked."""
        return self._process.poll() is None

    def ask(self, request: bytes) -> bytes:
        """The answer to a request."""
        until = monotonic() + ANSWER_SECONDS
        self._socket.settimeout(ANSWER_SECONDS)
        self._socket.sendall(len(request).to_bytes(PREFIX, "big"))
        self._socket.sendall(request)
        return self._receive(until)

    def end(self) -> int:
        """Ends it at once, unless it has ended; its status."""
        self._process.kill()
        self._socket.close()
        return self._process.wait()

    def _receive(self, until: float) -> bytes:
        size = int.from_bytes(self._exactly(PREFIX, until), "big")
        if size > LARGEST_ANSWER:
            raise EOFError
        return self._exactly(size, until)

    def _exactly(self, size: int, until: float) -> bytes:
        found = bytearray()
        while len(found) < size:
            self._socket.settimeout(max(until - monotonic(), 0.001))
            part = self._socket.recv(min(size - len(found), 1024 * 1024))
            if not part:
                raise EOFError
            found += part
        return bytes(found)


def _environment() -> dict[str, str]:
    ours = {name: os.environ[name] for name in _PASSED_ON if name in os.environ}
    root = Path(__file__).resolve().parents[2]
    return ours | {"PYTHONPATH": str(root), "PYTHONUTF8": "1"}
