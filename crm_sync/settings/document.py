"""The configuration file as text: read, parsed, and with the line of every key."""

import re
import stat
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from crm_sync.core.errors import ConfigError, Problem

KeyPath = tuple[str | int, ...]
"""Where a value stands: ("mailboxes", 0, "password"); places in lists count from 0."""

MAX_BYTES = 1_000_000

_PART = r"""(?:[A-Za-z0-9_-]+|"(?:\\.|[^"\\\n])*"|'[^'\n]*')"""
_KEY = rf"{_PART}(?:[ \t]*\.[ \t]*{_PART})*"
_HEADER = re.compile(rf"[ \t]*(?P<open>\[\[?)[ \t]*(?P<key>{_KEY})[ \t]*\]")
_ASSIGNMENT = re.compile(rf"[ \t]*(?P<key>{_KEY})[ \t]*=")
_TOKEN = re.compile(
    r'"""(?:\\.|[^\\])*?"{3,5}'
    r"|'''.*?'{3,5}"
    r'|"(?:\\.|[^"\\\n])*"'
    r"|'[^'\n]*'"
    r"|#[^\n]*"
    r"|[\[\]{}\n]"
    r"|[^\[\]{}\n\"'#]+",
    re.DOTALL,
)


@dataclass(frozen=True, slots=True)
class Document:
    """A parsed configuration file.

    `data` is what TOML says, `lines` the line of each table and key, `mode` the permission bits.
    """

    path: Path
    data: dict[str, Any]
    lines: Mapping[KeyPath, int]
    mode: int

    def line(self, path: KeyPath) -> int | None:
        """The line of the value at `path`, else of the nearest table around it, else None.

        Of a list of tables it is that of the first.
        """
        for place in ((*path, 0), *(path[:length] for length in range(len(path), 0, -1))):
            if place in self.lines:
                return self.lines[place]
        return None


def read(path: Path) -> Document:
    """The configuration at `path`; raises `ConfigError` when it can't be read or is not TOML."""
    try:
        with path.open("rb") as file:
            mode = stat.S_IMODE(path.stat().st_mode)
            content = file.read(MAX_BYTES + 1)
    except IsADirectoryError:
        raise _unusable(path, "is a folder", "Name the file in it, crm-sync.toml.") from None
    except FileNotFoundError:
        advice = "`crm-sync init` writes a commented one."
        raise _unusable(path, "there is no such file", advice) from None
    except OSError as error:
        raise _unusable(path, f"can't be read: {error.strerror}") from None
    if len(content) > MAX_BYTES:
        raise _unusable(path, "is larger than 1 MB", "Is it a configuration of crm-sync?")
    text = _decode(path, content)
    return Document(path, _parse(path, text), dict(_lines(text)), mode)


def value_at(data: Any, path: KeyPath) -> Any:
    """The value at `path` in parsed TOML; None when there is none."""
    for part in path:
        try:
            data = data[part]
        except (KeyError, IndexError, TypeError):
            return None
    return data


def _unusable(path: Path, problem: str, advice: str = "", line: int | None = None) -> ConfigError:
    return ConfigError([Problem(str(path), problem, advice, line)])


def _decode(path: Path, content: bytes) -> str:
    try:
        # a byte-order mark is no TOML, but editors write it
        return content.decode("utf-8-sig").replace("\r\n", "\n")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise _unusable(path, "is not UTF-8 text", "Save it as UTF-8.", line) from None


def _parse(path: Path, text: str) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        reason, _, place = str(error).rpartition(" (at ")
        at_line = re.match(r"line (\d+)", place)
        line = int(at_line[1]) if at_line else text.count("\n") + 1
        advice = 'Text and times of day stand in quotes, such as "08:00".'
        problem = f"is not valid TOML: {reason[:1].lower()}{reason[1:]}"
        raise _unusable(path, problem, advice, line) from None
    except RecursionError:
        raise _unusable(path, "is nested too deeply") from None


def _lines(text: str) -> Iterator[tuple[KeyPath, int]]:
    """The line of each table header and key of valid TOML; inline tables count as one value."""
    position, line = 0, 1
    table: KeyPath = ()
    lengths: dict[KeyPath, int] = {}  # how many tables each list of tables has so far
    while position < len(text):
        if header := _HEADER.match(text, position):
            locate = _new_element if header["open"] == "[[" else _inside_lists
            table = locate(_parts(header["key"]), lengths)
            yield table, line
            position = header.end()
        elif assignment := _ASSIGNMENT.match(text, position):
            yield (*table, *_parts(assignment["key"])), line
            position = assignment.end()
        position, line = _next_statement(text, position, line)


def _next_statement(text: str, position: int, line: int) -> tuple[int, int]:
    """Where the statement at `position` ends and the next begins, with that one's line."""
    depth = 0
    while token := _TOKEN.match(text, position):
        position = token.end()
        line += token[0].count("\n")
        depth += (token[0] in "[{") - (token[0] in "]}")
        if token[0] == "\n" and depth <= 0:
            return position, line
    return len(text), line


def _parts(key: str) -> list[str]:
    return [
        tomllib.loads(f"part = {part}")["part"] if part[0] in "\"'" else part
        for part in re.findall(_PART, key)
    ]


def _inside_lists(parts: list[str], lengths: dict[KeyPath, int]) -> KeyPath:
    """The path that `[a.b]` names: a list of tables on the way means its last element."""
    path: KeyPath = ()
    for part in parts:
        path = (*path, part)
        if path in lengths:
            path = (*path, lengths[path] - 1)
    return path


def _new_element(parts: list[str], lengths: dict[KeyPath, int]) -> KeyPath:
    """The path of the table that `[[a.b]]` adds to its list."""
    of = (*_inside_lists(parts[:-1], lengths), parts[-1])
    lengths[of] = lengths.get(of, 0) + 1
    return (*of, lengths[of] - 1)
