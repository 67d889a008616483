"""The tables that name a connector: each connector's own model judges the keys that are its own."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import NoneType
from typing import Any, Literal

from pydantic import BaseModel, SecretStr, ValidationError

from crm_sync.ports import SenderKind, SourceKind
from crm_sync.settings import checks
from crm_sync.settings.annotations import fields_by_key, mentions, types_in
from crm_sync.settings.document import KeyPath
from crm_sync.settings.faults import Faults, described
from crm_sync.settings.secrets import SecretStore, SecretUnavailable, is_literal

ACCOUNT_SECTIONS: dict[str, Literal["mailbox", "calendar"]] = {
    "mailboxes": "mailbox",
    "calendars": "calendar",
}

_OURS = {
    "mailboxes": frozenset({"connector", "name", "rep", "reps", "address"}),
    "calendars": frozenset({"connector", "name", "rep", "reps", "address"}),
    "sender": frozenset({"connector", "name", "rep", "from", "filing", "sent_copy"}),
    "senders": frozenset({"connector", "name", "rep", "from", "filing", "sent_copy"}),
}
_PLANNED = frozenset({"google", "ics"})
_SCALARS = frozenset({bool, int, float, NoneType})
_UNRESOLVED = "\N{REPLACEMENT CHARACTER}"


@dataclass(slots=True)
class ConnectorTables:
    """Judges connector tables as they stand in `data`, however much else is wrong with the file.

    `options` holds the validated options by the path of their table; `literal_secrets` the paths
    of secrets written out in the file.
    """

    data: Mapping[str, Any]
    variables: Mapping[KeyPath, str]
    faults: Faults
    secrets: SecretStore
    source_kinds: Mapping[str, SourceKind]
    sender_kinds: Mapping[str, SenderKind]
    options: dict[KeyPath, BaseModel] = field(default_factory=dict)
    literal_secrets: list[KeyPath] = field(default_factory=list)

    def read(self) -> None:
        """Fills `options`, noting all problems."""
        for section, kind in ACCOUNT_SECTIONS.items():
            for at, table in tables_of(self.data, section):
                self._read_account(at, table, kind)
        for section in ("sender", "senders"):
            for at, table in tables_of(self.data, section):
                self._read_sender(at, table)

    def _read_account(
        self, at: KeyPath, table: dict[str, Any], kind: Literal["mailbox", "calendar"]
    ) -> None:
        if "rep" in table and "address" in table:
            advice = "The addresses of a rep stand under [[reps]]."
            self.faults.add((*at, "address"), "is for mailboxes without a rep", advice)
        name = table.get("connector")
        if not isinstance(name, str):
            return
        found = self.source_kinds.get(name)
        if found is None:
            available = [n for n, k in self.source_kinds.items() if k.kind == kind]
            self._unknown_connector(at, name, available)
        elif found.kind != kind:
            right = next(s for s, k in ACCOUNT_SECTIONS.items() if k == found.kind)
            self.faults.add((*at, "connector"), f'"{name}" reads {right}', f"Write [[{right}]].")
        elif "reps" in table:
            self._read_options(at, self._for_one(at, table, found.options), found.options)
        else:
            self._read_options(at, table, found.options)

    def _for_one(
        self, at: KeyPath, table: dict[str, Any], model: type[BaseModel]
    ) -> dict[str, Any]:
        """A table for several reps as that of the first: only `username` will differ."""
        for key in ("rep", "name", "username", "address"):
            if key in table:
                self.faults.add((*at, key), "can't stand beside reps", "Each rep has one's own.")
        reps = table["reps"]
        if "username" not in fields_by_key(model):
            advice = "Write a table with rep = … for each."
            self.faults.add((*at, "reps"), f'"{table["connector"]}" has no username', advice)
        elif not (isinstance(reps, list) and reps):
            self.faults.add((*at, "reps"), "names nobody", "List the addresses of reps.")
        else:
            return {**table, "username": reps[0]}
        return table

    def _read_sender(self, at: KeyPath, table: dict[str, Any]) -> None:
        if at == ("sender",) and "rep" in table:
            advice = "A rep's own sender stands under [[senders]]."
            self.faults.add((*at, "rep"), "is not a known key", advice)
        name = table.get("connector")
        if not isinstance(name, str):
            return
        if name in self.sender_kinds:
            self._read_options(at, table, self.sender_kinds[name].options)
        else:
            self._unknown_connector(at, name, list(self.sender_kinds))

    def _unknown_connector(self, at: KeyPath, name: str, available: list[str]) -> None:
        choice = f"Available here: {checks.one_of(available)}." if available else ""
        if name in _PLANNED:
            self.faults.add((*at, "connector"), f'"{name}" is not available yet', choice)
            return
        near = checks.did_you_mean(name, available)
        problem = f"{checks.quoted(name)} is not an installed connector"
        self.faults.add((*at, "connector"), problem, near or choice)

    def _read_options(self, at: KeyPath, table: dict[str, Any], model: type[BaseModel]) -> None:
        ours = _OURS[str(at[0])]
        values = {key: value for key, value in table.items() if key not in ours}
        secret_keys = keys_of(model, SecretStr)
        for key in secret_keys & values.keys():
            values[key] = self._resolved((*at, key), values[key])
        for key in keys_of(model, Path) & values.keys():
            values[key] = self._located((*at, key), values[key])
        self._refuse_quoted_scalars(at, values, model)
        try:
            self.options[at] = model.model_validate(values)
        except ValidationError as error:
            self.faults.add_invalid(error, model, at, secret_keys)

    def _resolved(self, path: KeyPath, written: object) -> object:
        """The secret that is meant; one that can't be had gives the model something to go on."""
        if not isinstance(written, str):
            return written
        if is_literal(written) and path not in self.variables:
            self.literal_secrets.append(path)
        try:
            return self.secrets.resolve(written)
        except SecretUnavailable as error:
            self.faults.add(path, error.problem, error.advice)
            return _UNRESOLVED

    def _located(self, path: KeyPath, written: object) -> object:
        if not isinstance(written, str):
            return written
        place = self.secrets.base_dir / written
        if not written or "\0" in written or not place.exists():
            problem = f"{checks.quoted(written)} is not there"
            self.faults.add(path, problem, "A relative path starts at the configuration's folder.")
        return place

    def _refuse_quoted_scalars(
        self, at: KeyPath, values: Mapping[str, object], model: type[BaseModel]
    ) -> None:
        """Refuses `port = "993"`; the environment has text only, there it is all right."""
        for key, model_field in fields_by_key(model).items():
            value, wanted = values.get(key), set(types_in(model_field.annotation)) - {NoneType}
            if (
                isinstance(value, str | bool)
                and (*at, key) not in self.variables
                and wanted
                and wanted <= _SCALARS
                and type(value) not in wanted
            ):
                expected = "true or false" if wanted == {bool} else "a number without quotes"
                self.faults.add((*at, key), f"found {described(value)}, expected {expected}")


def keys_of(model: type[BaseModel], wanted: type) -> frozenset[str]:
    """The keys of a model whose fields may hold a `wanted`."""
    return frozenset(k for k, field_ in fields_by_key(model).items() if mentions(field_, wanted))


def tables_of(data: Mapping[str, Any], section: str) -> list[tuple[KeyPath, dict[str, Any]]]:
    """The tables of a section as written, with their paths; what is no table is left out."""
    found = data.get(section)
    if isinstance(found, dict):
        return [((section,), found)]
    if not isinstance(found, list):
        return []
    return [((section, n), table) for n, table in enumerate(found) if isinstance(table, dict)]
