"""Status: how every account is, from what was proved and not from what is hoped."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from crm_sync import __version__
from crm_sync.flow.setup import Setup
from crm_sync.store import accounts, outbox
from crm_sync.store.accounts import Account
from crm_sync.store.engine import text_time
from crm_sync.store.migrate import schema_version

LONGEST_SILENCE = timedelta(hours=1)
"""An account that nobody pulled for longer is not well, whatever its last pull said; nor is one
whose last pull lies in the future, which is a clock that was wrong."""


def status(setup: Setup, names: Sequence[str]) -> dict[str, Any]:
    """The object of `status --json` for the configured accounts."""
    now = setup.now()
    with setup.store.read() as tx:
        stored = {row.name: row for row in accounts.all_accounts(tx)}
        counts = accounts.counts(tx)
        mails = outbox.counts(tx)
        schema = schema_version(tx)
    entries = [_entry(name, stored.get(name), counts, now) for name in names]
    longest = LONGEST_SILENCE.total_seconds()
    silent = any(not -longest < (entry["lag_seconds"] or 0) < longest for entry in entries)
    return {
        "healthy": not silent and all(entry["state"] == "ok" for entry in entries),
        "accounts": entries,
        "outbox": mails,
        "schema": schema,
        "version": __version__,
    }


def _entry(
    name: str, row: Account | None, counts: dict[int, tuple[int, int]], now: datetime
) -> dict[str, Any]:
    messages, events = counts.get(row.id, (0, 0)) if row else (0, 0)
    lag = None
    if row is not None and row.last_success is not None:
        lag = int((now - row.last_success).total_seconds())
    return {
        "name": name,
        "state": row.state if row else "new",
        "last_success": text_time(row.last_success) if row else None,
        "failing_since": text_time(row.failing_since) if row else None,
        "last_error": row.last_error if row else None,
        "lag_seconds": lag,
        "complete_until": text_time(row.complete_until) if row else None,
        "messages": messages,
        "events": events,
    }
