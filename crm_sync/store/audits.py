"""What was compared with the servers: which keys are known, and how far each stream is complete."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import Connection, func, select, update

from crm_sync.core.records import Stream
from crm_sync.store.accounts import stream_id
from crm_sync.store.engine import read_time, rows_in, text_time
from crm_sync.store.tables import account, quarantine, stream, witness

PROOF_LASTS = timedelta(hours=25)
"""How long a comparison of server and diary proves that pulls bring everything."""


@dataclass(frozen=True, slots=True)
class StreamRow:
    """A stream as the diary knows it; `gaps` is what the last comparison left missing."""

    id: int
    key: str
    name: str
    cursor: str | None
    complete_until: datetime | None
    audited_at: datetime | None
    gaps: int


_COLUMNS = (
    *(stream.c.id, stream.c.key, stream.c.name, stream.c.cursor),
    *(stream.c.complete_until, stream.c.audited_at, stream.c.gaps),
)


def stream_row(tx: Connection, account_id: int, key: str) -> StreamRow | None:
    """A stream of an account, None when it was never seen."""
    same = (stream.c.account_id == account_id) & (stream.c.key == key)
    row = tx.execute(select(*_COLUMNS).where(same)).one_or_none()
    return None if row is None else _row(*row)


def streams_of(tx: Connection, account_id: int) -> dict[str, StreamRow]:
    """All streams that an account ever had, by key."""
    rows = tx.execute(select(*_COLUMNS).where(stream.c.account_id == account_id))
    return {row.key: _row(*row) for row in rows}


def listed(tx: Connection) -> dict[int, list[StreamRow]]:
    """The streams that accounts listed when they were pulled last, by name: account id -> them."""
    found: dict[int, list[StreamRow]] = {}
    rows = select(stream.c.account_id, *_COLUMNS).where(stream.c.name != "").order_by(stream.c.name)
    for account_id, *row in tx.execute(rows):
        found.setdefault(account_id, []).append(_row(*row))
    return found


def known(tx: Connection, stream_: int, hashes: Sequence[bytes]) -> set[bytes]:
    """Which keys of a stream are witnessed or in quarantine."""
    found: set[bytes] = set()
    for table in ("witness", "quarantine"):
        query = f"SELECT key_hash FROM {table} WHERE stream_id = ? AND key_hash IN"  # noqa: S608  # our own words
        found.update(row[0] for row in rows_in(tx, query, hashes, stream_))
    return found


def count_known(tx: Connection, stream_: int) -> int:
    """How many keys of a stream are witnessed or in quarantine."""
    keys = (
        select(witness.c.key_hash)
        .where(witness.c.stream_id == stream_)
        .union(select(quarantine.c.key_hash).where(quarantine.c.stream_id == stream_))
    )
    return tx.execute(select(func.count()).select_from(keys.subquery())).scalar_one()


def compared(tx: Connection, account_id: int, one: Stream, *, at: datetime, gaps: int) -> None:
    """Notes a comparison of a stream that began at `at` and left `gaps` items missing."""
    mine = update(stream).where(stream.c.id == stream_id(tx, account_id, one.key))
    tx.execute(mine.values(audited_at=text_time(at), gaps=gaps))


def publish(
    tx: Connection,
    account_id: int,
    listed_now: Sequence[Stream],
    complete: Sequence[Stream],
    at: datetime,
) -> None:
    """Says how far an account and its streams are complete, now that these are its streams.

    All that the `complete` ones held at `at` was brought: as far as that is proved by a comparison,
    they are complete up to then. The account is as complete as the least of its streams.
    """
    names = {one.key: one.name or one.key for one in listed_now}
    rows = _rows(tx, account_id, names)
    done = {one.key for one in complete}
    proved = {row.id for row in rows if row.key in done and _is_proved(row, at)}
    moved = update(stream).where(stream.c.id.in_(proved))
    tx.execute(moved.values(complete_until=text_time(at)))
    until = [at if row.id in proved else row.complete_until for row in rows]
    known_of_all = [moment for moment in until if moment is not None]
    if known_of_all and len(known_of_all) == len(rows):
        mine = update(account).where(account.c.id == account_id)
        tx.execute(mine.values(complete_until=text_time(min(known_of_all))))


def _rows(tx: Connection, account_id: int, names: Mapping[str, str]) -> list[StreamRow]:
    """The rows of the streams that an account lists now (key -> name), and of no others."""
    rows = streams_of(tx, account_id)
    for key, row in rows.items():
        if row.name and key not in names:
            # What was proved of it counts no more, should it come back.
            gone = update(stream).where(stream.c.id == row.id)
            tx.execute(gone.values(name="", complete_until=None, audited_at=None, gaps=0))
    changed = [key for key, name in names.items() if key not in rows or rows[key].name != name]
    for key in changed:
        mine = update(stream).where(stream.c.id == stream_id(tx, account_id, key))
        tx.execute(mine.values(name=names[key]))
    rows = streams_of(tx, account_id) if changed else rows
    return [rows[key] for key in names]


def _is_proved(row: StreamRow, at: datetime) -> bool:
    compared_at = row.audited_at
    return not row.gaps and compared_at is not None and compared_at >= at - PROOF_LASTS


def _row(
    number: int,
    key: str,
    name: str,
    cursor: str | None,
    complete_until: str | None,
    audited_at: str | None,
    gaps: int,
) -> StreamRow:
    until, at = read_time(complete_until), read_time(audited_at)
    return StreamRow(number, key, name, cursor, until, at, gaps)
