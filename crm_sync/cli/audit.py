"""The command that compares servers and diary: audit."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from crm_sync.cli.common import (
    Config,
    Json,
    local,
    opened,
    print_object,
    print_table,
    say,
    shown,
)
from crm_sync.cli.progress import progress_bars

if TYPE_CHECKING:
    from crm_sync.app import AccountProgress, App
    from crm_sync.flow.audit import Audited, StreamAudit
    from crm_sync.settings import AccountSettings
    from crm_sync.store.accounts import Account

_MOST_SHOWN = 20


def register(app: typer.Typer) -> None:
    """Adds the command."""
    app.command()(audit)


def audit(
    account: Annotated[
        list[str] | None, typer.Option("--account", metavar="NAME", help="Only this account.")
    ] = None,
    heal: Annotated[
        bool, typer.Option("--heal", help="Bring what is missing, each message once.")
    ] = False,
    config: Config = None,
    as_json: Json = False,
) -> None:
    """Compare what the servers hold with what was seen; exit status 1 when something is missing.

    What came since the last pull is new, not missing: the next one brings it.

    Example: crm-sync audit --heal
    """
    with opened(config) as app:
        with progress_bars() as progress:
            audited = [
                _audit_one(app, settings, row, progress, heal=heal)
                for settings, row in app.declared(account or [])
            ]
        if as_json:
            print_object({"accounts": [_as_json(one) for one in audited]})
        else:
            _show(app, audited)
    _conclude(audited, heal=heal)


def _audit_one(
    app: "App",
    settings: "AccountSettings",
    row: "Account",
    progress: "AccountProgress",
    *,
    heal: bool,
) -> "Audited":
    """One account, unless somebody else is pulling it."""
    from crm_sync.flow.audit import Audited, audit_account

    if not app.store.lock_account(row.id):
        sentence = "it is being pulled by another process and left alone"
        return Audited(row.name, row.connector, error=sentence, skipped=True)
    try:
        return audit_account(
            app.setup,
            row,
            app.connectors.open_source(settings),
            heal=heal,
            reach=settings.reach,
            progress=lambda *what: progress(row.name, *what),
        )
    finally:
        app.store.unlock_account(row.id)


def _as_json(audited: "Audited") -> dict[str, Any]:
    return {
        "name": audited.name,
        "connector": audited.connector,
        "streams": [_stream_as_json(stream) for stream in audited.streams],
        "error": audited.error,
    }


def _stream_as_json(stream: "StreamAudit") -> dict[str, Any]:
    from crm_sync.store.engine import text_time

    counts = ("name", "held", "seen", "new", "missing", "healed", "kept")
    return {
        **{name: getattr(stream, name) for name in counts},
        "complete_until": text_time(stream.complete_until),
        "gaps": [
            {
                "where": gap.where,
                "arrived_at": text_time(gap.arrived_at),
                "reason": gap.reason,
                "healed": gap.healed,
            }
            for gap in stream.gaps
        ],
        "error": stream.error,
    }


def _show(app: "App", audited: "list[Audited]") -> None:
    from crm_sync.store.engine import text_time

    rows = [
        (one.name, s.name, s.held, s.seen, s.new, s.missing, s.healed, until)
        for one in audited
        for s in one.streams
        for until in (local(app, text_time(s.complete_until)),)
    ]
    columns = ("account", "folder", "held", "seen", "new", "missing", "healed", "complete up to")
    print_table(columns, rows, "Nothing was compared.")
    new = sum(s.new - s.brought for one in audited for s in one.streams)
    if new:
        them = "them" if new > 1 else "it"
        typer.echo(f"{_items(new)} new since the last pull; the next one brings {them}.")
    gaps = [gap for one in audited for s in one.streams for gap in s.gaps if not gap.healed]
    for gap in gaps[:_MOST_SHOWN]:
        arrived = f", arrived {local(app, text_time(gap.arrived_at))}" if gap.arrived_at else ""
        typer.echo(f"missing: {shown(gap.where)}{arrived}: {shown(gap.reason)}")
    if len(gaps) > _MOST_SHOWN:
        typer.echo(f"… and {len(gaps) - _MOST_SHOWN} more; --json lists them.")


def _conclude(audited: "list[Audited]", *, heal: bool) -> None:
    """What is wrong in one line each, and the exit status."""
    for one in audited:
        if one.trouble:
            say(f"{one.name}: {shown(one.trouble)}")
    missing = sum(one.open for one in audited)
    if missing:
        advice = (
            "the server does not hand them out now, try again later"
            if heal
            else "`crm-sync audit --heal` brings them"
        )
        say(f"{_items(missing)} missing; {advice}")
    if missing or any(one.trouble and not one.skipped for one in audited):
        raise typer.Exit(1)


def _items(number: int) -> str:
    return f"{number} item{'s are' if number > 1 else ' is'}"
