"""Dispatch: the one door out (law 6). Carries out what the outbox holds."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from crm_sync.core.errors import CrmSyncError, InDoubt, Refused, Throttled, UsageError
from crm_sync.flow.budget import DAY, Budget
from crm_sync.flow.connections import Connections
from crm_sync.flow.doubts import clear_up
from crm_sync.flow.faults import fault
from crm_sync.flow.health import LOCKED_PAUSE, SIGN_IN_KINDS, SIGN_IN_PAUSE
from crm_sync.flow.keeping import keep_copies, keep_draft
from crm_sync.flow.mail_page import record_sent
from crm_sync.flow.post import CUSTOMER_KINDS, Post, Way
from crm_sync.flow.setup import Setup
from crm_sync.store import greetings, outbox
from crm_sync.store.engine import text_time
from crm_sync.store.outbox import Ready, Row

TRIES = 12
_WAITS = (1, 2, 5, 15, 30, 60)  # minutes
_HELD = timedelta(hours=1)


@dataclass
class Dispatched:
    """What one round brought; `busy` when another process is sending.

    `errors` are the troubles of sender accounts and mailboxes, which stop nobody else's mail.
    """

    sent: int = 0
    failed: int = 0
    in_doubt: int = 0
    drafted: int = 0
    busy: bool = False
    errors: list[CrmSyncError] = field(default_factory=list)

    @property
    def error(self) -> CrmSyncError | None:
        """The first trouble, None when there was none."""
        return self.errors[0] if self.errors else None


def dispatch(setup: Setup, post: Post, *, stop: Callable[[], bool] = lambda: False) -> Dispatched:
    """Carries out what is due, one after another, on one connection for each sender account."""
    done = Dispatched()
    if not setup.store.lock_dispatch():
        done.busy = True
        return done
    connections = Connections()
    try:
        clear_up(setup, post, connections)
        with setup.store.read() as tx:
            ready = outbox.ready(tx, setup.now())
        sending = _Round(setup, post, connections, done)
        for mail in ready:
            if stop():
                break
            sending.carry_out(mail)
        sending.put_off()
        done.errors += keep_copies(setup, post, connections, stop)
    finally:
        connections.close()
        setup.store.unlock_dispatch()
    return done


class _Round:
    """One run through what is ready: what trouble or limit stops one account stops no other."""

    def __init__(
        self, setup: Setup, post: Post, connections: Connections, done: Dispatched
    ) -> None:
        self._setup, self._post, self._connections, self._done = setup, post, connections, done
        self._budgets: dict[str, Budget] = {}
        self._stopped: dict[object, tuple[datetime, str]] = {}
        self._waiting: dict[tuple[datetime, str], list[int]] = {}

    def carry_out(self, mail: Ready) -> None:
        """Sends a mail, or files it as a draft, unless something stands in its way."""
        if mail.action == "draft":
            self._draft(mail)
            return
        way = self._post.way(mail.via)
        if way is None or (mail.kind in CUSTOMER_KINDS and way.from_.address != mail.sender):
            # Somebody may have approved it, and another From would be another mail.
            self._hold(mail, f"nothing leaves as {mail.sender} any more: configure that, or cancel")
        else:
            self._send(mail, way)

    def put_off(self) -> None:
        """Notes what could not leave in this round, and why."""
        if self._waiting:
            with self._setup.store.write() as tx:
                for (until, why), row_ids in self._waiting.items():
                    outbox.put_off(tx, row_ids, until, why)

    def _send(self, mail: Ready, way: Way) -> None:
        now, budget = self._setup.now(), self._budget(way)
        free_at = budget.free_at(now)
        if mail.via in self._stopped:
            self._wait(mail, *self._stopped[mail.via])
        elif free_at is not None:
            self._wait(mail, free_at, "the limit of its sender account is reached for now")
        else:
            left = self._done.sent + self._done.in_doubt
            error = dispatch_one(
                self._setup, self._post, way, self._connections, mail.id, self._done
            )
            if self._done.sent + self._done.in_doubt > left:
                budget.spend(now)
            self._note(mail.via, error, mail.id)

    def _draft(self, mail: Ready) -> None:
        place = self._post.drafts.get(mail.rep)
        if place is None:
            whose = f"of {mail.rep}" if mail.rep else "of anybody who answers for the customer"
            self._hold(mail, f"no mailbox {whose} is known to put the draft into")
        elif place in self._stopped:
            self._wait(mail, *self._stopped[place])
        else:
            filing = self._connections.filing(place)
            error = keep_draft(self._setup, self._post, filing, mail.id)
            self._done.failed += error is not None
            self._done.drafted += error is None
            self._note(place, error, mail.id)

    def _note(self, account: object, error: CrmSyncError | None, row_id: int) -> None:
        """The trouble of an account keeps all its mails until this one is tried again."""
        if error is None or error.scope == "item":
            return
        self._done.errors.append(error)
        with self._setup.store.read() as tx:
            until = outbox.get(tx, row_id).next_try
        self._stopped[account] = (until or self._setup.now() + _HELD, error.sentence())

    def _hold(self, mail: Ready, why: str) -> None:
        self._wait(mail, self._setup.now() + _HELD, why)

    def _wait(self, mail: Ready, until: datetime, why: str) -> None:
        self._waiting.setdefault((until, why), []).append(mail.id)

    def _budget(self, way: Way) -> Budget:
        found = self._budgets.get(way.account)
        if found is None:
            vias, now = self._post.vias(way.account), self._setup.now()
            with self._setup.store.read() as tx:
                left = outbox.left_between(tx, vias, now - DAY, now)
            found = self._budgets[way.account] = Budget(way.limits, left)
        return found


def dispatch_one(
    setup: Setup, post: Post, way: Way, connections: Connections, row_id: int, done: Dispatched
) -> CrmSyncError | None:
    """One mail, in five steps of which each is committed before the next begins.

    What kept it from leaving is returned, None when nothing did.

    1. Claim the row; somebody else was first when it is not queued any more.
    2. Hand the mail over up to the final dot. What fails until here has not left: try again later.
    3. Note `sending`, and whether a copy in Sent is wanted, then give the final dot.
    4. Note `sent` with the server's answer; a greeting becomes an interaction in the same step.
    5. No clear answer: note `in_doubt`. A crash between 3 and 4 is noted so at the next start.
    """
    with setup.store.write() as tx:
        row = outbox.claim(tx, row_id, setup.now())
    if row is None:
        return None

    begun = False

    def sending() -> None:
        nonlocal begun
        filed = False if way.keeps_copy else None
        with setup.store.write(durable=True) as tx:
            if not outbox.move(tx, row.id, "queued", "sending", filed=filed, next_try=None):
                raise UsageError(f"mail {row.id} was cancelled while it was being sent")
        begun = True

    try:
        connections.sender(way).send(post.mail(row, way), sending)
    except InDoubt as error:
        _doubt(setup, row, error)
        done.in_doubt += 1
    except UsageError:
        pass
    except CrmSyncError as error:
        _failed(setup, row, error)
        done.failed += 1
        return error
    except Exception as error:  # noqa: BLE001  # a fault of a connector's stops no other account
        trouble = fault(row.sender, error)
        if begun:
            _doubt(setup, row, trouble)
            done.in_doubt += 1
            return None
        _failed(setup, row, trouble)
        done.failed += 1
        return trouble
    else:
        with setup.store.write(durable=True) as tx:
            record_sent(tx, setup, row, "sending")
        done.sent += 1
    return None


def _doubt(setup: Setup, row: Row, error: CrmSyncError) -> None:
    now = setup.now()
    with setup.store.write(durable=True) as tx:
        outbox.move(tx, row.id, "sending", "in_doubt", doubted_at=now, error=error.sentence())


def _failed(setup: Setup, row: Row, error: CrmSyncError) -> None:
    """The mail has not left. Its own trouble ends it; other trouble passes, or ends it at last."""
    final = isinstance(error, Refused) and error.scope == "item"
    state = "failed" if final or row.tries >= TRIES else "queued"
    now = setup.now()
    values = {"error": error.sentence(), "next_try": _retry_at(row, error, now)}
    with setup.store.write() as tx:
        for old in ("queued", "sending"):
            if outbox.move(tx, row.id, old, state, **values):
                break


def _retry_at(row: Row, error: CrmSyncError, now: datetime) -> datetime:
    if isinstance(error, Throttled) and error.retry_at is not None:
        return min(error.retry_at, now + outbox.LONGEST_WAIT)
    wait = timedelta(minutes=_WAITS[min(row.tries, len(_WAITS)) - 1])
    # What signs in with a password that was refused, again and again, is locked out.
    pause = LOCKED_PAUSE if error.kind == "locked" else SIGN_IN_PAUSE
    return now + (max(wait, pause) if error.kind in SIGN_IN_KINDS else wait)


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
