"""Reports and automatic replies that wait to be read, and what became known about addresses."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, Final

from sqlalchemy import Connection, Select, delete, func, select, update

from crm_sync.core.bounces import FADES_IN, is_dead, score
from crm_sync.store.engine import insert_many, read_time, rows_in, text_time
from crm_sync.store.tables import (
    address_event,
    contact_address,
    employment,
    interaction,
    interaction_contact,
    notice,
    outbox,
    sighting,
    stream,
)

TRIES: Final = 5
_BOUNCES: Final = {"hard_bounce": "hard", "soft_bounce": "soft"}
_SHOWN: Final = ("address", "kind", "at", "status", "until", "deputy")
_NEWEST: Final = (
    select(contact_address.c.recorded, *(address_event.c[name] for name in _SHOWN))
    .join(contact_address, contact_address.c.address == address_event.c.address)
    .order_by(address_event.c.at.desc(), address_event.c.id.desc())
)


@dataclass(frozen=True, slots=True)
class Notice:
    """A report or reply to read: where it is, why it was left out of the diary, when it came."""

    sighting: int
    stream: str
    sealed: bytes
    reason: str
    at: datetime
    natural_key: bytes


@dataclass(frozen=True, slots=True)
class NewEvent:
    """Something that became known about an address (canonical) of a contact.

    `kind` is hard_bounce, soft_bounce, complaint or absence. `natural_key` is made of the mail that
    said it and the address.
    """

    natural_key: bytes
    address: str
    kind: str
    at: datetime
    status: str = ""
    until: date | None = None
    deputy: str = ""
    outbox_id: int | None = None


@dataclass(frozen=True, slots=True)
class Trouble:
    """Why nothing should be sent to an address unseen: "bounce" or "complaint", and since when."""

    kind: str
    at: datetime
    status: str = ""


@dataclass(frozen=True, slots=True)
class Away:
    """That somebody is away until a day, the first one back, and who answers instead ("")."""

    until: date
    deputy: str


def note(tx: Connection, stream_id: int, rows: Sequence[tuple[int, bytes]]) -> None:
    """Notes mails to read: (sighting, sealed key)."""
    columns = ("sighting_id", "stream_id", "sealed", "tries")
    insert_many(tx, notice, columns, [(number, stream_id, sealed, 0) for number, sealed in rows])


def waiting(tx: Connection, account_id: int, limit: int) -> list[Notice]:
    """Mails of an account that wait to be read, newest first, those tried before last."""
    rows = tx.execute(
        select(
            notice.c.sighting_id, stream.c.key, notice.c.sealed, sighting.c.reason,
            sighting.c.occurred_at, sighting.c.natural_key,
        )
        .join(stream, stream.c.id == notice.c.stream_id)
        .join(sighting, sighting.c.id == notice.c.sighting_id)
        .where(stream.c.account_id == account_id)
        .order_by(notice.c.tries, notice.c.sighting_id.desc())
        .limit(limit)
    )  # fmt: skip
    return [Notice(r[0], r[1], r[2], r[3], datetime.fromisoformat(r[4]), r[5]) for r in rows]


def drop(tx: Connection, sightings: Iterable[int]) -> None:
    """They are read, or gone; the sightings stay."""
    for number in sightings:
        tx.execute(delete(notice).where(notice.c.sighting_id == number))


def try_later(tx: Connection, sightings: Iterable[int]) -> None:
    """One more try in vain; after five of them there is no other."""
    for number in sightings:
        mine = notice.c.sighting_id == number
        tx.execute(update(notice).where(mine).values(tries=notice.c.tries + 1))
        tx.execute(delete(notice).where(mine, notice.c.tries >= TRIES))


def add(tx: Connection, events: Iterable[NewEvent]) -> int:
    """Stores what became known; what was known already is left alone. How many were new."""
    new = 0
    for event in events:
        same = select(address_event.c.id).where(address_event.c.natural_key == event.natural_key)
        if tx.execute(same).first() is not None:
            continue
        values: dict[str, Any] = {name: getattr(event, name) for name in NewEvent.__slots__}
        values |= {"at": text_time(event.at), "until": event.until and event.until.isoformat()}
        tx.execute(address_event.insert().values(**values))
        new += 1
    return new


def sent_as(tx: Connection, message_ids: Sequence[str]) -> tuple[int, str] | None:
    """The mail of our outbox with one of these Message-IDs: its id and recipient."""
    if not message_ids:
        return None
    mine = select(outbox.c.id, outbox.c.recipient).where(outbox.c.message_id.in_(message_ids))
    row = tx.execute(mine.limit(1)).first()
    return None if row is None else (row[0], row[1])


def bounced(tx: Connection, outbox_ids: Sequence[int]) -> dict[int, dict[str, Any]]:
    """Which mails of the outbox came back: id -> the newest event, in the shape that `of` gives."""
    query = f"SELECT outbox_id, {', '.join(_SHOWN)} FROM address_event WHERE outbox_id IN"  # noqa: S608  # our own columns
    events = [
        (row[0], dict(zip(_SHOWN, row[1:], strict=True))) for row in rows_in(tx, query, outbox_ids)
    ]
    # A complaint is about a mail that arrived.
    back = [(number, event) for number, event in events if event["kind"] in _BOUNCES]
    return dict(sorted(back, key=lambda one: str(one[1]["at"])))


def attach_bounces(tx: Connection, mails: Sequence[dict[str, Any]]) -> None:
    """Adds to each mail of the outbox, in the contract's shape, whether it came back.

    The key is "bounced": the day in UTC as an ISO date, None where nothing is known of it.
    """
    back = bounced(tx, [mail["id"] for mail in mails])
    for mail in mails:
        mail["bounced"] = str(back[mail["id"]]["at"])[:10] if mail["id"] in back else None


def of(tx: Connection, addresses: Sequence[str]) -> list[dict[str, Any]]:
    """What is known about these canonical addresses, newest first."""
    query = f"SELECT {', '.join(_SHOWN)} FROM address_event WHERE address IN"  # noqa: S608  # our own columns
    found = [dict(zip(_SHOWN, row, strict=True)) for row in rows_in(tx, query, addresses)]
    return sorted(found, key=lambda event: str(event["at"]), reverse=True)


def attach(tx: Connection, customers: Sequence[dict[str, Any]]) -> None:
    """Adds to each contact of customers, in the contract's shape, what is known of its addresses.

    The key is "address_events": newest first, addresses as the contact has them.
    """
    known: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for event in _recorded(tx, _NEWEST):
        known[event["address"]].append(event)
    for contact in (person for entry in customers for person in entry["contacts"]):
        events = [event for email in contact["emails"] for event in known.get(email, ())]
        contact["address_events"] = sorted(events, key=lambda e: str(e["at"]), reverse=True)


def of_customer(tx: Connection, customer_id: int) -> list[dict[str, Any]]:
    """What is known of the addresses of a customer's contacts, newest first."""
    mine = select(employment.c.contact_id).where(employment.c.customer_id == customer_id)
    return _recorded(tx, _NEWEST.where(contact_address.c.contact_id.in_(mine)))


def _recorded(tx: Connection, query: Select[Any]) -> list[dict[str, Any]]:
    """Events with the address as its contact has it."""
    rows = tx.execute(query).mappings()
    return [{name: row[name] for name in _SHOWN} | {"address": row["recorded"]} for row in rows]


def undeliverable(tx: Connection, addresses: Sequence[str], now: datetime) -> dict[str, Trouble]:
    """Which canonical addresses nothing should be sent to unseen, and why.

    An address is dead by the score of its bounces since somebody last wrote from it; whoever
    complained of mail of ours stays on the list.
    """
    heard = _last_heard(tx, addresses)
    bounces: dict[str, list[tuple[str, datetime]]] = defaultdict(list)
    found: dict[str, Trouble] = {}
    for event in of(tx, addresses):
        address, at = str(event["address"]), read_time(event["at"])
        assert at is not None
        if event["kind"] == "complaint":
            found[address] = Trouble("complaint", at)
        elif event["kind"] in _BOUNCES and now - at < FADES_IN and at >= heard.get(address, at):
            bounces[address].append((_BOUNCES[event["kind"]], at))
            if address not in found and is_dead(score(bounces[address], now)):
                found[address] = Trouble("bounce", bounces[address][0][1], event["status"])
    return found


def _last_heard(tx: Connection, addresses: Sequence[str]) -> dict[str, datetime]:
    """When somebody last wrote from each address: mail of a person, as the diary logs it."""
    rows = tx.execute(
        select(contact_address.c.address, func.max(interaction.c.occurred_at))
        .join(interaction_contact, interaction_contact.c.address == contact_address.c.recorded)
        .join(interaction, interaction.c.id == interaction_contact.c.interaction_id)
        .where(
            contact_address.c.address.in_(list(addresses)),
            interaction_contact.c.role == "from",
            interaction.c.direction == "inbound",
        )
        .group_by(contact_address.c.address)
    )
    return {address: datetime.fromisoformat(at) for address, at in rows}


def absent(tx: Connection, addresses: Sequence[str], on: date) -> dict[str, Away]:
    """Which of these canonical addresses are away that day; the newest reply with an end counts."""
    found: dict[str, Away] = {}
    for event in of(tx, addresses):
        address = str(event["address"])
        if event["kind"] == "absence" and event["until"] and address not in found:
            found[address] = Away(date.fromisoformat(event["until"]), event["deputy"])
    return {address: away for address, away in found.items() if away.until > on}
