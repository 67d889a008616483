"""Drafts for owners, and copies in Sent: what dispatch puts into our own mailboxes.

Both search before they put, so that a crash on the way leaves one mail and not two.
"""

from collections.abc import Callable
from datetime import datetime, timedelta

from crm_sync.core.errors import CrmSyncError, Refused, Throttled
from crm_sync.flow.connections import Connections
from crm_sync.flow.faults import only_ours
from crm_sync.flow.post import Post, Way
from crm_sync.flow.setup import Setup
from crm_sync.ports import Filing
from crm_sync.store import outbox
from crm_sync.store.outbox import Row

_AGAIN = timedelta(minutes=15)
_GIVEN_UP = timedelta(days=7)


def keep_draft(setup: Setup, post: Post, filing: Filing, row_id: int) -> CrmSyncError | None:
    """Puts a greeting among its owner's drafts; what went wrong, if anything did.

    Cancelled meanwhile, the row stays cancelled.
    """
    with setup.store.write() as tx:
        row = outbox.claim(tx, row_id, setup.now())
    if row is None:
        return None
    author = setup.person(row.rep)
    try:
        with only_ours(row.rep):
            filing.keep(post.draft(row, author.name if author else ""), "drafts")
    except CrmSyncError as error:
        final = isinstance(error, Refused) and error.scope == "item"
        state, later = "failed" if final else "queued", next_try(setup.now(), error)
        with setup.store.write() as tx:
            outbox.move(tx, row.id, "queued", state, error=error.sentence(), next_try=later)
        return error
    with setup.store.write(durable=True) as tx:
        outbox.move(tx, row.id, "queued", "drafted", error=None, next_try=None)
    return None


def keep_copies(
    setup: Setup, post: Post, connections: Connections, stop: Callable[[], bool]
) -> list[CrmSyncError]:
    """Puts copies of sent mails into Sent where they are wanted; the accounts' troubles.

    A failure is tried again for a week; the mail itself has left and never goes again.
    """
    if not any(way.keeps_copy for way in (post.team, *post.ways.values())):
        return []
    with setup.store.read() as tx:
        rows = outbox.uncopied(tx, setup.now())
    troubles: dict[Callable[[], Filing], CrmSyncError] = {}
    for row in rows:
        way = post.way(row.via)
        if stop():
            break
        if way is None or way.open_filing is None:
            continue
        if (trouble := troubles.get(way.open_filing)) is not None:
            # A mailbox that refused one is not asked again for each of the others.
            with setup.store.write() as tx:
                later = next_try(setup.now(), trouble)
                outbox.note_copy(tx, row.id, filed=False, next_try=later, error=_no_copy(trouble))
            continue
        error = _keep_copy(setup, post, connections.filing(way.open_filing), row, way)
        if error is not None and error.scope != "item":
            troubles[way.open_filing] = error
    return list(troubles.values())


def _keep_copy(setup: Setup, post: Post, filing: Filing, row: Row, way: Way) -> CrmSyncError | None:
    now = setup.now()
    try:
        with only_ours(row.sender):
            filing.keep(post.mail(row, way), "sent")
    except CrmSyncError as error:
        final = isinstance(error, Refused) and error.scope == "item"
        late = row.sent_at is not None and now - row.sent_at > _GIVEN_UP
        with setup.store.write() as tx:
            outbox.note_copy(
                tx,
                row.id,
                filed=None if final or late else False,
                next_try=next_try(now, error),
                error=_no_copy(error),
            )
        return error
    with setup.store.write(durable=True) as tx:
        outbox.note_copy(tx, row.id, filed=True)
    return None


def _no_copy(error: CrmSyncError) -> str:
    return f"it has left, but there is no copy in Sent: {error.sentence()}"


def next_try(now: datetime, error: CrmSyncError) -> datetime:
    """When to ask a mailbox again after an error."""
    if isinstance(error, Throttled) and error.retry_at is not None:
        return min(max(error.retry_at, now + _AGAIN), now + outbox.LONGEST_WAIT)
    return now + _AGAIN
