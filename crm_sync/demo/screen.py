"""How the demo talks: headings, commands, tables, mails; plain text where there is no terminal."""

import shlex
from collections.abc import Iterable, Sequence
from email.message import EmailMessage

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from crm_sync.core.clean import clean, clean_text

_PLAIN_WIDTH = 120
_LONGEST_MAIL = 10_000


class Screen:
    """Prints on a console of rich; text that comes in is never markup nor rules the terminal."""

    def __init__(self, console: Console | None = None) -> None:
        self._console = console or Console(highlight=False)
        self._is_plain = not self._console.is_terminal
        if self._is_plain:
            self._console.width = _PLAIN_WIDTH

    def heading(self, text: str) -> None:
        """What comes next."""
        self._console.print(f"\n[bold]{escape(text)}[/bold]")

    def say(self, text: str) -> None:
        """A sentence."""
        self._console.print(Text(text))

    def command(self, words: Sequence[str]) -> None:
        """A command that is about to run, as a person would type it."""
        self._console.print(
            f"  [cyan]$ crm-sync {escape(shlex.join(words))}[/cyan]", soft_wrap=True
        )

    def table(
        self, columns: Sequence[str], rows: Iterable[Sequence[str]], cut: Sequence[str] = ()
    ) -> None:
        """Rows under their headings, a line each; columns in `cut` give way on a narrow screen."""
        table = Table(box=None if self._is_plain else box.SIMPLE_HEAD)
        for column in columns:
            table.add_column(column, no_wrap=column not in cut)
        for row in rows:
            table.add_row(*(Text(clean(c), no_wrap=True, overflow="ellipsis") for c in row))
        self._console.print(table)

    def mail(self, message: EmailMessage) -> None:
        """A mail as its reader sees it: the main fields and the plain text."""
        fields = "\n".join(f"{name}: {message[name]}" for name in ("From", "To", "Subject"))
        body = message.get_body(("plain",))
        content = body.get_content().strip() if body else ""
        text = Text(clean_text(f"{fields}\n\n{content}", _LONGEST_MAIL))
        self._console.print(text if self._is_plain else Panel(text, box=box.ROUNDED, width=90))
