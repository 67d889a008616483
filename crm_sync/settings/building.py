"""`Settings` made of tables that have all been found valid."""

from collections.abc import Callable, Mapping
from datetime import time
from pathlib import Path
from zoneinfo import ZoneInfo

from crm_sync.core.addresses import canonical
from crm_sync.core.durations import parse_duration
from crm_sync.core.mailboxes import parse_addresses
from crm_sync.core.records import Address
from crm_sync.settings import model, tables
from crm_sync.settings.checks import SQLITE, parse_interval
from crm_sync.settings.connectors import ACCOUNT_SECTIONS, ConnectorTables
from crm_sync.settings.document import Document, KeyPath
from crm_sync.settings.effective import entries
from crm_sync.settings.tables import File

_OTHERS_MAY_USE = 0o077


def build(
    file: File,
    *,
    path: Path,
    connectors: ConnectorTables,
    document: Document,
    name: Callable[[KeyPath], str],
) -> model.Settings:
    """The settings of `file`, whose connectors' options have been read into `connectors`.

    `path` is absolute; `name` gives the name of a key for people.
    """
    reps = tuple(_rep(rep, file.team) for rep in file.reps)
    by_address = {canonical(rep.email): rep for rep in reps}
    database = _database(file.database.url, path.parent, connectors.secrets.environ)
    literals = connectors.literal_secrets if document.mode & _OTHERS_MAY_USE else []
    return model.Settings(
        path=path,
        base_dir=path.parent,
        database=database,
        team=_team(file.team),
        reps=reps,
        accounts=_accounts(file, connectors, by_address),
        sender=_team_sender(file, connectors),
        senders=_rep_senders(file, connectors, by_address),
        matching=model.MatchingSettings(file.matching.domains),
        sending=_sending(file.sending),
        greetings=tuple(_greeting(greeting, file.sending) for greeting in file.greetings),
        reminders=tuple(
            model.ReminderSettings(r.kind, parse_duration(r.after)) for r in file.reminders
        ),
        daemon=model.DaemonSettings(parse_interval(file.daemon.poll_interval), file.daemon.workers),
        secrets=connectors.secrets,
        entries=entries(file, connectors, document, database.url, name),
        exposed=tuple(name(literal) for literal in literals),
    )


def _database(
    url: str | None, base_dir: Path, environ: Mapping[str, str]
) -> model.DatabaseSettings:
    # systemd separates several state directories with colons; ours is the first
    state = environ.get("STATE_DIRECTORY", "").partition(":")[0]
    place = Path(state or base_dir) / "crm-sync.db" if url is None else url.removeprefix(SQLITE)
    path = base_dir / place
    return model.DatabaseSettings(f"{SQLITE}{path}", path)


def _team(team: tables.Team) -> model.TeamSettings:
    return model.TeamSettings(
        name=team.name,
        domains=tuple(dict.fromkeys(team.domains)),
        language=team.language,
        timezone=ZoneInfo(team.timezone),
        country=team.country,
        working_hours=team.working_hours,
    )


def _rep(rep: tables.Rep, team: tables.Team) -> model.RepSettings:
    return model.RepSettings(
        email=rep.email,
        name=rep.name,
        aliases=tuple(rep.aliases),
        manager=rep.manager,
        language=rep.language or team.language,
        timezone=ZoneInfo(rep.timezone or team.timezone),
    )


def _accounts(
    file: File, connectors: ConnectorTables, reps: Mapping[str | None, model.RepSettings]
) -> tuple[model.AccountSettings, ...]:
    sections = {"mailboxes": file.mailboxes, "calendars": file.calendars}
    return tuple(
        model.AccountSettings(
            name=_name(account, rep),
            kind=kind,
            rep=rep,
            connector=account.connector,
            address=account.address,
            options=options.model_copy(update={"username": rep}) if account.reps else options,
        )
        for section, kind in ACCOUNT_SECTIONS.items()
        for number, account in enumerate(sections[section])
        for options in [connectors.options[section, number]]
        for written in (dict.fromkeys(account.reps) if account.reps else [account.rep])
        for rep in [reps[canonical(written)].email if written else None]
    )


def _name(table: tables.ConnectorTable, rep: str | None) -> str:
    return table.name or f"{rep or 'team'}/{table.connector}"


def _team_sender(file: File, connectors: ConnectorTables) -> model.SenderSettings | None:
    sender = file.sender
    if sender is None:
        return None
    return model.SenderSettings(
        name=_name(sender, None),
        rep=None,
        connector=sender.connector,
        from_=parse_addresses(sender.from_)[0],
        options=connectors.options["sender",],
    )


def _rep_senders(
    file: File, connectors: ConnectorTables, reps: Mapping[str | None, model.RepSettings]
) -> tuple[model.SenderSettings, ...]:
    return tuple(
        model.SenderSettings(
            name=_name(sender, rep.email),
            rep=rep.email,
            connector=sender.connector,
            from_=parse_addresses(sender.from_)[0]
            if sender.from_
            else Address(rep.email, rep.name),
            options=connectors.options["senders", number],
        )
        for number, sender in enumerate(file.senders)
        for rep in [reps[canonical(sender.rep)]]
    )


def _sending(sending: tables.Sending) -> model.SendingSettings:
    return model.SendingSettings(
        customers=_available(sending.customers),
        reps=sending.reps,
        digest_at=time.fromisoformat(sending.digest_at),
    )


def _greeting(greeting: tables.Greeting, sending: tables.Sending) -> model.GreetingSettings:
    """What holds for an occasion: "off" in [sending] wins over everything."""
    wanted = "off" if sending.customers == "off" else greeting.customers or sending.customers
    return model.GreetingSettings(
        occasion=greeting.occasion,
        send_at=time.fromisoformat(greeting.send_at),
        customers=_available(wanted),
    )


def _available(customers: tables.Customers) -> model.CustomerMail:
    assert customers != "draft"  # refused by `checks.for_customers`
    return customers
