"""Commands that read the diary: status, customers, timeline, interactions, explain, quarantine."""

from typing import Annotated, Any

import typer

from crm_sync.cli.common import (
    Config,
    Json,
    Number,
    local,
    opened,
    print_lines,
    print_object,
    print_table,
    remember,
    say,
    shown,
)
from crm_sync.core.errors import UsageError

Query = Annotated[str | None, typer.Argument(metavar="[QUERY]", show_default=False)]


def register(app: typer.Typer) -> None:
    """Adds the commands."""
    app.command()(status)
    app.command()(customers)
    app.command()(timeline)
    app.command()(interactions)
    app.command()(explain)
    group = typer.Typer(invoke_without_command=True)
    group.callback()(quarantine)
    group.command("retry")(retry)
    group.command("drop")(drop)
    app.add_typer(group, name="quarantine")


def status(config: Config = None, as_json: Json = False) -> None:
    """Health of every account; exit status 1 when one is not well.

    Example: crm-sync status
    """
    from crm_sync.flow.status import status as report_on

    with opened(config) as app:
        report = report_on(app.setup, [account.name for account in app.settings.accounts])
        if as_json:
            print_object(report)
        else:
            rows = [
                (
                    a["name"],
                    a["state"],
                    local(app, a["complete_until"]),
                    local(app, a["failing_since"]),
                    a["messages"] or a["events"],
                )
                for a in report["accounts"]
            ]
            columns = ("account", "state", "complete up to", "failing since", "items")
            print_table(columns, rows, "No account is configured.")
            for account in report["accounts"]:
                if account["problem"]:
                    typer.echo(f"{account['name']}: {shown(account['problem'])}")
            waiting = ", ".join(f"{n} {s.replace('_', ' ')}" for s, n in report["outbox"].items())
            typer.echo(f"Outbox: {waiting or 'empty'}. Schema {report['schema']}.")
    if not report["healthy"]:
        unwell = [a["name"] for a in report["accounts"] if a["problem"]]
        say(f"not healthy: {shown(unwell)}" if unwell else "not healthy")
        raise typer.Exit(1)


def customers(query: Query = None, config: Config = None, as_json: Json = False) -> None:
    """Who our customers are.

    Example: crm-sync customers nordvik
    """
    from crm_sync.store import notices
    from crm_sync.store.customers import listing

    with opened(config) as app, app.store.read() as tx:
        found = listing(tx, query, rep_today=app.setup.rep)
        notices.attach(tx, found)
        if as_json:
            print_lines(found)
            return
        rows = [
            (
                c["id"],
                c["name"],
                c["owner"],
                [p["name"] or p["emails"] for p in c["contacts"]],
                local(app, c["last_interaction"]),
            )
            for c in found
        ]
        columns = ("id", "customer", "owner", "contacts", "last interaction")
        print_table(columns, rows, "There are no customers yet: crm-sync import customers.csv")
        people = [person for customer in found for person in customer["contacts"]]
        _print_addresses(app, [event for p in people for event in p["address_events"]])


def _print_addresses(app: Any, events: list[dict[str, Any]]) -> None:
    """A line for each address about which a writer should know something, from newest to oldest."""
    today = app.clock.now().astimezone(app.settings.team.timezone).date()
    said = set()
    for event in events:
        sentence = _about_address(event, today)
        if sentence and (event["address"], event["kind"]) not in said:
            said.add((event["address"], event["kind"]))
            typer.echo(shown(sentence))


_RECENT_DAYS = 30


def _about_address(event: dict[str, Any], today: Any) -> str:
    """What an event about an address means today, "" when nothing any more."""
    from datetime import date

    address, on = event["address"], event["at"][:10]
    is_recent = (today - date.fromisoformat(on)).days <= _RECENT_DAYS
    if event["kind"] == "complaint":
        return f"{address} complained about mail from us on {on}"
    if event["kind"] != "absence":
        code = f" ({event['status']})" if event["status"] else ""
        lasting = "" if event["kind"] == "hard_bounce" else ", perhaps for the moment only"
        return f"mail to {address} bounced on {on}{code}{lasting}" if is_recent else ""
    deputy = f"; {event['deputy']} answers instead" if event["deputy"] else ""
    if event["until"]:
        is_away = date.fromisoformat(event["until"]) > today
        return f"{address} is away until {event['until']}{deputy}" if is_away else ""
    return f"{address} was away on {on}{deputy}" if is_recent else ""


def timeline(
    customer: Annotated[str, typer.Argument(metavar="CUSTOMER")],
    config: Config = None,
    as_json: Json = False,
) -> None:
    """Everything with one customer, newest first.

    Example: crm-sync timeline "Nordvik AB"
    """
    from crm_sync.store import customers as store
    from crm_sync.store import diary, notices

    with opened(config) as app, app.store.read() as tx:
        customer_id = store.find(tx, customer)
        if not as_json:
            _print_addresses(app, notices.of_customer(tx, customer_id))
        found = diary.interactions(tx, customer_id=customer_id, rep_today=app.setup.rep)
        _print(app, found, as_json, "contacts")


def interactions(
    since: Annotated[
        str | None, typer.Option("--since", metavar="T", help="A date, a time, or e.g. 7d.")
    ] = None,
    customer: Annotated[str | None, typer.Option("--customer", metavar="C")] = None,
    rep: Annotated[str | None, typer.Option("--rep", metavar="R")] = None,
    config: Config = None,
    as_json: Json = False,
) -> None:
    """The log, newest first.

    Example: crm-sync interactions --since 7d --rep karin@acme.example
    """
    from crm_sync.core.addresses import canonical
    from crm_sync.store import customers as store
    from crm_sync.store import diary

    with opened(config) as app, app.store.read() as tx:
        customer_id = store.find(tx, customer) if customer else None
        address = app.setup.team.rep(canonical(rep) or rep) if rep else None
        if rep and address is None:
            raise UsageError(f"{rep} is not one of [[reps]]")
        start = _moment(app, since) if since else None
        found = diary.interactions(
            tx, since=start, customer_id=customer_id, rep=address, rep_today=app.setup.rep
        )
        _print(app, found, as_json, "customers")


def _moment(app: Any, text: str) -> str:
    """A point in time as the diary stores it, from a date, a time or a length of time ago."""
    from datetime import datetime

    from crm_sync.core.durations import parse_duration
    from crm_sync.store.engine import text_time

    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        try:
            ago = parse_duration(text).delta
        except ValueError:
            ago = None
        if ago is None:
            raise UsageError(
                f"{text!r} is no time", advice="Write 2026-03-04, 2026-03-04T09:00Z or 7d."
            ) from None
        moment = app.clock.now() - ago
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=app.settings.team.timezone)
    try:
        return text_time(moment) or ""
    except OverflowError:
        raise UsageError(f"{text!r} is too far away", advice="Give a time near ours.") from None


_SIGNS = {"inbound": "<-", "outbound": "->", None: "  "}


def _print(app: Any, found: list[dict[str, Any]], as_json: bool, people: str) -> None:
    """The interactions; `people` are those that the command isn't asked about: who with."""
    if as_json:
        print_lines(found)
        return
    rows = [
        (
            i["id"],
            local(app, i["occurred_at"]),
            f"{_SIGNS[i['direction']]} {i['kind']}" + (f" {i['status']}" if i["status"] else ""),
            i["subject"],
            i[people],
            [rep.partition("@")[0] for rep in i["reps"]],
        )
        for i in found
    ]
    columns = ("id", "when", "what", "subject", people, "reps")
    print_table(columns, rows, "Nothing is logged yet: crm-sync sync")


def explain(
    identifier: Annotated[str, typer.Argument(metavar="ID", help="A Message-ID or UID.")],
    config: Config = None,
    as_json: Json = False,
) -> None:
    """Why a message or meeting was logged, or was not, and to whom.

    Example: crm-sync explain "<a1@nordvik.example>"
    """
    from crm_sync.flow.explain import explain as explained

    with opened(config) as app:
        found = explained(app.setup, identifier)
    if as_json:
        print_object({"items": found})
        return
    for item in found:
        # "unknown" has no reason but itself.
        head = dict.fromkeys((item["outcome"], item["reason"].replace("_", " ")))
        typer.echo(": ".join(head))
        for step in item["steps"]:
            typer.echo(f"  {step}")


def quarantine(ctx: typer.Context, config: Config = None, as_json: Json = False) -> None:
    """What could not be read, and why.

    Example: crm-sync quarantine
    """
    if ctx.invoked_subcommand is not None:
        remember(config)
        return
    from crm_sync.store.diary import quarantined

    with opened(config) as app:
        with app.store.read() as tx:
            found = quarantined(tx)
        entries = [
            {
                "id": row["id"],
                "account": row["account"],
                "where": f"{row['stream']} {app.store.keys.unseal(row['sealed'])}",
                "reason": row["reason"],
                "tries": row["tries"],
                "since": row["since"],
            }
            for row in found
        ]
        if as_json:
            print_lines(entries)
            return
        columns = ("id", "account", "where", "reason", "tries", "since")
        rows = [
            [*(entry[column] for column in columns[:-1]), local(app, entry["since"])]
            for entry in entries
        ]
        print_table(columns, rows, "Nothing is in quarantine.")


def retry(number: Number, config: Config = None) -> None:
    """Try to read an item again at the next sync.

    Example: crm-sync quarantine retry 3
    """
    _decide(number, "retry", config)
    typer.echo(f"The next sync tries {number} again.")


def drop(number: Number, config: Config = None) -> None:
    """Give an item up; it is not tried again.

    Example: crm-sync quarantine drop 3
    """
    _decide(number, "dropped", config)
    typer.echo(f"{number} is dropped.")


def _decide(number: int, state: str, config: Config) -> None:
    from crm_sync.store.texts import decide

    with opened(config) as app, app.store.write() as tx:
        decide(tx, number, state)
