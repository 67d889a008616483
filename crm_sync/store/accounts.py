"""Accounts and their streams: cursors by compare-and-set, and health that tells the truth."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, case, func, literal_column, or_, select, update

from crm_sync.core.errors import CursorMoved
from crm_sync.store.engine import read_time, text_time
from crm_sync.store.tables import account, interaction, stream, witness

LONGEST_WAIT = timedelta(days=1)
"""No account is left alone for longer, whatever its server asked for."""


@dataclass(frozen=True, slots=True)
class Account:
    """An account as the diary knows it."""

    id: int
    name: str
    kind: str
    connector: str
    rep: str | None
    state: str
    first_complete_at: datetime | None
    last_success: datetime | None
    failing_since: datetime | None
    last_error: str | None
    failures: int
    next_pull: datetime | None
    complete_until: datetime | None
    host: str
    trouble: str
    fingerprint: bytes | None
    octets: int
    octets_day: str | None


def declare(
    tx: Connection,
    name: str,
    kind: str,
    connector: str,
    rep: str | None,
    *,
    host: str = "",
    fingerprint: bytes | None = None,
) -> Account:
    """The account of that name, made when the configuration names it for the first time.

    `fingerprint` stands for its options: with another one than before a failure is forgotten, and
    no stream counts as compared: the account may reach further back now.
    """
    values: dict[str, Any] = {"kind": kind, "connector": connector, "rep": rep, "host": host}
    found = by_name(tx, name)
    if found is None:
        tx.execute(account.insert().values(name=name, fingerprint=fingerprint, **values))
        found = by_name(tx, name)
        assert found is not None
        return found
    known = {key: getattr(found, key) for key in values}
    if fingerprint is not None and found.fingerprint != fingerprint:
        values |= {"fingerprint": fingerprint}
        if found.fingerprint is not None:
            mine = update(stream).where(stream.c.account_id == found.id)
            tx.execute(mine.values(audited_at=None))
            if found.state not in ("ok", "new"):
                values |= {"state": "failing", "failures": 0, "next_pull": None}
    if not values.items() <= known.items():
        tx.execute(account.update().where(account.c.id == found.id).values(**values))
        found = replace(found, **values)
    return found


def rename(tx: Connection, old: Sequence[str], new: str, declared: Mapping[str, object]) -> None:
    """An account of which only the name has changed keeps its row: cursors, witnesses, health.

    `declared` holds its `kind`, `connector` and `fingerprint`, which must be what they were: under
    another user name it may be another mailbox.
    """
    if not old or by_name(tx, new) is not None:
        return
    same = [account.c[key] == declared[key] for key in ("kind", "connector", "fingerprint")]
    found = select(account.c.id).where(account.c.name.in_(old), *same).limit(1)
    tx.execute(update(account).where(account.c.id.in_(found)).values(name=new))


def by_name(tx: Connection, name: str) -> Account | None:
    """The account of that name, if there ever was one."""
    row = tx.execute(select(account).where(account.c.name == name)).mappings().one_or_none()
    return None if row is None else _account(dict(row))


def all_accounts(tx: Connection) -> list[Account]:
    """Every account the diary knows, by name."""
    rows = tx.execute(select(account).order_by(account.c.name)).mappings()
    return [_account(dict(row)) for row in rows]


def due(tx: Connection, now: datetime) -> set[int]:
    """Ids of the accounts whose next pull has come."""
    # A time further off than any wait of ours was written by a clock that was wrong.
    when = or_(
        account.c.next_pull.is_(None),
        account.c.next_pull <= text_time(now),
        account.c.next_pull > text_time(now + LONGEST_WAIT),
    )
    return set(tx.execute(select(account.c.id).where(when)).scalars())


def stream_id(tx: Connection, account_id: int, key: str) -> int:
    """The id of a stream, made on first sight."""
    same = (stream.c.account_id == account_id) & (stream.c.key == key)
    found = tx.execute(select(stream.c.id).where(same)).scalar_one_or_none()
    if found is None:
        tx.execute(stream.insert().values(account_id=account_id, key=key))
        found = tx.execute(select(stream.c.id).where(same)).scalar_one()
    return int(found)


def stream_of(tx: Connection, account_id: int, key: str) -> tuple[int, str | None] | None:
    """Id and cursor of a stream, None when it was never seen."""
    same = (stream.c.account_id == account_id) & (stream.c.key == key)
    row = tx.execute(select(stream.c.id, stream.c.cursor).where(same)).one_or_none()
    return None if row is None else (row[0], row[1])


def move_cursor(tx: Connection, stream_: int, old: str | None, new: str) -> None:
    """Moves a cursor from `old` to `new`, or raises `CursorMoved` when it is not `old` any more."""
    moved = tx.execute(
        update(stream)
        .where(stream.c.id == stream_, stream.c.cursor.is_not_distinct_from(old))
        .values(cursor=new)
    )
    if moved.rowcount != 1:
        raise CursorMoved("another process stored this page first")


def forget_cursor(tx: Connection, stream_: int) -> None:
    """Drops a cursor that can't be used: the stream is pulled again from the start."""
    tx.execute(update(stream).where(stream.c.id == stream_).values(cursor=None))


def succeeded(
    tx: Connection, account_id: int, *, started_at: datetime, next_pull: datetime
) -> None:
    """Notes a complete pull that began at `started_at`; `audits` tells how much that proves."""
    at = text_time(started_at)
    tx.execute(
        update(account)
        .where(account.c.id == account_id)
        .values(
            state="ok",
            first_complete_at=func.coalesce(account.c.first_complete_at, at),
            last_success=at,
            failing_since=None,
            last_error=None,
            trouble="",
            failures=0,
            next_pull=text_time(next_pull),
        )
    )


def progressed(tx: Connection, account_id: int, *, next_pull: datetime) -> None:
    """Notes a pull that went well and has more to come: history that waits for another day.

    Until all of it was here once, the account stays new.
    """
    state = case((account.c.first_complete_at.is_(None), "new"), else_="ok")
    tx.execute(
        update(account)
        .where(account.c.id == account_id)
        .values(
            state=state,
            failing_since=None,
            last_error=None,
            trouble="",
            failures=0,
            next_pull=text_time(next_pull),
        )
    )


def failed(
    tx: Connection,
    account_id: int,
    *,
    at: datetime,
    sentence: str,
    state: str,
    trouble: str,
    failures: int,
    next_pull: datetime,
) -> None:
    """Notes a failed pull.

    `state` is failing (it may mend itself), refused (a person must act) or paused (nothing is tried
    until one has), `failures` how many of this kind of `trouble` there were in a row.
    """
    tx.execute(
        update(account)
        .where(account.c.id == account_id)
        .values(
            state=state,
            failing_since=func.coalesce(account.c.failing_since, text_time(at)),
            last_error=sentence,
            trouble=trouble,
            failures=failures,
            next_pull=text_time(next_pull),
        )
    )


def counts(tx: Connection) -> dict[int, tuple[int, int]]:
    """Messages and events that the diary has witnessed: account id -> (mail, events)."""
    rows = tx.execute(
        select(stream.c.account_id, account.c.kind, func.count(func.distinct(witness.c.key_hash)))
        .select_from(witness)
        .join(stream, stream.c.id == witness.c.stream_id)
        .join(account, account.c.id == stream.c.account_id)
        .group_by(stream.c.account_id, account.c.kind, witness.c.stream_id)
    )
    total: dict[int, tuple[int, int]] = {}
    for account_id, kind, number in rows:
        mails, events = total.get(account_id, (0, 0))
        total[account_id] = (
            (mails + number, events) if kind == "mailbox" else (mails, events + number)
        )
    return total


def mark_held(tx: Connection, now: datetime) -> list[int]:
    """Planned meetings that are over become held, whoever's account still shows them; their ids."""
    # Written out, for the index of those that are planned.
    planned = interaction.c.status == literal_column("'planned'")
    over = select(interaction.c.id).where(planned, interaction.c.ends_at <= text_time(now))
    ids = [row[0] for row in tx.execute(over)]
    if ids:
        tx.execute(update(interaction).where(interaction.c.id.in_(ids)).values(status="held"))
    return ids


def forgive(tx: Connection, soon: datetime, troubles: Collection[str]) -> None:
    """All accounts are pulled at once: their lines are gone, and somebody may have mended one.

    With one of these `troubles`, sign-ins that a server refused, they are tried `soon`: a daemon
    that is started again and again must not lock anybody out. Where a server asked us to wait, we
    wait.
    """
    careful = account.c.state.in_(("refused", "paused")) & account.c.trouble.in_(troubles)
    asked_to_wait = account.c.trouble.in_(("throttled", "quota", "locked"))
    tx.execute(update(account).where(~careful, ~asked_to_wait).values(next_pull=None))
    later = careful & ~asked_to_wait & (account.c.next_pull > text_time(soon))
    tx.execute(update(account).where(later).values(next_pull=text_time(soon)))


def _account(row: dict[str, object]) -> Account:
    times = ("first_complete_at", "last_success", "failing_since", "next_pull", "complete_until")
    for name in times:
        row[name] = read_time(row[name])  # type: ignore[arg-type]
    return Account(**row)  # type: ignore[arg-type]
