"""What `doctor` asks the machine itself (clock, database, disk), and mailboxes that keep mails."""

import shutil
import sqlite3
from collections.abc import Collection, Iterator
from contextlib import closing
from pathlib import Path
from typing import Protocol, runtime_checkable

from crm_sync.core.records import Finding
from crm_sync.ports import Clock, Filing, Place

_ROOM = 200 * 1024 * 1024
_BUILT_AFTER = 2026


@runtime_checkable
class _Probed(Protocol):
    """A `Filing` whose folders can be tried without writing into them."""

    def probe_folders(self, places: Collection[Place]) -> Iterator[Finding]:
        """One finding for each place. Raises nothing; changes nothing."""
        ...


def examine_filing(filing: Filing, places: Collection[Place]) -> list[Finding]:
    """Findings about the folders where a mailbox is to keep mails of ours; closes the filing."""
    try:
        return list(filing.probe_folders(places)) if isinstance(filing, _Probed) else []
    finally:
        filing.close()


def examine(database: Path, clock: Clock) -> list[Finding]:
    """Findings about the clock, the database and the disk it lies on."""
    return [_clock(clock), _database(database), _disk(database)]


def _clock(clock: Clock) -> Finding:
    now = clock.now()
    if now.year < _BUILT_AFTER:
        return Finding(
            "clock", False, f"it says {now:%Y-%m-%d}", "Set the clock; NTP keeps it right."
        )
    return Finding("clock", True)


def _database(database: Path) -> Finding:
    try:
        with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as connection:
            answer = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
    except sqlite3.Error as error:
        return Finding("database", False, str(error), f"Can {database} be read?")
    if answer != "ok":
        return Finding("database", False, "it is damaged", "Restore the newest backup.")
    return Finding("database", True)


def _disk(database: Path) -> Finding:
    free = shutil.disk_usage(database.parent).free
    if free < _ROOM:
        advice = f"Make room on the disk of {database.parent}."
        return Finding("disk", False, f"only {free // 1024 // 1024} MB are free", advice)
    return Finding("disk", True)
