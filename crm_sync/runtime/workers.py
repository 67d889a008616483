"""First syncs of several accounts in processes of their own: an interpreter keeps one core busy.

A worker is forked by the `ForkServer`, with its own connections to diary and server. It is told
what to do by a JSON object, `{"account", "quiet"}`; the end of that pipe ends it, so that no worker
outlives its parent. It says a JSON object a line: how far it is, and at last what it brought.
"""

import json
import os
import selectors
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import IO, Any, Final

from crm_sync.core.errors import CrmSyncError, Unreachable
from crm_sync.flow import health
from crm_sync.flow.faults import only_ours
from crm_sync.flow.fetch import Progress
from crm_sync.flow.health import Pulled
from crm_sync.flow.setup import Setup
from crm_sync.runtime import logs
from crm_sync.runtime.fork_server import ForkServer
from crm_sync.store.accounts import Account

MOST: Final = 2
"""Workers at the same time, beside this process; each takes some 100 MB."""

PullApart = Callable[[Path, str, Progress], Pulled]
"""Pulls one account of a configuration in a process that has nothing open yet."""

_LOOK_SECONDS: Final = 0.5
_END_SECONDS: Final = 5.0
_LAST_WORD: Final = "pulled"


class Workers:
    """Pulls accounts in workers while there are cores for them. All threads share it.

    Made before anything is open (see `ForkServer`). `stopping` tells that all are to end: what they
    have stored is stored, the rest comes later. `quiet` workers log nothing.
    """

    def __init__(self, config: Path, pull_apart: PullApart, most: int | None = None) -> None:
        # One core is this process's own.
        most = min(MOST, len(os.sched_getaffinity(0)) - 1) if most is None else most
        self._room = threading.Semaphore(most)
        self._server = _server(partial(_work, config, pull_apart)) if most else None
        self.stopping: Callable[[], bool] = lambda: False
        self.quiet = True

    def close(self) -> None:
        """No worker is needed any more; those under way go on."""
        server, self._server = self._server, None
        if server is not None:
            server.close()

    def pull(
        self, setup: Setup, account: Account, interval: timedelta, progress: Progress
    ) -> Pulled | None:
        """One pull of the account; None when there is no room for a worker.

        Of a worker that ended early the account's row tells.
        """
        server = self._server
        if server is None or not self._room.acquire(blocking=False):
            return None
        try:
            pipes = server.start()
        except OSError:
            self._room.release()
            return None
        try:
            return self._pull(pipes, setup, account, interval, progress)
        finally:
            self._room.release()

    def _pull(
        self,
        pipes: tuple[IO[bytes], IO[bytes]],
        setup: Setup,
        account: Account,
        interval: timedelta,
        progress: Progress,
    ) -> Pulled:
        pulled, started, ended_well = Pulled(account.name, account.connector), setup.now(), False
        request = {"account": account.name, "quiet": self.quiet}
        for told in self._told(*pipes, request):
            if "progress" in told:
                progress(*told["progress"])
            for name, value in told.get(_LAST_WORD, {}).items():
                setattr(pulled, name, value)
            ended_well |= _LAST_WORD in told
        if not ended_well and not self.stopping():
            pulled.failures.append(
                Unreachable(
                    "the process that pulled it ended early",
                    where=account.name,
                    advice="What it stored is kept; the rest is pulled at the next try.",
                )
            )
            health.note_health(setup, account, pulled, started, interval)
        return pulled

    def _told(
        self, ask: IO[bytes], tell: IO[bytes], request: dict[str, object]
    ) -> Iterator[dict[str, Any]]:
        """What a worker says, to its end."""
        with tell:
            with ask, suppress(BrokenPipeError):  # it ended before it was told what to do
                ask.write(json.dumps(request).encode() + b"\n")
                for line in self._lines(tell):
                    yield json.loads(line)
            _await_end(tell)

    def _lines(self, stream: IO[bytes]) -> Iterator[bytes]:
        """What the worker says, until it ends or all are to stop."""
        rest = b""
        with selectors.DefaultSelector() as selector:
            selector.register(stream, selectors.EVENT_READ)
            while not self.stopping():
                if not selector.select(_LOOK_SECONDS):
                    continue
                part = os.read(stream.fileno(), 64 * 1024)
                if not part:
                    return
                *lines, rest = (rest + part).split(b"\n")
                yield from lines


def _await_end(tell: IO[bytes]) -> None:
    """Waits for the lock on the account, which a worker lets go of as it ends."""
    with selectors.DefaultSelector() as selector:
        selector.register(tell, selectors.EVENT_READ)
        while selector.select(_END_SECONDS) and os.read(tell.fileno(), 64 * 1024):
            pass


def _server(work: Callable[[IO[str], IO[str]], int]) -> ForkServer | None:
    try:
        return ForkServer(work)
    except OSError:
        return None  # this process pulls all of them by itself


# -- in the worker -----------------------------------------------------------------------------


def _work(config: Path, pull_apart: PullApart, asked: IO[str], tell: IO[str]) -> int:
    """One pull; the exit status."""

    def say(**told: object) -> None:
        tell.write(json.dumps(told) + "\n")
        tell.flush()

    line = asked.readline()
    if not line:
        return 1  # whoever asked has ended already
    request = json.loads(line)
    threading.Thread(target=_end_with, args=(asked,), daemon=True).start()
    logs.configure(quiet=request["quiet"])
    name = request["account"]
    try:
        with only_ours(name):
            pulled = pull_apart(config, name, lambda *what: say(progress=what))
    except CrmSyncError as error:
        sys.stderr.write(f"{error.sentence()}\n")
        return 1
    say(**{_LAST_WORD: pulled.plain()})
    return 0


def _end_with(asked: IO[str]) -> None:
    while asked.read(1024):
        pass
    os._exit(1)
