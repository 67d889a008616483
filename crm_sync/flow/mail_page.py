"""One page of messages into the diary: judged outside the transaction, stored inside it."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

from crm_sync.core import identity
from crm_sync.core.addresses import canonical
from crm_sync.core.identity import SAME_DATE, Identity
from crm_sync.core.keys import Keys
from crm_sync.core.matching import (
    Directory,
    MatchedContact,
    Verdict,
    judge_mail,
    occurred_at,
    trace_texts,
)
from crm_sync.core.records import Envelope, MailItem
from crm_sync.flow import notices, second_look
from crm_sync.flow.setup import Setup
from crm_sync.flow.threads import join_threads
from crm_sync.store import items, outbox
from crm_sync.store import notices as noted
from crm_sync.store.accounts import Account
from crm_sync.store.engine import set_memo, text_time

_FILED = timedelta(minutes=1)
"""A draft of ours has arrived within this time of its date."""


@dataclass(slots=True)
class Judged:
    """A message with its verdict and all keys under which this page holds it."""

    item: MailItem
    at: datetime
    verdict: Verdict
    identity: Identity
    keys: list[str] = field(default_factory=list)
    interaction: int | None = None
    sighting: int | None = None


def judge(
    setup: Setup, directory: Directory, rep: str | None, mails: Iterable[MailItem]
) -> list[Judged]:
    """Each different message once, with the verdict on it; copies on the page share an entry."""
    keys = setup.store.keys
    entries: list[Judged] = []
    by_identity: dict[tuple[bytes, bytes], list[Judged]] = defaultdict(list)
    for item in mails:
        at = occurred_at(item)
        verdict = judge_mail(item.envelope, directory=directory, team=setup.team, account_rep=rep)
        entry = Judged(item, at, verdict, identity.of_mail(keys, item.envelope, at), [item.key])
        same = by_identity[entry.identity.name, entry.identity.author]
        first = next((e for e in same if _is_copy(e, entry)), None)
        if first is None:
            same.append(entry)
            entries.append(entry)
        else:
            first.keys.append(item.key)
            if verdict.outcome == "logged" and first.verdict.outcome != "logged":
                first.item, first.verdict = item, verdict
    return entries


def _is_copy(first: Judged, entry: Judged) -> bool:
    mark = entry.identity.mark
    if entry.identity.fingerprint and (not mark or mark != first.identity.mark):
        return False  # two mails without Message-ID on one page are two mails
    return abs(first.at - entry.at) <= SAME_DATE


def store(
    tx: Any, setup: Setup, account: Account, stream_id: int, entries: Sequence[Judged]
) -> list[int]:
    """Stores judged messages that this stream did not hold before; ids of new interactions."""
    _recognise_our_own(tx, setup, entries)
    new, touched = _join_known(tx, stream_id, account, entries)
    logged = [entry for entry in new if entry.verdict.outcome == "logged"]
    _store_logged(tx, setup, account, stream_id, logged)
    keys = setup.store.keys
    seen = [entry for entry in new if entry.verdict.outcome != "logged"]
    _store_sightings(tx, keys, stream_id, seen)
    told = notices.worth_reading(seen, setup.directory.load(tx), setup.now())
    noted.note(tx, stream_id, [(e.sighting or 0, keys.seal(e.item.key)) for e in told])
    items.add_witnesses(
        tx,
        stream_id,
        (
            items.Witness(
                key_hash(keys, key),
                "",
                e.interaction,
                e.sighting,
                e.identity.mark,
                keys.seal(key),
            )
            for e in entries
            for key in e.keys
        ),
    )
    return touched + [entry.interaction for entry in logged if entry.interaction is not None]


def key_hash(keys: Keys, key: str) -> bytes:
    """The hash under which a key of a stream is kept."""
    return keys.hash("key", key)


def _recognise_our_own(tx: Any, setup: Setup, entries: Sequence[Judged]) -> None:
    """Our own mails that come back through a mailbox are proof that they left (law 6).

    Only mail in our own name: whoever got a greeting knows its id, and might put it on another.
    """
    ours: dict[str, list[Judged]] = defaultdict(list)
    for entry in entries:
        for one in (
            _ids_of_ours(entry.item.envelope) if entry.verdict.direction == "outbound" else ()
        ):
            ours[one].append(entry)
    for message_id, row in outbox.by_message_ids(tx, list(ours)).items() if ours else ():
        for entry in ours[message_id]:
            entry.verdict = Verdict("ignored", "own", "outbound")
            if row.state != "sent" and not _is_draft(row, entry.item):
                record_sent(tx, setup, row, row.state)


def _ids_of_ours(envelope: Envelope) -> set[str]:
    """Ids under which the outbox may know a mail: Exchange replaces ours, and keeps our fields."""
    ours = envelope.signs.get("x-crm-sync-id", "").strip()
    kept = envelope.signs.get("x-microsoft-original-message-id", "").strip()
    return {one for one in (ours, kept, envelope.message_id if ours else "") if one}


def _is_draft(row: outbox.Row, item: MailItem) -> bool:
    """Whether it is the draft that we made, which some providers show among all mail."""
    made = row.claimed_at
    return row.action == "draft" and made is not None and item.arrived_at - made < _FILED


def record_sent(tx: Any, setup: Setup, row: outbox.Row, old: str) -> bool:
    """A mail of ours has left: the row is sent, and a greeting is an interaction from now on."""
    now = setup.now()
    if not outbox.move(tx, row.id, old, "sent", sent_at=now, error=None):
        return False
    if row.kind == outbox.GREETING and row.customer_id is not None:
        _log_greeting(tx, setup.store.keys, row, now)
    if row.kind == "digest":
        set_memo(tx, older_counted(row.rep), row.key)
    return True


def older_counted(rep: str) -> str:
    """The name of the memo that a rep was told once of mail from before the first sync."""
    return f"older counted for {rep}"


def _log_greeting(tx: Any, keys: Keys, row: outbox.Row, now: datetime) -> None:
    number = items.reserve_interactions(tx, 1)
    name = identity.of_message_id(keys, row.message_id)
    # Its answer may have come back before we knew that it had left.
    known = items.threads_of(tx, [name]).get(name)
    author = keys.hash("author", row.sender)
    natural = keys.hash("natural-key", row.key)
    values = (
        number, natural, name, author, "greeting", "outbound", text_time(now), None, None, False,
        row.subject, row.message_id, None, None, known or number, None, "[]", False, None, 0,
    )  # fmt: skip
    items.add_interactions(tx, [values])
    contact = (
        number,
        row.recipient,
        row.contact_id,
        row.customer_id,
        "to",
        f"contact:{row.contact_id}",
    )
    reps = [(number, row.rep, 0)] if row.rep else []
    items.add_people(tx, customers=[(number, row.customer_id or 0)], contacts=[contact], reps=reps)
    if known is None:
        items.join_threads(tx, new=[(name, number)], merged={})


def _join_known(
    tx: Any, stream_id: int, account: Account, entries: Sequence[Judged]
) -> tuple[list[Judged], list[int]]:
    """Finds entries the diary has already, from another mailbox or folder.

    Returns the others, and known interactions that may have become a cause for a reminder.
    """
    touched: list[int] = []
    twins: dict[tuple[bytes, bytes], list[items.Twin]] = defaultdict(list)
    for known in items.twins(tx, list({e.identity.name for e in entries})):
        twins[known.name, known.author].append(known)
    new: list[Judged] = []
    for entry in entries:
        candidates = twins[entry.identity.name, entry.identity.author]
        twin = _twin(tx, stream_id, entry, candidates)
        if twin is None:
            new.append(entry)
        elif twin.table == "interaction":
            entry.interaction = twin.id
            reps = [*entry.verdict.reps, *([account.rep] if account.rep else [])]
            items.add_rep(tx, twin.id, reps)
            if _is_fresh(account, entry) and items.freshen(tx, twin.id):
                touched.append(twin.id)
            if entry.verdict.reason != "own":
                entry.verdict = Verdict("logged", "matched", entry.verdict.direction)
        elif entry.verdict.outcome == "logged":
            entry.sighting = twin.id  # upgraded when it is stored
            new.append(entry)
        else:
            entry.sighting = twin.id
    return new, touched


def _is_fresh(account: Account, entry: Judged) -> bool:
    """Whether a reminder may follow: it arrived after the account's first complete sync."""
    since = account.first_complete_at
    return since is not None and entry.item.arrived_at > since


def _twin(
    tx: Any, stream_id: int, entry: Judged, candidates: list[items.Twin]
) -> items.Twin | None:
    for twin in candidates:
        if abs(twin.occurred_at - entry.at) > SAME_DATE:
            continue
        here = items.versions_here(tx, stream_id, twin) if entry.identity.fingerprint else set()
        if here and (not entry.identity.mark or entry.identity.mark not in here):
            continue  # two mails without Message-ID in one folder are two mails
        if entry.identity.fingerprint:
            candidates.remove(twin)
        return twin
    return None


def _store_logged(
    tx: Any, setup: Setup, account: Account, stream_id: int, entries: Sequence[Judged]
) -> None:
    if not entries:
        return
    keys = setup.store.keys
    first = items.reserve_interactions(tx, len(entries))
    for number, entry in enumerate(entries, first):
        entry.interaction = number
    mails = [(e.interaction or 0, e.item.envelope) for e in entries]
    threads = join_threads(tx, keys, account.id, mails)
    rows = [
        _interaction_row(keys, account, stream_id, e, threads[e.interaction or 0]) for e in entries
    ]
    items.add_interactions(tx, rows)
    for entry in entries:
        if entry.sighting is not None:
            reps = [*entry.verdict.reps, *items.reps_who_saw(tx, entry.sighting)]
            entry.verdict = replace(entry.verdict, reps=tuple(dict.fromkeys(reps)))
            items.replace_sighting(tx, entry.sighting, entry.interaction or 0)
            entry.sighting = None
    _store_people(tx, keys, entries)
    items.want(
        tx,
        [
            (e.interaction or 0, stream_id, keys.seal(e.item.key), e.item.hint, second_look.note(e))
            for e in entries
        ],
    )


def _interaction_row(
    keys: Keys, account: Account, stream_id: int, entry: Judged, thread: int
) -> tuple[Any, ...]:
    envelope, fresh = entry.item.envelope, _is_fresh(account, entry)
    at = text_time(entry.at) or ""
    return (
        entry.interaction, _natural_key(keys, entry, at, stream_id), entry.identity.name,
        entry.identity.author, "email", entry.verdict.direction, at,
        text_time(entry.item.arrived_at), None, False, envelope.subject,
        envelope.message_id or None, None, None, thread, None, "[]", fresh, None, 0,
    )  # fmt: skip


def _natural_key(keys: Keys, entry: Judged, at: str, stream_id: int) -> bytes:
    # Twins in one folder have equal headers; their places tell them apart.
    marker = f"{at}{stream_id}/{entry.item.key}" if entry.identity.fingerprint else at
    return identity.natural_key(keys, entry.identity, marker)


def _store_people(tx: Any, keys: Keys, entries: Sequence[Judged]) -> None:
    customers, contacts, reps, traces = [], [], [], []
    for entry in entries:
        number = entry.interaction or 0
        customers += [(number, customer) for customer in entry.verdict.customers]
        contacts += contact_rows(number, entry.verdict.contacts)
        reps += [(number, rep, position) for position, rep in enumerate(entry.verdict.reps)]
        traces += [(trace, number) for trace in trace_hashes(keys, entry.verdict.strangers)]
    items.add_people(tx, customers=customers, contacts=contacts, reps=reps)
    items.add_traces(tx, logged=traces, seen=[])


def contact_rows(
    number: int, contacts: Iterable[MatchedContact]
) -> list[tuple[int, str, int | None, int | None, str, str]]:
    """Rows that join an interaction to the contacts on it."""
    rows: dict[tuple[str, str], tuple[int, str, int | None, int | None, str, str]] = {}
    for matched in contacts:
        who = f"address:{canonical(matched.address) or matched.address}"
        if matched.contact is not None:
            who = f"contact:{matched.contact}"
        customer = matched.customers[0] if matched.customers else None
        row = (number, matched.address, matched.contact, customer, matched.role, who)
        rows.setdefault((who, matched.address), row)
    return list(rows.values())


def trace_hashes(keys: Keys, strangers: Iterable[str]) -> set[bytes]:
    """What remains of strangers' addresses: keyed hashes of address, domain and parent domains."""
    return {
        keys.remembered_hash(purpose, text)
        for stranger in strangers
        for purpose, text in trace_texts(stranger)
    }


def _store_sightings(tx: Any, keys: Keys, stream_id: int, entries: Sequence[Judged]) -> None:
    if not entries:
        return
    rows: list[tuple[object, ...]] = []
    traces: list[tuple[bytes, int]] = []
    first = items.reserve_sightings(tx, len(entries))
    for number, entry in enumerate(entries, first):
        entry.sighting = number
        verdict, at = entry.verdict, text_time(entry.at) or ""
        rows.append(
            (
                number, _natural_key(keys, entry, at, stream_id), entry.identity.name,
                entry.identity.author, "email", verdict.direction, at,
                verdict.outcome, verdict.reason,
            )
        )  # fmt: skip
        if verdict.outcome == "unmatched":
            traces += [(trace, number) for trace in trace_hashes(keys, verdict.strangers)]
            traces += [(trace, number) for trace in _reference_hashes(keys, entry)]
    items.add_sightings(tx, rows)
    items.add_traces(tx, logged=[], seen=traces)


def _reference_hashes(keys: Keys, entry: Judged) -> set[bytes]:
    envelope = entry.item.envelope
    return {identity.of_message_id(keys, r) for r in (*envelope.in_reply_to, *envelope.references)}
