"""The tables of the configuration file, as they may be written.

Unknown keys and wrong types are refused. Values stay as written, checked but not converted:
`loading` makes `model.Settings` of them. `[[mailboxes]]`, `[[calendars]]`, `[sender]` and
`[[senders]]` take further keys, which belong to their connector.
"""

from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from crm_sync.settings import checks

Customers = Literal["off", "draft", "ask", "auto"]
SentCopy = Annotated[bool | str, AfterValidator(checks.sent_copy)]
Occasion = Literal["birthday", "purchase_anniversary", "customer_anniversary", "holiday"]

AccountName = Annotated[str, AfterValidator(checks.account_name)]
Domain = Annotated[str, AfterValidator(checks.own_domain)]
Country = Annotated[str, AfterValidator(checks.country)]
Duration = Annotated[str, AfterValidator(checks.duration)]
EmailAddress = Annotated[str, AfterValidator(checks.email_address)]
From = Annotated[str, AfterValidator(checks.from_address)]
Interval = Annotated[str, AfterValidator(checks.interval)]
Language = Annotated[str, AfterValidator(checks.language)]
TimeOfDay = Annotated[str, AfterValidator(checks.time_of_day)]
TimeZone = Annotated[str, AfterValidator(checks.time_zone)]
WorkingHours = Annotated[str, AfterValidator(checks.working_hours)]


class Table(BaseModel):
    """A table whose keys are all ours."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, strict=True, hide_input_in_errors=True, validate_default=False
    )


class ConnectorTable(Table):
    """A table whose other keys belong to its connector."""

    model_config = ConfigDict(extra="allow")

    connector: str
    name: AccountName | None = None


class Database(Table):
    """Where the diary is kept."""

    url: Annotated[str, AfterValidator(checks.database_url)] | None = None


class Secrets(Table):
    """Where `secret:NAME` is looked up besides systemd's credentials and the environment."""

    dir: str | None = None


class Team(Table):
    """Us: what is the same for all reps unless they say otherwise."""

    name: str = ""
    domains: list[Domain] = []
    language: Language = "en"
    timezone: TimeZone = "UTC"
    country: Country | None = None
    working_hours: WorkingHours = "Mon-Fri 08:00-17:00"
    admin: EmailAddress | None = None


class Rep(Table):
    """One of us."""

    email: EmailAddress
    name: str = ""
    aliases: list[EmailAddress] = []
    manager: EmailAddress | None = None
    language: Language | None = None
    timezone: TimeZone | None = None


class Account(ConnectorTable):
    """A mailbox or calendar; without `rep` the team's, whose own address may be given.

    `reps` stands for a table each, whose `username` is the rep's address.
    """

    rep: EmailAddress | None = None
    reps: list[EmailAddress] = []
    address: EmailAddress | None = None


class Outgoing(ConnectorTable):
    """How mails leave. `filing` names the mailbox for drafts and for copies in Sent.

    "auto" makes copies there where the provider does not do it by itself.
    """

    filing: AccountName | None = None
    sent_copy: SentCopy = "auto"


class TeamSender(Outgoing):
    """How mails leave where no rep has a sender of one's own."""

    from_: From = Field(alias="from")


class RepSender(Outgoing):
    """How greetings to a rep's customers leave."""

    rep: EmailAddress
    from_: From | None = Field(default=None, alias="from")


class Matching(Table):
    """Whether a customer is recognised by the domain of an address."""

    domains: Literal["inferred", "listed", "off"] = "inferred"


class Sending(Table):
    """Who is sent what: customers and reps are two classes of mail."""

    customers: Customers = "ask"
    reps: bool = True
    digest_at: TimeOfDay = "08:00"


class Greeting(Table):
    """An occasion on which customers are greeted."""

    occasion: Annotated[Occasion, AfterValidator(checks.occasion)]
    send_at: TimeOfDay = "09:00"
    customers: Customers | None = None


class Reminder(Table):
    """A rule that reminds reps of customers who wait."""

    kind: Annotated[str, AfterValidator(checks.reminder_kind)]
    after: Duration = "2 business days"


class Daemon(Table):
    """How often accounts are pulled and how many at the same time."""

    poll_interval: Interval = "60s"
    workers: int = Field(default=8, ge=1, le=64)


class File(BaseSettings):
    """The whole file, after the environment has been laid over it."""

    model_config = SettingsConfigDict(
        extra="forbid",
        frozen=True,
        strict=True,
        hide_input_in_errors=True,
        env_prefix="CRM_SYNC_",
        env_nested_delimiter="__",
    )

    database: Database = Database()
    secrets: Secrets = Secrets()
    team: Team
    reps: list[Rep] = []
    mailboxes: list[Account] = []
    calendars: list[Account] = []
    sender: TeamSender | None = None
    senders: list[RepSender] = []
    matching: Matching = Matching()
    sending: Sending = Sending()
    greetings: list[Greeting] = []
    reminders: list[Reminder] = []
    daemon: Daemon = Daemon()

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Only what `loading` hands over: it merges file and environment for connectors too."""
        del settings_cls, env_settings, dotenv_settings, file_secret_settings
        return (init_settings,)
