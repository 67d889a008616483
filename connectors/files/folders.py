"""Names of folders in an archive, and which of them are pulled."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import quote_from_bytes, unquote_to_bytes

from crm_sync.core.clean import clean
from crm_sync.core.folder_names import LEFT_OUT, NO_MAIL, USES, plain

MOST_FOLDERS: Final = 10_000

_NOT_KEPT: Final = LEFT_OUT - {NO_MAIL}
_PLAIN: Final = "/ @+=,:;!()[]&"


@dataclass(frozen=True, slots=True)
class Folder:
    """A folder of an archive.

    `key` is its place below the archive's path, `parts` its name for people in steps. `own` is the
    number of last parts that an account has made: what stands before is the archive's own order.
    """

    path: Path
    key: str
    parts: tuple[str, ...]
    own: int

    @property
    def name(self) -> str:
        """The name for people."""
        return clean("/".join(self.parts), 500) or "?"

    @property
    def use(self) -> str | None:
        """The special use (RFC 6154) that the name tells, also of a folder that this one is in."""
        parts = self.parts[len(self.parts) - self.own :]
        if len(parts) == 1 and plain(parts[0]) == "inbox":
            return "\\inbox"
        # A use by name only at the top or right under INBOX: "Projects/Draft" is a project.
        if len(parts) > 1 and (plain(parts[0]) == "inbox" or parts[0].startswith("[")):
            parts = parts[1:]
        use = USES.get(plain(parts[0])) if parts else None
        return use if len(parts) == 1 or use in LEFT_OUT else None

    def is_meant_by(self, word: str) -> bool:
        r"""Whether `word` is this folder's special use ("\Sent") or its name."""
        if word.startswith("\\"):
            return word.lower() == self.use
        return word in {self.name, self.key}


def choose(folders: Sequence[Folder], wanted: Sequence[str]) -> list[Folder]:
    """The folders to pull: those `wanted` by use or name, else all that hold mail."""
    if not wanted:
        return [f for f in folders if f.use not in LEFT_OUT]
    return [f for f in folders if any(f.is_meant_by(word) for word in wanted)]


def missing(folders: Sequence[Folder], wanted: Sequence[str]) -> list[str]:
    """What is wanted and not there."""
    return [word for word in wanted if not any(f.is_meant_by(word) for f in folders)]


def left_out(label: str) -> bool:
    """Whether a mail with this label is junk, trash or a draft: "Notes" is a label like others."""
    return USES.get(plain(label)) in _NOT_KEPT


def to_key(name: str) -> str:
    """A file's name as text without surrogates and controls; `from_key` undoes it."""
    return quote_from_bytes(os.fsencode(name), safe=_PLAIN)


def from_key(key: str) -> str:
    """The file's name that a key stands for."""
    return os.fsdecode(unquote_to_bytes(key))
