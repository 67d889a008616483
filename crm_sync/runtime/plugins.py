"""Connectors, found by their entry points: ours and those of other packages alike."""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from importlib.metadata import EntryPoint, entry_points
from typing import TypeVar

from crm_sync.core.records import Finding
from crm_sync.ports import SenderKind, SourceKind

SOURCES = "crm_sync.sources"
SENDERS = "crm_sync.senders"

Kind = TypeVar("Kind", SourceKind, SenderKind)


@dataclass(frozen=True, slots=True)
class Plugins:
    """The connectors that can be used, by name, and a finding for each that can't."""

    sources: dict[str, SourceKind]
    senders: dict[str, SenderKind]
    findings: tuple[Finding, ...]


@lru_cache(maxsize=1)
def installed() -> Plugins:
    """The connectors of this installation; it is looked at once a process."""
    return discover(entry_points(group=SOURCES), entry_points(group=SENDERS))


def source_kinds() -> dict[str, SourceKind]:
    """What can read mailboxes and calendars, by the name used in the configuration."""
    return installed().sources


def sender_kinds() -> dict[str, SenderKind]:
    """What can send mails, by the name used in the configuration."""
    return installed().senders


def discover(sources: Iterable[EntryPoint], senders: Iterable[EntryPoint]) -> Plugins:
    """The connectors behind the entry points; one that is broken does not stop the others."""
    findings: list[Finding] = []
    return Plugins(
        sources=_kinds(sources, SourceKind, findings),
        senders=_kinds(senders, SenderKind, findings),
        findings=tuple(findings),
    )


def _kinds(
    points: Iterable[EntryPoint], kind: type[Kind], findings: list[Finding]
) -> dict[str, Kind]:
    """Where two packages offer one name neither is taken: which one is meant can't be known."""
    loaded: dict[str, Kind] = {}
    packages: dict[str, set[str]] = {}
    for point in points:
        package = point.dist.name if point.dist else "an unknown package"
        packages.setdefault(point.name, set()).add(point.value)
        try:
            found = point.load()
        except Exception as error:  # noqa: BLE001  # whatever a stranger's module does at import
            findings.append(_broken(point, package, f"can't be loaded ({type(error).__name__})"))
            continue
        if isinstance(found, kind):
            loaded[point.name] = found
        else:
            findings.append(_broken(point, package, f"is no {kind.__name__}"))
    for name in [name for name, values in packages.items() if len(values) > 1]:
        loaded.pop(name, None)
        advice = "Uninstall the package you don't want."
        problem = "several packages offer a connector of this name"
        findings.append(Finding(f"connector {name}", ok=False, problem=problem, advice=advice))
    return loaded


def _broken(point: EntryPoint, package: str, problem: str) -> Finding:
    return Finding(
        f"connector {point.name}",
        ok=False,
        problem=f"{point.value} of {package} {problem}",
        advice=f"Install {package} anew, or a version of it for this version of crm-sync.",
    )
