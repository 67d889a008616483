"""How an account is after a pull, and when to come back to it."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta

from crm_sync.core.errors import CrmSyncError, Refused
from crm_sync.flow import followups
from crm_sync.flow.setup import Setup
from crm_sync.store import accounts
from crm_sync.store.accounts import Account

HEALTH_EVERY = timedelta(minutes=1)
"""A pull with nothing new says so in the account's row at most this often (law 11)."""

_FIRST_WAIT, _LONGEST_WAIT = timedelta(seconds=30), timedelta(minutes=15)
_REFUSED_WAIT, _LONGEST_REFUSED_WAIT = timedelta(minutes=5), timedelta(hours=6)


@dataclass
class Pulled:
    """What one pull of an account brought, in the words of `sync --json`."""

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

    def count(self, outcome: str) -> None:
        """One more item newly examined."""
        self.seen += 1
        setattr(self, outcome, getattr(self, outcome) + 1)


def note_health(
    setup: Setup, account: Account, pulled: Pulled, started: datetime, interval: timedelta
) -> None:
    """Writes the outcome of a pull that began at `started` into the account's row."""
    now = setup.now()
    if pulled.failures:
        worst = next((e for e in pulled.failures if isinstance(e, Refused)), pulled.failures[0])
        pulled.error = worst.sentence()
        wait = back_off(account.failures, refused=isinstance(worst, Refused))
        retry_at = min(getattr(worst, "retry_at", None) or now + wait, now + accounts.LONGEST_WAIT)
        with setup.store.write() as tx:
            accounts.failed(
                tx,
                account.id,
                at=now,
                sentence=pulled.error,
                refused=isinstance(worst, Refused),
                next_pull=retry_at,
            )
        return
    fresh = account.last_success is not None and started - account.last_success < HEALTH_EVERY
    if fresh and account.state == "ok":
        return
    with setup.store.write() as tx:
        accounts.succeeded(tx, account.id, started_at=started, next_pull=started + interval)
        held = accounts.mark_held(tx, now)
        followups.settle(tx, setup, held, first_sync=account.first_complete_at is None)


def back_off(failures: int, *, refused: bool) -> timedelta:
    """How long to wait after one more failure: doubling, and longer where asking won't help."""
    first, longest = (
        (_REFUSED_WAIT, _LONGEST_REFUSED_WAIT) if refused else (_FIRST_WAIT, _LONGEST_WAIT)
    )
    return min(longest, first * float(2 ** min(failures, 20)))
