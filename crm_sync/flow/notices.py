"""Reports about our mail and automatic replies: read once, for what they say about an address.

Nothing of their words is kept, and nothing about addresses that no contact has.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import islice
from typing import TYPE_CHECKING, Any, Final

from crm_sync.core.absence import Absence, read_absence
from crm_sync.core.addresses import variants
from crm_sync.core.bounces import Bounce, read_bounce
from crm_sync.core.complaints import Complaint, read_complaint
from crm_sync.core.errors import Unreadable
from crm_sync.core.keys import Keys
from crm_sync.core.matching import Directory
from crm_sync.core.records import Body, Envelope, Locator
from crm_sync.flow.setup import Setup
from crm_sync.ports import Source
from crm_sync.store import notices
from crm_sync.store.accounts import Account
from crm_sync.store.notices import NewEvent, Notice

if TYPE_CHECKING:
    from crm_sync.flow.mail_page import Judged

OLDEST: Final = timedelta(days=180)
"""What arrived before says nothing about today: an old mailbox holds thousands of bounces."""

AHEAD: Final = 500
BATCH: Final = 20
"""Mails held in memory at once, each of 256 KiB at most."""

Facts = Bounce | Complaint | Absence | None


def worth_reading(
    entries: Iterable["Judged"], directory: Directory, now: datetime
) -> list["Judged"]:
    """Of the sightings on a page those that may say something about a contact's address."""
    return [
        entry
        for entry in entries
        if may_tell(entry.verdict.reason, entry.item.envelope, directory)
        and entry.item.arrived_at > now - OLDEST
    ]


def may_tell(reason: str, envelope: Envelope, directory: Directory) -> bool:
    """Whether it is a report on delivery, a complaint, or an automatic reply of somebody known.

    `reason` is why it was left out of the diary.
    """
    if reason == "bounce":
        return True
    if reason != "automatic":
        return False
    if "feedback-report" in envelope.content_type[:1000].lower():
        return True
    return any(_known(directory, author.address) for author in envelope.from_[:1])


def read_notices(
    setup: Setup,
    account: Account,
    source: Source,
    progress: Callable[[str, int, int | None], None] = lambda *_: None,
) -> int:
    """Reads what waits for this account, newest first; how many facts were new.

    Raises what the source raises; what is read by then is stored.
    """
    new = done = 0
    unseal = setup.store.keys.unseal
    seen: set[int] = set()
    while True:
        with setup.store.read() as tx:
            batch = [n for n in notices.waiting(tx, account.id, AHEAD) if n.sighting not in seen]
        if not batch:
            return new
        seen.update(n.sighting for n in batch)
        places = {Locator(n.stream, unseal(n.sealed)): n for n in batch}
        read = iter(source.read(list(places), octets=True))
        while bodies := list(islice(read, BATCH)):
            readings = [_read(setup, places[body.locator], body) for body in bodies]
            with setup.store.write() as tx:
                new += _store(tx, setup, readings)
            done += len(bodies)
            progress("notices", done, None)


def _understood(setup: Setup, notice: Notice, octets: bytes) -> Facts:
    """What a mail says; a stranger's bytes are read in the shelter where there is one.

    Raises `Unreadable`.
    """
    if notice.reason == "bounce":
        bounce: Bounce = _sheltered(setup, read_bounce, octets)
        return bounce
    complaint: Complaint | None = _sheltered(setup, read_complaint, octets)
    if complaint is not None:
        return complaint
    absence: Absence | None = _sheltered(setup, read_absence, octets, notice.at.date())
    return absence


def _sheltered(setup: Setup, function: Callable[..., Any], *arguments: Any) -> Any:
    if setup.shelter is None:
        return function(*arguments)
    return setup.shelter.call(function, *arguments)


def _read(setup: Setup, notice: Notice, body: Body) -> "_Reading":
    """What became of one mail that was asked for."""
    if body.gone:
        return _Reading(notice)
    if body.problem or not body.octets:
        return _Reading(notice, again=True)
    try:
        return _Reading(notice, _understood(setup, notice, body.octets))
    except Unreadable:
        return _Reading(notice, again=True)


def _store(tx: Any, setup: Setup, readings: Sequence["_Reading"]) -> int:
    directory = setup.directory.load(tx)
    new = 0
    for reading in readings:
        sent = notices.sent_as(tx, getattr(reading.facts, "original_ids", ()))
        new += notices.add(tx, _events(setup.store.keys, directory, reading, sent))
    notices.drop(tx, [r.notice.sighting for r in readings if not r.again])
    notices.try_later(tx, [r.notice.sighting for r in readings if r.again])
    return new


def _events(
    keys: Keys, directory: Directory, reading: "_Reading", sent: tuple[int, str] | None
) -> Iterator[NewEvent]:
    """What becomes known about addresses of contacts; `sent` is the mail of ours that it is about.

    Where a report names nobody we know, it is about whom that mail went to.
    """
    facts, notice = reading.facts, reading.notice
    row, recipient = sent or (None, "")

    def event(kind: str, names: Sequence[str], **more: Any) -> Iterator[NewEvent]:
        address = next((known for n in names if (known := _known(directory, n))), None)
        if address is not None:
            key = keys.hash("address-event", f"{notice.natural_key.hex()} {kind} {address}")
            yield NewEvent(key, address, kind, notice.at, **more)

    if isinstance(facts, Absence):
        yield from event("absence", [facts.address], until=facts.until, deputy=facts.deputy)
    elif isinstance(facts, Complaint):
        yield from event("complaint", [*facts.addresses, recipient], outbox_id=row)
    elif isinstance(facts, Bounce):
        for failure in facts.failures:
            if failure.kind == "delayed":
                continue  # it may still arrive; if not, that is reported anew
            alone = [recipient] if len(facts.failures) == 1 else []
            kind, names = f"{failure.kind}_bounce", [*failure.addresses, *alone]
            yield from event(kind, names, status=failure.status, outbox_id=row)


def _known(directory: Directory, address: str) -> str | None:
    """The canonical address under which a contact has it."""
    return next((form for form in variants(address) if form in directory.addresses), None)


@dataclass(frozen=True, slots=True)
class _Reading:
    """A mail that was asked for and what it says; `again` where it could not be read this time."""

    notice: Notice
    facts: Facts = None
    again: bool = False
