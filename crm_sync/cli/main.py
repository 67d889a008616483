"""The command line: which commands there are, and how an error becomes a sentence and a status."""

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from traceback import extract_tb
from typing import Annotated

import typer

from crm_sync import __version__
from crm_sync.cli import configuration, diary, outgoing, work
from crm_sync.cli.common import Config, remember
from crm_sync.core.errors import ConfigError, CrmSyncError, UsageError

app = typer.Typer(
    name="crm-sync",
    help="Keeps a team's customer diary from its mailboxes and calendars, and sends greetings and "
    "reminders on time.",
    no_args_is_help=True,
    add_completion=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for commands in (configuration, work, diary, outgoing):
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
    try:
        app(args=arguments, standalone_mode=True)
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
    except KeyboardInterrupt:
        sys.exit(130)
    except BrokenPipeError:
        # Whoever read our output has gone; Python must not complain while it closes it.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except Exception as error:  # noqa: BLE001  # the last place: a fault of ours, told in one line
        _say(_fault(error))
        sys.exit(1)


def _fault(error: Exception) -> str:
    """A bug, as a line that helps to report it: kind and place, never values."""
    frames = extract_tb(error.__traceback__)
    frame = next((f for f in reversed(frames) if "crm_sync" in f.filename), frames[-1])
    place = f"{Path(frame.filename).name}:{frame.lineno}"
    return (
        f"something went wrong inside crm-sync ({type(error).__name__} at {place}). "
        "Nothing was lost; please report this line."
    )


def _say(sentence: str) -> None:
    typer.echo(f"crm-sync: {sentence}", err=True)
