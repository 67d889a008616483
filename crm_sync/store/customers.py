"""Customers and their contacts: finding and listing them."""

import unicodedata
from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import Any

from sqlalchemy import Connection, or_, select

from crm_sync.core.addresses import canonical
from crm_sync.core.errors import UsageError
from crm_sync.store.tables import (
    contact,
    contact_address,
    customer,
    customer_domain,
    employment,
    interaction,
    interaction_customer,
)

_LONGEST_ID = 18


@lru_cache(maxsize=4096)
def name_key(name: str) -> str:
    """The form in which names are compared: NFKC, case folded, single blanks."""
    return " ".join(unicodedata.normalize("NFKC", name).casefold().split())


def find(tx: Connection, text: str) -> int:
    """The customer that a person means: an id, a name, or any contact's address or name.

    Raises `UsageError` when there is none, or when a name fits several.
    """
    found = set(tx.execute(select(customer.c.id).where(_meant(text))).scalars())
    if not found and text.strip():
        alike = select(customer.c.id).where(
            customer.c.name_key.contains(name_key(text), autoescape=True)
        )
        found = set(tx.execute(alike.limit(5)).scalars())
    if len(found) == 1:
        return int(found.pop())
    if found:
        numbers = ", ".join(str(number) for number in sorted(found))
        raise UsageError(
            f"{text!r} fits several customers", advice=f"Use one of these ids: {numbers}."
        )
    raise UsageError(
        f"there is no customer {text!r}",
        advice="Give an id, a name or a contact's address; `crm-sync customers` lists them.",
    )


def _meant(text: str) -> Any:
    address = canonical(text)
    through = select(employment.c.customer_id).join(
        contact, contact.c.id == employment.c.contact_id
    )
    if text.isdecimal():
        return customer.c.id == (int(text) if len(text) < _LONGEST_ID else -1)
    if address is not None:
        owner = select(contact_address.c.contact_id).where(contact_address.c.address == address)
        now = through.where(employment.c.until.is_(None), contact.c.id.in_(owner))
        return customer.c.id.in_(now)
    key = name_key(text)
    return or_(
        customer.c.name_key == key, customer.c.id.in_(through.where(contact.c.name_key == key))
    )


def listing(
    tx: Connection, query: str | None, *, rep_today: Callable[[str], str] = str
) -> list[dict[str, Any]]:
    """Customers in the contract's shape, by name; `query` filters names, addresses and domains.

    `rep_today` gives today's address of a rep for the one that was stored.
    """
    rows = (
        tx.execute(select(customer).order_by(customer.c.name_key, customer.c.id)).mappings().all()
    )
    contacts = _contacts(tx)
    domains: dict[int, list[str]] = {}
    for row in tx.execute(select(customer_domain).order_by(customer_domain.c.domain)):
        domains.setdefault(row.customer_id, []).append(row.domain)
    last = _last_interactions(tx)
    found = [
        {
            "id": row["id"],
            "name": row["name"],
            "owner": rep_today(row["owner"]) if row["owner"] else None,
            "contacts": contacts.get(row["id"], []),
            "domains": domains.get(row["id"], []),
            "last_interaction": last.get(row["id"]),
        }
        for row in rows
    ]
    if query:
        key = name_key(query)
        found = [entry for entry in found if key in name_key(" ".join(_words(entry)))]
    return found


def _words(entry: dict[str, Any]) -> Iterator[str]:
    """What a query is looked for in: names, addresses, domains, the owner."""
    yield entry["name"]
    yield entry["owner"] or ""
    yield from entry["domains"]
    for person in entry["contacts"]:
        yield person["name"]
        yield from person["emails"]


def _contacts(tx: Connection) -> dict[int, list[dict[str, Any]]]:
    emails: dict[int, list[str]] = {}
    for row in tx.execute(select(contact_address).order_by(contact_address.c.position)):
        emails.setdefault(row.contact_id, []).append(row.recorded)
    rows = tx.execute(
        select(contact, employment.c.customer_id)
        .join(employment, employment.c.contact_id == contact.c.id)
        .where(employment.c.until.is_(None))
        .order_by(contact.c.id)
    )
    found: dict[int, list[dict[str, Any]]] = {}
    for row in rows:
        found.setdefault(row.customer_id, []).append(
            {
                "name": row.name,
                "emails": emails.get(row.id, []),
                "language": row.language or None,
                "timezone": row.timezone or None,
                "birthday": row.birthday or None,
            }
        )
    return found


def _last_interactions(tx: Connection) -> dict[int, str]:
    happened = interaction.c.status.is_(None) | (interaction.c.status == "held")
    rows = tx.execute(
        select(interaction_customer.c.customer_id, interaction.c.occurred_at)
        .join(interaction, interaction.c.id == interaction_customer.c.interaction_id)
        .where(happened)
        .order_by(interaction.c.occurred_at)
    )
    return {row[0]: row[1] for row in rows}
