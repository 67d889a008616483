"""`python -m crm_sync.cli.worker`: pulls one account for a process of ours, see `runtime.workers`.

Reads one JSON object, `{"config", "account", "quiet"}`, from standard input.
"""

import json
import os
import signal
import sys
import threading
from pathlib import Path
from typing import IO, NoReturn


def main() -> NoReturn:
    """Pulls the account; the process ends with it, or with the one that started it."""
    # Ctrl-C reaches both; the parent's end is what counts.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # Whatever a library prints must not get between our lines.
    out = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    request = json.loads(sys.stdin.readline() or "{}")
    threading.Thread(target=_end_with_the_parent, daemon=True).start()
    status = _work(request, out) if request else 1
    os._exit(status)


def _work(request: dict[str, str], out: IO[str]) -> int:
    from crm_sync.app import App, read_settings
    from crm_sync.core.errors import CrmSyncError
    from crm_sync.runtime import logs
    from crm_sync.runtime.clock import SystemClock

    def say(**told: object) -> None:
        out.write(json.dumps(told) + "\n")
        out.flush()

    def progress(_account: str, *what: object) -> None:
        say(progress=what)

    logs.configure(quiet=bool(request["quiet"]))
    try:
        app = App(read_settings(Path(request["config"])), SystemClock())
        say(pulled=app.pull_alone(request["account"], progress).plain())
        app.close()
    except CrmSyncError as error:
        sys.stderr.write(f"{error.sentence()}\n")
        return 1
    return 0


def _end_with_the_parent() -> None:
    while os.read(0, 1024):
        pass
    os._exit(1)


if __name__ == "__main__":
    main()
