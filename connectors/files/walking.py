"""The folders below a path, without following links and without end."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final

DEEPEST: Final = 20
MOST: Final = 20_000

Step = tuple[Path, tuple[str, ...], list[str], list[os.DirEntry[str]]]
"""A folder, the names that lead to it, the names of the folders and the ordinary files in it."""


def walk(top: Path, not_into: frozenset[str] = frozenset()) -> Iterator[Step]:
    """Every folder from `top` down, sorted, parents first; not those called as in `not_into`.

    At most 20 deep and 20,000 in all. A folder below `top` that can't be read is passed over; for
    `top` itself OSError is raised.
    """
    waiting: list[tuple[str, ...]] = [()]
    for _ in range(MOST):
        if not waiting:
            return
        parts = waiting.pop()
        place = top.joinpath(*parts)
        try:
            with os.scandir(place) as found:
                entries = sorted(found, key=lambda entry: entry.name)
        except OSError:
            if not parts:
                raise
            continue
        directories = [e.name for e in entries if e.is_dir(follow_symlinks=False)]
        yield place, parts, directories, [e for e in entries if e.is_file(follow_symlinks=False)]
        if len(parts) < DEEPEST:
            below = [name for name in directories if name not in not_into]
            waiting.extend((*parts, name) for name in reversed(below))
