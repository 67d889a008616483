"""Logs: one line an event on standard error, an action word and ids, never words of a mail."""

import logging
import os
import sys
from collections.abc import Callable
from typing import Any

_QUIET = (
    "flufl.bounce",
    "caldav",
    "imapclient",
    "apscheduler",
    "urllib3",
    "urllib3_future",
    "niquests",
    "alembic",
)

_logs = True


def configure(*, quiet: bool = False) -> None:
    """Sends our events to standard error, and silences libraries that log what they read.

    With `quiet` nothing is logged: a command says itself what happened.
    """
    global _logs  # noqa: PLW0603  # a process has one standard error
    for name in _QUIET:
        logging.getLogger(name).setLevel(logging.CRITICAL)
        logging.getLogger(name).propagate = False
    _logs = not quiet
    if quiet:
        return
    import structlog  # noqa: PLC0415  # 6 MB, for nothing where nothing is logged

    processors: list[Any] = [
        structlog.processors.add_log_level,
        structlog.processors.UnicodeDecoder(),
    ]
    if "JOURNAL_STREAM" not in os.environ:  # the journal stamps lines itself
        processors.append(structlog.processors.TimeStamper(fmt="%Y-%m-%dT%H:%M:%SZ", utc=True))
    processors.append(
        structlog.processors.LogfmtRenderer(key_order=("timestamp", "level", "event"))
    )
    structlog.configure(
        processors=processors,
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=False,
    )


def logger() -> Any:
    """The program's logger: methods by level that take an action word and facts by name."""
    if not _logs:
        return _SILENCE
    import structlog  # noqa: PLC0415  # likewise

    return structlog.get_logger()


class _Silence:
    """A logger of which nothing comes out."""

    def __getattr__(self, _level: str) -> Callable[..., None]:
        return lambda *_, **__: None


_SILENCE = _Silence()
