"""A copy of this process from before it opened anything, which forks workers when asked.

The modules of the program take a second to load: a worker that is forked has them at once, and
shares their memory. But neither a process with an open SQLite database may be forked
(sqlite.org/howtocorrupt.html section 2.6) nor one with threads: so one copy is made at the start,
and workers are copies of that one.
"""

import gc
import os
import signal
import socket
from collections.abc import Callable
from contextlib import suppress
from typing import IO, Final, NoReturn

Work = Callable[[IO[str], IO[str]], int]
"""What a worker does: reads what it is asked, tells what it does, returns its exit status."""

_ASK: Final = b"w"
_PIPES: Final = 2


class ForkServer:
    """Forks workers from the state that this process has now.

    The constructor forks: no thread runs yet, and neither database nor connection is open. Raises
    OSError when there is no room for another process.
    """

    def __init__(self, work: Work) -> None:
        self._ours, theirs = socket.socketpair()
        try:
            self._pid = os.fork()
        except OSError:
            self._ours.close()
            theirs.close()
            raise
        if not self._pid:
            self._ours.close()
            _serve(theirs, work)
        theirs.close()

    def start(self) -> tuple[IO[bytes], IO[bytes]]:
        """Starts a worker; the first takes what it is asked, the other gives what it tells.

        Raises OSError when the server has ended.
        """
        asked, ask = os.pipe()
        told, tell = os.pipe()
        try:
            socket.send_fds(self._ours, [_ASK], [asked, tell])
        except BaseException:
            os.close(ask)
            os.close(told)
            raise
        finally:
            os.close(asked)
            os.close(tell)
        return os.fdopen(ask, "wb", 0), os.fdopen(told, "rb", 0)

    def close(self) -> None:
        """Ends the server; workers under way go on."""
        self._ours.close()
        with suppress(ChildProcessError):
            os.waitpid(self._pid, 0)


def _serve(requests: socket.socket, work: Work) -> NoReturn:
    """Forks until the other end is closed. Never returns into what this process did before."""
    try:
        # Ctrl-C reaches all of us; what the one at the other end makes of it counts.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for workers
        gc.freeze()  # a collection would write into all the pages that are shared
        while True:
            asked, pipes, _, _ = socket.recv_fds(requests, len(_ASK), _PIPES)
            if not asked:
                os._exit(0)
            if not os.fork():
                requests.close()
                _be_a_worker(work, *pipes)
            for pipe in pipes:
                os.close(pipe)
    finally:
        os._exit(1)


def _be_a_worker(work: Work, asked: int, told: int) -> NoReturn:
    status = 1
    try:
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        # Whatever a library prints must not get between our lines.
        os.dup2(2, 1)
        # Both are left to the end of the process: closing waits for threads that read.
        reader, writer = os.fdopen(asked, encoding="utf-8"), os.fdopen(told, "w", encoding="utf-8")
        status = work(reader, writer)
    finally:
        os._exit(status)
