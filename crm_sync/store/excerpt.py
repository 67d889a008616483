"""The part of the diary that some rows of a customers file are about, held in memory.

A statement for each question of each row takes minutes for a large file. Here what rows may ask is
read in a few statements, they are judged against it one by one, and what they changed is written
in a few more. It has to happen within one write transaction.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from sqlalchemy import Connection, Table, func, select

from crm_sync.store.engine import insert_many, rows_in
from crm_sync.store.tables import contact, contact_address, customer, customer_domain

_CONTACT: Final = tuple(column.name for column in contact.columns)
_CUSTOMER: Final = tuple(column.name for column in customer.columns)
_NEW_CONTACT: Final = {**dict.fromkeys(_CONTACT[1:], ""), "custom": "{}"}
_NEW_CUSTOMER: Final = {
    **dict.fromkeys(_CUSTOMER[1:], ""),
    **dict.fromkeys(("customer_since", "last_purchase")),
}


@dataclass(slots=True)
class Employment:
    """When somebody came to a customer and left; None where that is not known, or has not been."""

    since: str | None
    until: str | None


@dataclass(slots=True)
class Contact:
    """A contact: its columns but the id, its addresses in canonical form, customers it is with."""

    id: int
    values: dict[str, Any]
    addresses: set[str] = field(default_factory=set)
    employments: dict[int, Employment] = field(default_factory=dict)

    @property
    def employers(self) -> list[int]:
        """The customers it is with now, by id."""
        return sorted(c for c, employed in self.employments.items() if employed.until is None)


@dataclass(slots=True)
class Customer:
    """A customer: its columns but the id, and its domains."""

    id: int
    values: dict[str, Any]
    domains: set[str] = field(default_factory=set)


class Excerpt:
    """Contacts and customers that rows with these addresses (canonical), names and companies mean.

    Names are in the form in which they are compared. Nothing is stored before `save`.
    """

    def __init__(
        self,
        tx: Connection,
        *,
        addresses: Collection[str],
        names: Collection[str],
        companies: Collection[str],
    ) -> None:
        self._tx = tx
        self._contacts: dict[int, Contact] = {}
        self._customers: dict[int, Customer] = {}
        self._owners: dict[str, int] = {}
        self._companies: dict[str, int] = {}
        # (name of the company or None, name) -> (contact, customer) of those who are there now
        self._namesakes: dict[tuple[str | None, str], set[tuple[int, int]]] = defaultdict(set)
        self._changes = _Changes()
        self._next_contact = _next_id(tx, contact)
        self._next_customer = _next_id(tx, customer)
        self._load(list(addresses), list(names), list(companies))

    # -- what is there ------------------------------------------------------------------------

    def owner_of(self, address: str) -> int | None:
        """The contact that has this address."""
        return self._owners.get(address)

    def company(self, name: str) -> Customer | None:
        """The company of that name; of several the first."""
        number = self._companies.get(name)
        return None if number is None else self.customer(number)

    def namesake(self, company: str | None, name: str) -> int | None:
        """The one contact of that name at that company, at none with None; None for several."""
        found = self._namesakes.get((company, name), set())
        return next(iter(found))[0] if len(found) == 1 else None

    def contact(self, number: int) -> Contact:
        """The contact with this id."""
        if number not in self._contacts:
            self._load_contacts([number])
        return self._contacts[number]

    def customer(self, number: int) -> Customer:
        """The customer with this id."""
        if number not in self._customers:
            self._load_customers([number])
        return self._customers[number]

    # -- what changes -------------------------------------------------------------------------

    def add_contact(self) -> Contact:
        """A new contact, about whom nothing is known."""
        new = Contact(self._next_contact, dict(_NEW_CONTACT))
        self._next_contact += 1
        self._contacts[new.id] = self._changes.new_contacts[new.id] = new
        return new

    def add_customer(self, name: str, name_key: str, *, is_company: bool) -> Customer:
        """A new customer."""
        values = {"name": name, "name_key": name_key, "is_company": is_company}
        new = Customer(self._next_customer, {**_NEW_CUSTOMER, **values})
        self._next_customer += 1
        self._customers[new.id] = self._changes.new_customers[new.id] = new
        if is_company:
            self._companies.setdefault(name_key, new.id)
        return new

    def set_contact(self, who: Contact, values: dict[str, Any]) -> bool:
        """Gives columns of a contact other values; whether any was another."""
        if not _differ(who.values, values):
            return False
        for employer in who.employers:
            self._at(who, employer).discard((who.id, employer))
        who.values.update(values)
        for employer in who.employers:
            self._at(who, employer).add((who.id, employer))
        self._changes.contacts[who.id] = who
        return True

    def set_customer(self, who: Customer, values: dict[str, Any]) -> bool:
        """Gives columns of a customer, not its name, other values; whether any was another."""
        if not _differ(who.values, values):
            return False
        who.values.update(values)
        self._changes.customers[who.id] = who
        return True

    def set_domains(self, who: Customer, domains: Iterable[str]) -> bool:
        """Gives a customer these domains and no others; whether they were others."""
        wanted = set(domains)
        if who.domains == wanted:
            return False
        who.domains = wanted
        self._changes.domains[who.id] = who
        return True

    def add_address(self, who: Contact, address: str, recorded: str) -> bool:
        """Adds an address after those that a contact has; whether it is new."""
        if address in who.addresses:
            return False
        self._changes.addresses.append((address, recorded, len(who.addresses), who.id))
        who.addresses.add(address)
        self._owners[address] = who.id
        return True

    def leave(self, who: Contact, employer: int, until: str) -> None:
        """Notes that a contact is no more with a customer."""
        self._at(who, employer).discard((who.id, employer))
        who.employments[employer].until = until
        self._changes.employments[who.id, employer] = who.employments[employer]

    def join(self, who: Contact, employer: int, since: str | None) -> None:
        """Notes that a contact is with a customer now; `since` counts where it never was before."""
        employed = who.employments.get(employer)
        if employed is None:
            employed = who.employments[employer] = Employment(since, None)
        employed.until = None
        self._at(who, employer).add((who.id, employer))
        self._changes.employments[who.id, employer] = employed

    def save(self) -> None:
        """Stores what has changed. The end: nothing may change after it."""
        self._changes.store(self._tx)

    # -- reading ------------------------------------------------------------------------------

    def _load(self, addresses: list[str], names: list[str], companies: list[str]) -> None:
        wanted = "SELECT address, contact_id FROM contact_address WHERE address IN"
        self._owners.update((row[0], row[1]) for row in rows_in(self._tx, wanted, addresses))
        wanted = "SELECT name_key, id FROM customer WHERE is_company AND name_key IN"
        for name, number in rows_in(self._tx, wanted, companies):
            self._companies[name] = min(number, self._companies.get(name, number))
        known = self._load_namesakes(names, set(companies))
        self._load_contacts(sorted({*self._owners.values(), *known}))
        employers = {e for who in self._contacts.values() for e in who.employers}
        self._load_customers(sorted({*self._companies.values(), *employers}))

    def _load_namesakes(self, names: list[str], companies: set[str]) -> list[int]:
        """Who is known by one of the names; those of them that such a row can mean."""
        wanted = (
            "SELECT contact.id, contact.name_key, customer.id, customer.name_key, is_company "
            "FROM contact JOIN employment ON contact_id = contact.id AND until IS NULL "
            "JOIN customer ON customer.id = customer_id WHERE contact.name_key IN"
        )
        for who, name, employer, company, is_company in rows_in(self._tx, wanted, names):
            if not is_company or company in companies:
                key = company if is_company else None, name
                self._namesakes[key].add((who, employer))
        return [who for found in self._namesakes.values() if len(found) == 1 for who, _ in found]

    def _load_contacts(self, numbers: Sequence[int]) -> None:
        columns = ", ".join(_CONTACT)
        wanted = f"SELECT {columns} FROM contact WHERE id IN"  # noqa: S608  # our own columns
        for row in rows_in(self._tx, wanted, numbers):
            self._contacts[row[0]] = Contact(row[0], dict(zip(_CONTACT[1:], row[1:], strict=True)))
        wanted = "SELECT contact_id, address FROM contact_address WHERE contact_id IN"
        for number, address in rows_in(self._tx, wanted, numbers):
            self._contacts[number].addresses.add(address)
        wanted = "SELECT contact_id, customer_id, since, until FROM employment WHERE contact_id IN"
        for number, employer, since, until in rows_in(self._tx, wanted, numbers):
            self._contacts[number].employments[employer] = Employment(since, until)

    def _load_customers(self, numbers: Sequence[int]) -> None:
        columns = ", ".join(_CUSTOMER)
        wanted = f"SELECT {columns} FROM customer WHERE id IN"  # noqa: S608  # our own columns
        for row in rows_in(self._tx, wanted, numbers):
            self._customers[row[0]] = Customer(
                row[0], dict(zip(_CUSTOMER[1:], row[1:], strict=True))
            )
        wanted = "SELECT customer_id, domain FROM customer_domain WHERE customer_id IN"
        for number, domain in rows_in(self._tx, wanted, numbers):
            self._customers[number].domains.add(domain)

    def _at(self, who: Contact, employer: int) -> set[tuple[int, int]]:
        """Those who have the name of a contact, where it is employed."""
        at = self.customer(employer).values
        company = at["name_key"] if at["is_company"] else None
        return self._namesakes[company, who.values["name_key"]]


@dataclass(slots=True)
class _Changes:
    """What rows have changed, by id."""

    new_contacts: dict[int, Contact] = field(default_factory=dict)
    new_customers: dict[int, Customer] = field(default_factory=dict)
    contacts: dict[int, Contact] = field(default_factory=dict)
    customers: dict[int, Customer] = field(default_factory=dict)
    domains: dict[int, Customer] = field(default_factory=dict)
    addresses: list[tuple[str, str, int, int]] = field(default_factory=list)
    employments: dict[tuple[int, int], Employment] = field(default_factory=dict)

    def store(self, tx: Connection) -> None:
        """Writes them, each table in a few statements."""
        _store(tx, customer, self.new_customers, self.customers)
        _store(tx, contact, self.new_contacts, self.contacts)
        insert_many(
            tx, contact_address, ("address", "recorded", "position", "contact_id"), self.addresses
        )
        self._store_domains(tx)
        self._store_employments(tx)

    def _store_domains(self, tx: Connection) -> None:
        old = [(number,) for number in self.domains if number not in self.new_customers]
        if old:
            tx.exec_driver_sql("DELETE FROM customer_domain WHERE customer_id = ?", old)
        rows = [(who.id, name) for who in self.domains.values() for name in sorted(who.domains)]
        insert_many(tx, customer_domain, ("customer_id", "domain"), rows)

    def _store_employments(self, tx: Connection) -> None:
        rows = [(*key, at.since, at.until) for key, at in self.employments.items()]
        if rows:
            tx.exec_driver_sql(
                "INSERT INTO employment (contact_id, customer_id, since, until) "
                "VALUES (?, ?, ?, ?) ON CONFLICT (contact_id, customer_id) "
                "DO UPDATE SET until = excluded.until",
                rows,
            )


def _next_id(tx: Connection, table: Table) -> int:
    # What SQLite itself would take next.
    return (tx.execute(select(func.max(table.c.id))).scalar_one() or 0) + 1


def _differ(stored: dict[str, Any], values: dict[str, Any]) -> bool:
    return any(stored[name] != value for name, value in values.items())


def _store(tx: Connection, table: Table, new: dict[int, Any], changed: dict[int, Any]) -> None:
    """Inserts the new rows of contacts or customers, updates the others."""
    columns = [column.name for column in table.columns if column.name != "id"]
    rows = [(*_in_order(columns, who.values), who.id) for who in new.values()]
    insert_many(tx, table, (*columns, "id"), rows)
    rows = [(*_in_order(columns, who.values), i) for i, who in changed.items() if i not in new]
    if rows:
        sets = ", ".join(f"{name} = ?" for name in columns)
        tx.exec_driver_sql(f"UPDATE {table.name} SET {sets} WHERE id = ?", rows)  # noqa: S608  # our own columns


def _in_order(columns: list[str], values: dict[str, Any]) -> list[Any]:
    return [values[name] for name in columns]
