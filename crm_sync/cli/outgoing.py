"""Commands about what goes out: due, reminders, outbox."""

from typing import Annotated, Any

import typer

from crm_sync.cli.common import (
    Config,
    Json,
    Number,
    local,
    opened,
    print_lines,
    print_table,
    remember,
)
from crm_sync.core.errors import UsageError


def register(app: typer.Typer) -> None:
    """Adds the commands."""
    app.command()(due)
    group = typer.Typer(invoke_without_command=True)
    group.callback()(reminders)
    group.command("done")(done)
    group.command("snooze")(snooze)
    app.add_typer(group, name="reminders")
    group = typer.Typer(invoke_without_command=True)
    group.callback()(outbox)
    group.command("approve")(approve)
    group.command("retry")(retry)
    group.command("cancel")(cancel)
    app.add_typer(group, name="outbox")


_MOST_YEARS = 100


def due(
    on: Annotated[
        str | None, typer.Option("--on", metavar="DATE", help="A date; today by default.")
    ] = None,
    config: Config = None,
    as_json: Json = False,
) -> None:
    """What would be sent, to whom and why, with nothing sent.

    Example: crm-sync due --on 2026-12-24
    """
    from datetime import date

    from crm_sync.flow.plan import due as planned

    with opened(config) as app:
        try:
            today = app.clock.now().astimezone(app.settings.team.timezone).date()
            day = date.fromisoformat(on) if on else today
        except ValueError:
            raise UsageError(f"{on!r} is no date", advice="Write it like 2026-12-24.") from None
        if abs(day.year - today.year) > _MOST_YEARS:
            raise UsageError(f"{on!r} is too far away", advice="Ask for a day of this century.")
        if app.post is None:
            raise UsageError("there is no [sender], so nothing is ever sent", advice="Add one.")
        _print_mails(app, planned(app.setup, app.post, day), as_json, "Nothing is due that day.")


def _print_mails(app: Any, mails: list[dict[str, Any]], as_json: bool, empty: str) -> None:
    if as_json:
        print_lines(mails)
        return
    rows = [
        (
            mail["id"],
            mail["state"].replace("_", " ") + (", bounced" if mail.get("bounced") else ""),
            mail["kind"],
            mail["to"],
            mail["subject"],
            local(app, mail["due_at"]),
            mail.get("error") or mail["reason"],
        )
        for mail in mails
    ]
    print_table(("id", "state", "kind", "to", "subject", "due", "why"), rows, empty)


def reminders(ctx: typer.Context, config: Config = None, as_json: Json = False) -> None:
    """The open follow-ups, oldest first.

    Example: crm-sync reminders
    """
    if ctx.invoked_subcommand is not None:
        remember(config)
        return
    from crm_sync.store.reminders import listing

    with opened(config) as app, app.store.read() as tx:
        found = listing(tx, rep_today=app.setup.rep)
        if as_json:
            print_lines(found)
            return
        rows = [
            (
                r["id"],
                r["customer"],
                r["contact"],
                r["rep"],
                r["subject"],
                local(app, r["since"]),
                local(app, r["due_at"]),
                r["state"],
            )
            for r in found
        ]
        columns = ("id", "customer", "contact", "rep", "subject", "since", "due", "state")
        print_table(columns, rows, "Nobody waits for an answer.")


def done(number: Number, config: Config = None) -> None:
    """Mark a follow-up as dealt with.

    Example: crm-sync reminders done 7
    """
    from crm_sync.store.reminders import mark_done

    with opened(config) as app, app.store.write() as tx:
        mark_done(tx, number)
    typer.echo(f"Reminder {number} is done.")


def snooze(
    number: Number,
    length: Annotated[str, typer.Argument(metavar="3d")],
    config: Config = None,
) -> None:
    """Put a follow-up off for a while.

    Example: crm-sync reminders snooze 7 3d
    """
    from crm_sync.core.durations import parse_duration
    from crm_sync.store import reminders as store
    from crm_sync.store.engine import text_time

    try:
        duration = parse_duration(length)
    except ValueError as error:
        raise UsageError(str(error)) from None
    with opened(config) as app:
        now = app.clock.now()
        with app.store.write() as tx:
            reps = [r.rep for r in store.open_ones(tx) if r.id == number]
            rep = app.setup.rep(reps[0]) if reps else ""
            until = app.setup.working_time(rep).after(now, duration)
            if duration.delta is not None:
                until = now + duration.delta
            store.snooze(tx, number, until)
        typer.echo(f"Reminder {number} sleeps until {local(app, text_time(until))}.")


def outbox(ctx: typer.Context, config: Config = None, as_json: Json = False) -> None:
    """What was sent, waits, failed or is in doubt, newest first.

    Example: crm-sync outbox
    """
    if ctx.invoked_subcommand is not None:
        remember(config)
        return
    from crm_sync.store.notices import attach_bounces
    from crm_sync.store.outbox import listing

    with opened(config) as app, app.store.read() as tx:
        mails = listing(tx)
        attach_bounces(tx, mails)
        _print_mails(app, mails, as_json, "The outbox is empty.")


def approve(number: Number, config: Config = None) -> None:
    """Let a waiting greeting go.

    Example: crm-sync outbox approve 12
    """
    from crm_sync.flow.dispatch import approve as approved

    with opened(config) as app:
        row = approved(app.setup, number)
    typer.echo(f"Mail {number} to {row.recipient} goes out with the next turn.")


def retry(number: Number, config: Config = None) -> None:
    """Send a failed or doubtful mail again, under the same Message-ID.

    Example: crm-sync outbox retry 12
    """
    from crm_sync.flow.dispatch import retry as retried

    with opened(config) as app:
        row = retried(app.setup, number)
    typer.echo(f"Mail {number} to {row.recipient} is tried again with the next turn.")


def cancel(number: Number, config: Config = None) -> None:
    """Take back a mail that has not left.

    Example: crm-sync outbox cancel 12
    """
    from crm_sync.flow.dispatch import cancel as cancelled

    with opened(config) as app:
        row = cancelled(app.setup, number)
    typer.echo(f"Mail {number} to {row.recipient} will not be sent.")
