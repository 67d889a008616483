"""Texts of what matched, the past of new customers, and another look at what was unreadable."""

from collections.abc import Callable, Sequence
from itertools import islice
from typing import Any

from crm_sync.core.classification import Reason
from crm_sync.core.matching import Verdict
from crm_sync.core.records import Body, EventItem, Locator, MailItem, Stream, UnreadableItem
from crm_sync.flow import event_page, followups, mail_page, notices
from crm_sync.flow.moved import forget_left_places
from crm_sync.flow.second_look import note, remembered, second_look
from crm_sync.flow.setup import Setup
from crm_sync.flow.traffic import Traffic
from crm_sync.ports import Source
from crm_sync.store import accounts, items, reminders, texts
from crm_sync.store import notices as noted
from crm_sync.store.accounts import Account
from crm_sync.store.engine import text_time

BATCH = 500
AHEAD = 4 * BATCH
"""Texts that a source is asked for at once: while some are stored, others are on their way."""

Progress = Callable[[str, int, int | None], None]
"""Told of long work: what is being done, how much is done, of how much (None: not known)."""


def fetch_texts(
    setup: Setup, account: Account, source: Source, progress: Progress, traffic: Traffic
) -> int:
    """Fetches the texts that wait for this account, those found last first.

    Returns how many mails, copies counted, their text keeps out where their header let them in.
    """
    done = demoted = 0
    seen: set[int] = set()
    unseal = setup.store.keys.unseal
    while True:
        with setup.store.read() as tx:
            young = traffic.texts_since()
            waiting = texts.some_wanted(tx, account.id, AHEAD, now=setup.now(), since=young)
        batch = [w for w in waiting if w.interaction not in seen]
        if not batch:
            return demoted
        seen.update(w.interaction for w in batch)
        wanted = {Locator(w.stream, unseal(w.sealed), w.hint): w for w in batch}
        read = iter(source.read(list(wanted)))
        while bodies := list(islice(read, BATCH)):
            reasons = {b.locator: second_look(wanted[b.locator].header, b) for b in bodies}
            with setup.store.write() as tx:
                demoted += _store_texts(tx, setup, account, wanted, bodies, reasons)
                traffic.note(tx)
            done += len(bodies)
            progress("texts", done, None)


def _store_texts(
    tx: Any,
    setup: Setup,
    account: Account,
    wanted: dict[Locator, texts.Wanted],
    bodies: list[Body],
    reasons: dict[Locator, Reason | None],
) -> int:
    good = []
    demoted = 0
    waiting: list[tuple[str, int]] = []
    for body in bodies:
        number, reason = wanted[body.locator].interaction, reasons[body.locator]
        if body.gone and texts.look_elsewhere(tx, number):
            continue
        if body.gone or body.problem:
            if texts.postpone(tx, number, setup.now()) and body.problem:
                _hold(tx, setup, account, body)
        elif reason is not None:
            waiting += [(who, t) for who, t, *_ in reminders.touched(tx, [number]) if t is not None]
            demoted += _demote(tx, setup, account, wanted[body.locator], body, reason)
        else:
            good.append((number, body.text, body.attachments))
    texts.store_texts(tx, good)
    # What it had caused or hidden waits for another mail of the thread now, or for none.
    for rule in setup.rules:
        followups.judge(tx, setup, rule, waiting)
    return demoted


def _demote(
    tx: Any, setup: Setup, account: Account, wanted: texts.Wanted, body: Body, reason: Reason
) -> int:
    """Takes a mail out of the diary again; what it may say about an address is read with the rest.

    Returns in how many places it was seen.
    """
    arrived_at = items.interaction_rows(tx, [wanted.interaction])[wanted.interaction]["arrived_at"]
    seen = items.demote(tx, wanted.interaction, reason)
    is_young = str(arrived_at) > (text_time(setup.now() - notices.OLDEST) or "")
    if is_young and _may_tell(setup, tx, wanted, body, reason):
        stream_id = accounts.stream_id(tx, account.id, body.locator.stream)
        hashed = mail_page.key_hash(setup.store.keys, body.locator.key)
        here = {w.sighting for w in items.witnesses(tx, stream_id, [hashed])}
        noted.note(tx, stream_id, [(n, wanted.sealed) for n in here if n is not None])
    return seen


def _may_tell(setup: Setup, tx: Any, wanted: texts.Wanted, body: Body, reason: Reason) -> bool:
    if wanted.header is None:
        return False
    complains = any(a.media_type == "message/feedback-report" for a in body.attachments)
    envelope, directory = remembered(wanted.header), setup.directory.load(tx)
    return complains or notices.may_tell(reason, envelope, directory)


def _hold(tx: Any, setup: Setup, account: Account, body: Body) -> None:
    """A text that can't be read is shown in quarantine, where a person can ask for another try."""
    stream_id = accounts.stream_id(tx, account.id, body.locator.stream)
    key, keys = body.locator.key, setup.store.keys
    hashed, sealed = mail_page.key_hash(keys, key), keys.seal(key)
    texts.quarantine_item(tx, stream_id, hashed, sealed, "", body.problem, setup.now())


def fetch_recalled(setup: Setup, account: Account, source: Source) -> int:
    """Fetches the past of customers added since, through their sightings; how many were found."""
    found = 0
    with setup.store.read() as tx:
        batch = items.recalled(tx, account.id, BATCH)
    while batch:
        unseal = setup.store.keys.unseal
        places = {Locator(key, unseal(sealed)): number for number, *_, key, sealed in batch}
        bodies = list(source.read(list(places), items=True))
        with setup.store.write() as tx:
            for stream_key in {locator.stream for locator in places}:
                mine = [b for b in bodies if b.locator.stream == stream_key]
                found += store_read(tx, setup, account, stream_key, mine).count("logged")
            _forget_recalled(tx, setup, account, places, bodies)
        with setup.store.read() as tx:
            batch = items.recalled(tx, account.id, BATCH, after=batch[-1][:3])
    return found


def _forget_recalled(
    tx: Any, setup: Setup, account: Account, places: dict[Locator, int], bodies: list[Body]
) -> None:
    """What was read is recalled no more; what is gone here may still be seen elsewhere."""
    for body in bodies:
        number = places[body.locator]
        if body.gone:
            stream_id = accounts.stream_id(tx, account.id, body.locator.stream)
            hashed = mail_page.key_hash(setup.store.keys, body.locator.key)
            items.drop_witnesses(tx, stream_id, [hashed])
            items.drop_recall_if_unseen(tx, number)
        else:
            # What was logged is no sighting any more; another copy may show what this one hides.
            items.recall_later(tx, number)


def retry_quarantined(setup: Setup, account: Account, source: Source) -> None:
    """Reads quarantined items again that somebody asked for."""
    with setup.store.read() as tx:
        waiting = texts.to_retry(tx, account.id)
    if not waiting:
        return
    places = {Locator(key, setup.store.keys.unseal(s)): number for number, key, s in waiting}
    bodies = list(source.read(list(places), items=True))
    for stream_key in {locator.stream for locator in places}:
        mails = [b.item for b in bodies if b.item is not None and b.locator.stream == stream_key]
        stream = Stream(stream_key, stream_key, "mail")
        forget_left_places(setup, account, source, stream, mails)
    with setup.store.write() as tx:
        for stream_key in {locator.stream for locator in places}:
            mine = [b for b in bodies if b.locator.stream == stream_key]
            readable = [
                b for b in mine if isinstance(b.item, MailItem | EventItem) and not b.problem
            ]
            stream_id = accounts.stream_id(tx, account.id, stream_key)
            hashes = [mail_page.key_hash(setup.store.keys, b.locator.key) for b in readable]
            texts.release(tx, stream_id, hashes)
            store_read(tx, setup, account, stream_key, readable, every_outcome=True)
        for body in bodies:
            if body.gone:
                texts.decide(tx, places[body.locator], "dropped")
            elif body.problem or body.item is None or isinstance(body.item, UnreadableItem):
                texts.fail_again(tx, places[body.locator])


def store_read(
    tx: Any,
    setup: Setup,
    account: Account,
    stream_key: str,
    bodies: list[Body],
    *,
    every_outcome: bool = False,
) -> Sequence[str]:
    """Stores items that were read one by one; what became of each that was stored.

    With `every_outcome` those that don't leave their sightings, and copies count, as on a page.
    """
    stream_id = accounts.stream_id(tx, account.id, stream_key)
    directory = setup.directory.load(tx)
    mails = {b.item.key: b for b in bodies if isinstance(b.item, MailItem)}
    judged = mail_page.judge(
        setup,
        directory,
        account.rep,
        [b.item for b in mails.values() if isinstance(b.item, MailItem)],
    )
    for entry in judged:
        reason = second_look(note(entry), mails[entry.item.key])
        if entry.verdict.outcome == "logged" and reason is not None:
            entry.verdict = Verdict("ignored", reason, entry.verdict.direction)
    judged = [e for e in judged if every_outcome or e.verdict.outcome == "logged"]
    hashes = [mail_page.key_hash(setup.store.keys, k) for entry in judged for k in entry.keys]
    items.drop_witnesses(tx, stream_id, hashes)
    touched = mail_page.store(tx, setup, account, stream_id, judged)
    texts.store_texts(
        tx,
        [
            (e.interaction, mails[e.item.key].text, mails[e.item.key].attachments)
            for e in judged
            if (e.interaction in touched or (every_outcome and e.interaction is not None))
            and not mails[e.item.key].problem
        ],
    )
    events = event_page.judge(
        setup, directory, account.rep, [b.item for b in bodies if isinstance(b.item, EventItem)]
    )
    events = [event for event in events if every_outcome or event.logged]
    touched += event_page.store(tx, setup, account, stream_id, events)
    followups.settle(tx, setup, touched, first_sync=account.first_complete_at is None)
    outcomes = [e.verdict.outcome for e in judged for _ in e.keys[: None if every_outcome else 1]]
    return outcomes + [e.verdict.outcome for e in events]
