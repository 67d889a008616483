"""`python -m crm_sync` and the command `crm-sync`."""

import os
import sys
from typing import NoReturn

from crm_sync import cli


def main() -> NoReturn:
    """Runs one command as this process, and ends it.

    Nothing is waited for: a thread that hangs on a silent server must not keep the process.
    """
    status = 1
    try:
        cli.main()
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else int(end.code is not None)
    try:
        sys.stdout.flush()
    except OSError:
        status = 1
    os._exit(status)


if __name__ == "__main__":
    main()
