"""What is known of mails that may have left, and what became of what a dead process held."""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from itertools import groupby
from typing import Any

from crm_sync.core.errors import CrmSyncError
from crm_sync.flow.connections import Connections
from crm_sync.flow.faults import only_ours
from crm_sync.flow.mail_page import record_sent
from crm_sync.flow.post import CUSTOMER_KINDS, Post, Way
from crm_sync.flow.setup import Setup
from crm_sync.ports import Found
from crm_sync.store import accounts, greetings, outbox
from crm_sync.store.outbox import Row

_WAITS: dict[Found | None, timedelta] = {
    "cannot_tell": timedelta(0),
    "absent": timedelta(minutes=2),  # a provider files its copy with some delay
    None: timedelta(hours=1),  # the mailbox could not be asked
}
"""How long a rep's mail in doubt is looked for before it goes again."""

_SOONEST, _LATEST = timedelta(minutes=1), timedelta(hours=6)


def clear_up(setup: Setup, post: Post, connections: Connections) -> None:
    """What a dead process left behind, what came too late, and what was in doubt."""
    now = setup.now()
    with setup.store.write() as tx:
        outbox.doubt_all_sending(tx, now)
        outbox.expire(tx, now)
        _hold_back(tx, post)
        doubtful = sorted(outbox.doubtful(tx, now), key=lambda row: row.via)
    for via, group in groupby(doubtful, key=lambda row: row.via):
        rows = list(group)
        found = _look(post.way(via), [row.message_id for row in rows], connections)
        with setup.store.write(durable=True) as tx:
            for row in rows:
                _settle(tx, setup, post, row, found.get(row.message_id))


def _hold_back(tx: Any, post: Post) -> None:
    """What was queued for a customer and must not leave any more is skipped (law 7)."""
    allowed = {rule.occasion for rule in post.greetings if rule.customers != "off"}
    for row in (*outbox.in_state(tx, "queued"), *outbox.in_state(tx, "waiting_approval")):
        if row.kind not in CUSTOMER_KINDS:
            continue
        reason = None
        if not post.to_customers or row.key.split("/")[1] not in allowed:
            reason = 'such greetings are "off" in the configuration'
        elif greetings.basis_of(tx, row.contact_id) == "none":
            reason = "the contact may not be greeted"
        if reason is not None:
            outbox.move(tx, row.id, row.state, "skipped", error=reason)


def _look(way: Way | None, ids: Sequence[str], connections: Connections) -> Mapping[str, Found]:
    """Which mails were sent by a way out; nothing of those that can't be asked for now."""
    found: dict[str, Found] = dict.fromkeys(ids, "cannot_tell")
    if way is None:
        return found
    try:
        with only_ours(way.from_.address):
            found |= connections.sender(way).find(ids)
            missing = [one for one in ids if found[one] != "found"]
            if way.open_filing is not None and missing:
                found |= connections.filing(way.open_filing).find(missing)
    except CrmSyncError:
        return {one: "found" for one in ids if found[one] == "found"}
    return found


def _settle(tx: Any, setup: Setup, post: Post, row: Row, found: Found | None) -> None:
    """A mail that was found is sent. Else a rep's goes again under its id, a customer's waits.

    A rep may get a reminder twice rather than never; a greeting in doubt is a person's decision.
    """
    now = setup.now()
    age = now - (row.doubted_at or now)
    if found == "found":
        record_sent(tx, setup, row, "in_doubt")
    elif row.kind not in CUSTOMER_KINDS and age >= _WAITS[found] and _looked_for(tx, post, row):
        outbox.move(tx, row.id, "in_doubt", "queued", next_try=None)
    else:
        later = now + min(max(age, _SOONEST), _LATEST)
        outbox.move(tx, row.id, "in_doubt", "in_doubt", next_try=later)


def _looked_for(tx: Any, post: Post, row: Row) -> bool:
    """Whether our blind copy had time to come back through the team mailbox, and did not."""
    if post.witness_account is None or row.doubted_at is None:
        return True
    account = accounts.by_name(tx, post.witness_account)
    if account is None or account.complete_until is None:
        return False
    return account.complete_until > row.doubted_at + timedelta(minutes=1)
