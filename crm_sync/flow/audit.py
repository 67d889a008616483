"""Audit: what a server holds against what was seen, and what is missing brought after all.

A pull brings what is new by its cursor, and servers have been seen to leave something out. So all
keys that a stream holds are compared with witnesses and quarantine: of the last days after pulls,
a few times a day, of everything when somebody asks. What is found missing is stored as a page
would have stored it; what a server holds no longer stays (law 5). What came since the last pull is
not missing: the next one brings it.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import cached_property

from crm_sync.core.errors import CrmSyncError, CursorLost, StoreUnavailable
from crm_sync.core.records import Body, EventItem, Locator, MailItem, Stream, UnreadableItem
from crm_sync.flow import fetch, mail_page
from crm_sync.flow.faults import fault
from crm_sync.flow.fetch import Progress
from crm_sync.flow.health import Pulled
from crm_sync.flow.moved import forget_left_places
from crm_sync.flow.setup import Setup
from crm_sync.flow.traffic import Traffic
from crm_sync.ports import Source
from crm_sync.store import accounts, audits, items, texts
from crm_sync.store.accounts import Account
from crm_sync.store.audits import StreamRow

EVERY, SOONER = timedelta(hours=6), timedelta(minutes=15)
"""How often the last days are compared, and how soon again while something is missing."""

LATELY = timedelta(days=3)
"""What arrived within this time is compared after pulls: servers show new mail late."""

MOST_LISTED = 1000
"""Gaps of one stream that are listed one by one; all are counted."""

_BATCH = 100


@dataclass(frozen=True, slots=True)
class Span:
    """Which items count: those that arrived from `since` on and before `until` (None: no bound).

    A meeting has no date of arrival and always counts.
    """

    since: datetime | None = None
    until: datetime | None = None

    def covers(self, arrived_at: datetime | None) -> bool:
        """Whether an item belongs to the comparison."""
        if arrived_at is None:
            return True
        return (self.since is None or arrived_at >= self.since) and (
            self.until is None or arrived_at < self.until
        )


@dataclass(frozen=True, slots=True)
class Gap:
    """An item that the server holds and no pull had brought: where, never what it says."""

    where: str
    arrived_at: datetime | None
    reason: str
    healed: bool


@dataclass
class StreamAudit:
    """One stream: `held` by the server, `seen` by us, `missing` and how many of these are healed.

    `new` came since the last pull, and `brought` of them are here now. `kept` are items of the
    diary that the server did not list: deleted there, or out of reach.
    """

    name: str
    held: int = 0
    seen: int = 0
    new: int = 0
    brought: int = 0
    missing: int = 0
    healed: int = 0
    kept: int = 0
    complete_until: datetime | None = None
    gaps: list[Gap] = field(default_factory=list)
    outcomes: list[str] = field(default_factory=list)
    error: str | None = None

    @property
    def open(self) -> int:
        """How many items are still missing."""
        return self.missing - self.healed

    @property
    def is_complete(self) -> bool:
        """Whether all that the server holds is here."""
        return self.error is None and not self.open and self.brought == self.new


@dataclass
class Audited:
    """What an audit of one account found. `skipped`: another process was pulling it."""

    name: str
    connector: str
    streams: list[StreamAudit] = field(default_factory=list)
    error: str | None = None
    skipped: bool = False

    @property
    def open(self) -> int:
        """How many items are still missing."""
        return sum(stream.open for stream in self.streams)

    @property
    def trouble(self) -> str | None:
        """What kept the audit from being whole."""
        return self.error or next((s.error for s in self.streams if s.error), None)


def audit_account(
    setup: Setup,
    account: Account,
    source: Source,
    *,
    heal: bool,
    reach: timedelta | None = None,
    progress: Progress = lambda *_: None,
) -> Audited:
    """Compares all streams of an account as far back as its first pull went, `reach` (None: all).

    With `heal`, stores what is missing. The account must be locked by the caller. Never raises for
    what is the account's own trouble: `error` says it. Raises `StoreUnavailable` as pulls do.
    """
    audited = Audited(account.name, account.connector)
    if account.first_complete_at is None:
        audited.error = "it has not been pulled completely yet; `crm-sync sync` does that"
        return audited
    try:
        audited.streams = _audit_streams(
            Comparison(setup, account, source, heal=heal, progress=progress), reach
        )
        if heal:
            fetch.fetch_texts(setup, account, source, progress, Traffic(setup, account, source))
    except StoreUnavailable:
        raise
    except CrmSyncError as error:
        audited.error = error.sentence(within=account.name)
    except Exception as error:  # noqa: BLE001  # a fault of a connector's is its account's own trouble
        audited.error = fault(account.name, error).sentence(within=account.name)
    return audited


def _audit_streams(comparison: "Comparison", reach: timedelta | None) -> list[StreamAudit]:
    """Each stream, and how far it is complete now."""
    setup, account = comparison.setup, comparison.account
    began = setup.now()
    listed = comparison.source.streams()
    results = [(stream, _audit_stream(comparison, stream, reach)) for stream in listed]
    complete = [stream for stream, found in results if found.is_complete]
    with setup.store.write() as tx:
        audits.publish(tx, account.id, listed, complete, began)
        rows = audits.streams_of(tx, account.id)
    for stream, found in results:
        found.complete_until = rows[stream.key].complete_until
    return [found for _, found in results]


def _audit_stream(comparison: "Comparison", stream: Stream, reach: timedelta | None) -> StreamAudit:
    """One stream; its own trouble does not stop the others."""
    setup, account = comparison.setup, comparison.account
    began = setup.now()
    span = Span(began - reach if reach else None)
    try:
        found = comparison.compare(stream, None, span, SinceLastPull(comparison, stream))
    except CrmSyncError as error:
        if error.scope != "stream":
            raise
        return StreamAudit(stream.name, error=error.sentence(within=account.name))
    with setup.store.write() as tx:
        audits.compared(tx, account.id, stream, at=began, gaps=found.open)
        number = accounts.stream_id(tx, account.id, stream.key)
        there = found.seen + found.healed + found.brought
        found.kept = max(audits.count_known(tx, number) - there, 0)
    return found


def is_due(row: StreamRow | None, now: datetime) -> bool:
    """Whether the last days of a stream are to be compared again."""
    if row is None or row.audited_at is None:
        return True
    return not timedelta() <= now - row.audited_at < (SOONER if row.gaps else EVERY)


def may_reach_back(row: StreamRow | None) -> bool:
    """Whether a stream was pulled with other options of its account: these may reach further."""
    return row is not None and row.cursor is not None and row.audited_at is None


def reconcile(
    setup: Setup,
    account: Account,
    source: Source,
    rows: Mapping[str, StreamRow],
    pulled: Pulled,
    *,
    started: datetime,
    reach: timedelta | None,
) -> None:
    """Right after a pull that began at `started`: heals what its streams had left out lately.

    Only streams that are due are looked at; `rows` is what was known of them before. Where
    something was missing, or `may_reach_back`, all is compared. Raises as `Source.held`.
    """
    earliest = started - reach if reach else None
    comparison = Comparison(setup, account, source, heal=True)
    for stream in pulled.complete:
        row = rows.get(stream.key)
        if not is_due(row, started):
            continue
        whole = may_reach_back(row) or (row is not None and row.gaps)
        since = None if whole else started - LATELY
        span = Span(max((t for t in (since, earliest) if t is not None), default=None), started)
        try:
            found = comparison.compare(stream, since, span)
        except CrmSyncError as error:
            if error.scope != "stream":
                raise
            pulled.failures.append(error)
            continue
        with setup.store.write() as tx:
            audits.compared(tx, account.id, stream, at=started, gaps=found.open)
        pulled.missed += found.missing
        pulled.healed += found.healed
        for outcome in found.outcomes:
            pulled.count(outcome)


class Comparison:
    """Compares streams of one account with the diary, and brings what is missing if wished."""

    def __init__(
        self,
        setup: Setup,
        account: Account,
        source: Source,
        *,
        heal: bool,
        progress: Progress = lambda *_: None,
    ) -> None:
        self.setup, self.account, self.source = setup, account, source
        self._heal, self._progress = heal, progress

    def compare(
        self,
        stream: Stream,
        since: datetime | None,
        span: Span,
        is_new: Callable[[Body], bool] = lambda _: False,
    ) -> StreamAudit:
        """What the server holds since then against what was seen.

        `is_new` tells of an unseen item whether it came since the last pull. Raises as
        `Source.held` and `Source.read`.
        """
        found = StreamAudit(stream.name)
        unseen: list[str] = []
        for keys in self.source.held(stream, since):
            new = self.unseen(stream, keys)
            found.seen += len(keys) - len(new)
            unseen += new
            self._progress(stream.name, found.seen + len(unseen), None)
        for part in _batches(unseen):
            bodies = self._read([Locator(stream.key, key) for key in part])
            # It may be gone by now, or be none of ours to bring.
            there = [b for b in bodies if not b.gone and span.covers(_arrival(b))]
            self._settle(stream, there, {b.locator.key for b in there if is_new(b)}, found)
        found.held = found.seen + found.new + found.missing
        return found

    def unseen(self, stream: Stream, keys: Sequence[str]) -> list[str]:
        """Those of the keys that are neither witnessed nor in quarantine."""
        hashes = {mail_page.key_hash(self.setup.store.keys, key): key for key in keys}
        with self.setup.store.read() as tx:
            row = audits.stream_row(tx, self.account.id, stream.key)
            seen = audits.known(tx, row.id, list(hashes)) if row is not None else set()
        return [key for hashed, key in hashes.items() if hashed not in seen]

    def _settle(
        self, stream: Stream, bodies: Sequence[Body], new: set[str], found: StreamAudit
    ) -> None:
        """Brings what nobody has seen, if wished, and counts it; `new` are keys."""
        healed = self._store(stream, bodies, found) if self._heal else set()
        found.new += len(new)
        found.brought += len(new & healed)
        for body in bodies:
            if body.locator.key in new:
                continue
            found.missing += 1
            found.healed += body.locator.key in healed
            if len(found.gaps) < MOST_LISTED:
                found.gaps.append(_gap(stream, body, healed=body.locator.key in healed))

    def _read(self, locators: Sequence[Locator]) -> list[Body]:
        """What is at the locators, with a second look where a text hid the rest of a message."""
        bodies = list(self.source.read(locators, items=True))
        blind = [body.locator for body in bodies if body.problem and body.item is None]
        if not blind:
            return bodies
        again = {b.locator: b.item for b in self.source.read(blind, items=True, octets=True)}
        return [replace(b, item=b.item or again.get(b.locator)) for b in bodies]

    def _store(self, stream: Stream, bodies: Sequence[Body], found: StreamAudit) -> set[str]:
        """Stores items as a page would (law 2), and the texts that came with them; their keys."""
        readable = [b for b in bodies if isinstance(b.item, MailItem | EventItem)]
        unreadable = [b.item for b in bodies if isinstance(b.item, UnreadableItem)]
        if not readable and not unreadable:
            return set()
        keys, setup = self.setup.store.keys, self.setup
        mails = [b.item for b in readable if isinstance(b.item, MailItem)]
        forget_left_places(setup, self.account, self.source, stream, mails)
        with setup.store.write() as tx:
            found.outcomes += fetch.store_read(
                tx, setup, self.account, stream.key, readable, every_outcome=True
            )
            number = accounts.stream_id(tx, self.account.id, stream.key)
            for item in unreadable:
                hashed, sealed = mail_page.key_hash(keys, item.key), keys.seal(item.key)
                texts.quarantine_item(
                    tx, number, hashed, sealed, item.version, item.reason, setup.now()
                )
                found.outcomes.append("errors")
        return {b.locator.key for b in readable} | {item.key for item in unreadable}


class SinceLastPull:
    """Tells what came to a stream since its last complete pull began.

    Mail by its arrival. A meeting has no date of arrival: new is what the next pull would bring.
    """

    def __init__(self, comparison: Comparison, stream: Stream) -> None:
        self._comparison, self._stream = comparison, stream
        account = comparison.account
        with comparison.setup.store.read() as tx:
            self._row = audits.stream_row(tx, account.id, stream.key)
        row = self._row
        self._never = row is None or (row.cursor is None and row.complete_until is None)
        # Both are pulls of all it held: the account's last good one, and the last that was proved.
        pulls = (account.last_success, row.complete_until if row else None)
        self._began = max((at for at in pulls if at is not None), default=None)

    def __call__(self, body: Body) -> bool:
        """Whether an unseen item is new. Raises as `Source.pull`."""
        arrived_at = _arrival(body)
        if self._never:
            return True
        if arrived_at is not None:
            return self._began is not None and arrived_at >= self._began
        return self._stream.kind == "calendar" and body.locator.key in self._next

    @cached_property
    def _next(self) -> frozenset[str]:
        """The keys that the next pull would bring; nothing of it is stored."""
        row, source = self._row, self._comparison.source
        if row is None or row.cursor is None:
            return frozenset()
        try:
            pages = list(source.pull(self._stream, row.cursor, self._known))
        except CursorLost:
            return frozenset()
        return frozenset(item.key for page in pages for item in page.items)

    def _known(self) -> Mapping[str, str]:
        store = self._comparison.setup.store
        with store.read() as tx:
            rows = items.witnessed_keys(tx, self._row.id) if self._row else []
        return {store.keys.unseal(sealed): version for sealed, version in rows}


def _gap(stream: Stream, body: Body, *, healed: bool) -> Gap:
    reason = "no pull has brought it"
    if isinstance(body.item, UnreadableItem) or body.item is None:
        reason = body.problem or "the server does not hand it out"
    return Gap(f"{stream.name} {body.locator.key}", _arrival(body), reason, healed)


def _arrival(body: Body) -> datetime | None:
    return body.item.arrived_at if isinstance(body.item, MailItem) else None


def _batches(keys: Sequence[str]) -> Iterator[Sequence[str]]:
    return (keys[at : at + _BATCH] for at in range(0, len(keys), _BATCH))
