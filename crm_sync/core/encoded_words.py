"""RFC 2047 encoded words to text: a quick road for the well-formed, the library for the rest."""

import re
from base64 import b64decode
from binascii import Error as Base64Error
from binascii import a2b_qp
from email.errors import HeaderParseError
from email.header import decode_header
from typing import Final

from crm_sync.core.charsets import decode

_LONGEST: Final = 16 * 1024
# The library's search takes quadratic time.
_LONGEST_FOR_LIBRARY: Final = 4 * 1024
_WORD: Final = re.compile(r"=\?([^?*\s]+)(?:\*[^?\s]*)?\?([bBqQ])\?([^?\s]*)\?=")


def decode_words(value: str) -> str:
    """`value` with its encoded words decoded; never raises. The result has *not* been cleaned.

    Words of one charset that follow each other are joined before decoding, since many programs
    cut them inside a character.
    """
    if "=?" not in value:
        return value
    value = value[:_LONGEST]
    try:
        decoded = _decode_well_formed(value)
    except (Base64Error, ValueError, LookupError):
        decoded = None
    return decode_words_by_library(value) if decoded is None else decoded


def _decode_well_formed(value: str) -> str | None:
    """Text of a value in which everything that starts as an encoded word is one; else None."""
    found: list[str] = []
    payload, charset, end = b"", "", 0
    for word in _WORD.finditer(value):
        gap = value[end : word.start()]
        named = word[1].lower()
        if payload and (named != charset or (gap and not gap.isspace())):
            found.append(decode(payload, charset))
            payload = b""
        if gap and (not end or not gap.isspace()):
            if "=?" in gap:
                return None
            found.append(gap)
        charset, end = named, word.end()
        payload += _word_bytes(word[2], word[3])
    if payload:
        found.append(decode(payload, charset))
    tail = value[end:]
    return None if "=?" in tail else "".join(found) + tail


def _word_bytes(encoding: str, text: str) -> bytes:
    if encoding in "qQ":
        return a2b_qp(text.encode("latin-1", "replace"), header=True)
    return b64decode(text + "=" * (-len(text) % 4), validate=True)


def decode_words_by_library(value: str) -> str:
    """The same by `email.header`, which also takes words with blanks, bad padding and the like."""
    value = value[:_LONGEST_FOR_LIBRARY]
    try:
        chunks = decode_header(value)
    except (HeaderParseError, ValueError, LookupError):
        return value
    found: list[str] = []
    for chunk, charset in chunks:
        if isinstance(chunk, str):
            found.append(chunk)
        elif charset is None:
            found.append(chunk.decode("raw-unicode-escape", "replace"))
        else:
            found.append(decode(chunk, charset.partition("*")[0]))
    return "".join(found)
