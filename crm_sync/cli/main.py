"""The command line: which commands there are, and how an error becomes a sentence and a status."""

import io
import sys
from collections.abc import Sequence
from pathlib import Path
from traceback import extract_tb
from typing import Annotated

import typer

from crm_sync import __version__
from crm_sync.cli import audit, configuration, diary, login, outgoing, show, work
from crm_sync.cli.common import Config, remember
from crm_sync.core.errors import ConfigError, CrmSyncError, UsageError

app = typer.Typer(
    name="crm-sync",
    help="Keeps a team's customer diary from its mailboxes and calendars, and sends greetings and "
    "reminders on time.\n\nExample: crm-sync init, then crm-sync check",
    no_args_is_help=True,
    add_completion=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for commands in (configuration, login, work, audit, diary, show, outgoing):
    commands.register(app)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"crm-sync {__version__}")
        raise typer.Exit


@app.callback()
def _top(
    config: Config = None,
    version: Annotated[  # noqa: ARG001  # its callback did all there is to do
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """What is said before the command holds for the command."""
    remember(config)


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs one command. Exit status 0 done, 1 something failed, 2 wrong usage or configuration."""
    _escape_what_the_terminal_does_not_know()
    try:
        sys.exit(app(args=arguments, prog_name="crm-sync", standalone_mode=False))
    except typer.TyperException as error:
        _say_usage(error)
        sys.exit(error.exit_code)
    except ConfigError as error:
        for problem in error.problems:
            _say(problem.sentence())
        sys.exit(2)
    except UsageError as error:
        _say(error.sentence())
        sys.exit(2)
    except CrmSyncError as error:
        _say(error.sentence())
        sys.exit(1)
    except (KeyboardInterrupt, typer.Abort):
        sys.exit(130)
    except Exception as error:  # noqa: BLE001  # the last place: a fault of ours, told in one line
        _say(_fault(error))
        sys.exit(1)


def _escape_what_the_terminal_does_not_know() -> None:
    """A Persian name on an ASCII terminal is shown escaped instead of ending the command."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def _say_usage(error: typer.TyperException) -> None:
    """A slip at the keyboard, in one line; the help itself where no command was named."""
    message, context = error.format_message(), getattr(error, "ctx", None)
    if "\n" in message:
        typer.echo(message, err=True)
        return
    command = context.command_path if context else "crm-sync"
    end = "" if message.endswith(("?", ".")) else "."
    _say(f"{message[:1].lower()}{message[1:]}{end} See: {command} --help")


def _fault(error: Exception) -> str:
    """What nobody foresaw, as a line that helps: what the system said, or kind and place of a bug.

    It never holds values: they may be words of a mail.
    """
    frames = extract_tb(error.__traceback__)
    frame = next((f for f in reversed(frames) if "crm_sync" in f.filename), frames[-1])
    place = f"{Path(frame.filename).name}:{frame.lineno}"
    if isinstance(error, OSError) and error.strerror:
        return f"the system refused something: {error.strerror} ({place})"
    return (
        f"something went wrong inside crm-sync ({type(error).__name__} at {place}). "
        "Nothing was lost; please report this line."
    )


def _say(sentence: str) -> None:
    typer.echo(f"crm-sync: {sentence}", err=True)
