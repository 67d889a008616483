"""First syncs of several accounts in processes of their own: an interpreter keeps one core busy.

A worker is this program again (`python -m crm_sync.cli.worker`), with its own connections to diary
and server. It is told what to do on its standard input, whose end ends it: no worker outlives its
parent. On its standard output it says a JSON object a line: how far it is, and at last what it
brought.
"""

import json
import os
import selectors
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import IO, Any, Final

from crm_sync.core.errors import Unreachable
from crm_sync.flow import health
from crm_sync.flow.fetch import Progress
from crm_sync.flow.health import Pulled
from crm_sync.flow.setup import Setup
from crm_sync.store.accounts import Account

MOST: Final = 2
"""Workers at the same time, beside this process; each takes some 100 MB."""

_COMMAND: Final = ("-P", "-m", "crm_sync.cli.worker")
_LOOK_SECONDS: Final = 0.5


class Workers:
    """Pulls accounts in workers while there are cores for them. All threads share it.

    `stopping` tells that all are to end: what they have stored is stored, the rest comes later.
    `quiet` workers log nothing.
    """

    def __init__(self, config: Path, most: int | None = None) -> None:
        # One core is this process's own.
        most = min(MOST, len(os.sched_getaffinity(0)) - 1) if most is None else most
        self._room = threading.Semaphore(most)
        self._config = config
        self.stopping: Callable[[], bool] = lambda: False
        self.quiet = True

    def pull(
        self, setup: Setup, account: Account, interval: timedelta, progress: Progress
    ) -> Pulled | None:
        """One pull of the account; None when there is no room for a worker.

        Of a worker that ended early the account's row tells.
        """
        if not self._room.acquire(blocking=False):
            return None
        try:
            return self._pull(setup, account, interval, progress)
        finally:
            self._room.release()

    def _pull(
        self, setup: Setup, account: Account, interval: timedelta, progress: Progress
    ) -> Pulled:
        pulled, started = Pulled(account.name, account.connector), setup.now()

        def hear(told: dict[str, Any]) -> None:
            if "progress" in told:
                progress(*told["progress"])
            for name, value in told.get("pulled", {}).items():
                setattr(pulled, name, value)

        ended_well = self._run({"account": account.name, "quiet": self.quiet}, hear)
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

    def _run(self, request: dict[str, Any], hear: Callable[[dict[str, Any]], None]) -> bool:
        """One worker to its end; whether it ended well. `hear` is told what it says."""
        try:
            process = subprocess.Popen(  # noqa: S603  # our own module
                [sys.executable, *_COMMAND],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                env=_environment(),
            )
        except OSError:
            return False
        assert process.stdin is not None
        assert process.stdout is not None
        with process.stdin, process.stdout:
            try:
                request = {"config": str(self._config)} | request
                os.write(process.stdin.fileno(), json.dumps(request).encode() + b"\n")
                for line in self._lines(process.stdout):
                    hear(json.loads(line))
            except BrokenPipeError:
                pass  # it ended before it was told what to do
            except BaseException:
                process.kill()
                process.wait()
                raise
            if self.stopping():
                process.terminate()
        return process.wait() == 0

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


def _environment() -> dict[str, str]:
    """Ours; the same program is found without looking into the folder we stand in."""
    root = str(Path(__file__).resolve().parents[2])
    paths = [root, *filter(None, [os.environ.get("PYTHONPATH")])]
    return os.environ | {"PYTHONPATH": os.pathsep.join(paths)}
