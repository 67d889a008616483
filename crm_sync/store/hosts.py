"""Hosts that answer none of their accounts: what the circuit breaker of each remembers."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, delete, func, select, update

from crm_sync.store.engine import read_time, text_time
from crm_sync.store.tables import account, host


@dataclass(frozen=True, slots=True)
class Host:
    """A host in trouble.

    `failures` counts connections in a row that failed; until `open_until` none is tried, None while
    it is still believed in.
    """

    name: str
    failures: int
    open_until: datetime | None


def get(tx: Connection, name: str) -> Host | None:
    """The host of that name, None when it is in no trouble."""
    row = tx.execute(select(host).where(host.c.name == name)).one_or_none()
    return None if row is None else Host(row.name, row.failures, read_time(row.open_until))


def failing_accounts(tx: Connection, name: str, troubles: Collection[str]) -> int:
    """How many accounts of a host have one of these troubles."""
    mine = (account.c.host == name) & account.c.trouble.in_(troubles)
    return int(tx.execute(select(func.count()).select_from(account).where(mine)).scalar_one())


def note(tx: Connection, name: str, failures: int, open_until: datetime | None) -> None:
    """Writes down how often in a row a host failed, and until when it is let be."""
    values = {"failures": failures, "open_until": text_time(open_until)}
    changed = tx.execute(update(host).where(host.c.name == name).values(values))
    if changed.rowcount == 0:
        tx.execute(host.insert().values(name=name, **values))


def take_turn(tx: Connection, found: Host, until: datetime) -> bool:
    """Whether the caller is the one who tries a host whose time has come; the others wait on.

    `until` is when another may try, should the caller never say how it went.
    """
    same = (host.c.name == found.name) & (host.c.open_until == text_time(found.open_until))
    taken = tx.execute(update(host).where(same).values(open_until=text_time(until)))
    return taken.rowcount == 1


def hold_back(tx: Connection, name: str, now: datetime, until: datetime, sentence: str) -> None:
    """The accounts of a host that would be due before `until` wait, and say why.

    Those that have a reason of their own to be red keep it.
    """
    at, later = text_time(now), text_time(until)
    waiting = account.c.next_pull.is_(None) | (account.c.next_pull < later)
    waiting &= account.c.host == name
    well = account.c.state.in_(("ok", "new"))
    told = {"state": "failing", "failing_since": at, "last_error": sentence, "trouble": "network"}
    tx.execute(update(account).where(waiting, well).values(next_pull=later, **told))
    tx.execute(update(account).where(waiting).values(next_pull=later))


def recovered(tx: Connection, name: str, troubles: Collection[str]) -> None:
    """A host answers again: its accounts had one of these troubles and are due at once."""
    tx.execute(delete(host).where(host.c.name == name))
    waiting = (account.c.host == name) & (account.c.state == "failing")
    waiting &= account.c.trouble.in_(troubles)
    tx.execute(update(account).where(waiting).values(next_pull=None, trouble=""))


def forget_all(tx: Connection) -> None:
    """All hosts are believed in again: a person asks."""
    tx.execute(delete(host))
