"""MIME at its lowest level: parameters of fields and transfer encodings, tolerantly.

RFC 2045 sections 5 and 6, RFC 2231, RFC 2183. Nothing here raises for hostile input.
"""

import binascii
import re
from collections.abc import Mapping
from typing import Final
from urllib.parse import unquote_to_bytes

from crm_sync.core.charsets import decode
from crm_sync.core.clean import clean
from crm_sync.core.encoded_words import decode_words

DEFAULT_TYPE: Final = "text/plain"

_LONGEST_VALUE: Final = 16 * 1024
_LONGEST_NAME: Final = 255
_MOST_PARAMETERS: Final = 100
_TYPE: Final = re.compile(r"\s*([\w.+-]++/[\w.+-]++)\s*(?:;|$|\s)", re.ASCII)
_PARAMETER: Final = re.compile(
    r"(?<![^\s;])([^\s=;\"]++)\s*+=\s*+(?:\"((?:[^\"\\]|\\.)*+)(?:\"|$)|([^;]*+))", re.DOTALL
)
_SECTION: Final = re.compile(r"([^*]++)(?:\*([0-9]{1,3}))?(\*)?$")
_APOSTROPHES: Final = 2
_BASE64: Final = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/="
_NOT_BASE64: Final = bytes(set(range(256)) - set(_BASE64))


def content_type(value: str) -> tuple[str, Mapping[str, str]]:
    """Media type and parameters of a Content-Type value.

    Type and names of parameters in lower case; values unquoted, decoded (RFC 2231, and RFC 2047
    where a program put it against the rules) and clean. What is no type is `text/plain`.
    """
    found = _TYPE.match(value[:_LONGEST_VALUE])
    return (found[1].lower() if found else DEFAULT_TYPE), parameters(value)


def parameters(value: str) -> Mapping[str, str]:
    """The parameters after the first semicolon; the first of several with one name counts."""
    sections: dict[str, dict[int, tuple[str, bool]]] = {}
    _, _, rest = value[:_LONGEST_VALUE].partition(";")
    for count, found in enumerate(_PARAMETER.finditer(rest)):
        name = _SECTION.match(found[1].lower())
        if count >= _MOST_PARAMETERS:
            break
        if name is None:
            continue
        text = found[3].strip() if found[2] is None else re.sub(r"\\(.)", r"\1", found[2])
        part = sections.setdefault(name[1], {})
        part.setdefault(int(name[2] or 0), (text, name[3] is not None))
    return {name: _joined(part) for name, part in sections.items()}


def _joined(part: dict[int, tuple[str, bool]]) -> str:
    """The value of one parameter from its numbered sections (RFC 2231 section 3)."""
    charset, payload = "", b""
    for number, (text, encoded) in sorted(part.items()):
        octets = text
        if encoded and number == 0 and text.count("'") >= _APOSTROPHES:
            charset, _, octets = text.split("'", _APOSTROPHES)
        raw = octets.encode("utf-8", "replace")
        payload += unquote_to_bytes(raw) if encoded else raw
    text = decode(payload, charset)
    return clean(decode_words(text) if "=?" in text else text).strip()


def file_name(disposition: Mapping[str, str], type_: Mapping[str, str]) -> str:
    """The name of an attachment from its two fields: clean, no folders, at most 255 characters."""
    name = disposition.get("filename") or type_.get("name") or ""
    name = re.split(r"[/\\]", name)[-1].strip()
    return "" if name in (".", "..") else name[-_LONGEST_NAME:]


def decode_transfer(payload: bytes, transfer_encoding: str) -> bytes:
    """The bytes of a part whose transfer encoding is undone; an unknown encoding is none.

    Base64 may be cut anywhere, may hold foreign characters and may be followed by a footer that a
    list appended after its end.
    """
    name = transfer_encoding.partition(";")[0].strip().lower()
    if name == "base64":
        return _decode_base64(payload)
    if name == "quoted-printable":
        return binascii.a2b_qp(payload)
    if name in ("x-uuencode", "uuencode", "x-uue"):
        return _decode_uu(payload)
    return payload


def _decode_base64(payload: bytes) -> bytes:
    data = payload.translate(None, _NOT_BASE64)
    end = data.find(b"=")
    if end >= 0:
        data = data[:end]
    if len(data) % 4 == 1:  # a single character holds no whole byte
        data = data[:-1]
    return binascii.a2b_base64(data + b"=" * (-len(data) % 4))


def _decode_uu(payload: bytes) -> bytes:
    found = bytearray()
    for line in payload.splitlines():
        if line.startswith((b"begin ", b"end")):
            continue
        try:
            found += binascii.a2b_uu(line)
        except binascii.Error:
            continue
    return bytes(found)
