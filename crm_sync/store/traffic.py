"""Octets that an account received on a day (UTC)."""

from datetime import date

from sqlalchemy import Connection, select, update

from crm_sync.store.tables import account


def received(tx: Connection, account_id: int, day: date) -> int:
    """How many octets were noted for that day."""
    row = tx.execute(
        select(account.c.octets).where(
            account.c.id == account_id, account.c.octets_day == day.isoformat()
        )
    ).scalar_one_or_none()
    return int(row or 0)


def note_received(tx: Connection, account_id: int, day: date, octets: int) -> None:
    """Notes how many octets there were on that day so far; an earlier day is forgotten."""
    tx.execute(
        update(account)
        .where(account.c.id == account_id)
        .values(octets=octets, octets_day=day.isoformat())
    )
