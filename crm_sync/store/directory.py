"""The directory: all customers in the form that matching needs, and the past they bring along."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache

from sqlalchemy import Connection, delete, select, update

from crm_sync.core.addresses import domain_of
from crm_sync.core.domains import is_disposable, is_freemail, is_public_suffix
from crm_sync.core.keys import Keys
from crm_sync.core.matching import Directory, KnownContact
from crm_sync.store.engine import memo, set_memo
from crm_sync.store.tables import (
    contact_address,
    customer_domain,
    employment,
    interaction_contact,
    interaction_customer,
    interaction_trace,
    recall,
    reminder,
    sighting,
    sighting_trace,
)

_BATCH = 500


class DirectoryCache:
    """The directory, loaded again only when customers changed.

    `mode` is `[matching] domains`; `own` are the team's domains, which never match a customer.
    """

    def __init__(self, mode: str, own: frozenset[str]) -> None:
        self._mode = mode
        self._own = own
        self._directory: Directory | None = None

    def load(self, tx: Connection) -> Directory:
        """The directory as this transaction sees it."""
        version = int(memo(tx, "directory version") or 0)
        directory = self._directory
        if directory is None or directory.version != version:
            # Other threads may load an older or newer one meanwhile; each returns its own.
            directory = Directory(version, *load(tx, self._mode, self._own))
            self._directory = directory
        return directory


def load(
    tx: Connection, mode: str, own: frozenset[str]
) -> tuple[dict[str, KnownContact], Mapping[str, int]]:
    """Addresses and domains of all customers, listed, inferred or neither as the mode says."""
    employers: dict[int, list[int]] = defaultdict(list)
    current = select(employment.c.contact_id, employment.c.customer_id)
    for contact_id, customer_id in tx.execute(
        current.where(employment.c.until.is_(None)).order_by(employment.c.customer_id)
    ):
        employers[contact_id].append(customer_id)
    addresses: dict[str, KnownContact] = {}
    shared: dict[str, set[int]] = defaultdict(set)
    rows = tx.execute(
        select(contact_address.c.address, contact_address.c.recorded, contact_address.c.contact_id)
    )
    for address, recorded, contact_id in rows:
        customers = tuple(employers[contact_id])
        addresses[address] = KnownContact(contact_id, recorded, customers)
        shared[domain_of(address)].update(customers)
    inferred: dict[str, int] = {}
    listed: dict[str, int] = {}
    if mode == "inferred":
        inferred = {d: min(c) for d, c in shared.items() if len(c) == 1}
    if mode != "off":
        rows = tx.execute(select(customer_domain).order_by(customer_domain.c.customer_id.desc()))
        listed = {row.domain: row.customer_id for row in rows}
    return addresses, _Domains(listed, inferred, own)


class _Domains(Mapping[str, int]):
    """Customers by domain, listed ones first.

    Whether an inferred one counts is judged when it is asked for: most never are.
    """

    def __init__(
        self, listed: dict[str, int], inferred: dict[str, int], own: frozenset[str]
    ) -> None:
        self._listed = listed
        self._inferred = inferred
        self._own = own

    def __getitem__(self, domain: str) -> int:
        if domain in self._listed:
            return self._listed[domain]
        customer = self._inferred[domain]
        if not counts_for_customer(domain, self._own):
            raise KeyError(domain)
        return customer

    def __iter__(self) -> Iterator[str]:
        yield from self._listed
        for domain in self._inferred.keys() - self._listed.keys():
            if counts_for_customer(domain, self._own):
                yield domain

    def __len__(self) -> int:
        return sum(1 for _ in self)


@lru_cache(maxsize=4096)
def counts_for_customer(domain: str, own: frozenset[str]) -> bool:
    """Whether a domain can stand for one customer: no provider's, nobody's, not ours."""
    if is_freemail(domain) or is_disposable(domain) or is_public_suffix(domain):
        return False
    return not any(domain == ours or domain.endswith("." + ours) for ours in own)


def touch(tx: Connection) -> None:
    """Notes that customers changed."""
    version = int(memo(tx, "directory version") or 0)
    set_memo(tx, "directory version", str(version + 1))


def recall_past(
    tx: Connection,
    keys: Keys,
    *,
    addresses: dict[str, KnownContact],
    domains: dict[str, int],
) -> int:
    """Queues the past of new addresses and domains; returns how many sightings were found.

    Logged items in which a new contact was a stranger are joined to the customer at once.
    """
    by_hash: dict[bytes, tuple[KnownContact | None, tuple[int, ...]]] = {}
    for address, known in addresses.items():
        by_hash[keys.hash("address", address)] = (known, known.customers)
    for domain, customer_id in domains.items():
        by_hash[keys.hash("domain", domain)] = (None, (customer_id,))
    hashes = list(by_hash)
    found: set[int] = set()
    for i in range(0, len(hashes), _BATCH):
        part = hashes[i : i + _BATCH]
        found.update(_sightings(tx, part))
        _join_logged(tx, part, by_hash)
    _recognise(tx, addresses)
    known_already = set(tx.execute(select(recall.c.sighting_id)).scalars())
    new = [{"sighting_id": number, "tries": 0} for number in sorted(found - known_already)]
    if new:
        tx.execute(recall.insert(), new)
    return len(new)


def _recognise(tx: Connection, addresses: dict[str, KnownContact]) -> None:
    """Whoever was known by her domain alone is a contact from now on, in the past too."""
    for table in (interaction_contact, reminder):
        nameless = select(table.c.who).where(table.c.who.like("address:%")).distinct()
        for who in tx.execute(nameless).scalars().all():
            known = addresses.get(who.removeprefix("address:"))
            if known is not None:
                changed = {"who": f"contact:{known.contact}", "contact_id": known.contact}
                tx.execute(update(table).where(table.c.who == who).values(changed))


def _sightings(tx: Connection, hashes: list[bytes]) -> Iterable[int]:
    return tx.execute(
        select(sighting_trace.c.sighting_id)
        .join(sighting, sighting.c.id == sighting_trace.c.sighting_id)
        .where(sighting_trace.c.hash.in_(hashes), sighting.c.outcome == "unmatched")
    ).scalars()


def _join_logged(
    tx: Connection,
    hashes: list[bytes],
    by_hash: dict[bytes, tuple[KnownContact | None, tuple[int, ...]]],
) -> None:
    rows = tx.execute(select(interaction_trace).where(interaction_trace.c.hash.in_(hashes))).all()
    for row in rows:
        known, customers = by_hash[row.hash]
        for customer_id in customers:
            same = (interaction_customer.c.customer_id == customer_id) & (
                interaction_customer.c.interaction_id == row.interaction_id
            )
            if tx.execute(select(interaction_customer).where(same)).first() is None:
                tx.execute(
                    interaction_customer.insert().values(
                        customer_id=customer_id, interaction_id=row.interaction_id
                    )
                )
        if known is not None:
            tx.execute(
                interaction_contact.insert().values(
                    interaction_id=row.interaction_id,
                    address=known.recorded,
                    contact_id=known.contact,
                    customer_id=known.customers[0] if known.customers else None,
                    role="cc",
                    who=f"contact:{known.contact}",
                )
            )
            tx.execute(
                delete(interaction_trace).where(
                    interaction_trace.c.hash == row.hash,
                    interaction_trace.c.interaction_id == row.interaction_id,
                )
            )
