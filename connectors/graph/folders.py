"""The folders of a mailbox: which there are, which of them are pulled, what they are called."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final
from urllib.parse import quote

from connectors.graph.answers import Json, text
from connectors.graph.client import Ask
from crm_sync.core.clean import clean

LEFT_OUT: Final = (
    "junkemail",
    "deleteditems",
    "drafts",
    "outbox",
    "conversationhistory",
    "syncissues",
    "scheduled",
    "recoverableitemsdeletions",
    "searchfolders",
)
"""Well-known folders that are pulled only when named, with all that lies below them."""

_ALSO_KNOWN: Final = ("inbox", "sentitems", "archive", "clutter")

WELL_KNOWN: Final = (*LEFT_OUT, *_ALSO_KNOWN)
"""Names that stand for a folder in any language (Microsoft's mailFolder resource)."""

_NAME_OF_USE: Final = {
    "\\inbox": "inbox",
    "\\sent": "sentitems",
    "\\archive": "archive",
    "\\drafts": "drafts",
    "\\junk": "junkemail",
    "\\trash": "deleteditems",
}

MOST: Final = 2000

_SELECT: Final = "$select=id,displayName,parentFolderId"
_DEEPEST: Final = 100
_LONGEST_ID: Final = 1000


@dataclass(frozen=True, slots=True)
class Folder:
    """A folder: its id, constant by Microsoft's word, and that of the one above it."""

    key: str
    label: str
    parent: str


def ask_all(mailbox: str) -> Ask:
    """Asks for all folders at any depth; the answer's delta link tells later what changed."""
    return Ask(f"{mailbox}/mailFolders/delta?{_SELECT}", ("odata.maxpagesize=100",))


def ask_well_known(mailbox: str) -> list[Ask]:
    """Asks which folder each of `WELL_KNOWN` is."""
    return [Ask(f"{mailbox}/mailFolders/{name}?$select=id", ()) for name in WELL_KNOWN]


def path_of(mailbox: str, key: str) -> str:
    """Where the messages of a folder are."""
    return f"{mailbox}/mailFolders/{quote(key, safe='')}/messages"


def apply(folders: dict[str, Folder], rows: Sequence[Json]) -> None:
    """Brings what a delta answer says into `folders`."""
    for row in rows:
        key = text(row.get("id"))
        if not key or len(key) > _LONGEST_ID:
            continue
        if "@removed" in row:
            folders.pop(key, None)
        elif len(folders) < MOST and "mailSearchFolder" not in text(row.get("@odata.type")):
            before = folders.get(key, Folder(key, "", ""))
            # A change may name only what changed.
            label = clean(text(row.get("displayName"))).strip() or before.label
            folders[key] = Folder(key, label, text(row.get("parentFolderId")) or before.parent)


def choose(
    folders: Mapping[str, Folder], well_known: Mapping[str, str], wanted: Sequence[str]
) -> dict[str, str]:
    """The folders to pull, key -> name for people; `well_known`: name -> key."""
    names = {key: _path(folders, key) for key in folders}
    if not wanted:
        out = {well_known[name] for name in LEFT_OUT if name in well_known}
        return {key: names[key] for key in folders if not out & set(_line(folders, key))}
    folded = {name.strip().casefold() for name in wanted}
    asked = {_NAME_OF_USE.get(name, name) for name in folded}
    keys = {well_known[name] for name in asked if name in well_known}
    return {
        key: name
        for key, name in names.items()
        if key in keys or name.casefold() in asked or folders[key].label.casefold() in asked
    }


def missing(
    folders: Mapping[str, Folder], well_known: Mapping[str, str], wanted: Sequence[str]
) -> list[str]:
    """The wanted names that stand for no folder."""
    return [name for name in wanted if not choose(folders, well_known, [name])]


def _line(folders: Mapping[str, Folder], key: str) -> list[str]:
    """A folder's key and those above it."""
    line: list[str] = []
    while key in folders and key not in line and len(line) < _DEEPEST:
        line.append(key)
        key = folders[key].parent
    return line


def _path(folders: Mapping[str, Folder], key: str) -> str:
    labels = [folders[above].label or "?" for above in _line(folders, key)]
    return clean("/".join(reversed(labels)))
