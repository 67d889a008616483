"""The command that signs people in: `login`."""

import os
import select
import sys
import threading
from typing import Annotated

import typer

from crm_sync.cli.common import Config, opened, say, shown

_STANDARD_INPUT = 0
_CHUNK = 4096


def register(app: typer.Typer) -> None:
    """Adds the command."""
    app.command()(login)


def login(
    account: Annotated[str, typer.Argument(metavar="ACCOUNT", show_default=False)],
    device: Annotated[
        bool,
        typer.Option("--device", help="Enter a code on another device, where that is offered."),
    ] = False,
    config: Config = None,
) -> None:
    """Sign in to an account or a sender through OAuth 2.0, in a browser here or elsewhere.

    A mailbox is named rep/connector, the sender of a rep rep/sender and that of the team
    team/sender, unless it has a name of its own in the configuration.

    Example: crm-sync login karin@acme.example/gmail
    """
    with opened(config) as app:
        app.connectors.login(account, Terminal(wants_code=device))
        typer.echo(f"Signed in to {shown(account)}.")
        for finding in app.connectors.probe(account):
            if not finding.ok:
                say(f"{finding.name}: {shown(finding.problem)}. {shown(finding.advice)}")
                raise typer.Exit(1)


class Terminal:
    """Standard input and output as a `crm_sync.ports.Prompt`.

    Lines are read from the descriptor itself: a buffered reader would hide the second of two.
    """

    def __init__(self, *, wants_code: bool) -> None:
        self._wants_code = wants_code
        self._never = threading.Event()
        self._rest = b""
        self._ended = False

    @property
    def wants_code(self) -> bool:
        """See `crm_sync.ports.Prompt.wants_code`."""
        return self._wants_code

    def show(self, text: str) -> None:
        """See `crm_sync.ports.Prompt.show`."""
        typer.echo(text)
        sys.stdout.flush()

    def line(self, seconds: float) -> str | None:
        """See `crm_sync.ports.Prompt.line`."""
        if self._ended:
            self._never.wait(seconds)
            return None
        if b"\n" not in self._rest:
            self._read(seconds)
        found, end, rest = self._rest.partition(b"\n")
        if not end and not self._ended:
            return None
        self._rest = rest
        return found.decode("utf-8", "replace").strip() or None

    def _read(self, seconds: float) -> None:
        try:
            ready, _, _ = select.select([_STANDARD_INPUT], [], [], seconds)
            data = os.read(_STANDARD_INPUT, _CHUNK) if ready else None
        except (OSError, ValueError):
            data = b""
        self._rest += data or b""
        self._ended = data == b""
