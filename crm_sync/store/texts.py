"""Texts still to fetch, texts fetched, and items that could not be read."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import Connection, delete, or_, select, update

from crm_sync.core.errors import UsageError
from crm_sync.core.records import Attachment
from crm_sync.store.engine import insert_many, rows_in, text_time
from crm_sync.store.tables import body, interaction, quarantine, stream, wanted, witness

WAITS = (
    *(timedelta(minutes=m) for m in (1, 5, 15)),
    *(timedelta(hours=h) for h in (1, 3, 8, 24)),
)
"""Between two tries for the same text; a server that is ill for a day costs none."""

TRIES = len(WAITS) + 1


@dataclass(frozen=True, slots=True)
class Wanted:
    """A text to fetch: where it is, and what the header said where the text has a say too."""

    interaction: int
    stream: str
    sealed: bytes
    hint: str
    header: str | None


def some_wanted(
    tx: Connection, account_id: int, limit: int, *, now: datetime, since: datetime | None = None
) -> list[Wanted]:
    """Texts of an account whose time has come, those found last first.

    `since`: of messages younger than that only.
    """
    query = (
        select(
            wanted.c.interaction_id, stream.c.key, wanted.c.sealed, wanted.c.hint, wanted.c.header
        )
        .join(stream, stream.c.id == wanted.c.stream_id)
        .where(
            stream.c.account_id == account_id,
            or_(
                wanted.c.next_try.is_(None),
                wanted.c.next_try <= text_time(now),
                # Further off than any wait of ours: the clock was wrong when it was written.
                wanted.c.next_try > text_time(now + WAITS[-1]),
            ),
        )
        .order_by(wanted.c.tries, wanted.c.interaction_id.desc())
        .limit(limit)
    )
    if since is not None:
        query = query.join(interaction, interaction.c.id == wanted.c.interaction_id)
        query = query.where(interaction.c.occurred_at >= text_time(since))
    return [Wanted(*row) for row in tx.execute(query)]


def store_texts(tx: Connection, texts: Sequence[tuple[int, str, tuple[Attachment, ...]]]) -> None:
    """Stores fetched texts and the names of attachments; they are not wanted any more."""
    if not texts:
        return
    ids = [(entry[0],) for entry in texts]
    tx.exec_driver_sql("DELETE FROM body WHERE interaction_id = ?", ids)
    insert_many(tx, body, ("interaction_id", "text"), [(n, text) for n, text, _ in texts if text])
    named = [
        (json.dumps([a.name for a in attachments], ensure_ascii=False), number)
        for number, _, attachments in texts
        if attachments
    ]
    if named:
        tx.exec_driver_sql("UPDATE interaction SET attachments = ? WHERE id = ?", named)
    tx.exec_driver_sql("DELETE FROM wanted WHERE interaction_id = ?", ids)


def look_elsewhere(tx: Connection, interaction_id: int) -> bool:
    """A text that is gone from its place is wanted from another where it was seen, if any.

    The place is forgotten, so that it is looked for there once only.
    """
    mine = wanted.c.interaction_id == interaction_id
    gone = tx.execute(select(wanted.c.stream_id, wanted.c.sealed).where(mine)).one()
    its = witness.c.interaction_id == interaction_id
    places = tx.execute(
        select(witness.c.stream_id, witness.c.key_hash, witness.c.sealed).where(its)
    )
    others = []
    for place in places.all():
        if (place.stream_id, place.sealed) == tuple(gone):
            same = (witness.c.stream_id == place.stream_id) & its
            tx.execute(delete(witness).where(same, witness.c.key_hash == place.key_hash))
        else:
            others.append(place)
    if not others:
        return False
    other = others[0]
    moved = update(wanted).where(mine)
    tx.execute(moved.values(stream_id=other.stream_id, sealed=other.sealed, hint=""))
    return True


def postpone(tx: Connection, interaction_id: int, now: datetime) -> bool:
    """Another try later, after `TRIES` of them none; the interaction stays (law 5).

    Whether this was the last one.
    """
    mine = wanted.c.interaction_id == interaction_id
    tries = tx.execute(select(wanted.c.tries).where(mine)).scalar_one()
    if tries + 1 >= TRIES:
        tx.execute(delete(wanted).where(mine))
        return True
    later = text_time(now + WAITS[tries])
    tx.execute(update(wanted).where(mine).values(tries=tries + 1, next_try=later))
    return False


def quarantine_item(
    tx: Connection,
    stream_id: int,
    key_hash: bytes,
    sealed: bytes,
    version: str,
    reason: str,
    now: datetime,
) -> bool:
    """Notes where an unreadable item is and why; whether it is new there."""
    same = (quarantine.c.stream_id == stream_id) & (quarantine.c.key_hash == key_hash)
    again = (
        update(quarantine)
        .where(same)
        .values(tries=quarantine.c.tries + 1, reason=reason, version=version, state="held")
    )
    if tx.execute(again).rowcount:
        return False
    tx.execute(
        quarantine.insert().values(
            stream_id=stream_id, key_hash=key_hash, sealed=sealed, version=version, reason=reason,
            since=text_time(now),
        )
    )  # fmt: skip
    return True


def release(tx: Connection, stream_id: int, hashes: Iterable[bytes]) -> None:
    """Items that could be read after all leave the quarantine."""
    here = "SELECT 1 FROM quarantine WHERE stream_id = ? LIMIT 1"
    if tx.exec_driver_sql(here, (stream_id,)).first() is None:
        return
    query = "SELECT id FROM quarantine WHERE stream_id = ? AND key_hash IN"
    held = [(row.id,) for row in rows_in(tx, query, list(hashes), stream_id)]
    if held:
        tx.exec_driver_sql("DELETE FROM quarantine WHERE id = ?", held)


def to_retry(tx: Connection, account_id: int) -> list[tuple[int, str, bytes]]:
    """Quarantined items of an account that somebody asked to try again: (id, stream, sealed)."""
    rows = tx.execute(
        select(quarantine.c.id, stream.c.key, quarantine.c.sealed)
        .join(stream, stream.c.id == quarantine.c.stream_id)
        .where(stream.c.account_id == account_id, quarantine.c.state == "retry")
    )
    return [(row[0], row[1], row[2]) for row in rows]


def fail_again(tx: Connection, quarantine_id: int) -> None:
    """One more try in vain."""
    tx.execute(
        update(quarantine)
        .where(quarantine.c.id == quarantine_id)
        .values(state="held", tries=quarantine.c.tries + 1)
    )


def decide(tx: Connection, quarantine_id: int, state: str) -> None:
    """A person's word on a quarantined item: "retry" or "dropped"."""
    changed = tx.execute(
        update(quarantine)
        .where(quarantine.c.id == quarantine_id, quarantine.c.state != "dropped")
        .values(state=state)
    )
    if changed.rowcount != 1:
        raise UsageError(
            f"there is nothing with number {quarantine_id} in quarantine",
            advice="`crm-sync quarantine` lists what is there.",
        )
