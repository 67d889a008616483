"""Contacts with a day worth a greeting."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Final

from sqlalchemy import Connection, func, select

from crm_sync.store.engine import rows_in
from crm_sync.store.tables import (
    contact,
    contact_address,
    customer,
    employment,
    interaction,
    interaction_customer,
    interaction_rep,
)

_MONTH_AND_DAY: Final = len("03-04")


@dataclass(frozen=True, slots=True)
class Candidate:
    """A contact who may be greeted; `birthday` as `core.occasions` reads it."""

    contact_id: int
    name: str
    address: str
    language: str
    timezone: str
    country: str
    birthday: str
    basis: str
    customer_id: int
    customer_name: str
    owner: str


def with_birthday(tx: Connection, days: Collection[str] | None = None) -> list[Candidate]:
    """All contacts with a birthday and an address, each once, with their first customer.

    With `days`, those whose birthday ends in one of them ("03-04"), in whichever calendar.
    """
    wanted = contact.c.birthday != ""
    if days is not None:
        wanted &= func.substr(contact.c.birthday, -_MONTH_AND_DAY).in_(sorted(days))
    rows = tx.execute(
        select(
            contact.c.id, contact.c.name, contact_address.c.recorded, contact.c.language,
            contact.c.timezone, contact.c.country, contact.c.birthday, contact.c.greeting_basis,
            customer.c.id, customer.c.name, customer.c.owner,
        )
        .join(contact_address, contact_address.c.contact_id == contact.c.id)
        .join(employment, employment.c.contact_id == contact.c.id)
        .join(customer, customer.c.id == employment.c.customer_id)
        .where(wanted, employment.c.until.is_(None))
        .order_by(contact.c.id, contact_address.c.position, customer.c.id)
    )  # fmt: skip
    once: dict[int, Candidate] = {}
    for row in rows:
        once.setdefault(row[0], Candidate(*row))
    return list(once.values())


def planned(tx: Connection, keys: Sequence[str]) -> set[str]:
    """Those of the keys that rows of the outbox have."""
    return {row[0] for row in rows_in(tx, "SELECT key FROM outbox WHERE key IN", keys)}


def basis_of(tx: Connection, contact_id: int | None) -> str:
    """On what ground a contact may be greeted, "" when that is not known."""
    mine = select(contact.c.greeting_basis).where(contact.c.id == contact_id)
    return tx.execute(mine).scalar_one_or_none() or ""


def last_rep(tx: Connection, customer_id: int) -> str | None:
    """The rep who had to do with a customer last."""
    return tx.execute(
        select(interaction_rep.c.rep)
        .join(interaction, interaction.c.id == interaction_rep.c.interaction_id)
        .join(interaction_customer, interaction_customer.c.interaction_id == interaction.c.id)
        .where(interaction_customer.c.customer_id == customer_id)
        .order_by(interaction.c.occurred_at.desc(), interaction_rep.c.position)
        .limit(1)
    ).scalar_one_or_none()
