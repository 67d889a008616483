"""Progress of long work: bars on standard error, and only when a terminal watches."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def progress_bars() -> Iterator[Callable[[str, str, int, int | None], None]]:
    """Gives a function that is told (account, stage, done, total)."""
    if not sys.stderr.isatty():
        yield lambda *_: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
    from rich.table import Column

    # Long names leave room for the bar.
    name = Column(max_width=36, no_wrap=True, overflow="ellipsis")
    columns: list[Any] = [
        TextColumn("{task.fields[account]}", table_column=name),
        TextColumn("{task.description}", style="dim"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    ]
    with Progress(*columns, console=Console(stderr=True), transient=True) as bars:
        tasks: dict[tuple[str, str], Any] = {}

        def update(account: str, stage: str, done: int, total: int | None) -> None:
            task = tasks.get((account, stage))
            if task is None:
                task = tasks[account, stage] = bars.add_task(stage, account=account, total=total)
            bars.update(task, completed=done, total=total)

        yield update
