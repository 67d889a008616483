"""Commands that do work: import, sync, run, db upgrade, demo."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from crm_sync.cli.common import Config, Json, opened, print_object, print_table, say, shown
from crm_sync.cli.progress import progress_bars
from crm_sync.core.errors import UsageError

if TYPE_CHECKING:
    from crm_sync.flow.dispatch import Dispatched
    from crm_sync.flow.health import Pulled


def register(app: typer.Typer) -> None:
    """Adds the commands."""
    app.command("import")(import_)
    app.command()(sync)
    app.command()(run)
    app.command()(demo)
    group = typer.Typer(help="The database.\n\nExample: crm-sync db upgrade", no_args_is_help=True)
    group.command("upgrade")(upgrade)
    app.add_typer(group, name="db")


def import_(
    file: Annotated[Path, typer.Argument(metavar="FILE")],
    config: Config = None,
    as_json: Json = False,
) -> None:
    """Take in customers from a .csv or .vcf file; twice changes nothing.

    Example: crm-sync import customers.csv
    """
    from crm_sync.core.customer_files import parse_customers
    from crm_sync.flow.intake import take_in

    try:
        data = file.read_bytes()
    except OSError as error:
        raise UsageError(f"{file} can't be read: {error.strerror}") from None
    if file.suffix.lower() not in (".csv", ".vcf"):
        raise UsageError(f"{file} is neither .csv nor .vcf", advice="Save it as one of these.")
    customers = parse_customers(data, ".vcf" if file.suffix.lower() == ".vcf" else ".csv")
    with opened(config) as app:
        result = take_in(app.setup, customers)
    for warning in result["warnings"]:
        say(f"warning: {shown(warning)}")
    if as_json:
        print_object(result)
        return
    typer.echo(
        f"{result['created']} created, {result['updated']} updated, "
        f"{result['unchanged']} unchanged, {len(result['rejected'])} rejected"
    )
    for entry in result["rejected"]:
        typer.echo(f"  line {entry['line']}: {shown(entry['reason'])}")
    if result["created"] or result["updated"]:
        typer.echo("Their past is queued; `crm-sync sync` fetches it.")


def sync(
    account: Annotated[
        list[str] | None, typer.Option("--account", metavar="NAME", help="Only this account.")
    ] = None,
    config: Config = None,
    as_json: Json = False,
) -> None:
    """Pull mailboxes and calendars once.

    Example: crm-sync sync --account karin@acme.example/imap
    """
    with opened(config, pulls=True) as app, progress_bars() as progress:
        pulled = app.pull(account or [], progress)
    _report(pulled, as_json=as_json)


def run(
    once: Annotated[
        bool, typer.Option("--once", help="One whole turn instead: pull, plan, dispatch.")
    ] = False,
    config: Config = None,
    as_json: Json = False,
) -> None:
    """Run the daemon until SIGTERM, or one whole turn.

    Example: crm-sync run --once
    """
    if once:
        with opened(config, pulls=True) as app, progress_bars() as progress:
            pulled, done = app.turn(progress)
        _report(pulled, as_json=as_json, done=done)
        return
    from crm_sync.app import App, read_settings
    from crm_sync.runtime import logs

    logs.configure()
    app = App(read_settings(config), pulls=True)
    try:
        app.run()
    finally:
        app.close()


def _report(pulled: "list[Pulled]", *, as_json: bool, done: "Dispatched | None" = None) -> None:
    counted = ("seen", "logged", "unmatched", "ignored", "errors", "found")
    names = ("name", "connector", *counted, "seconds", "error")
    if as_json:
        result: dict[str, Any] = {
            "accounts": [{name: getattr(one, name) for name in names} for one in pulled]
        }
        if done is not None:
            result["sent"], result["in_doubt"] = done.sent, done.in_doubt
            result["drafted"] = done.drafted
        print_object(result)
    else:
        rows = [[one.name, *(getattr(one, name) for name in counted)] for one in pulled]
        print_table(("account", *counted), rows, "No account is configured.")
        if done is not None and (done.sent or done.in_doubt):
            typer.echo(f"Mails sent: {done.sent}, in doubt: {done.in_doubt}")
        if done is not None and done.drafted:
            typer.echo(f"Drafts made: {done.drafted}")
    failed = [one for one in pulled if one.error and not one.skipped]
    for one in pulled:
        if one.error:
            say(shown(one.error) if one.skipped else f"{one.name}: {shown(one.error)}")
    if done is not None and done.busy:
        say("another process is sending; the outbox is left to it")
    for error in done.errors if done is not None else ():
        say(shown(error.sentence()))
    if failed or (done is not None and done.error is not None):
        raise typer.Exit(1)


def upgrade(config: Config = None) -> None:
    """Bring the database's schema up to date; `run` does it too.

    Example: crm-sync db upgrade
    """
    from crm_sync.store.migrate import schema_version

    with opened(config) as app, app.store.read() as tx:
        typer.echo(f"{app.store.path} has schema {schema_version(tx)}, which is the newest.")


def demo(
    directory: Annotated[
        Path, typer.Option("--dir", metavar="DIR", help="Where the demo keeps its files.")
    ] = Path("demo-crm-sync"),
    keep: Annotated[
        bool, typer.Option("--keep", help="Leave the servers up to play with, until Ctrl-C.")
    ] = False,
) -> None:
    """Show the whole thing on a machine that has nothing.

    Example: crm-sync demo --keep
    """
    try:
        from crm_sync.demo.run import run_demo
    except ImportError as error:
        raise UsageError(
            f"the demo needs a package that is missing ({error.name})",
            advice='Install it with: pip install "crm-sync[demo]"',
        ) from None
    raise typer.Exit(run_demo(directory, keep=keep))
