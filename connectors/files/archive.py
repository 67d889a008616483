"""What maildirs and mboxes have in common as sources: a path, folders to choose from, a probe."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from itertools import islice
from pathlib import Path
from typing import ClassVar

from connectors.files import opening
from connectors.files.folders import Folder, choose, missing
from connectors.files.options import FileOptions
from crm_sync.core.errors import CrmSyncError, Refused, Scope
from crm_sync.core.folder_choice import absent_streams
from crm_sync.core.records import Finding, Stream
from crm_sync.ports import Surroundings


class Archive(ABC):
    """The part of a `Source` that finds folders below a path."""

    what: ClassVar[str]

    def __init__(self, options: FileOptions, surroundings: Surroundings) -> None:
        self.options = options
        self.clock = surroundings.clock
        self.shelter = surroundings.shelter
        self.chosen: dict[str, Folder] = {}
        self._all: list[Folder] = []

    @abstractmethod
    def find(self, path: Path) -> list[Folder]:
        """All folders at or below `path`. Raises OSError."""

    def streams(self) -> Sequence[Stream]:
        """See `crm_sync.ports.Source.streams`."""
        with self.guarded(self.options.path):
            self._all = self.find(self.options.path.resolve(strict=True))
        if not self._all and (packed := opening.packed(self.options.path)):
            raise packed
        if not self._all:
            # An archive whose disk is not mounted looks just like this: it must not count as done.
            raise Refused(
                f"there is no {self.what} here",
                where=str(self.options.path),
                advice="Check path, and whether the disk is mounted.",
            )
        wanted = self.options.folders
        self.chosen = {f.key: f for f in choose(self._all, wanted)}
        streams = [Stream(folder.key, folder.name, "mail") for folder in self.chosen.values()]
        return streams + absent_streams(missing(self._all, wanted))

    def folder(self, key: str) -> Folder | None:
        """The folder of a stream, pulled or not; None when it is not there."""
        if not self._all:
            self.streams()
        return next((folder for folder in self._all if folder.key == key), None)

    def begin(self, since: datetime | None) -> datetime | None:
        """`since`, else the time as far back as a first pull goes; None for everything."""
        reach = self.options.reach
        return self.clock.now() - reach if since is None and reach is not None else since

    def probe(self) -> Iterator[Finding]:
        """See `crm_sync.ports.Source.probe`: the path, then the folders."""
        try:
            self.streams()
        except CrmSyncError as error:
            yield Finding("path", ok=False, problem=error.what, advice=error.advice)
            return
        yield Finding("path", ok=True)
        absent = missing(self._all, self.options.folders)
        if absent or not self.chosen:
            problem = f"not there: {', '.join(absent)}" if absent else "there are none to read"
            advice = f"There are: {_names(self._all)}."
            yield Finding("folders", ok=False, problem=problem, advice=advice)
        else:
            yield Finding(f"folders {_names(self.chosen.values())}", ok=True)

    def close(self) -> None:  # noqa: B027  # nothing is kept open
        """See `crm_sync.ports.Source.close`."""

    @contextmanager
    def guarded(self, path: Path, scope: Scope = "account") -> Iterator[None]:
        """Turns what a disk raises into errors of the house."""
        try:
            yield
        except OSError as error:
            raise opening.failure(error, path, scope) from error


def _names(folders: Iterable[Folder]) -> str:
    return ", ".join(folder.name for folder in islice(folders, 50))
