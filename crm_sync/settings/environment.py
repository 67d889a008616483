"""Variables `CRM_SYNC_SECTION__KEY` that override scalars of the configuration file."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, get_origin

from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, EnvSettingsSource

from crm_sync.core.errors import Problem
from crm_sync.settings import checks
from crm_sync.settings.annotations import fields_by_key, models_in
from crm_sync.settings.document import KeyPath
from crm_sync.settings.tables import File

PREFIX = "CRM_SYNC_"
CONFIG = "CRM_SYNC_CONFIG"
SECRET_PREFIX = "CRM_SYNC_SECRET_"  # noqa: S105  # the name of a variable


@dataclass(frozen=True, slots=True)
class Overrides:
    """What the environment says: values laid out like the file, and which variable said each."""

    data: Mapping[str, Any]
    variables: Mapping[KeyPath, str]
    problems: tuple[Problem, ...]


def overrides(environ: Mapping[str, str]) -> Overrides:
    """The overrides in `environ`; unknown variables of our prefix become problems."""
    names = [
        name
        for name in environ
        if name.startswith(PREFIX) and name != CONFIG and not name.startswith(SECRET_PREFIX)
    ]
    problems = {name: problem for name in sorted(names) if (problem := _problem(name))}
    valid = {name: environ[name] for name in names if name not in problems}
    variables: dict[KeyPath, str] = {path_of(name): name for name in valid}
    return Overrides(_Variables(File, valid)(), variables, tuple(problems.values()))


def path_of(variable: str) -> tuple[str, ...]:
    """Where the value of a variable belongs in the file."""
    return tuple(variable.removeprefix(PREFIX).lower().split("__"))


def _problem(variable: str) -> Problem | None:
    section, *keys = path_of(variable)
    field = File.model_fields.get(section)
    if field is not None and get_origin(field.annotation) is list:
        advice = f"Write [[{section}]] in the file; a secret there can be named `secret:NAME`."
        return Problem(variable, "lists of tables can't be set by the environment", advice)
    known = _known_keys()
    takes_any = field is not None and _takes_any_key(field)
    if len(keys) == 1 and keys[0] and ((section, keys[0]) in known or takes_any):
        return None
    near = checks.nearest("__".join([section, *keys]), ["__".join(path) for path in known])
    if field is not None and not keys:
        near = "__".join(next(path for path in known if path[0] == section))
    advice = f'Did you mean "{PREFIX}{near.upper()}"?' if near else ""
    return Problem(variable, "is not a variable of crm-sync", advice)


def _known_keys() -> list[tuple[str, str]]:
    return [
        (section, key)
        for section, field in File.model_fields.items()
        if get_origin(field.annotation) is not list
        for key in fields_by_key(models_in(field.annotation)[0])
    ]


def _takes_any_key(section: FieldInfo) -> bool:
    return models_in(section.annotation)[0].model_config.get("extra") == "allow"


class _Variables(EnvSettingsSource):
    """Reads the variables it is given, not those of the process."""

    def __init__(self, settings_cls: type[BaseSettings], variables: Mapping[str, str]) -> None:
        self._variables = {name.lower(): value for name, value in variables.items()}
        super().__init__(settings_cls)

    def _load_env_vars(self) -> Mapping[str, str | None]:
        return self._variables

    def decode_complex_value(self, field_name: str, field: FieldInfo, value: Any) -> Any:
        """A list: as JSON, or separated by commas."""
        del field_name, field
        try:
            return json.loads(value)
        except ValueError:
            return [part.strip() for part in value.split(",")]
