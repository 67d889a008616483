"""The child of `shelter`: does one piece of work at a time for its parent, within limits.

`python -m crm_sync.runtime.shelter_child` with a socket as standard input and output. Each message
on it is eight bytes of length and so many bytes; the first from here, empty, says that it is ready.
Requests are pickles, as they come from the parent. It imports little: it is started anew whenever
work was too much for it.
"""

import math
import os
import pickle
import resource
import signal
import sys
from contextlib import suppress
from pathlib import Path

RESULT, RAISED = b"=", b"!"
PREFIX = 8

MEMORY = 200 * 1024 * 1024
"""Bytes of address space, those of the interpreter included (some 26 MB)."""

CPU_SECONDS = 2
"""Processor time for a piece of work; the kernel counts whole seconds: it may get half of it."""

_FILES = 32


def main() -> None:
    """Serves until the parent is gone or a limit ends it."""
    # Modules that this work needs are loaded before there are limits.
    import crm_sync.core.sheltered  # noqa: F401, PLC0415  # loaded for the work to come

    _limit()
    _send(b"")
    while (request := _receive()) is not None:
        _renew_time()
        _send(_answer(request))


def _limit() -> None:
    """Takes away what the work doesn't need; nothing gives it back."""
    # A terminal and systemd signal all processes; work under way ends with the parent's.
    for asked in (signal.SIGINT, signal.SIGTERM):
        signal.signal(asked, signal.SIG_IGN)
    with suppress(OSError):
        # Where memory gets short, the kernel ends this process and not the daemon.
        Path("/proc/self/oom_score_adj").write_text("1000")
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    resource.setrlimit(resource.RLIMIT_NOFILE, (_FILES, _FILES))
    for none in (resource.RLIMIT_FSIZE, resource.RLIMIT_CORE, resource.RLIMIT_NPROC):
        resource.setrlimit(none, (0, 0))


def _renew_time() -> None:
    """Gives the next piece of work its processor time."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    until = math.ceil(used.ru_utime + used.ru_stime) - 1 + CPU_SECONDS
    resource.setrlimit(resource.RLIMIT_CPU, (until, resource.RLIM_INFINITY))


def _answer(request: bytearray) -> bytes:
    try:
        function, arguments = pickle.loads(request)  # noqa: S301  # our parent's own
        request.clear()  # it may be a large message, which is there twice
        return RESULT + pickle.dumps(function(*arguments), pickle.HIGHEST_PROTOCOL)
    except MemoryError:
        # What is left of it can't be told; the parent starts another.
        sys.exit(1)
    except Exception as error:  # noqa: BLE001  # whatever it is, it concerns this work alone
        return RAISED + type(error).__name__.encode() + b"\0" + _words(error)


def _words(error: Exception) -> bytes:
    """Words of our own about it; a library's may be a stranger's."""
    from crm_sync.core.errors import Unreadable  # noqa: PLC0415  # loaded already

    return error.what.encode() if isinstance(error, Unreadable) else b""


def _receive() -> bytearray | None:
    """The next request; None when the parent is gone."""
    prefix = _read(PREFIX)
    return None if prefix is None else _read(int.from_bytes(prefix, "big"))


def _read(size: int) -> bytearray | None:
    found = bytearray(size)
    view, at = memoryview(found), 0
    while at < size:
        got = os.readv(0, [view[at:]])
        if not got:
            return None
        at += got
    return found


def _send(message: bytes) -> None:
    rest = memoryview(len(message).to_bytes(PREFIX, "big") + message)
    while rest:
        rest = rest[os.write(1, rest) :]


if __name__ == "__main__":
    with suppress(BrokenPipeError, ConnectionError, KeyboardInterrupt):
        main()
