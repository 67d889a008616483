"""The configuration as the program uses it: validated, resolved, frozen."""

from dataclasses import dataclass
from datetime import time, timedelta
from pathlib import Path
from typing import Literal
from zoneinfo import ZoneInfo

from pydantic import BaseModel

from crm_sync.core.durations import Duration
from crm_sync.core.records import Address
from crm_sync.settings.secrets import SecretStore

PER_MINUTE, PER_DAY = 20, 400
"""What a sender may send whose connector has no limits of its own: below all providers'."""

CustomerMail = Literal["off", "draft", "ask", "auto"]


@dataclass(frozen=True, slots=True)
class DatabaseSettings:
    """`url` as SQLAlchemy takes it, with the absolute `path` of the SQLite file."""

    url: str
    path: Path


@dataclass(frozen=True, slots=True)
class TeamSettings:
    """Us; `domains` are canonical (lower case, A-labels), `country` is ISO 3166 alpha-2.

    `admin` is the address of whoever looks after the program.
    """

    name: str
    domains: tuple[str, ...]
    language: str
    timezone: ZoneInfo
    country: str | None
    working_hours: str
    admin: str | None


@dataclass(frozen=True, slots=True)
class RepSettings:
    """One of us; language and zone are the team's where the rep has none of their own."""

    email: str
    name: str
    aliases: tuple[str, ...]
    manager: str | None
    language: str
    timezone: ZoneInfo


@dataclass(frozen=True, slots=True)
class AccountSettings:
    """A mailbox or calendar; `options` is the connector's own model, secrets and paths resolved.

    `rep` is the declared address of its rep, None for the team's; `address` the own address of a
    team mailbox, where given. `can_file`: it can keep drafts and copies of what was sent.
    `formerly` are names it may have had, as by an address of the rep that is an alias now: what the
    diary has under one of them is its own, and a sign-in serves as long as there is no newer one.
    """

    name: str
    kind: Literal["mailbox", "calendar"]
    rep: str | None
    connector: str
    address: str | None
    options: BaseModel
    can_file: bool = False
    formerly: tuple[str, ...] = ()

    @property
    def reach(self) -> timedelta | None:
        """How far back its first pull goes by dates of arrival; None where that has no bound."""
        reach: timedelta | None = getattr(self.options, "reach", None)
        return reach


@dataclass(frozen=True, slots=True)
class SenderSettings:
    """How mails leave; `rep` is None for the team's sender.

    No account has its `name`. `formerly` are as an account's, and the name it had in earlier
    versions, which may be that of the rep's mailbox.
    `filing` names the mailbox that keeps its drafts and shows what was sent; with `keeps_copy` we
    put a copy of each mail there. `account` is what the provider counts by, and `per_minute` and
    `per_day` are what it may send.
    """

    name: str
    rep: str | None
    connector: str
    from_: Address
    options: BaseModel
    account: str = ""
    filing: str | None = None
    keeps_copy: bool = False
    per_minute: int = PER_MINUTE
    per_day: int = PER_DAY
    formerly: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class MatchingSettings:
    """Whether a customer is recognised by domain: not at all, by listed or by inferred ones."""

    domains: Literal["inferred", "listed", "off"]


@dataclass(frozen=True, slots=True)
class SendingSettings:
    """Who is sent what; `digest_at` is a rep's local wall time."""

    customers: CustomerMail
    reps: bool
    digest_at: time


@dataclass(frozen=True, slots=True)
class GreetingSettings:
    """An occasion; `customers` is what holds for it after `[sending]` had its say."""

    occasion: str
    send_at: time
    customers: CustomerMail


@dataclass(frozen=True, slots=True)
class ReminderSettings:
    """A rule that reminds reps."""

    kind: str
    after: Duration


@dataclass(frozen=True, slots=True)
class DaemonSettings:
    """How often accounts are pulled and how many at the same time."""

    poll_interval: timedelta
    workers: int


@dataclass(frozen=True, slots=True)
class Entry:
    """One value of the effective configuration, secrets masked, and where it comes from."""

    key: str
    value: object
    origin: str


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything the file and the environment say.

    `entries` lists it for `config show`; `exposed` are the keys of secrets that stand as they
    are in a file others can read.
    """

    path: Path
    base_dir: Path
    database: DatabaseSettings
    team: TeamSettings
    reps: tuple[RepSettings, ...]
    accounts: tuple[AccountSettings, ...]
    sender: SenderSettings | None
    senders: tuple[SenderSettings, ...]
    matching: MatchingSettings
    sending: SendingSettings
    greetings: tuple[GreetingSettings, ...]
    reminders: tuple[ReminderSettings, ...]
    daemon: DaemonSettings
    secrets: SecretStore
    entries: tuple[Entry, ...]
    exposed: tuple[str, ...]

    def addresses_of(self, rep: str) -> tuple[str, ...]:
        """The declared address of a rep, then her aliases."""
        return next((r.email, *r.aliases) for r in self.reps if r.email == rep)
