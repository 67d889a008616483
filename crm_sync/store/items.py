"""What a page of a stream leaves in the diary: interactions, sightings, witnesses, traces.

All functions work inside the page's transaction, on whole pages: one statement per table.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import ColumnElement, Connection, delete, select, update

from crm_sync.store.engine import insert_many, next_ids, read_time, rows_in
from crm_sync.store.tables import (
    account,
    interaction,
    interaction_contact,
    interaction_customer,
    interaction_rep,
    interaction_trace,
    quarantine,
    recall,
    sighting,
    sighting_trace,
    stream,
    thread_reference,
    wanted,
    witness,
)

_BATCH = 500
_RECALL_TRIES = 5


@dataclass(frozen=True, slots=True)
class Witness:
    """One place where an item was seen."""

    key_hash: bytes
    slot: str
    interaction: int | None
    sighting: int | None
    version: str
    sealed: bytes


@dataclass(frozen=True, slots=True)
class Twin:
    """An item of the diary that may be the one at hand."""

    table: str  # "interaction" | "sighting"
    id: int
    name: bytes
    author: bytes
    occurred_at: datetime
    outcome: str


INTERACTION_COLUMNS = (
    "id", "natural_key", "name_hash", "author_hash", "kind", "direction", "occurred_at",
    "arrived_at", "ends_at", "all_day", "subject", "message_id", "uid", "recurrence_id",
    "thread_id", "status", "attachments", "fresh", "planned_at", "sequence",
)  # fmt: skip
SIGHTING_COLUMNS = (
    "id", "natural_key", "name_hash", "author_hash", "kind", "direction", "occurred_at",
    "outcome", "reason",
)  # fmt: skip
_WITNESS_COLUMNS = (
    "stream_id", "key_hash", "slot", "interaction_id", "sighting_id", "version", "sealed",
)  # fmt: skip


def witnesses(tx: Connection, stream_id: int, hashes: Sequence[bytes]) -> list[Witness]:
    """What the diary has under these keys of a stream."""
    query = (
        "SELECT key_hash, slot, interaction_id, sighting_id, version, sealed FROM witness "
        "WHERE stream_id = ? AND key_hash IN"
    )
    return [Witness(*row) for row in rows_in(tx, query, hashes, stream_id)]


def witnessed_keys(tx: Connection, stream_id: int) -> list[tuple[bytes, str]]:
    """All keys of a stream, sealed, with their versions."""
    rows = tx.execute(
        select(witness.c.sealed, witness.c.version)
        .where(witness.c.stream_id == stream_id)
        .union(
            select(quarantine.c.sealed, quarantine.c.version).where(
                quarantine.c.stream_id == stream_id, quarantine.c.state != "retry"
            )
        )
    )
    return [(row[0], row[1]) for row in rows]


def add_witnesses(tx: Connection, stream_id: int, rows: Iterable[Witness]) -> None:
    """Notes where items were seen."""
    insert_many(
        tx,
        witness,
        _WITNESS_COLUMNS,
        [
            (stream_id, w.key_hash, w.slot, w.interaction, w.sighting, w.version, w.sealed)
            for w in rows
        ],
    )


def drop_witnesses(tx: Connection, stream_id: int, hashes: Sequence[bytes] | None) -> None:
    """Forgets keys of a stream (None: all of them); the items stay."""
    for table in (witness, quarantine):
        gone = delete(table).where(table.c.stream_id == stream_id)
        if hashes is None:
            tx.execute(gone)
            continue
        for part in _batches(hashes):
            tx.execute(gone.where(table.c.key_hash.in_(part)))


def twins(tx: Connection, names: Sequence[bytes]) -> list[Twin]:
    """Items whose name hash (Message-ID, fingerprint, UID) is among `names`."""
    found: list[Twin] = []
    for table, outcome in (("interaction", "'logged'"), ("sighting", "outcome")):
        query = (
            f"SELECT id, name_hash, author_hash, occurred_at, {outcome} "  # noqa: S608  # our own words
            f"FROM {table} WHERE name_hash IN"
        )
        for number, name, author, at, told in rows_in(tx, query, names):
            found.append(Twin(table, number, name, author, _at(at), told))
    return found


def versions_here(tx: Connection, stream_id: int, twin: Twin) -> set[str]:
    """The versions under which an item was seen in this stream; none when it was not."""
    here = select(witness.c.version).where(witness.c.stream_id == stream_id, _is_of(twin))
    return set(tx.execute(here).scalars())


def _is_of(twin: Twin) -> ColumnElement[bool]:
    column = witness.c.interaction_id if twin.table == "interaction" else witness.c.sighting_id
    return column == twin.id


def places_of(tx: Connection, stream_id: int, twin: Twin) -> list[tuple[bytes, bytes]]:
    """Where in a stream an item was seen: (hash of the key, sealed key)."""
    here = select(witness.c.key_hash, witness.c.sealed).where(
        witness.c.stream_id == stream_id, _is_of(twin)
    )
    return [(row.key_hash, row.sealed) for row in tx.execute(here)]


def reserve_interactions(tx: Connection, count: int) -> int:
    """The first of `count` ids for interactions."""
    return next_ids(tx, interaction, count)


def reserve_sightings(tx: Connection, count: int) -> int:
    """The first of `count` ids for sightings."""
    return next_ids(tx, sighting, count)


def add_interactions(tx: Connection, rows: list[tuple[object, ...]]) -> None:
    """Stores interactions; tuples as `INTERACTION_COLUMNS`."""
    insert_many(tx, interaction, INTERACTION_COLUMNS, rows)


def add_sightings(tx: Connection, rows: list[tuple[object, ...]]) -> None:
    """Stores sightings; tuples as `SIGHTING_COLUMNS`."""
    insert_many(tx, sighting, SIGHTING_COLUMNS, rows)


def add_traces(
    tx: Connection, *, logged: list[tuple[bytes, int]], seen: list[tuple[bytes, int]]
) -> None:
    """Stores hashes of addresses and domains that matched nobody, each with its item."""
    insert_many(tx, interaction_trace, ("hash", "interaction_id"), logged)
    insert_many(tx, sighting_trace, ("hash", "sighting_id"), seen)


def add_people(
    tx: Connection,
    *,
    customers: list[tuple[int, int]],
    contacts: list[tuple[int, str, int | None, int | None, str, str]],
    reps: list[tuple[int, str, int]],
) -> None:
    """Joins interactions to customers, to contacts (address … role, who) and to reps."""
    insert_many(tx, interaction_customer, ("interaction_id", "customer_id"), customers)
    columns = ("interaction_id", "address", "contact_id", "customer_id", "role", "who")
    insert_many(tx, interaction_contact, columns, contacts)
    insert_many(tx, interaction_rep, ("interaction_id", "rep", "position"), reps)


def take_off(tx: Connection, interaction_id: int, rep: str) -> None:
    """Takes a rep who declined off a meeting."""
    same = (interaction_rep.c.interaction_id == interaction_id) & (interaction_rep.c.rep == rep)
    tx.execute(delete(interaction_rep).where(same))


def add_rep(tx: Connection, interaction_id: int, reps: Sequence[str]) -> None:
    """Adds reps in whose mailbox a known item was seen too."""
    known = reps_of(tx, interaction_id)
    new = [rep for rep in dict.fromkeys(reps) if rep not in known]
    insert_many(
        tx,
        interaction_rep,
        ("interaction_id", "rep", "position"),
        [(interaction_id, rep, len(known) + i) for i, rep in enumerate(new)],
    )


def reps_of(tx: Connection, interaction_id: int) -> list[str]:
    """The reps on an interaction, in order."""
    mine = select(interaction_rep.c.rep).where(interaction_rep.c.interaction_id == interaction_id)
    return list(tx.execute(mine.order_by(interaction_rep.c.position)).scalars())


def want(tx: Connection, rows: list[tuple[int, int, bytes, str, str | None]]) -> None:
    """Notes texts to fetch: (interaction, stream, sealed key, hint, header)."""
    columns = ("interaction_id", "stream_id", "sealed", "hint", "header", "tries")
    insert_many(tx, wanted, columns, [(*row, 0) for row in rows])


def reps_who_saw(tx: Connection, sighting_id: int) -> list[str]:
    """The reps in whose mailboxes a message was seen that had matched nobody."""
    seen = (
        select(account.c.rep)
        .join(stream, stream.c.account_id == account.c.id)
        .join(witness, witness.c.stream_id == stream.c.id)
        .where(witness.c.sighting_id == sighting_id, account.c.rep.is_not(None))
    )
    return list(tx.execute(seen.distinct().order_by(account.c.rep)).scalars())


def replace_sighting(tx: Connection, sighting_id: int, interaction_id: int) -> None:
    """A sighting turned out to concern a customer: its witnesses point at the interaction now."""
    tx.execute(
        update(witness)
        .where(witness.c.sighting_id == sighting_id)
        .values(interaction_id=interaction_id, sighting_id=None)
    )
    tx.execute(delete(sighting).where(sighting.c.id == sighting_id))


def freshen(tx: Connection, interaction_id: int) -> bool:
    """Notes that a reminder may follow on a message after all; whether that is news."""
    stale = (interaction.c.id == interaction_id) & ~interaction.c.fresh
    return tx.execute(update(interaction).where(stale).values(fresh=True)).rowcount == 1


def drop_unwitnessed_sighting(tx: Connection, sighting_id: int) -> None:
    """A sighting that nothing shows any more is forgotten."""
    seen = select(witness.c.key_hash).where(witness.c.sighting_id == sighting_id)
    if tx.execute(seen.limit(1)).first() is None:
        tx.execute(delete(sighting).where(sighting.c.id == sighting_id))


def raise_sighting(tx: Connection, sighting_id: int, outcome: str, reason: str) -> bool:
    """What was ignored may concern somebody after all; whether that is news."""
    lower = (sighting.c.id == sighting_id) & (sighting.c.outcome == "ignored")
    raised = update(sighting).where(lower).values(outcome=outcome, reason=reason)
    return outcome == "unmatched" and tx.execute(raised).rowcount == 1


def known_traces(tx: Connection, sighting_id: int) -> set[bytes]:
    """The hashes kept of a sighting."""
    mine = select(sighting_trace.c.hash).where(sighting_trace.c.sighting_id == sighting_id)
    return set(tx.execute(mine).scalars())


def contacts_of(tx: Connection, interaction_id: int) -> tuple[set[int], set[tuple[str, str]]]:
    """Customers of an interaction, and (who, address) of its contacts."""
    mine = interaction_customer.c.interaction_id == interaction_id
    customers = set(tx.execute(select(interaction_customer.c.customer_id).where(mine)).scalars())
    theirs = select(interaction_contact.c.who, interaction_contact.c.address).where(
        interaction_contact.c.interaction_id == interaction_id
    )
    return customers, {(row.who, row.address) for row in tx.execute(theirs)}


def demote(tx: Connection, interaction_id: int, reason: str) -> int:
    """An interaction that turned out to be no person's: only a sighting of it remains.

    Returns in how many places it was seen.
    """
    row = tx.execute(select(interaction).where(interaction.c.id == interaction_id)).one()
    number = reserve_sightings(tx, 1)
    add_sightings(
        tx,
        [
            (
                number, row.natural_key, row.name_hash, row.author_hash, row.kind, row.direction,
                row.occurred_at, "ignored", reason,
            )
        ],
    )  # fmt: skip
    seen = tx.execute(
        update(witness)
        .where(witness.c.interaction_id == interaction_id)
        .values(sighting_id=number, interaction_id=None)
    )
    tx.execute(delete(interaction).where(interaction.c.id == interaction_id))
    return int(seen.rowcount)


def change_interaction(tx: Connection, interaction_id: int, **values: object) -> None:
    """Changes columns of an interaction: a meeting moved, was cancelled, got another title."""
    tx.execute(update(interaction).where(interaction.c.id == interaction_id).values(**values))


def repoint(
    tx: Connection, stream_id: int, key_hash: bytes, slot: str, *, to: Witness | None
) -> None:
    """Replaces one witness row (None: removes it)."""
    same = (
        (witness.c.stream_id == stream_id)
        & (witness.c.key_hash == key_hash)
        & (witness.c.slot == slot)
    )
    tx.execute(delete(witness).where(same))
    if to is not None:
        add_witnesses(tx, stream_id, [to])


def is_witnessed(tx: Connection, interaction_id: int) -> bool:
    """Whether any calendar or folder still holds the item."""
    seen = select(witness.c.key_hash).where(witness.c.interaction_id == interaction_id)
    return tx.execute(seen.limit(1)).first() is not None


def interaction_rows(tx: Connection, ids: Sequence[int]) -> dict[int, dict[str, object]]:
    """Interactions as dicts of their columns, by id."""
    found: dict[int, dict[str, object]] = {}
    for part in _batches(ids):
        for row in tx.execute(select(interaction).where(interaction.c.id.in_(part))).mappings():
            found[row["id"]] = dict(row)
    return found


def recalled(
    tx: Connection, account_id: int, limit: int, after: tuple[int, int, bytes] | None = None
) -> list[tuple[int, int, bytes, str, bytes]]:
    """Sightings that an import matched, newest first: a place in each row, `limit` of them.

    Rows are (sighting, stream, key hash, stream key, sealed key); `after` is the beginning of one.
    """
    # CROSS JOIN keeps SQLite from going through all that the account holds.
    query = (
        'SELECT recall.sighting_id, stream_id, key_hash, stream."key", sealed '
        "FROM recall CROSS JOIN witness CROSS JOIN stream WHERE account_id = ? "
        "AND witness.sighting_id = recall.sighting_id AND stream.id = stream_id AND "
        "recall.sighting_id <= ? AND (recall.sighting_id < ? OR (stream_id, key_hash) > (?, ?)) "
        "ORDER BY recall.sighting_id DESC, stream_id, key_hash LIMIT ?"
    )
    number, *place = after or (2**63 - 1, 0, b"")
    rows = tx.exec_driver_sql(query, (account_id, number, number, *place, limit))
    return [(row[0], row[1], row[2], row[3], row[4]) for row in rows]


def recall_later(tx: Connection, sighting_id: int) -> None:
    """One more try in vain; after five of them there is no other."""
    mine = recall.c.sighting_id == sighting_id
    tx.execute(update(recall).where(mine).values(tries=recall.c.tries + 1))
    tx.execute(delete(recall).where(mine, recall.c.tries >= _RECALL_TRIES))


def drop_recall_if_unseen(tx: Connection, sighting_id: int) -> None:
    """What no mailbox holds any more can't be fetched."""
    seen = select(witness.c.key_hash).where(witness.c.sighting_id == sighting_id)
    if tx.execute(seen.limit(1)).first() is None:
        drop_recall(tx, [sighting_id])


def drop_recall(tx: Connection, sightings: Sequence[int]) -> None:
    """Takes sightings off the list of those to fetch."""
    for part in _batches(sightings):
        tx.execute(delete(recall).where(recall.c.sighting_id.in_(part)))


def threads_of(tx: Connection, hashes: Sequence[bytes]) -> dict[bytes, int]:
    """The threads that these Message-ID hashes belong to."""
    query = "SELECT hash, thread_id FROM thread_reference WHERE hash IN"
    return {row[0]: row[1] for row in rows_in(tx, query, hashes)}


def join_threads(tx: Connection, *, new: list[tuple[bytes, int]], merged: dict[int, int]) -> None:
    """Stores new references and merges threads: `merged` maps a thread to the one it became."""
    for old, into in merged.items():
        for table in (interaction, thread_reference):
            tx.execute(update(table).where(table.c.thread_id == old).values(thread_id=into))
    insert_many(tx, thread_reference, ("hash", "thread_id"), list(dict(new).items()))


def _at(text: str) -> datetime:
    moment = read_time(text)
    assert moment is not None
    return moment


def _batches(values: Sequence[object]) -> Iterable[Sequence[object]]:
    return (values[i : i + _BATCH] for i in range(0, len(values), _BATCH))
