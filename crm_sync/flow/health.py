"""How an account is after a pull, and when to come back to it."""

import shlex
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, field, fields
from datetime import datetime, timedelta
from typing import Final

from crm_sync.core.errors import CrmSyncError, Refused
from crm_sync.core.records import Stream
from crm_sync.flow import breaker, followups
from crm_sync.flow.breaker import Admission
from crm_sync.flow.setup import Setup
from crm_sync.store import accounts, audits
from crm_sync.store.accounts import Account

HEALTH_EVERY = timedelta(minutes=1)
"""A pull with nothing new says so in the account's row at most this often (law 11)."""

SIGN_IN_PAUSE: Final = timedelta(minutes=15)
"""A password that a server refused is not shown to it again sooner: nobody is locked out by us."""

LOCKED_PAUSE: Final = timedelta(minutes=30)
"""The least wait where a server has locked an account: each try may lengthen the lock."""

SPREAD: Final = timedelta(minutes=1)
"""Accounts that were told to wait until the same moment come back within this time after it."""


@dataclass(frozen=True, slots=True)
class BackOff:
    """How long to wait after failures of one kind.

    The first of `waits` holds after the first failure, the last one for all that follow. They are
    the least, and up to a quarter is added; with `full_jitter` they are the most, and any time
    below may come out. After `tries` failures in a row the account is paused: a person must act.
    """

    waits: tuple[timedelta, ...]
    full_jitter: bool = False
    tries: int | None = None

    def wait(self, failures: int, chance: float) -> timedelta:
        """The wait after so many failures in a row; `chance` lies from 0 up to 1."""
        longest = self.waits[min(failures, len(self.waits)) - 1]
        return longest * (chance if self.full_jitter else 1 + chance / 4)

    def gives_up(self, failures: int) -> bool:
        """Whether only a person can help after so many failures in a row."""
        return self.tries is not None and failures >= self.tries


def _doubling(first: timedelta, longest: timedelta) -> tuple[timedelta, ...]:
    waits = [first]
    while waits[-1] < longest:
        waits.append(min(longest, 2 * waits[-1]))
    return tuple(waits)


_MINUTE, _HOUR = timedelta(minutes=1), timedelta(hours=1)
_SLOWLY: Final = 6 * _HOUR
_TRANSIENT: Final = BackOff(_doubling(timedelta(seconds=5), 15 * _MINUTE), full_jitter=True)
_NO: Final = BackOff(_doubling(5 * _MINUTE, _SLOWLY))
_NO_TO_A_SIGN_IN: Final = BackOff((SIGN_IN_PAUSE, 30 * _MINUTE, _HOUR, _SLOWLY), tries=4)

BACK_OFF: Final[Mapping[str, BackOff]] = {
    "throttled": BackOff(_doubling(_MINUTE, _HOUR)),
    "quota": BackOff(_doubling(_HOUR, _SLOWLY)),
    "connections": BackOff(_doubling(timedelta(seconds=30), 15 * _MINUTE)),
    "password": _NO_TO_A_SIGN_IN,
    "policy": _NO_TO_A_SIGN_IN,
    "locked": BackOff(_doubling(LOCKED_PAUSE, _SLOWLY)),
    # May be throttling in disguise: the first tries come sooner.
    "sign_in": BackOff((_MINUTE, 5 * _MINUTE, 30 * _MINUTE, _SLOWLY), tries=4),
    "consent": BackOff((_SLOWLY,), tries=1),
    "registration": BackOff((SIGN_IN_PAUSE, *_doubling(30 * _MINUTE, _SLOWLY))),
}
"""By kind of failure; any other no is `_NO`, any other trouble `_TRANSIENT`."""

OF_A_STREAM: Final = "stream"
"""The `trouble` of an account whose server answers, with something wrong in single streams."""

SIGN_IN_KINDS: Final = frozenset({"password", "locked", "policy", "sign_in", "consent"})
"""Kinds of failures that a daemon does not forget when it is started again."""


@dataclass
class Pulled:
    """What one pull of an account brought, in the words of `sync --json`.

    `missed` were left out by earlier pulls, `healed` of them are here now. `unfinished` says that
    history waits for another day. `listed` are the account's streams, `complete` those of them
    that were pulled to their end.
    """

    name: str
    connector: str
    seen: int = 0
    logged: int = 0
    unmatched: int = 0
    ignored: int = 0
    errors: int = 0
    found: int = 0
    seconds: float = 0.0
    error: str | None = None
    skipped: bool = False
    failures: list[CrmSyncError] = field(default_factory=list)
    missed: int = 0
    healed: int = 0
    unfinished: bool = False
    listed: list[Stream] = field(default_factory=list)
    complete: list[Stream] = field(default_factory=list)

    @property
    def spares_account(self) -> bool:
        """Whether the server answered as it should, single streams apart (law 11)."""
        alone = bool(self.failures) and all(e.scope == "stream" for e in self.failures)
        return alone or self.error is None

    def count(self, outcome: str) -> None:
        """One more item newly examined."""
        self.seen += 1
        setattr(self, outcome, getattr(self, outcome) + 1)

    def plain(self) -> dict[str, object]:
        """Its figures, as another process may be told them."""
        return {f.name: getattr(self, f.name) for f in fields(self) if f.default is not MISSING}


def note_health(
    setup: Setup,
    account: Account,
    pulled: Pulled,
    started: datetime,
    interval: timedelta,
    admission: Admission = Admission(),  # noqa: B008  # frozen
) -> None:
    """Writes the outcome of a pull that began at `started` into the rows of account and host."""
    if pulled.failures:
        grave = [e for e in pulled.failures if e.scope != "stream"] or pulled.failures
        worst = next((e for e in grave if isinstance(e, Refused)), grave[0])
        pulled.error = worst.sentence(within=account.name)
        if pulled.spares_account:
            _note_streams(setup, account, pulled, worst, started, interval)
            breaker.answered(setup, account)
            return
        _note_failure(setup, account, worst)
        _publish(setup, account, pulled, started)
        breaker.failed(setup, account, worst, admission)
        return
    breaker.answered(setup, account)
    last = account.last_success
    fresh = last is not None and timedelta() <= started - last < HEALTH_EVERY
    if fresh and account.state == "ok":
        return
    now = setup.now()
    with setup.store.write() as tx:
        if pulled.unfinished:
            accounts.progressed(tx, account.id, next_pull=started + interval)
        else:
            accounts.succeeded(tx, account.id, started_at=started, next_pull=started + interval)
        audits.publish(tx, account.id, pulled.listed, pulled.complete, started)
        held = accounts.mark_held(tx, now)
        followups.settle(tx, setup, held, first_sync=account.first_complete_at is None)


def _publish(setup: Setup, account: Account, pulled: Pulled, started: datetime) -> None:
    """Trouble with one stream does not keep the others from being complete."""
    if pulled.complete:
        with setup.store.write() as tx:
            audits.publish(tx, account.id, pulled.listed, pulled.complete, started)


def _note_streams(
    setup: Setup,
    account: Account,
    pulled: Pulled,
    worst: CrmSyncError,
    started: datetime,
    interval: timedelta,
) -> None:
    """Single streams make an account red; the others are pulled as often as where all is well.

    Only a wait that a server asked for is kept.
    """
    state = "refused" if isinstance(worst, Refused) else "failing"
    asked = [at for e in pulled.failures if (at := getattr(e, "retry_at", None)) is not None]
    next_pull = max([started + interval, *asked])
    due = account.next_pull
    is_fresh = due is not None and timedelta() <= next_pull - due < HEALTH_EVERY
    told = (account.state, account.trouble, account.last_error)
    if is_fresh and told == (state, OF_A_STREAM, pulled.error):
        return
    now = setup.now()
    with setup.store.write() as tx:
        accounts.failed(
            tx,
            account.id,
            at=now,
            sentence=worst.sentence(within=account.name),
            state=state,
            trouble=OF_A_STREAM,
            failures=account.failures + 1 if account.trouble == OF_A_STREAM else 1,
            next_pull=min(next_pull, now + accounts.LONGEST_WAIT),
        )
        audits.publish(tx, account.id, pulled.listed, pulled.complete, started)


def _note_failure(setup: Setup, account: Account, error: CrmSyncError) -> None:
    now = setup.now()
    refused = isinstance(error, Refused)
    rule = back_off(error)
    failures = account.failures + 1 if account.trouble == error.kind else 1
    next_pull = now + rule.wait(failures, setup.chance())
    if (stated := getattr(error, "retry_at", None)) is not None:
        next_pull = stated + SPREAD * setup.chance()
    state = "paused" if refused and rule.gives_up(failures) else "failing"
    with setup.store.write() as tx:
        accounts.failed(
            tx,
            account.id,
            at=now,
            sentence=error.sentence(within=account.name),
            state="refused" if refused and state == "failing" else state,
            trouble=error.kind,
            failures=failures,
            next_pull=min(next_pull, now + accounts.LONGEST_WAIT),
        )


def back_off(error: CrmSyncError) -> BackOff:
    """How long to wait after an error of that kind."""
    if isinstance(error, Refused):
        return BACK_OFF.get(error.kind, _NO)
    # A policy that a server is not sure of, for one, is no reason to stop.
    rule = BACK_OFF.get(error.kind, _TRANSIENT)
    return rule if rule.tries is None else _TRANSIENT


def is_in_touch(account: Account) -> bool:
    """Whether an account's server answered the last pull, so that its hints are worth a pull."""
    return account.state in ("ok", "new") or account.trouble == OF_A_STREAM


def is_paused(account: Account, now: datetime) -> bool:
    """Whether an account waits for a person, and its slow next try is not due yet."""
    waits = account.next_pull is not None and now < account.next_pull <= now + accounts.LONGEST_WAIT
    return account.state == "paused" and waits


def is_first_sync(account: Account) -> bool:
    """Whether a pull now begins an account's history; after a failure it only goes on with it."""
    return account.first_complete_at is None and not account.failures


def taken(account: Account) -> Pulled:
    """What is said of an account that another process is pulling."""
    why = f"{account.name} is being pulled by another process; it is left alone"
    return Pulled(account.name, account.connector, skipped=True, error=why)


def left_alone(account: Account) -> Pulled:
    """What a pull of all accounts says of a paused one, which it does not try."""
    command = f"crm-sync sync --account {shlex.quote(account.name)}"
    error = f"{account.last_error} It is paused; when that is done, run: {command}"
    return Pulled(account.name, account.connector, error=error)
