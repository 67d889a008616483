"""From a file and an environment to `Settings`, or to the list of all that is wrong."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from crm_sync.core.errors import ConfigError, Problem
from crm_sync.ports import SenderKind, SourceKind
from crm_sync.settings import building, checks
from crm_sync.settings.connectors import ConnectorTables
from crm_sync.settings.document import read
from crm_sync.settings.environment import CONFIG, overrides
from crm_sync.settings.faults import Faults
from crm_sync.settings.filings import check_filings
from crm_sync.settings.model import Settings
from crm_sync.settings.references import check_references
from crm_sync.settings.secrets import SecretStore
from crm_sync.settings.tables import File

FILE_NAME = "crm-sync.toml"
SYSTEM_FILE = Path("/etc/crm-sync") / FILE_NAME

_TABLES_AND_LISTS = (dict, list)


def find_config(explicit: Path | None, environ: Mapping[str, str], cwd: Path) -> Path:
    """The configuration file to use: `explicit`, $CRM_SYNC_CONFIG, in `cwd`, in /etc.

    The first two are taken at their word, there or not. Raises `ConfigError` when none is found.
    """
    if explicit is not None:
        return cwd / explicit
    if environ.get(CONFIG):
        return cwd / environ[CONFIG]
    for candidate in (cwd / FILE_NAME, SYSTEM_FILE):
        if candidate.exists():
            return candidate
    advice = "`crm-sync init` writes a commented one; --config names one elsewhere."
    problem = f"there is none in this folder, and no {SYSTEM_FILE}"
    raise ConfigError([Problem("configuration", problem, advice)])


def load(
    path: Path,
    *,
    environ: Mapping[str, str],
    source_kinds: Mapping[str, SourceKind],
    sender_kinds: Mapping[str, SenderKind],
) -> Settings:
    """The settings in the file at `path`, with what `environ` overrides.

    Raises `ConfigError` with all problems at once, in the order of the file. Writes nothing and
    asks no server; a secret `command:` is run.
    """
    document = read(path)
    environment = overrides(environ)
    data = _merged(document.data, environment.data)
    faults = Faults(document, data, environment.variables)
    faults.problems.extend(environment.problems)
    file = _validated(data, faults)
    connectors = ConnectorTables(
        data=data,
        variables=environment.variables,
        faults=faults,
        secrets=_secret_store(path, data, environ),
        source_kinds=source_kinds,
        sender_kinds=sender_kinds,
    )
    connectors.read()
    check_references(data, faults)
    check_filings(data, source_kinds, faults)
    if faults.problems or file is None:
        problems = sorted(faults.problems, key=lambda problem: problem.line or 0)
        raise ConfigError(problems, where=str(path))
    return building.build(
        file, path=path.absolute(), connectors=connectors, document=document, name=faults.key
    )


def _validated(data: dict[str, Any], faults: Faults) -> File | None:
    """The file by our own models; None, with the faults noted, when they refuse it."""
    known = {key: value for key, value in data.items() if key in File.model_fields}
    for key in data.keys() - known.keys():
        is_table = isinstance(data[key], _TABLES_AND_LISTS)
        problem = "is not a known table" if is_table else "is not a known key"
        faults.add((key,), problem, checks.did_you_mean(key, File.model_fields))
    if "team" not in data:
        faults.add(("team",), "is missing", "Write a table [team] with name, domains and timezone.")
    try:
        return File(**known)
    except ValidationError as error:
        faults.add_invalid(error, File)
        return None


def _secret_store(path: Path, data: Mapping[str, Any], environ: Mapping[str, str]) -> SecretStore:
    base_dir = path.absolute().parent
    table = data.get("secrets")
    folder = table.get("dir") if isinstance(table, dict) else None
    return SecretStore(environ, base_dir, base_dir / folder if isinstance(folder, str) else None)


def _merged(file: Mapping[str, Any], environment: Mapping[str, Any]) -> dict[str, Any]:
    """The file with the environment's values in their places; neither is changed."""
    merged = dict(file)
    for key, value in environment.items():
        below = merged.get(key)
        if isinstance(value, dict) and isinstance(below, dict):
            merged[key] = _merged(below, value)
        elif not isinstance(value, dict) or below is None:
            merged[key] = value
    return merged
