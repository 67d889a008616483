"""Sources on mbox files, and what they bring."""

from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from connectors.files import MBOX
from crm_sync.core.records import Item, MailItem, Page
from crm_sync.ports import Source, Surroundings
from crm_sync.testing.clock import FixedClock
from crm_sync.testing.source_contract import Ledger, pull

LATER = datetime(2099, 1, 1, tzinfo=UTC)
ARRIVED = datetime(2026, 3, 1, 8, 30, tzinfo=UTC)


def build(path: Path, now: datetime = LATER, **options: Any) -> Source:
    """A source on a file or a folder, at a time when nobody writes any more."""
    where = Surroundings("karin/mbox", FixedClock(now), UTC)
    return MBOX.build(MBOX.options(path=path, **options), where)


def poll(source: Source, ledger: Ledger) -> list[Page]:
    """One look at the disk, and a pull of the only file there is."""
    (stream,) = source.streams()
    return pull(source, stream, ledger)


def pulled(path: Path, **options: Any) -> list[Item]:
    """What a first pull brings."""
    ledger = Ledger()
    poll(build(path, **options), ledger)
    return ledger.items


def subjects(items: Iterable[Item]) -> list[str]:
    """The subjects of the readable items."""
    return [i.envelope.subject for i in items if isinstance(i, MailItem)]


def texts(path: Path) -> list[str]:
    """The texts of all messages in a file."""
    source, ledger = build(path), Ledger()
    poll(source, ledger)
    return [b.text for b in source.read(ledger.locators(source.streams()[0]))]
