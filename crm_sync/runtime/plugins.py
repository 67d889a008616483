"""Connectors, found by their entry points: ours and those of other packages alike."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from importlib.metadata import EntryPoint, entry_points
from typing import Generic, TypeVar

from crm_sync.core.records import Finding
from crm_sync.ports import SenderKind, SourceKind

SOURCES = "crm_sync.sources"
SENDERS = "crm_sync.senders"

Kind = TypeVar("Kind", SourceKind, SenderKind)


class Kinds(Mapping[str, Kind], Generic[Kind]):
    """The connectors behind entry points by name, each loaded when it is first asked for.

    To go through them loads them all: what is not configured costs neither time nor memory. One
    that is broken is missing, and so is a name that two packages want: which one is meant can't
    be known.
    """

    def __init__(self, points: Iterable[EntryPoint], kind: type[Kind]) -> None:
        self._kind: type[Kind] = kind
        self._points: dict[str, list[EntryPoint]] = {}
        self._loaded: dict[str, Kind | None] = {}
        self._findings: dict[str, Finding] = {}
        for point in points:
            self._points.setdefault(point.name, []).append(point)

    def __getitem__(self, name: str) -> Kind:
        if name not in self._loaded:
            self._loaded[name] = self._load(self._points[name])
        found = self._loaded[name]
        if found is None:
            raise KeyError(name)
        return found

    def __iter__(self) -> Iterator[str]:
        return (name for name in self._points if name in self)

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def findings(self) -> tuple[Finding, ...]:
        """What is wrong with connectors that can't be used; loads them all."""
        list(self)
        return tuple(self._findings.values())

    def _load(self, points: list[EntryPoint]) -> Kind | None:
        point = points[0]
        package = point.dist.name if point.dist else "an unknown package"
        if len({point.value for point in points}) > 1:
            advice = "Uninstall the package you don't want."
            problem = "several packages offer a connector of this name"
            title = f"connector {point.name}"
            self._findings[point.name] = Finding(title, ok=False, problem=problem, advice=advice)
            return None
        try:
            found: object = point.load()
        except Exception as error:  # noqa: BLE001  # whatever a stranger's module does at import
            problem = f"can't be loaded ({type(error).__name__})"
            self._findings[point.name] = _broken(point, package, problem)
            return None
        if not isinstance(found, self._kind):
            self._findings[point.name] = _broken(point, package, f"is no {self._kind.__name__}")
            return None
        return found


@dataclass(frozen=True, slots=True)
class Plugins:
    """The connectors that can be used, by name."""

    sources: Kinds[SourceKind]
    senders: Kinds[SenderKind]

    @property
    def findings(self) -> tuple[Finding, ...]:
        """A finding for each connector that can't be used."""
        return self.sources.findings() + self.senders.findings()


@lru_cache(maxsize=1)
def installed() -> Plugins:
    """The connectors of this installation; it is looked at once a process."""
    return discover(entry_points(group=SOURCES), entry_points(group=SENDERS))


def source_kinds() -> Mapping[str, SourceKind]:
    """What can read mailboxes and calendars, by the name used in the configuration."""
    return installed().sources


def sender_kinds() -> Mapping[str, SenderKind]:
    """What can send mails, by the name used in the configuration."""
    return installed().senders


def discover(sources: Iterable[EntryPoint], senders: Iterable[EntryPoint]) -> Plugins:
    """The connectors behind the entry points; one that is broken does not stop the others."""
    return Plugins(Kinds(sources, SourceKind), Kinds(senders, SenderKind))


def _broken(point: EntryPoint, package: str, problem: str) -> Finding:
    return Finding(
        f"connector {point.name}",
        ok=False,
        problem=f"{point.value} of {package} {problem}",
        advice=f"Install {package} anew, or a version of it for this version of crm-sync.",
    )
