"""Pull: everything new in an account into the diary, page by page (law 1)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from crm_sync.core.errors import (
    CrmSyncError,
    CursorLost,
    CursorMoved,
    Refused,
    StoreUnavailable,
    Unreachable,
)
from crm_sync.core.records import EventItem, MailItem, Page, Stream, UnreadableItem
from crm_sync.flow import audit, breaker, event_page, fetch, followups, mail_page
from crm_sync.flow.faults import fault
from crm_sync.flow.fetch import Progress
from crm_sync.flow.health import Pulled, note_health
from crm_sync.flow.moved import forget_left_places
from crm_sync.flow.notices import read_notices
from crm_sync.flow.setup import Setup
from crm_sync.flow.traffic import Traffic
from crm_sync.ports import Source
from crm_sync.store import accounts, audits, items, texts
from crm_sync.store.accounts import Account
from crm_sync.store.audits import StreamRow

_ATTEMPTS = 3

MOST_READ = 500
"""So many missing items are read one by one; more come quicker, headers first, from the start."""


@dataclass(frozen=True, slots=True)
class _Turn:
    """One pull of one account: what it works with, and where it notes what it brought."""

    setup: Setup
    account: Account
    source: Source
    pulled: Pulled
    traffic: Traffic
    progress: Progress


def pull_account(
    setup: Setup,
    account: Account,
    source: Source,
    *,
    interval: timedelta,
    reach: timedelta | None = None,
    progress: Progress = lambda *_: None,
) -> Pulled:
    """Pulls all streams of an account, then the texts of what matched.

    A few times a day streams are compared with what was seen too; `reach` is how far back a first
    pull goes (None: everything), and what arrived before is not missed.

    Never raises for what is the account's own trouble: the result's `error` and the account's row
    say it; nor is anything tried while the account's host answers nobody. Raises
    `StoreUnavailable` when the diary can't be written.
    """
    started = setup.now()
    pulled = Pulled(account.name, account.connector)
    admission = breaker.admit(setup, account)
    if admission.until is not None:
        pulled.error = breaker.held_back(setup, account, admission.until).sentence()
        return pulled
    try:
        traffic = Traffic(setup, account, source)
        _pull(_Turn(setup, account, source, pulled, traffic, progress), started, reach)
    except StoreUnavailable:
        raise
    except CrmSyncError as error:
        pulled.failures.append(error)
    except Exception as error:  # noqa: BLE001  # a fault of a connector's is its account's own trouble
        pulled.failures.append(fault(account.name, error))
    note_health(setup, account, pulled, started, interval, admission)
    pulled.seconds = round((setup.now() - started).total_seconds(), 3)
    return pulled


def _pull(turn: _Turn, started: datetime, reach: timedelta | None) -> None:
    """Streams, gaps, the past of new customers, texts, reports: in this order."""
    setup, account, source, pulled = turn.setup, turn.account, turn.source, turn.pulled
    rows = _pull_streams(turn)
    if not pulled.unfinished:
        audit.reconcile(setup, account, source, rows, pulled, started=started, reach=reach)
    pulled.found = fetch.fetch_recalled(setup, account, source)
    fetch.retry_quarantined(setup, account, source)
    demoted = fetch.fetch_texts(setup, account, source, turn.progress, turn.traffic)
    pulled.ignored += min(demoted, pulled.logged)
    pulled.logged -= min(demoted, pulled.logged)
    read_notices(setup, account, source, turn.progress)
    turn.traffic.finish()


def _pull_streams(turn: _Turn) -> Mapping[str, StreamRow]:
    """All streams, one after the other; what was known of them before, by key."""
    with turn.setup.store.read() as tx:
        rows = audits.streams_of(tx, turn.account.id)
    turn.pulled.listed = list(turn.source.streams())
    if not turn.pulled.listed:
        advice = "Correct `folders`, or the user name; `crm-sync doctor` lists what there is."
        raise Refused("there is nothing to read", where=turn.account.name, advice=advice)
    for stream in turn.pulled.listed:
        row = rows.get(stream.key)
        done = _pull_stream(turn, stream, row.cursor if row else None)
        if done and audit.may_reach_back(row):
            done = _reach_back(turn, stream)
        if done:
            turn.pulled.complete.append(stream)
    return rows


def _reach_back(turn: _Turn, stream: Stream) -> bool:
    """Once more from the start, where much is not here that lies within the account's reach now.

    Little is left to the comparison that follows.
    """
    setup, account, source = turn.setup, turn.account, turn.source
    comparison = audit.Comparison(setup, account, source, heal=False)
    try:
        missing = sum(len(comparison.unseen(stream, keys)) for keys in source.held(stream, None))
    except CrmSyncError as error:
        if error.scope != "stream":
            raise
        turn.pulled.failures.append(error)
        return False
    if missing <= MOST_READ:
        return True
    with setup.store.write() as tx:
        audits.compared(tx, account.id, stream, at=setup.now(), gaps=missing)
        accounts.forget_cursor(tx, accounts.stream_id(tx, account.id, stream.key))
    return _pull_stream(turn, stream, None)


def _pull_stream(turn: _Turn, stream: Stream, cursor: str | None) -> bool:
    """One stream, to its end or not; its own trouble is noted and does not stop the others."""
    setup, account, pulled, done = turn.setup, turn.account, turn.pulled, 0
    for _ in range(_ATTEMPTS):
        pages = turn.source.pull(stream, cursor, lambda: _known_keys(setup, account, stream))
        try:
            for page in pages:
                _store_page(turn, stream, cursor, page)
                cursor = page.cursor
                done += len(page.items)
                turn.progress(stream.name, done, page.total)
                if turn.traffic.stops(page):
                    break
        except CursorLost:
            with setup.store.write() as tx:
                accounts.forget_cursor(tx, accounts.stream_id(tx, account.id, stream.key))
            cursor = None
            continue
        except CursorMoved:
            with setup.store.read() as tx:
                known = accounts.stream_of(tx, account.id, stream.key)
            cursor = known[1] if known else None
            continue
        except CrmSyncError as error:
            if error.scope != "stream":
                raise
            pulled.failures.append(error)
            return False
        waits = turn.traffic.history_waits()
        pulled.unfinished |= waits
        return not waits
    sentence = f"{stream.name} changes faster than it can be read"
    pulled.failures.append(Unreachable(sentence, where=account.name, scope="stream"))
    return False


def _known_keys(setup: Setup, account: Account, stream: Stream) -> Mapping[str, str]:
    with setup.store.read() as tx:
        known = accounts.stream_of(tx, account.id, stream.key)
        rows = items.witnessed_keys(tx, known[0]) if known else []
    return {setup.store.keys.unseal(sealed): version for sealed, version in rows}


def _store_page(turn: _Turn, stream: Stream, cursor: str | None, page: Page) -> None:
    """One page, one transaction: facts and cursor together or not at all."""
    setup, account, pulled = turn.setup, turn.account, turn.pulled
    keys = setup.store.keys
    with setup.store.read() as tx:
        directory = setup.directory.load(tx)
    mails = [item for item in page.items if isinstance(item, MailItem)]
    judged = mail_page.judge(setup, directory, account.rep, mails)
    first_sync = account.first_complete_at is None
    if not page.reset:
        forget_left_places(setup, account, turn.source, stream, mails)
    with setup.store.write() as tx:
        stream_id = accounts.stream_id(tx, account.id, stream.key)
        accounts.move_cursor(tx, stream_id, cursor, page.cursor)
        if page.reset:
            items.drop_witnesses(tx, stream_id, None)
        current = setup.directory.load(tx)
        if current.version != directory.version:
            judged = mail_page.judge(setup, current, account.rep, mails)
        new = _unknown(tx, setup, stream_id, judged)
        touched = mail_page.store(tx, setup, account, stream_id, new)
        texts.release(tx, stream_id, (mail_page.key_hash(keys, k) for e in new for k in e.keys))
        touched += _store_events(tx, setup, account, stream_id, page, pulled)
        touched += event_page.forget(tx, setup, stream_id, page.gone) if page.gone else []
        errors = _quarantine(tx, setup, stream_id, page.items)
        followups.settle(tx, setup, touched, first_sync=first_sync)
        turn.traffic.note(tx)
    for entry in new:
        for _ in entry.keys:
            pulled.count(entry.verdict.outcome)
    for _ in range(errors):
        pulled.count("errors")


def _unknown(
    tx: Any, setup: Setup, stream_id: int, judged: Sequence[mail_page.Judged]
) -> list[mail_page.Judged]:
    """The entries without the keys that this stream holds already (law 2)."""
    keys = setup.store.keys
    hashes = {mail_page.key_hash(keys, key): key for entry in judged for key in entry.keys}
    seen = {hashes[w.key_hash] for w in items.witnesses(tx, stream_id, list(hashes))}
    if seen:
        for entry in judged:
            entry.keys = [key for key in entry.keys if key not in seen]
    return [entry for entry in judged if entry.keys]


def _store_events(
    tx: Any, setup: Setup, account: Account, stream_id: int, page: Page, pulled: Pulled
) -> list[int]:
    events = [item for item in page.items if isinstance(item, EventItem)]
    if not events:
        return []
    hashes = [mail_page.key_hash(setup.store.keys, item.key) for item in events]
    before = {w.key_hash: w.version for w in items.witnesses(tx, stream_id, hashes)}
    judged = event_page.judge(setup, setup.directory.load(tx), account.rep, events)
    touched = event_page.store(tx, setup, account, stream_id, judged)
    texts.release(tx, stream_id, hashes)
    for event, hashed in zip(judged, hashes, strict=True):
        if event.verdicts and before.get(hashed) != event.item.version:
            pulled.count(event.verdict.outcome)
    return touched


def _quarantine(tx: Any, setup: Setup, stream_id: int, page_items: Sequence[Any]) -> int:
    keys = setup.store.keys
    new = 0
    for item in page_items:
        if isinstance(item, UnreadableItem):
            hashed, sealed = mail_page.key_hash(keys, item.key), keys.seal(item.key)
            new += texts.quarantine_item(
                tx, stream_id, hashed, sealed, item.version, item.reason, setup.now()
            )
    return new
