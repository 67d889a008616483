"""Bytes to text when the charset is missing, misspelt, unknown or a lie."""

import codecs
import re
from functools import lru_cache
from typing import Final

# Wider sets that hold the named one, as browsers read them (WHATWG Encoding Standard, labels).
_READ_AS: Final = {
    "ascii": "utf-8",
    "iso8859-1": "cp1252",
    "iso8859-9": "cp1254",
    "gb2312": "gb18030",
    "gbk": "gb18030",
    "euc_kr": "cp949",
    "shift_jis": "cp932",
    "big5": "big5hkscs",
    "tis-620": "cp874",
    "iso8859-11": "cp874",
    "utf-8": "utf-8",
}
_MISSPELT: Final = {
    "uft-8": "utf-8",
    "utf-8n": "utf-8",
    "unicode-1-1-utf-8": "utf-8",
    "unicode-1-1-utf-7": "utf-7",
    "x-sjis": "cp932",
    "x-windows-949": "cp949",
    "ks_c_5601": "cp949",
    "x-gbk": "gb18030",
    "x-euc-jp": "euc_jp",
    "x-mac-roman": "mac_roman",
    "macintosh": "mac_roman",
    "iso-8859-8-i": "iso8859-8",
    "iso-8859-6-i": "iso8859-6",
    "x-user-defined": "cp1252",
    "ansi_x3.110-1983": "cp1252",
    "cp-850": "cp850",
}
# Codecs of Python's own that are no charsets: some run in quadratic time, some run escapes.
_NO_CHARSETS: Final = frozenset(
    {"idna", "punycode", "unicode_escape", "raw_unicode_escape", "undefined", "charmap", "mbcs"}
)
_LONGEST_NAME: Final = 40
_NOISE: Final = re.compile(r"[\s\"'\\]+")


@lru_cache(maxsize=512)
def codec_for(charset: str) -> str | None:
    """Name of the Python codec that reads mail said to be in `charset`; None when there is none."""
    name = _NOISE.sub("", charset).lower()
    if not name or len(name) > _LONGEST_NAME:
        return None
    for spelling in (_MISSPELT.get(name, name), name.removeprefix("x-"), name.replace("_", "-")):
        try:
            found = codecs.lookup(spelling)
        except (LookupError, ValueError):
            continue
        if found._is_text_encoding and found.name not in _NO_CHARSETS:  # noqa: SLF001  # what str.decode itself asks
            return _READ_AS.get(found.name, found.name)
    return None


def decode(payload: bytes, charset: str = "") -> str:
    """Text of `payload`; never raises.

    Tries the named charset, UTF-8 and Windows-1252 in this order and keeps the first that fits
    whole; where only a named multi-byte charset is at hand, what does not fit becomes U+FFFD.
    """
    named = codec_for(charset) if charset else None
    for codec in (named, "utf-8", "cp1252"):
        if codec is None:
            continue
        if codec == "cp1252" and named not in (None, "utf-8", "cp1252"):
            break
        try:
            return payload.decode(codec)
        except (UnicodeError, ValueError):
            continue
    if named in (None, "utf-8", "cp1252"):
        return payload.decode("latin-1")
    return payload.decode(named, "replace")


def decode_raw(payload: bytes, charset: str = "") -> str:
    """Text of raw 8-bit bytes that nobody labelled: UTF-8 where it fits, else as `decode`.

    `charset` is a guess from elsewhere, such as the body's.
    """
    try:
        return payload.decode()
    except UnicodeDecodeError:
        return decode(payload, charset)
