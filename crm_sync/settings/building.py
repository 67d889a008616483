"""`Settings` made of tables that have all been found valid."""

from collections.abc import Callable, Mapping, Sequence
from datetime import time
from pathlib import Path
from zoneinfo import ZoneInfo

from pydantic import BaseModel

from crm_sync.core.addresses import canonical
from crm_sync.core.durations import parse_duration
from crm_sync.core.mailboxes import parse_addresses
from crm_sync.core.records import Address
from crm_sync.settings import model, tables
from crm_sync.settings.checks import SQLITE, parse_interval
from crm_sync.settings.connectors import ACCOUNT_SECTIONS, ConnectorTables
from crm_sync.settings.document import Document, KeyPath
from crm_sync.settings.effective import entries
from crm_sync.settings.filings import filing_of
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
    accounts = _accounts(file, connectors, by_address)
    return model.Settings(
        path=path,
        base_dir=path.parent,
        database=database,
        team=_team(file.team),
        reps=reps,
        accounts=accounts,
        sender=_team_sender(file, connectors, accounts),
        senders=_rep_senders(file, connectors, by_address, accounts),
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
        admin=team.admin,
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
            name=names[0],
            kind=kind,
            rep=rep.email if rep else None,
            connector=account.connector,
            address=account.address,
            options=options.model_copy(update={"username": rep.email})
            if account.reps and rep
            else options,
            can_file=connectors.source_kinds[account.connector].filing is not None,
            formerly=names[1:],
        )
        for section, kind in ACCOUNT_SECTIONS.items()
        for number, account in enumerate(sections[section])
        for options in [connectors.options[section, number]]
        for written in (dict.fromkeys(account.reps) if account.reps else [account.rep])
        for rep in [reps[canonical(written)] if written else None]
        for names in [_names(account, rep, account.connector)]
    )


def _names(
    table: tables.ConnectorTable, rep: model.RepSettings | None, what: str
) -> tuple[str, ...]:
    """The name of an account or sender, then those by addresses of the rep that are aliases now."""
    if table.name:
        return (table.name,)
    addresses = (rep.email, *rep.aliases) if rep else ("team",)
    return tuple(f"{address}/{what}" for address in addresses)


def _team_sender(
    file: File, connectors: ConnectorTables, accounts: Sequence[model.AccountSettings]
) -> model.SenderSettings | None:
    if file.sender is None:
        return None
    from_ = parse_addresses(file.sender.from_)[0]
    return _sender(file.sender, None, from_, connectors.options["sender",], accounts)


def _rep_senders(
    file: File,
    connectors: ConnectorTables,
    reps: Mapping[str | None, model.RepSettings],
    accounts: Sequence[model.AccountSettings],
) -> tuple[model.SenderSettings, ...]:
    found = []
    for number, sender in enumerate(file.senders):
        rep = reps[canonical(sender.rep)]
        own = Address(rep.email, rep.name)
        from_ = parse_addresses(sender.from_)[0] if sender.from_ else own
        options = connectors.options["senders", number]
        found.append(_sender(sender, rep, from_, options, accounts))
    return tuple(found)


def _sender(
    sender: tables.Outgoing,
    whose: model.RepSettings | None,
    from_: Address,
    options: BaseModel,
    accounts: Sequence[model.AccountSettings],
) -> model.SenderSettings:
    """A sender; what is the same for all protocols is read from options of the usual names."""
    rep = whose.email if whose else None
    name, formerly = _sender_names(sender, whose, accounts)
    wanted = sender.sent_copy is True
    filing = filing_of(sender.filing, rep, accounts, wanted=wanted)
    by_itself = sender.sent_copy == "auto" and not getattr(options, "files_sent", False)
    place = (str(getattr(options, key, "")).lower() for key in ("host", "username"))
    return model.SenderSettings(
        name=name,
        rep=rep,
        connector=sender.connector,
        from_=from_,
        options=options,
        account="/".join((sender.connector, *place)) if getattr(options, "username", "") else name,
        filing=filing,
        keeps_copy=filing is not None and (wanted or by_itself),
        per_minute=getattr(options, "per_minute", model.PER_MINUTE),
        per_day=getattr(options, "per_day", model.PER_DAY),
        formerly=formerly,
    )


def _sender_names(
    sender: tables.Outgoing,
    rep: model.RepSettings | None,
    accounts: Sequence[model.AccountSettings],
) -> tuple[str, tuple[str, ...]]:
    """Its name, never an account's, which signs in with other permissions; and those it had."""
    names = _names(sender, rep, "sender")
    name, taken = names[0], {account.name.lower() for account in accounts}
    while name.lower() in taken:
        name += "/sender"
    earlier = dict.fromkeys((*names, *_names(sender, rep, sender.connector)))
    return name, tuple(other for other in earlier if other != name)


def _sending(sending: tables.Sending) -> model.SendingSettings:
    return model.SendingSettings(
        customers=sending.customers,
        reps=sending.reps,
        digest_at=time.fromisoformat(sending.digest_at),
    )


def _greeting(greeting: tables.Greeting, sending: tables.Sending) -> model.GreetingSettings:
    """What holds for an occasion: "off" in [sending] wins over everything."""
    wanted = "off" if sending.customers == "off" else greeting.customers or sending.customers
    return model.GreetingSettings(
        occasion=greeting.occasion,
        send_at=time.fromisoformat(greeting.send_at),
        customers=wanted,
    )
