"""What every use case is given: the diary, the clock, the team and its rules."""

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, tzinfo

from crm_sync.core.addresses import canonical
from crm_sync.core.durations import Duration
from crm_sync.core.matching import Team
from crm_sync.core.worktime import WorkingTime
from crm_sync.ports import Clock, Shelter
from crm_sync.store.directory import DirectoryCache
from crm_sync.store.engine import Store


@dataclass(frozen=True, slots=True)
class FollowUpRule:
    """A reminder rule: its name and how long a customer may wait."""

    name: str
    after: Duration


@dataclass(frozen=True, slots=True)
class Person:
    """One of us, as the reminder and greeting engine needs to know her.

    `manager` is the address of the rep's manager, where there is one.
    """

    email: str
    name: str
    language: str
    zone: tzinfo
    zone_name: str
    manager: str | None = None


@dataclass(frozen=True, slots=True)
class Setup:
    """The surroundings of a use case.

    `working_time` gives the week that a rep keeps. `admin` hears of accounts that need a person.
    `chance` gives a number from 0 up to 1, by which waits are spread.
    """

    store: Store
    clock: Clock
    team: Team
    zone: tzinfo
    directory: DirectoryCache
    reps: tuple[Person, ...] = ()
    rules: tuple[FollowUpRule, ...] = ()
    working_time: Callable[[str], WorkingTime] = field(default=lambda _: _no_working_time())
    admin: Person | None = None
    chance: Callable[[], float] = random.random
    shelter: Shelter | None = None

    def now(self) -> datetime:
        """The present moment, aware UTC."""
        return self.clock.now()

    def rep(self, address: str) -> str:
        """Today's address of the rep whom the diary knows by `address`, which may be an alias now.

        Of nobody we know today it is the address itself: who has left keeps her history.
        """
        return self.team.rep(canonical(address) or address) or address

    def addresses(self, rep: str) -> list[str]:
        """A rep's address of today, then the others she has or had, as they are compared."""
        known = [address for address, whose in self.team.reps.items() if whose == rep]
        return list(dict.fromkeys((rep, *known)))

    def person(self, address: str) -> Person | None:
        """The rep with this address, or with this alias."""
        email = self.rep(address)
        return next((person for person in self.reps if person.email == email), None)


def _no_working_time() -> WorkingTime:
    raise LookupError("this setup has no working time")
