"""Customers and their contacts: finding them, and taking in rows of a file."""

import json
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date
from typing import Any

from sqlalchemy import Connection, or_, select, update

from crm_sync.core.addresses import canonical
from crm_sync.core.customer_rows import CustomerRow
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


class RowRejected(Exception):  # noqa: N818  # it rejects a row, it is not an error of ours
    """A row contradicts the diary; the text says how."""


@dataclass
class Intake:
    """What one import has done so far; `claimed` tells which row spoke for a contact first."""

    today: date
    created: int = 0
    updated: int = 0
    unchanged: int = 0
    claimed: dict[int, tuple[int, str]] = field(default_factory=dict)


_LONGEST_ID = 18


def name_key(name: str) -> str:
    """The form in which names are compared: NFKC, case folded, single blanks."""
    return " ".join(unicodedata.normalize("NFKC", name).casefold().split())


def take_in(tx: Connection, row: CustomerRow, intake: Intake) -> None:
    """Creates or updates the contact and customer of a row. Raises `RowRejected`."""
    contact_id = _contact_of(tx, row, intake)
    is_new = contact_id is None
    customer_id, customer_changed = _customer_for(tx, row, contact_id)
    values = _contact_values(tx, row, contact_id)
    if contact_id is None:
        inserted = tx.execute(contact.insert().values(**{"name": "", "name_key": "", **values}))
        contact_id = int(inserted.inserted_primary_key[0])  # type: ignore[index]
        changed = True
    else:
        changed = _update(tx, contact, contact_id, values)
    changed |= _add_addresses(tx, contact_id, row.emails or ())
    # A second row of the same file is a second employer, not a new one.
    also = contact_id in intake.claimed
    changed |= _employ(tx, contact_id, customer_id, intake.today, also=also)
    intake.claimed.setdefault(contact_id, (row.line, name_key(row.name or "")))
    if is_new:
        intake.created += 1
    elif changed or customer_changed:
        intake.updated += 1
    else:
        intake.unchanged += 1


def _contact_of(tx: Connection, row: CustomerRow, intake: Intake) -> int | None:
    spellings = [canonical(e) or e for e in row.emails or ()]
    owners = tx.execute(
        select(contact_address.c.address, contact_address.c.contact_id).where(
            contact_address.c.address.in_(spellings)
        )
    ).all()
    found = {owner for _, owner in owners}
    if len(found) > 1:
        raise RowRejected("the row holds addresses of two contacts")
    by_name = _by_company_and_name(tx, row)
    key = name_key(row.name or "")
    if found:
        (contact_id,) = found
        line, name = intake.claimed.get(contact_id, (0, ""))
        if (by_name is not None and by_name != contact_id) or (
            line and name and key != name and key
        ):
            raise RowRejected(f"the address {owners[0][0]} belongs to another contact")
        return int(contact_id)
    return by_name


def _by_company_and_name(tx: Connection, row: CustomerRow) -> int | None:
    if not row.name:
        return None
    wanted = select(contact.c.id).where(contact.c.name_key == name_key(row.name))
    joined = wanted.join(employment, employment.c.contact_id == contact.c.id).join(
        customer, customer.c.id == employment.c.customer_id
    )
    same: Any = ~customer.c.is_company
    if row.company:
        same = (customer.c.name_key == name_key(row.company)) & customer.c.is_company
    rows = tx.execute(joined.where(same, employment.c.until.is_(None)).limit(2)).scalars().all()
    return int(rows[0]) if len(rows) == 1 else None


def _customer_for(tx: Connection, row: CustomerRow, contact_id: int | None) -> tuple[int, bool]:
    customer_id = _existing_customer(tx, row, contact_id)
    values = _customer_values(row)
    created = customer_id is None
    if customer_id is None:
        name = row.company or row.name or (row.emails or ("",))[0]
        inserted = tx.execute(
            customer.insert().values(
                **{
                    **values,
                    "name": name,
                    "name_key": name_key(name),
                    "is_company": bool(row.company),
                }
            )
        )
        customer_id = int(inserted.inserted_primary_key[0])  # type: ignore[index]
    changed = _update(tx, customer, customer_id, values) or created
    if row.domains is not None:
        changed |= _set_domains(tx, customer_id, row.domains)
    return customer_id, changed


def _existing_customer(tx: Connection, row: CustomerRow, contact_id: int | None) -> int | None:
    if row.company:
        same = select(customer.c.id).where(
            customer.c.name_key == name_key(row.company), customer.c.is_company
        )
        found = tx.execute(same.limit(1)).scalar_one_or_none()
        return None if found is None else int(found)
    if contact_id is None:
        return None
    current = select(employment.c.customer_id).where(
        employment.c.contact_id == contact_id, employment.c.until.is_(None)
    )
    found = tx.execute(current.order_by(employment.c.customer_id).limit(1)).scalar_one_or_none()
    return None if found is None else int(found)


def _customer_values(row: CustomerRow) -> dict[str, Any]:
    values: dict[str, Any] = {
        "owner": row.owner,
        "source": row.source,
        "address": row.address,
        "website": row.website,
        "customer_since": row.customer_since and row.customer_since.isoformat(),
        "last_purchase": row.last_purchase and row.last_purchase.isoformat(),
    }
    return {name: value for name, value in values.items() if value is not None}


def _contact_values(tx: Connection, row: CustomerRow, contact_id: int | None) -> dict[str, Any]:
    values = {
        "name": row.name,
        "name_key": name_key(row.name) if row.name else None,
        "language": row.language,
        "timezone": row.timezone,
        "country": row.country,
        "birthday": None if row.birthday is None else str(row.birthday),
        "greeting_basis": row.greeting_basis,
        "preferred_channel": row.preferred_channel,
        "phones": None if row.phones is None else "|".join(row.phones),
        "tags": None if row.tags is None else "|".join(row.tags),
        "notes": row.notes,
        "custom": _custom(tx, row, contact_id),
    }
    return {name: value for name, value in values.items() if value is not None}


def _custom(tx: Connection, row: CustomerRow, contact_id: int | None) -> str | None:
    """The unknown columns of the row over those stored before, as JSON."""
    if not row.custom:
        return None
    stored: dict[str, str] = {}
    if contact_id is not None:
        known = select(contact.c.custom).where(contact.c.id == contact_id)
        stored = json.loads(tx.execute(known).scalar_one())
    return json.dumps({**stored, **row.custom}, ensure_ascii=False, sort_keys=True)


def _update(tx: Connection, table: Any, row_id: int, values: dict[str, Any]) -> bool:
    if not values:
        return False
    columns = [table.c[name] for name in values]
    stored = tx.execute(select(*columns).where(table.c.id == row_id)).mappings().one()
    if all(stored[name] == value for name, value in values.items()):
        return False
    tx.execute(update(table).where(table.c.id == row_id).values(**values))
    return True


def _set_domains(tx: Connection, customer_id: int, domains: tuple[str, ...]) -> bool:
    mine = customer_domain.c.customer_id == customer_id
    stored = set(tx.execute(select(customer_domain.c.domain).where(mine)).scalars())
    if stored == set(domains):
        return False
    tx.execute(customer_domain.delete().where(mine))
    for domain in dict.fromkeys(domains):
        tx.execute(customer_domain.insert().values(customer_id=customer_id, domain=domain))
    return True


def _add_addresses(tx: Connection, contact_id: int, emails: tuple[str, ...]) -> bool:
    mine = select(contact_address.c.address).where(contact_address.c.contact_id == contact_id)
    stored = set(tx.execute(mine).scalars())
    changed = False
    for email in emails:
        address = canonical(email) or email
        if address not in stored:
            tx.execute(
                contact_address.insert().values(
                    address=address, recorded=email, position=len(stored), contact_id=contact_id
                )
            )
            stored.add(address)
            changed = True
    return changed


def _employ(tx: Connection, contact_id: int, customer_id: int, today: date, *, also: bool) -> bool:
    mine = employment.c.contact_id == contact_id
    current = set(
        tx.execute(
            select(employment.c.customer_id).where(mine, employment.c.until.is_(None))
        ).scalars()
    )
    if customer_id in current:
        return False
    if current and not also:
        tx.execute(
            update(employment)
            .where(mine, employment.c.until.is_(None))
            .values(until=today.isoformat())
        )
    again = update(employment).where(mine, employment.c.customer_id == customer_id)
    if tx.execute(again.values(until=None)).rowcount == 0:
        since = today.isoformat() if current and not also else None
        tx.execute(
            employment.insert().values(contact_id=contact_id, customer_id=customer_id, since=since)
        )
    return True


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


def listing(tx: Connection, query: str | None) -> list[dict[str, Any]]:
    """Customers in the contract's shape, by name; `query` filters names, addresses and domains."""
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
            "owner": row["owner"] or None,
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
