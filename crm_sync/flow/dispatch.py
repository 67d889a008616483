"""Dispatch: the one door out (law 6). Carries out what the outbox holds."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from crm_sync.core.errors import CrmSyncError, InDoubt, Refused, Throttled, UsageError
from crm_sync.flow.mail_page import record_sent
from crm_sync.flow.post import CUSTOMER_KINDS, Post
from crm_sync.flow.setup import Setup
from crm_sync.ports import Sender
from crm_sync.store import accounts, greetings, outbox
from crm_sync.store.engine import text_time
from crm_sync.store.outbox import Row

TRIES = 12
LONGEST_WAIT = timedelta(days=1)
"""No server's wish to be left alone is obeyed for longer."""

_WAITS = (1, 2, 5, 15, 30, 60)  # minutes


@dataclass
class Dispatched:
    """What one round brought; `busy` when another process is sending."""

    sent: int = 0
    failed: int = 0
    in_doubt: int = 0
    busy: bool = False
    error: CrmSyncError | None = field(default=None)


def dispatch(setup: Setup, post: Post, *, stop: Callable[[], bool] = lambda: False) -> Dispatched:
    """Sends what is due, one after another, on one connection."""
    done = Dispatched()
    if not setup.store.lock_dispatch():
        done.busy = True
        return done
    sender: Sender | None = None
    try:
        _clear_up(setup, post)
        with setup.store.read() as tx:
            ready = outbox.ready(tx, setup.now())
        for row_id in ready:
            if stop() or done.error is not None:
                break
            sender = sender or post.open_sender()
            dispatch_one(setup, post, sender, row_id, done)
    finally:
        if sender is not None:
            sender.close()
        setup.store.unlock_dispatch()
    return done


def dispatch_one(setup: Setup, post: Post, sender: Sender, row_id: int, done: Dispatched) -> None:
    """One mail, in five steps of which each is committed before the next begins.

    1. Claim the row; somebody else was first when it is not queued any more.
    2. Hand the mail over up to the final dot. What fails until here has not left: try again later.
    3. Note `sending`, then give the final dot.
    4. Note `sent` with the server's answer; a greeting becomes an interaction in the same step.
    5. No clear answer: note `in_doubt`. A crash between 3 and 4 is noted so at the next start.
    """
    with setup.store.write() as tx:
        row = outbox.claim(tx, row_id, setup.now())
    if row is None:
        return

    def sending() -> None:
        with setup.store.write(durable=True) as tx:
            if not outbox.move(tx, row.id, "queued", "sending"):
                raise UsageError(f"mail {row.id} was cancelled while it was being sent")

    try:
        sender.send(post.draft(row, setup.now()), sending)
    except InDoubt as error:
        _doubt(setup, row, error)
        done.in_doubt += 1
    except UsageError:
        return
    except CrmSyncError as error:
        _failed(setup, row, error, done)
    else:
        with setup.store.write(durable=True) as tx:
            record_sent(tx, setup, row, "sending")
        done.sent += 1


def _doubt(setup: Setup, row: Row, error: CrmSyncError) -> None:
    now = setup.now()
    with setup.store.write(durable=True) as tx:
        outbox.move(tx, row.id, "sending", "in_doubt", doubted_at=now, error=error.sentence())


def _failed(setup: Setup, row: Row, error: CrmSyncError, done: Dispatched) -> None:
    """The mail has not left. Its own trouble ends it; the account's trouble ends the round."""
    final = isinstance(error, Refused) and error.scope == "item"
    now = setup.now()
    with setup.store.write() as tx:
        state = "failed" if final or row.tries >= TRIES else "queued"
        for old in ("queued", "sending"):
            if outbox.move(
                tx, row.id, old, state, error=error.sentence(), next_try=_retry_at(row, error, now)
            ):
                break
    done.failed += 1
    if not final and error.scope != "item":
        done.error = error


def _retry_at(row: Row, error: CrmSyncError, now: datetime) -> datetime:
    if isinstance(error, Throttled) and error.retry_at is not None:
        return min(error.retry_at, now + LONGEST_WAIT)
    return now + timedelta(minutes=_WAITS[min(row.tries, len(_WAITS)) - 1])


def _clear_up(setup: Setup, post: Post) -> None:
    """What a dead process left behind, what came too late, and what was in doubt."""
    now = setup.now()
    with setup.store.write() as tx:
        outbox.doubt_all_sending(tx, now)
        outbox.expire(tx, now)
        _hold_back(tx, post)
        doubtful = outbox.in_state(tx, "in_doubt")
        for row in doubtful:
            if row.kind not in CUSTOMER_KINDS and _looked_for(tx, post, row):
                # A rep may get a reminder twice rather than never; the id stays the same.
                outbox.move(tx, row.id, "in_doubt", "queued", next_try=None)


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


def _looked_for(tx: Any, post: Post, row: Row) -> bool:
    """Whether our blind copy had time to come back through the team mailbox, and did not."""
    if post.witness_account is None or row.doubted_at is None:
        return True
    account = accounts.by_name(tx, post.witness_account)
    if account is None or account.complete_until is None:
        return False
    return account.complete_until > row.doubted_at + timedelta(minutes=1)


def approve(setup: Setup, row_id: int) -> Row:
    """A waiting greeting may leave. Raises `UsageError` when it waits no more."""
    with setup.store.write() as tx:
        row = outbox.get(tx, row_id)
        _refuse_when_late(setup, row)
        if greetings.basis_of(tx, row.contact_id) == "none":
            raise UsageError(
                f"{row.recipient} may not be greeted (greeting_basis is none)",
                advice="Change it by an import if that is wrong.",
            )
        if not outbox.move(tx, row_id, "waiting_approval", "queued"):
            raise _not_now(row, "approved", "waits for approval")
        return row


def _refuse_when_late(setup: Setup, row: Row) -> None:
    if row.expires_at is not None and row.expires_at <= setup.now():
        raise UsageError(
            f"it is too late for mail {row.id}: its day ended at {text_time(row.expires_at)}",
            advice="Nothing is sent late; greet in person.",
        )


def retry(setup: Setup, row_id: int) -> Row:
    """A failed or doubtful mail is tried again, by a person's decision."""
    with setup.store.write() as tx:
        row = outbox.get(tx, row_id)
        _refuse_when_late(setup, row)
        for old in ("failed", "in_doubt"):
            if outbox.move(tx, row_id, old, "queued", next_try=None, tries=0):
                return row
        raise _not_now(row, "tried again", "failed or is in doubt")


def cancel(setup: Setup, row_id: int) -> Row:
    """A mail that has not left will not leave."""
    with setup.store.write() as tx:
        row = outbox.get(tx, row_id)
        for old in ("planned", "waiting_approval", "queued", "failed", "in_doubt"):
            if outbox.move(tx, row_id, old, "cancelled"):
                return row
        raise _not_now(row, "cancelled", "has not left")


def _not_now(row: Row, verb: str, needed: str) -> UsageError:
    return UsageError(
        f"mail {row.id} is {row.state.replace('_', ' ')} and can't be {verb}",
        advice=f"Only a mail that {needed} can be.",
    )
