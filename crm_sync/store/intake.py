"""Taking rows of a customers file into the diary: whom a row means, and what it changes."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Any, Final

from sqlalchemy import Connection

from crm_sync.core.addresses import canonical
from crm_sync.core.customer_rows import CustomerRow, Rejected
from crm_sync.store.customers import name_key
from crm_sync.store.excerpt import Contact, Customer, Excerpt

CHUNK: Final = 500
"""Rows for which the diary is asked at once."""


class _RowRejected(Exception):  # noqa: N818  # it rejects a row, it is not an error of ours
    """A row contradicts the diary; the text says how."""


@dataclass
class Intake:
    """What one import has done so far; `claimed` tells which row spoke for a contact first."""

    today: date
    created: int = 0
    updated: int = 0
    unchanged: int = 0
    rejected: list[Rejected] = field(default_factory=list)
    claimed: dict[int, tuple[int, str]] = field(default_factory=dict)


def take_in(tx: Connection, rows: Sequence[CustomerRow], intake: Intake) -> None:
    """Creates or updates the contacts and customers of rows, one after the other."""
    for at in range(0, len(rows), CHUNK):
        chunk = rows[at : at + CHUNK]
        excerpt = _excerpt(tx, chunk)
        for row in chunk:
            try:
                _take_in(excerpt, row, intake)
            except _RowRejected as rejection:
                intake.rejected.append(Rejected(row.line, str(rejection)))
        excerpt.save()


def _excerpt(tx: Connection, rows: Sequence[CustomerRow]) -> Excerpt:
    return Excerpt(
        tx,
        addresses={address for row in rows for address, _ in _addresses(row)},
        names={name_key(row.name) for row in rows if row.name},
        companies={name_key(row.company) for row in rows if row.company},
    )


def _addresses(row: CustomerRow) -> list[tuple[str, str]]:
    """The addresses of a row: (canonical, as it spells them)."""
    return [(canonical(email) or email, email) for email in row.emails or ()]


def _take_in(excerpt: Excerpt, row: CustomerRow, intake: Intake) -> None:
    """Creates or updates the contact and customer of a row. Raises `_RowRejected`."""
    who = _contact_of(excerpt, row, intake)
    is_new = who is None
    customer, customer_changed = _customer_for(excerpt, row, who)
    if who is None:
        who = excerpt.add_contact()
    changed = excerpt.set_contact(who, _contact_values(row, who))
    for address, recorded in _addresses(row):
        changed |= excerpt.add_address(who, address, recorded)
    # A second row of the same file is a second employer, not a new one.
    also = who.id in intake.claimed
    changed |= _employ(excerpt, who, customer, intake.today, also=also)
    intake.claimed.setdefault(who.id, (row.line, name_key(row.name or "")))
    if is_new:
        intake.created += 1
    elif changed or customer_changed:
        intake.updated += 1
    else:
        intake.unchanged += 1


def _contact_of(excerpt: Excerpt, row: CustomerRow, intake: Intake) -> Contact | None:
    owners = {a: excerpt.owner_of(a) for a, _ in _addresses(row)}
    found = {a: owner for a, owner in owners.items() if owner is not None}
    if len(set(found.values())) > 1:
        raise _RowRejected("the row holds addresses of two contacts")
    by_name = _by_company_and_name(excerpt, row)
    if not found:
        return None if by_name is None else excerpt.contact(by_name)
    address, number = min(found.items())
    line, name = intake.claimed.get(number, (0, ""))
    key = name_key(row.name or "")
    if by_name not in {None, number} or (line and name and key != name and key):
        raise _RowRejected(f"the address {address} belongs to another contact")
    return excerpt.contact(number)


def _by_company_and_name(excerpt: Excerpt, row: CustomerRow) -> int | None:
    if not row.name:
        return None
    return excerpt.namesake(name_key(row.company) if row.company else None, name_key(row.name))


def _customer_for(excerpt: Excerpt, row: CustomerRow, who: Contact | None) -> tuple[Customer, bool]:
    """The customer of a row, and whether anything about it is new."""
    customer = _existing_customer(excerpt, row, who)
    created = customer is None
    if customer is None:
        name = row.company or row.name or (row.emails or ("",))[0]
        customer = excerpt.add_customer(name, name_key(name), is_company=bool(row.company))
    changed = excerpt.set_customer(customer, _customer_values(row)) or created
    if row.domains is not None:
        changed |= excerpt.set_domains(customer, row.domains)
    return customer, changed


def _existing_customer(excerpt: Excerpt, row: CustomerRow, who: Contact | None) -> Customer | None:
    if row.company:
        return excerpt.company(name_key(row.company))
    employers = who.employers if who is not None else []
    return excerpt.customer(employers[0]) if employers else None


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


def _contact_values(row: CustomerRow, who: Contact) -> dict[str, Any]:
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
        "custom": _custom(row, who),
    }
    return {name: value for name, value in values.items() if value is not None}


def _custom(row: CustomerRow, who: Contact) -> str | None:
    """The unknown columns of the row over those stored before, as JSON."""
    if not row.custom:
        return None
    stored: dict[str, str] = json.loads(who.values["custom"])
    return json.dumps({**stored, **row.custom}, ensure_ascii=False, sort_keys=True)


def _employ(excerpt: Excerpt, who: Contact, customer: Customer, today: date, *, also: bool) -> bool:
    """Notes where a contact works now, `also` besides where it was; whether that is new."""
    current = who.employers
    if customer.id in current:
        return False
    moves = bool(current) and not also
    for employer in current if moves else ():
        excerpt.leave(who, employer, today.isoformat())
    excerpt.join(who, customer.id, today.isoformat() if moves else None)
    return True
