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

CustomerMail = Literal["off", "ask", "auto"]


@dataclass(frozen=True, slots=True)
class DatabaseSettings:
    """`url` as SQLAlchemy takes it, with the absolute `path` of the SQLite file."""

    url: str
    path: Path


@dataclass(frozen=True, slots=True)
class TeamSettings:
    """Us; `domains` are canonical (lower case, A-labels), `country` is ISO 3166 alpha-2."""

    name: str
    domains: tuple[str, ...]
    language: str
    timezone: ZoneInfo
    country: str | None
    working_hours: str


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
    team mailbox, where given.
    """

    name: str
    kind: Literal["mailbox", "calendar"]
    rep: str | None
    connector: str
    address: str | None
    options: BaseModel


@dataclass(frozen=True, slots=True)
class SenderSettings:
    """How mails leave; `rep` is None for the team's sender."""

    name: str
    rep: str | None
    connector: str
    from_: Address
    options: BaseModel


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
