"""Gmail's own numbers of a message and of its conversation, good within the account for ever.

A message keeps its X-GM-MSGID under every label and when a folder is numbered anew. See "IMAP
extensions" in Google's documentation; only servers that announce `EXTENSION` are asked.
"""

from collections.abc import Mapping
from typing import Final

from connectors.imap.tokens import Token

EXTENSION: Final = "X-GM-EXT-1"
MESSAGE: Final = b"X-GM-MSGID"
NAMES: Final = (MESSAGE, b"X-GM-THRID")

_LARGEST: Final = 2**64 - 1
_DIGITS: Final = 20


def number_of(text: str) -> str:
    """The number in a text as Gmail writes it (1 to 2^64 - 1, decimal); empty when it is none."""
    if len(text) > _DIGITS or not text.isascii() or not text.isdigit():
        return ""
    return str(int(text)) if 0 < int(text) <= _LARGEST else ""


def marks_of(items: Mapping[bytes, Token]) -> dict[str, str]:
    """The numbers among data items of a FETCH, by their names in lower case."""
    found: dict[str, str] = {}
    for name in NAMES:
        value = items.get(name)
        if isinstance(value, bytes) and (number := number_of(value.decode("latin-1"))):
            found[name.decode().lower()] = number
    return found


def message_of(marks: Mapping[str, str]) -> str:
    """The number of the message among marks; empty where there is none."""
    return marks.get("x-gm-msgid", "")
