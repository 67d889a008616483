r"""What an admin may write under `folders`: names, and special uses as "\Sent" (RFC 6154).

What is named and not there is a stream all the same: its pull is refused, so that nobody takes a
misspelt name for a folder without mail.
"""

from collections.abc import Iterable, Sequence
from difflib import get_close_matches
from typing import Final

from crm_sync.core.clean import clean
from crm_sync.core.errors import Refused
from crm_sync.core.records import Stream

SPECIAL_USES: Final = ("\\Inbox", "\\Sent", "\\Archive", "\\Drafts", "\\Junk", "\\Trash")
"""The special uses that every connector for mailboxes knows."""

_ABSENT: Final = "\1absent:"
_LIKENESS: Final = 0.6
_LONGEST_SHOWN: Final = 60


def parse_folder(word: str, *, further: Sequence[str] = ()) -> str:
    """The word as it is; ValueError, with a sentence, for a special use that nobody knows.

    `further` are special uses that the connector knows besides `SPECIAL_USES`.
    """
    known = {use.lower(): use for use in (*SPECIAL_USES, *further)}
    if not is_use(word) or word.lower() in known:
        return word
    near = get_close_matches(word.lower(), known, n=1, cutoff=_LIKENESS)
    advice = f"perhaps {_typed(known[near[0]])} is meant" if near else _listed(known.values())
    raise ValueError(f"{_typed(word)} is no special name of a folder; {advice}")


def is_use(word: str) -> bool:
    """Whether a word is a special use and no name."""
    return word.startswith("\\")


def absent_streams(missing: Iterable[str]) -> list[Stream]:
    """Streams for what is wanted and not there.

    Only for names: an account may lack a folder of some use, but one called by its name was there
    once.
    """
    return [Stream(_ABSENT + word, word, "mail") for word in missing if not is_use(word)]


def refuse_absent(stream: Stream) -> None:
    """Raises `Refused`, for this stream alone, when it is one of `absent_streams`."""
    if stream.key.startswith(_ABSENT):
        advice = "Correct `folders`, or make it again; `crm-sync doctor` lists those there are."
        raise Refused(f'there is no folder "{stream.name}"', advice=advice, scope="stream")


def _listed(uses: Iterable[str]) -> str:
    return f"there are {', '.join(_typed(use) for use in uses)}"


def _typed(word: str) -> str:
    """A word as it is typed between quotes in the configuration."""
    shown = clean(word)[:_LONGEST_SHOWN].replace("\\", "\\\\")
    return f'"{shown}"'
