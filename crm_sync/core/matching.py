"""Who a message or meeting concerns: customers, contacts, reps; and in which direction it went."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Literal

from crm_sync.core.addresses import canonical, domain_chain, domain_of, variants
from crm_sync.core.glance import classify
from crm_sync.core.records import Address, Attendee, Envelope, MailItem, Occurrence

Outcome = Literal["logged", "unmatched", "ignored"]
Direction = Literal["inbound", "outbound"]
Role = Literal["from", "reply_to", "to", "cc", "attendee"]

_LATEST_DATE = timedelta(days=1)
_NOT_PEOPLE = frozenset({"RESOURCE", "ROOM"})


@dataclass(frozen=True, slots=True)
class KnownContact:
    """A contact as matching needs it; `recorded` is the address as the customer's record has it."""

    contact: int
    recorded: str
    customers: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Directory:
    """All customers, as matching needs them, at one version of the diary.

    `addresses` is keyed by canonical address; `domains` by domain, both listed and inferred ones.
    """

    version: int = 0
    addresses: Mapping[str, KnownContact] = field(default_factory=dict)
    domains: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Team:
    """Ourselves: `reps` maps each canonical address or alias to the rep's own address."""

    domains: frozenset[str]
    reps: Mapping[str, str] = field(default_factory=dict)
    shared: frozenset[str] = frozenset()

    def is_ours(self, address: str) -> bool:
        """Whether a canonical address is a rep's, a team mailbox's or in one of our domains."""
        if address in self.reps or address in self.shared:
            return True
        return _belongs_to(domain_of(address), self.domains)

    def rep(self, address: str) -> str | None:
        """The rep behind a canonical address, if it is one's."""
        return self.reps.get(address)


@lru_cache(maxsize=4096)
def _belongs_to(domain: str, domains: frozenset[str]) -> bool:
    return domain in domains or not domains.isdisjoint(domain_chain(domain))


@dataclass(frozen=True, slots=True)
class MatchedContact:
    """An address that matched: as recorded at the customer, or as seen when only its domain did."""

    address: str
    contact: int | None
    customers: tuple[int, ...]
    role: Role


@dataclass(frozen=True, slots=True)
class Verdict:
    """What becomes of an item and why. `strangers` are canonical addresses that matched nobody."""

    outcome: Outcome
    reason: str
    direction: Direction | None = None
    contacts: tuple[MatchedContact, ...] = ()
    reps: tuple[str, ...] = ()
    strangers: tuple[str, ...] = ()

    @property
    def customers(self) -> tuple[int, ...]:
        """Ids of all matched customers, each once, in order."""
        return tuple(dict.fromkeys(c for contact in self.contacts for c in contact.customers))


def occurred_at(item: MailItem) -> datetime:
    """The Date header where it parses and lies at most a day after arrival, else the arrival."""
    date = item.envelope.date
    if date is not None and date <= item.arrived_at + _LATEST_DATE:
        return date
    return item.arrived_at


def judge_mail(
    envelope: Envelope, *, directory: Directory, team: Team, account_rep: str | None
) -> Verdict:
    """What becomes of a message seen in the mailbox of `account_rep` (None: the team's)."""
    author = _authors(envelope)
    ours = bool(author) and team.is_ours(author[0][1])
    direction: Direction = "outbound" if ours else "inbound"
    reason = classify(envelope)
    if reason is not None:
        return Verdict("ignored", reason, direction)
    people = author if ours else author + _people(envelope.reply_to, "reply_to")
    people = people + _people(envelope.to, "to") + _people(envelope.cc, "cc")
    outside = [person for person in people if not team.is_ours(person[1])]
    if not people:
        return Verdict("unmatched", "no_customer", direction)
    if not outside:
        return Verdict("ignored", "internal", direction)
    contacts, strangers = _match(outside, directory)
    reps = _reps((person[1] for person in people), team, account_rep)
    if not contacts:
        return Verdict("unmatched", "no_customer", direction, (), reps, strangers)
    return Verdict("logged", "matched", direction, contacts, reps, strangers)


def judge_meeting(
    meeting: Occurrence, *, directory: Directory, team: Team, account_rep: str | None
) -> Verdict:
    """What becomes of one occurrence that was seen in the calendar of `account_rep`."""
    people = _attendees(meeting)
    outside = [
        (who.address, address, "attendee") for who, address in people if not team.is_ours(address)
    ]
    if meeting.private:
        return Verdict("ignored", "private")
    if not outside:
        return Verdict("ignored", "internal")
    declined = {team.rep(address) for who, address in people if who.partstat == "DECLINED"}
    if account_rep is not None and account_rep in declined:
        account_rep = None
        if all(team.rep(a) in declined for _, a in people if team.rep(a)):
            return Verdict("ignored", "declined")
    contacts, strangers = _match(outside, directory)
    going = (address for who, address in people if who.partstat != "DECLINED")
    reps = _reps(going, team, account_rep)
    if not contacts:
        return Verdict("unmatched", "no_customer", None, (), reps, strangers)
    return Verdict("logged", "matched", None, contacts, reps, strangers)


_Person = tuple[str, str, Role]  # as seen, canonical, role


def _authors(envelope: Envelope) -> list[_Person]:
    """From; where it is empty or unreadable Sender, then Return-Path."""
    for field_ in (envelope.from_, envelope.sender):
        people = _people(field_, "from")
        if people:
            return people
    if envelope.return_path:
        return _people((Address(envelope.return_path),), "from")
    return []


def _people(addresses: tuple[Address, ...], role: Role) -> list[_Person]:
    found: list[_Person] = []
    for address in addresses:
        spelling = canonical(address.address)
        if spelling is not None:
            found.append((address.address, spelling, role))
    return found


def _attendees(meeting: Occurrence) -> list[tuple[Attendee, str]]:
    everyone = meeting.attendees
    if meeting.organizer is not None:
        named = {canonical(who.address) for who in everyone}
        if canonical(meeting.organizer.address) not in named:
            everyone = (meeting.organizer, *everyone)
    people = []
    for who in everyone:
        spelling = canonical(who.address)
        if spelling is not None and who.cutype not in _NOT_PEOPLE:
            people.append((who, spelling))
    return people


def _match(
    outside: Iterable[tuple[str, str, str]], directory: Directory
) -> tuple[tuple[MatchedContact, ...], tuple[str, ...]]:
    contacts: dict[tuple[str, int | None], MatchedContact] = {}
    strangers: dict[str, None] = {}
    for seen, address, role in outside:
        matched = find(seen, address, directory, role)  # type: ignore[arg-type]
        if matched is None:
            strangers[address] = None
        else:
            contacts.setdefault((matched.address, matched.contact), matched)
    return tuple(contacts.values()), tuple(strangers)


def find(seen: str, address: str, directory: Directory, role: Role) -> MatchedContact | None:
    """The contact behind a canonical address, else the customer behind its domain."""
    for spelling in variants(address):
        known = directory.addresses.get(spelling)
        if known is not None:
            return MatchedContact(known.recorded, known.contact, known.customers, role)
    for domain in domain_chain(domain_of(address)):
        customer = directory.domains.get(domain)
        if customer is not None:
            return MatchedContact(seen, None, (customer,), role)
    return None


def _reps(addresses: Iterable[str], team: Team, account_rep: str | None) -> tuple[str, ...]:
    reps: dict[str, None] = {}
    for address in addresses:
        for spelling in variants(address):
            rep = team.rep(spelling)
            if rep is not None:
                reps[rep] = None
                break
    if account_rep is not None:
        reps[account_rep] = None
    return tuple(reps)


def trace_texts(address: str) -> tuple[tuple[str, str], ...]:
    """What of a stranger's canonical address is hashed: (purpose, text) for a later match.

    The address, its form without plus-tag, its domain and each parent domain.
    """
    spellings = [("address", spelling) for spelling in variants(address)]
    return (*spellings, *(("domain", domain) for domain in domain_chain(domain_of(address))))
