"""Each value that holds, and where it comes from."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from pydantic import BaseModel, SecretStr
from pydantic_core import to_jsonable_python

from crm_sync.settings.connectors import ConnectorTables, keys_of
from crm_sync.settings.document import Document, KeyPath, value_at
from crm_sync.settings.model import Entry, Settings
from crm_sync.settings.tables import File

MASK = "********"

_DATABASE_URL: KeyPath = ("database", "url")


def effective(settings: Settings) -> list[tuple[str, object, str]]:
    """Every value that holds, for `config show`: key, value as JSON can hold it, origin.

    The origin is "file:line", "environment VARIABLE" or "default". Secrets are masked.
    """
    return [(entry.key, entry.value, entry.origin) for entry in settings.entries]


def entries(
    file: File,
    connectors: ConnectorTables,
    document: Document,
    database_url: str,
    name: Callable[[KeyPath], str],
) -> tuple[Entry, ...]:
    """The entries of a valid file, in its order; `database_url` stands in for an unset one."""
    lister = _Lister(connectors.data, document, connectors.variables, name)
    found: list[Entry] = []
    for section in File.model_fields:
        value = getattr(file, section)
        tables = enumerate(value) if isinstance(value, list) else [(None, value)]
        for number, table in tables:
            at: KeyPath = (section,) if number is None else (section, number)
            found.extend(lister.of(at, table))
            found.extend(lister.of(at, connectors.options.get(at)))
        if section == "database":
            where = lister.origin(_DATABASE_URL)
            found = [Entry(name(_DATABASE_URL), database_url, where)]
    return tuple(found)


@dataclass(frozen=True, slots=True)
class _Lister:
    data: Mapping[str, Any]
    document: Document
    variables: Mapping[KeyPath, str]
    name: Callable[[KeyPath], str]

    def of(self, at: KeyPath, table: BaseModel | None) -> Iterator[Entry]:
        """The entries of one table; optional keys that are not set are left out."""
        if table is None:
            return
        secret_keys = keys_of(type(table), SecretStr)
        for field_name, field in type(table).model_fields.items():
            key = field.alias or field_name
            value = getattr(table, field_name)
            if value is not None:
                path = (*at, key)
                shown = MASK if key in secret_keys else self._shown(path, value)
                yield Entry(self.name(path), shown, self.origin(path))

    def origin(self, path: KeyPath) -> str:
        """Where the value at `path` comes from."""
        if path in self.variables:
            return f"environment {self.variables[path]}"
        if value_at(self.data, path) is None:
            return "default"
        return f"{self.document.path.name}:{self.document.line(path)}"

    def _shown(self, path: KeyPath, value: object) -> object:
        """What was written; of values made from it, and of defaults, something like it."""
        written = value_at(self.data, path)
        if isinstance(written, str | int | float | bool):
            return written
        if isinstance(value, timedelta):
            return _in_largest_unit(value)
        return to_jsonable_python(value, fallback=str)


def _in_largest_unit(length: timedelta) -> str:
    for unit, step in (
        ("d", timedelta(days=1)),
        ("h", timedelta(hours=1)),
        ("m", timedelta(minutes=1)),
    ):
        if length and not length % step:
            return f"{length // step}{unit}"
    return f"{length.total_seconds():g}s"
