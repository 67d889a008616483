"""The demo's people: three reps, their customers, and everybody else who writes to them."""

import csv
import io
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from email.utils import parseaddr
from importlib.resources import files
from typing import Any

DATA = files("crm_sync.demo") / "data"


@dataclass(frozen=True, slots=True)
class Rep:
    """One of the team; `user` is the sign-in name on the demo's servers."""

    user: str
    name: str
    email: str
    alias: str
    language: str


REPS = (
    Rep("karin", "Karin Ek", "karin@acme.example", "k.ek@acme.example", "sv"),
    Rep("dara", "Dara Amini", "dara@acme.example", "d.amini@acme.example", "en"),
    Rep("mai", "Mai Tran", "mai@acme.example", "mai.tran@acme.example", "en"),
)


TEAM_ADDRESS = "crm@acme.example"
"""The address that greetings and reminders come from and are answered to."""


@dataclass(frozen=True, slots=True)
class Contact:
    """A row of customers.csv, as far as the demo's story needs it."""

    name: str
    customer: str
    emails: tuple[str, ...]
    owner: str
    language: str
    timezone: str
    salutation: str


@dataclass(frozen=True, slots=True)
class Party:
    """Somebody on a mail or a meeting. `address` is spelt as it is written there.

    `rep` is the user name of one of us. `customer` is the name of the customer somebody belongs to
    and `recorded` the address that the diary shows for them; both are empty for all others.
    """

    name: str
    address: str
    rep: str = ""
    customer: str = ""
    recorded: str = ""
    timezone: str = "Europe/Stockholm"


def customers_csv(today: date) -> str:
    """The text of customers.csv, in which one contact has their birthday today."""
    text = (DATA / "customers.csv").read_text(encoding="utf-8")
    return text.replace("{today}", f"{today:%m-%d}")


def later_csv() -> str:
    """The text of later.csv: a contact who becomes a customer after the first sync."""
    return (DATA / "later.csv").read_text(encoding="utf-8")


def contacts_of(text: str) -> tuple[Contact, ...]:
    """The contacts in the text of one of the two files."""
    return tuple(
        Contact(
            name=row["name"],
            customer=row["company"] or row["name"],
            emails=tuple(row["emails"].split("|")),
            owner=row["owner"],
            language=row["language"],
            timezone=row["timezone"],
            salutation=row["salutation"],
        )
        for row in csv.DictReader(io.StringIO(text))
    )


class People:
    """Finds the party behind the few words by which the sample data names somebody."""

    def __init__(self, contacts: Iterable[Contact]) -> None:
        self.contacts = tuple(contacts)
        self._by_name = {contact.name: contact for contact in self.contacts}
        self._reps = {rep.user: rep for rep in REPS}

    def of_customer(self, customer: str) -> tuple[Contact, ...]:
        """All contacts of the customer with that name."""
        return tuple(c for c in self.contacts if c.customer == customer)

    def party(self, words: str | Mapping[str, Any]) -> Party:
        """A rep's user name, a contact's name, "Name <address>", or a table for a colleague.

        " as ADDRESS" after a rep or a contact spells their address another way. Raises `KeyError`
        for a name that nobody has.
        """
        if not isinstance(words, str):
            address = words["address"]
            return Party(words["name"], address, customer=words["of"], recorded=address)
        if words.endswith(">"):
            return Party(*parseaddr(words))
        name, _, spelling = words.partition(" as ")
        if name in self._reps:
            rep = self._reps[name]
            return Party(rep.name, spelling or rep.email, rep=rep.user, recorded=rep.email)
        return as_party(self._by_name[name], spelling)

    def rep(self, email: str) -> Party:
        """The rep with that main address."""
        return self.party(next(rep.user for rep in REPS if rep.email == email))


def as_party(contact: Contact, spelling: str = "") -> Party:
    """A contact on a mail or a meeting, with the main address unless it is spelt another way."""
    recorded = next((e for e in contact.emails if e == spelling.lower()), contact.emails[0])
    address = spelling or _ascii(recorded)
    return Party(contact.name, address, "", contact.customer, recorded, timezone=contact.timezone)


def _ascii(address: str) -> str:
    """The address as mail carries it: the domain in its ASCII form (RFC 5890)."""
    local, _, domain = address.rpartition("@")
    return f"{local}@{domain.encode('idna').decode('ascii')}"
