"""Reading the diary: the log, a customer's timeline, why something is there or is not."""

import json
from collections import defaultdict
from collections.abc import Callable, Iterable
from typing import Any

from sqlalchemy import Connection, Select, select

from crm_sync.store.tables import (
    account,
    body,
    customer,
    interaction,
    interaction_contact,
    interaction_customer,
    interaction_rep,
    quarantine,
    sighting,
    stream,
    witness,
)

_BATCH = 500


def interactions(
    tx: Connection,
    *,
    since: str | None = None,
    customer_id: int | None = None,
    rep: str | None = None,
    rep_today: Callable[[str], str] = str,
) -> list[dict[str, Any]]:
    """Interactions in the contract's shape, newest first.

    `rep_today` gives today's address of a rep for the one that was stored; `rep` is such a one.
    """
    query = select(interaction).order_by(interaction.c.occurred_at.desc(), interaction.c.id.desc())
    if since is not None:
        query = query.where(interaction.c.occurred_at >= since)
    if customer_id is not None:
        mine = select(interaction_customer.c.interaction_id)
        query = query.where(
            interaction.c.id.in_(mine.where(interaction_customer.c.customer_id == customer_id))
        )
    if rep is not None:
        stored = tx.execute(select(interaction_rep.c.rep).distinct()).scalars()
        addresses = [address for address in stored if rep_today(address) == rep]
        theirs = select(interaction_rep.c.interaction_id)
        query = query.where(
            interaction.c.id.in_(theirs.where(interaction_rep.c.rep.in_(addresses)))
        )
    return _shape(tx, query, rep_today)


def one(
    tx: Connection, interaction_id: int, *, rep_today: Callable[[str], str] = str
) -> dict[str, Any] | None:
    """An interaction in the contract's shape, None when there is none of that number.

    `rep_today` is as for `interactions`.
    """
    found = _shape(tx, select(interaction).where(interaction.c.id == interaction_id), rep_today)
    return found[0] if found else None


def _shape(
    tx: Connection, query: Select[Any], rep_today: Callable[[str], str] = str
) -> list[dict[str, Any]]:
    rows = tx.execute(query).mappings().all()
    people = _People(tx, [row["id"] for row in rows])
    return [
        {
            "id": row["id"],
            "kind": row["kind"],
            "direction": row["direction"],
            "occurred_at": row["occurred_at"],
            "ends_at": row["ends_at"],
            "all_day": bool(row["all_day"]),
            "subject": row["subject"],
            "customers": people.customers[row["id"]],
            "contacts": people.contacts[row["id"]],
            "reps": list(dict.fromkeys(map(rep_today, people.reps[row["id"]]))),
            "message_id": row["message_id"],
            "uid": row["uid"],
            "recurrence_id": row["recurrence_id"],
            "thread": row["thread_id"],
            "status": row["status"],
            "attachments": json.loads(row["attachments"]),
        }
        for row in rows
    ]


class _People:
    """Customers, contacts and reps of many interactions, read in batches."""

    def __init__(self, tx: Connection, ids: list[int]) -> None:
        self.customers: dict[int, list[dict[str, Any]]] = defaultdict(list)
        self.contacts: dict[int, list[str]] = defaultdict(list)
        self.reps: dict[int, list[str]] = defaultdict(list)
        for i in range(0, len(ids), _BATCH):
            self._read(tx, ids[i : i + _BATCH])

    def _read(self, tx: Connection, ids: list[int]) -> None:
        joined = (
            select(interaction_customer.c.interaction_id, customer.c.id, customer.c.name)
            .join(customer, customer.c.id == interaction_customer.c.customer_id)
            .where(interaction_customer.c.interaction_id.in_(ids))
            .order_by(customer.c.id)
        )
        for row in tx.execute(joined):
            self.customers[row[0]].append({"id": row[1], "name": row[2]})
        contacts = select(interaction_contact).where(interaction_contact.c.interaction_id.in_(ids))
        for row in tx.execute(contacts.order_by(interaction_contact.c.address)):
            if row.address not in self.contacts[row.interaction_id]:
                self.contacts[row.interaction_id].append(row.address)
        reps = select(interaction_rep).where(interaction_rep.c.interaction_id.in_(ids))
        for row in tx.execute(reps.order_by(interaction_rep.c.position)):
            self.reps[row.interaction_id].append(row.rep)


def text_of(tx: Connection, interaction_id: int) -> str | None:
    """The text of an interaction, None when it was not fetched (yet)."""
    return tx.execute(
        select(body.c.text).where(body.c.interaction_id == interaction_id)
    ).scalar_one_or_none()


def logged_as(tx: Connection, names: Iterable[bytes]) -> list[dict[str, Any]]:
    """Interactions with one of these name hashes, and the accounts that hold each."""
    ids = select(interaction).where(interaction.c.name_hash.in_(list(names)))
    found = _shape(tx, ids.order_by(interaction.c.occurred_at, interaction.c.id))
    for entry in found:
        entry["accounts"] = _accounts(tx, witness.c.interaction_id == entry["id"])
    return found


def seen_as(tx: Connection, names: Iterable[bytes]) -> list[dict[str, Any]]:
    """Sightings with one of these name hashes, and the accounts that hold each."""
    rows = tx.execute(select(sighting).where(sighting.c.name_hash.in_(list(names)))).mappings()
    return [
        {
            "outcome": row["outcome"],
            "reason": row["reason"],
            "kind": row["kind"],
            "direction": row["direction"],
            "occurred_at": row["occurred_at"],
            "accounts": _accounts(tx, witness.c.sighting_id == row["id"]),
        }
        for row in rows
    ]


def _accounts(tx: Connection, which: Any) -> list[str]:
    rows = tx.execute(
        select(account.c.name)
        .join(stream, stream.c.account_id == account.c.id)
        .join(witness, witness.c.stream_id == stream.c.id)
        .where(which)
        .distinct()
        .order_by(account.c.name)
    )
    return list(rows.scalars())


def quarantined(tx: Connection) -> list[dict[str, Any]]:
    """What could not be read: id, account, stream key, sealed key, reason, tries, since."""
    rows = tx.execute(
        select(quarantine, account.c.name.label("account"), stream.c.key.label("stream"))
        .join(stream, stream.c.id == quarantine.c.stream_id)
        .join(account, account.c.id == stream.c.account_id)
        .where(quarantine.c.state != "dropped")
        .order_by(quarantine.c.id)
    ).mappings()
    return [dict(row) for row in rows]
