"""The one boundary where strangers' text becomes ours: what passes here may be stored and sent.

Hostile text carries line breaks into headers and commands, NULs into databases, half surrogate
pairs into encoders, and overrides of the writing direction into the reader's eye.
"""

import re
from typing import Final

HEADER_LIMIT: Final = 998
"""Longest line RFC 5322 section 2.1.1 allows, in characters; a fair cap for any header value."""

# ZWNJ, ZWJ and the plain direction marks (U+200C to U+200F) stay: Persian, Arabic, Hebrew and
# emoji are misspelt without them. Embeddings, overrides and isolates only serve to disguise.
_BREAKS: Final = re.compile(r"[\t\n\v\f\r\x1c-\x1e\x85\u2028\u2029]+")
_UNWANTED: Final = re.compile(
    r"[\x00-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ufeff\ufff9-\ufffb\ud800-\udfff]"
)
_LINE_ENDS: Final = re.compile(r"\r\n?|[\v\f\x1c-\x1e\x85\u2028\u2029]")
_UNWANTED_IN_TEXT: Final = re.compile(
    r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ufeff\ufff9-\ufffb\ud800-\udfff]"
)

_PLAIN: Final = bytes(range(0x20, 0x7F)) + b"\n\t"


def clean(text: str, limit: int = HEADER_LIMIT) -> str:
    """One line of harmless text from `text`, at most `limit` characters.

    Runs of tabs and line breaks become one space; NUL and other C0/C1 controls, lone surrogates
    and controls that override the writing direction are dropped. Idempotent.
    """
    if not text.isprintable():
        # The cut before the work bounds it; nothing in the text can grow.
        text = _UNWANTED.sub("", _BREAKS.sub(" ", text[: 4 * limit]))
    return text if len(text) <= limit else text[:limit]


def clean_text(text: str, limit: int) -> str:
    r"""As `clean`, for text of several lines: `\n` and tabs stay, other breaks become `\n`."""
    if len(text) <= limit:
        lines = text.replace("\r\n", "\n")
        # Bytes are sorted out ten times as fast as characters; few are not plain.
        rest = lines.encode("utf-8", "surrogatepass").translate(None, _PLAIN)
        if not rest or rest.decode("utf-8", "surrogatepass").isprintable():
            return lines
    return clean_text_thoroughly(text, limit)


def clean_text_thoroughly(text: str, limit: int) -> str:
    """The same for any text: what `clean_text` does where something is unusual."""
    if not text.isprintable():
        text = _UNWANTED_IN_TEXT.sub("", _LINE_ENDS.sub("\n", text[: 4 * limit]))
    return text if len(text) <= limit else text[:limit]
