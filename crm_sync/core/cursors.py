"""Cursors as text: JSON with a version, written and read by the same connector (law 1)."""

import json
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from crm_sync.core.errors import CursorLost

Read = TypeVar("Read")

# What reading a stranger's JSON as if it were ours may raise.
_GARBAGE = (
    *(ValueError, TypeError, LookupError, AttributeError),
    *(OverflowError, OSError, RecursionError),
)


def read_cursor(
    text: str,
    readers: Mapping[int, Callable[[dict[str, Any]], Read]],
    *,
    longest: int,
    advice: str = "The folder is pulled again.",
) -> Read:
    """The cursor in a stored text of at most `longest` characters.

    `readers` take the fields by version, "v" apart; whatever they raise of a value that is none of
    theirs means garbage. Raises `CursorLost` for anything the connector did not write.
    """
    try:
        if len(text) > longest:
            raise ValueError("too long")
        fields = json.loads(text)
        version = fields.pop("v")
        if type(version) is not int:
            raise TypeError("no version")
        return readers[version](fields)
    except _GARBAGE as error:
        raise CursorLost("the cursor is garbage or of another version", advice=advice) from error
