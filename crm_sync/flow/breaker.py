"""A circuit breaker for each host: when a server is down, not all of its accounts find that out.

Closed: accounts are pulled as they are due. Open: none is, until a time that grows with each try.
Then half-open: one account tries; it closes the breaker for all, or opens it again.
"""

from collections import Counter
from collections.abc import Container
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from crm_sync.core.errors import CrmSyncError, Unreachable
from crm_sync.flow.setup import Setup
from crm_sync.store import accounts, hosts
from crm_sync.store.accounts import Account

ACCOUNTS: Final = 3
FAILURES: Final = 5
"""So many accounts that can't connect, or connections in a row that fail, open the breaker."""

FIRST_WAIT, LONGEST_WAIT = timedelta(seconds=15), timedelta(minutes=15)
TRY: Final = timedelta(minutes=2)
"""How long the account that tries a host has for it, before another one does."""

A_ROUND: Final = 20
"""So many accounts of a host may connect anew in one round of the daemon."""

TROUBLES: Final = frozenset({"network", "certificate"})
"""What an account of a host that is down suffers from."""


@dataclass(frozen=True, slots=True)
class Admission:
    """Whether an account may connect now: at once, as the one that tries, or not before `until`."""

    until: datetime | None = None
    is_the_try: bool = False


class Crowd:
    """Lets accounts begin a few at a time: five hundred sign-ins at once would look like an attack.

    One for each round. Accounts that were pulled and are well have a connection already.
    """

    def __init__(self) -> None:
        self._begun: Counter[str] = Counter()

    def admits(self, account: Account, pulled: Container[int]) -> bool:
        """Whether the account may go in this round; `pulled` are ids of those that had a turn."""
        if not account.host or (account.id in pulled and account.state == "ok"):
            return True
        self._begun[account.host] += 1
        return self._begun[account.host] <= A_ROUND


def admit(setup: Setup, account: Account) -> Admission:
    """Asks before an account connects; whoever is admitted must say how it went."""
    if not account.host:
        return Admission()
    now = setup.now()
    with setup.store.read() as tx:
        found = hosts.get(tx, account.host)
    if found is None or found.open_until is None:
        return Admission()
    # A time further off than any wait of ours was written by a clock that was wrong.
    if now < found.open_until <= now + LONGEST_WAIT:
        return Admission(until=found.open_until)
    with setup.store.write() as tx:
        mine = hosts.take_turn(tx, found, now + TRY)
        if mine:
            hosts.hold_back(tx, found.name, now, now + TRY, _waiting(account).sentence())
    return Admission(is_the_try=True) if mine else Admission(until=now + TRY)


def held_back(setup: Setup, account: Account, until: datetime) -> Unreachable:
    """What an account says that was not admitted; it and the others of its host wait."""
    with setup.store.read() as tx:
        row = accounts.by_name(tx, account.name)
    if row is not None and (row.next_pull is None or row.next_pull < until):
        with setup.store.write() as tx:
            hosts.hold_back(tx, account.host, setup.now(), until, _waiting(account).sentence())
    return _waiting(account)


def _waiting(account: Account) -> Unreachable:
    return Unreachable(
        "the server answers none of its accounts",
        where=account.host,
        advice="One of them tries again soon; the others follow as soon as it gets through.",
        kind="network",
        scope="host",
    )


def failed(setup: Setup, account: Account, error: CrmSyncError, admission: Admission) -> None:
    """A pull of an admitted account has failed, and its row says so."""
    told = error.kind and error.kind not in TROUBLES
    if told:
        answered(setup, account)
    elif account.host and (error.scope == "host" or admission.is_the_try):
        _count(setup, account, admission)


def _count(setup: Setup, account: Account, admission: Admission) -> None:
    now = setup.now()
    with setup.store.write() as tx:
        found = hosts.get(tx, account.host) or hosts.Host(account.host, 0, None)
        if found.open_until is not None and not admission.is_the_try:
            return  # it was on its way when others found out
        failures = found.failures + 1
        down = failures >= FAILURES or (
            failures >= ACCOUNTS and hosts.failing_accounts(tx, account.host, TROUBLES) >= ACCOUNTS
        )
        if down:
            failures = max(failures, FAILURES)
        until = now + _wait(setup, failures - FAILURES) if down else None
        hosts.note(tx, account.host, failures, until)
        if until is not None:
            hosts.hold_back(tx, account.host, now, until, _waiting(account).sentence())


def answered(setup: Setup, account: Account) -> None:
    """The host has answered an account, with a yes or a no: it is there."""
    if not account.host:
        return
    with setup.store.read() as tx:
        in_trouble = hosts.get(tx, account.host) is not None
    if in_trouble:
        with setup.store.write() as tx:
            hosts.recovered(tx, account.host, TROUBLES)


def _wait(setup: Setup, tries: int) -> timedelta:
    longest = min(LONGEST_WAIT, FIRST_WAIT * float(2 ** min(tries, 20)))
    return longest * (0.5 + setup.chance() / 2)
