"""Status: how every account is, from what was proved and not from what is hoped."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from crm_sync import __version__
from crm_sync.flow.setup import Setup
from crm_sync.store import accounts, audits, outbox
from crm_sync.store.accounts import Account
from crm_sync.store.audits import PROOF_LASTS, StreamRow
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
        streams = audits.listed(tx)
        counts = accounts.counts(tx)
        mails = outbox.counts(tx)
        schema = schema_version(tx)
    entries = [
        _entry(name, row, streams.get(row.id, []) if row else [], counts, now)
        for name in names
        for row in (stored.get(name),)
    ]
    return {
        "healthy": all(entry["problem"] is None for entry in entries),
        "accounts": entries,
        "outbox": mails,
        "schema": schema,
        "version": __version__,
    }


def _entry(
    name: str,
    row: Account | None,
    streams: Sequence[StreamRow],
    counts: dict[int, tuple[int, int]],
    now: datetime,
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
        "streams": [
            {"name": s.name, "complete_until": text_time(s.complete_until)} for s in streams
        ],
        "problem": _problem(row, streams, now),
    }


def _problem(row: Account | None, streams: Sequence[StreamRow], now: datetime) -> str | None:
    """Why an account is not well, in a sentence; None when it is."""
    if row is None or row.state == "new":
        return "not everything has been pulled yet"
    if row.state != "ok":
        return row.last_error or "the last pull failed"
    if row.last_success is None or not -LONGEST_SILENCE < now - row.last_success < LONGEST_SILENCE:
        return "nobody has pulled it for an hour; `crm-sync run` does, the clock permitting"
    # Of what is known to be missing nothing is proved, however fresh the proof before it was. What
    # can't be read is in quarantine and is no gap; what a server announces and does not hand out is
    # one for as long as connectors try again, and then goes to quarantine too.
    gaps = ", ".join(f"{stream.name} ({stream.gaps})" for stream in streams if stream.gaps)
    if gaps:
        return f"the server holds what is not here: {gaps}; `crm-sync audit --heal` looks again"
    # An account that was never complete has a day to become so.
    proved = row.complete_until or row.first_complete_at
    if proved is not None and now - proved <= PROOF_LASTS:
        return None
    return "it is not proved complete up to the last day; `crm-sync audit --heal` looks again"
