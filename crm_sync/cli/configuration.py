"""Commands about the configuration: init, check, config show, doctor."""

from collections import defaultdict
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from crm_sync.cli.common import Config, Json, print_lines, print_table, say, settings_of, shown
from crm_sync.core.errors import ConfigError, CrmSyncError, UsageError
from crm_sync.core.records import Finding

if TYPE_CHECKING:
    from crm_sync.app import App
    from crm_sync.ports import Place
    from crm_sync.settings import AccountSettings, SenderSettings, Settings


def register(app: typer.Typer) -> None:
    """Adds the commands."""
    app.command()(init)
    app.command()(check)
    app.command()(doctor)
    group = typer.Typer(
        help="The effective configuration.\n\nExample: crm-sync config show", no_args_is_help=True
    )
    group.command("show")(show)
    app.add_typer(group, name="config")


def init(
    directory: Annotated[Path, typer.Argument(metavar="[DIR]", show_default=False)] = Path(),
    config: Config = None,
) -> None:
    """Write a commented configuration, never over an existing one.

    Example: crm-sync init /etc/crm-sync
    """
    from crm_sync.runtime.resources import init_text

    path = config or directory / "crm-sync.toml"
    directory = path.parent
    if directory.suffix == ".toml" or (directory.exists() and not directory.is_dir()):
        raise UsageError(
            f"{directory} is no folder", advice="Name one; the file in it is called crm-sync.toml."
        )
    try:
        directory.mkdir(parents=True, exist_ok=True)
        with path.open("x", encoding="utf-8") as file:
            file.write(init_text())
    except FileExistsError:
        raise UsageError(
            f"{path} is there already", advice="It is left as it is; name another folder."
        ) from None
    except OSError as error:
        raise UsageError(f"{path} can't be written: {error.strerror}") from None
    typer.echo(
        f"Wrote {path}. Next:\n"
        f"  1. edit it: your team, its reps, mailboxes and calendars\n"
        f"  2. crm-sync check --config {path}\n"
        f"  3. crm-sync doctor --config {path}"
    )


def check(config: Config = None, as_json: Json = False) -> None:
    """Validate the configuration offline; all problems at once.

    Example: crm-sync check --config /etc/crm-sync/crm-sync.toml
    """
    from crm_sync.core.rendering import Renderer
    from crm_sync.runtime.plugins import installed
    from crm_sync.runtime.resources import templates
    from crm_sync.settings import warnings

    try:
        settings = settings_of(config)
        problems = list(Renderer(templates()).check())
        if problems:
            raise ConfigError(problems)
    except ConfigError as error:
        found = [Finding(p.key, False, _at(p.line, p.problem), p.advice) for p in error.problems]
        # A connector that can't be loaded looks to the configuration like one that isn't there.
        _print([*installed().findings, *found], as_json)
        raise typer.Exit(2) from None
    broken = installed().findings
    _print([Finding(str(settings.path), True), *broken, *warnings(settings)], as_json)
    if broken:
        raise typer.Exit(2)


def _at(line: int | None, problem: str) -> str:
    return f"line {line}: {problem}" if line else problem


def show(config: Config = None, as_json: Json = False) -> None:
    """Print the effective configuration, secrets masked, with the origin of each value.

    Example: crm-sync config show
    """
    from crm_sync.settings import effective

    entries = effective(settings_of(config))
    if as_json:
        print_lines(
            {"key": key, "value": value, "origin": origin} for key, value, origin in entries
        )
    else:
        print_table(("key", "value", "origin"), entries, "Nothing is configured.")


def doctor(config: Config = None, as_json: Json = False) -> None:
    """Try everything for real: clock, database, disk, each account's sign-in, the sender.

    Example: crm-sync doctor
    """
    from crm_sync.app import App, read_settings
    from crm_sync.runtime import logs
    from crm_sync.runtime.doctor import examine

    logs.configure(quiet=True)
    settings = read_settings(config)
    try:
        app = App(settings)
    except CrmSyncError as error:
        _print([Finding("database", False, error.what, error.advice)], as_json)
        raise typer.Exit(1) from None
    try:
        findings = list(examine_all(app, examine(app.store.path, app.clock)))
    finally:
        app.close()
    _print(findings, as_json)
    failed = [finding.name for finding in findings if not finding.ok]
    if failed:
        say(f"not well: {shown(failed)}")
        raise typer.Exit(1)


def examine_all(app: "App", findings: list[Finding]) -> list[Finding]:
    """The machine's findings, each account's and the sender's, and those about their domains."""
    from concurrent.futures import ThreadPoolExecutor

    from crm_sync.runtime import sending_domain
    from crm_sync.runtime.sending_domain import resolver

    places = _places(app.settings)
    probes: list[tuple[str, Callable[[], list[Finding]]]] = [
        (account.name, partial(_try_account, app, account, sorted(places[account.name])))
        for account in app.settings.accounts
    ]
    for sender in (app.settings.sender, *app.settings.senders):
        if sender is not None:
            whose = f" of {sender.rep}" if sender.rep else ""
            probes.append((f"sender{whose}", partial(_try_sender, app, sender)))
    with ThreadPoolExecutor(8) as pool:
        for name, found in pool.map(lambda p: (p[0], p[1]()), probes):
            findings += [
                Finding(f"{name}: {one.name}", one.ok, one.problem, one.advice) for one in found
            ]
        domains = _sending_domains(app)
        for found in pool.map(lambda d: sending_domain.examine(d[0], d[1], resolver()), domains):
            findings += found
    return findings


def _try_account(
    app: "App", account: "AccountSettings", places: "Sequence[Place]"
) -> list[Finding]:
    """What is found of an account and, when it is well, of its folders for mails of ours."""
    from crm_sync.runtime.doctor import examine_filing

    found = list(app.connectors.open_source(account).probe())
    if places and all(one.ok for one in found):
        # On a connection of its own: not where a password was refused a moment ago.
        found += examine_filing(app.connectors.open_filing(account), places)
    return found


def _try_sender(app: "App", sender: "SenderSettings") -> list[Finding]:
    return list(app.connectors.open_sender(sender).probe())


def _places(settings: "Settings") -> "defaultdict[str, set[Place]]":
    """The folders that are to keep mails of ours, by the name of the account they are in."""
    from crm_sync.settings import AccountSettings, drafts_of

    found: defaultdict[str, set[Place]] = defaultdict(set)
    for sender in (settings.sender, *settings.senders):
        if sender is not None and sender.filing is not None:
            found[sender.filing].add("sent")
    wishes = (settings.sending.customers, *(one.customers for one in settings.greetings))
    if settings.sender is not None and "draft" in wishes and settings.sending.customers != "off":
        for rep in settings.reps:
            place = drafts_of(settings, rep.email)
            if isinstance(place, AccountSettings):
                found[place.name].add("drafts")
    return found


def _sending_domains(app: "App") -> list[tuple[str, str]]:
    """Domains that mails leave from, each with the connector that hands them over."""
    senders = (s for s in (app.settings.sender, *app.settings.senders) if s is not None)
    return list({s.from_.address.rpartition("@")[2]: s.connector for s in senders}.items())


def _print(findings: list[Finding], as_json: bool) -> None:
    if as_json:
        print_lines(
            {"name": f.name, "ok": f.ok, "problem": f.problem or None, "advice": f.advice or None}
            for f in findings
        )
        return
    for finding in findings:
        mark = "ok" if finding.ok and not finding.problem else "note" if finding.ok else "WRONG"
        line = f"{mark:5} {shown(finding.name)}"
        if finding.problem:
            line += f": {shown(finding.problem)}."
        if finding.advice:
            line += f" {shown(finding.advice)}"
        typer.echo(line)
