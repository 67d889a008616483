"""What commands share: options, opening the program, and the two ways of printing."""

import json
import os
import re
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from crm_sync.app import App
    from crm_sync.settings import Settings

Config = Annotated[
    Path | None,
    typer.Option("--config", metavar="PATH", help="The configuration file.", show_default=False),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON for machines.")]


def _number(text: str) -> int:
    """An id as the tables show it. Raises typer.BadParameter."""
    # Longer ones fit in no column of SQLite, or are no numbers to Python.
    if not re.fullmatch("[0-9]{1,18}", text) or int(text) == 0:
        raise typer.BadParameter(f"{text!r} is no id, write a number such as 17")
    return int(text)


Number = Annotated[int, typer.Argument(metavar="ID", parser=_number, show_default=False)]


def settings_of(config: Path | None) -> "Settings":
    """The configuration that a command uses."""
    from crm_sync.app import read_settings

    return read_settings(config)


def remember(config: Path | None) -> None:
    """Lets `crm-sync --config PATH COMMAND` mean the same as `crm-sync COMMAND --config PATH`."""
    if config is not None:
        os.environ["CRM_SYNC_CONFIG"] = str(config)


@contextmanager
def opened(config: Path | None, *, pulls: bool = False) -> Iterator["App"]:
    """The program with its diary open, closed again afterwards; `pulls` as for `App`."""
    from crm_sync.app import App
    from crm_sync.runtime import logs

    logs.configure(quiet=True)
    app = App(settings_of(config), pulls=pulls)
    try:
        yield app
    finally:
        app.close()


def print_object(entry: object) -> None:
    """One JSON object on standard output."""
    print_lines((entry,))


def print_lines(entries: Iterable[object]) -> None:
    """JSON Lines on standard output."""
    is_utf8 = (sys.stdout.encoding or "").lower() in ("utf-8", "utf8")
    for entry in entries:
        sys.stdout.write(json.dumps(entry, ensure_ascii=not is_utf8, default=str) + "\n")
    sys.stdout.flush()


_WIDEST_WORD = 24
_GAP = 2
# A day with its time is one word.
_WORD = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d|\S+|^$")


def print_table(columns: Sequence[str], rows: Iterable[Sequence[Any]], empty: str) -> None:
    """A table for people, or the sentence `empty` when there is nothing to show."""
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    cells = [[shown(cell) for cell in row] for row in rows]
    if not cells:
        typer.echo(empty)
        return
    console = Console(soft_wrap=False)
    if not console.is_terminal:
        console = Console(width=160)
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False, padding=(0, 1, 0, 0))
    texts = list(zip(columns, *cells, strict=True))
    for column, width in zip(columns, _widths(texts, console.width), strict=True):
        table.add_column(column, overflow="fold", width=width)
    for row in cells:
        table.add_row(*(Text(text) for text in row))
    console.print(table)


def _widths(columns: Sequence[Sequence[str]], room: int) -> list[int]:
    """How wide each column becomes, where `room` is for all of them with the gaps between.

    All as wide as they need, where that fits; else words stay whole where they can, and the widest
    column gives most. Nothing is ever cut off, as a table wider than the terminal would be.
    """
    from rich.cells import cell_len

    room -= _GAP * (len(columns) - 1)
    needed = [max(map(cell_len, texts)) for texts in columns]
    words = [max(cell_len(w) for text in texts for w in _WORD.findall(text)) for texts in columns]
    widest = _WIDEST_WORD
    while widest > 1 and sum(min(word, widest) for word in words) > room:
        widest -= 1
    widths = [min(word, widest) for word in words]
    for _ in range(min(room, sum(needed)) - sum(widths)):
        lacking = [need - width for need, width in zip(needed, widths, strict=True)]
        widths[lacking.index(max(lacking))] += 1
    return widths


def shown(value: Any) -> str:
    """A value as a person reads it; control characters of strangers never reach the terminal."""
    if value is None or value == "":
        return "-"
    if isinstance(value, list):
        return ", ".join(shown(entry) for entry in value)
    if isinstance(value, dict):
        return str(value.get("name", value))
    text = str(value)
    return "".join(c if c.isprintable() or c == "\u200c" else " " for c in text)


def local(app: "App", text: str | None) -> str:
    """A time of the diary in the team's zone, to the minute."""
    from datetime import datetime

    if not text:
        return "-"
    moment = datetime.fromisoformat(text).astimezone(app.settings.team.timezone)
    return f"{moment:%Y-%m-%d %H:%M}"


def say(sentence: str) -> None:
    """A sentence for a person, beside the output."""
    typer.echo(sentence, err=True)
