"""Understanding strangers' bytes: what is light is done here, what may be heavy in a shelter.

Light is what one linear pass of the interpreter's own decoders reads: short plain text in a common
charset, which is most mail. HTML, other charsets and whole messages need parsers; without a shelter
they are read here all the same.
"""

from collections.abc import Callable
from typing import Any, Final, Protocol

from crm_sync.core.charsets import codec_for
from crm_sync.core.text import LARGEST_TEXT, MessageText, decode_part, html_to_text, read_message

LARGEST_LIGHT: Final = 64 * 1024
_LIGHT_CODECS: Final = frozenset({"utf-8", "cp1252", "cp1250", "cp1254", "iso8859-2", "iso8859-15"})


class Shelter(Protocol):
    """What of `crm_sync.ports.Shelter` is needed here: the core knows no ports."""

    def call(self, function: Callable[..., Any], /, *arguments: Any) -> Any:
        """The result of a function of the core. Raises `Unreadable`."""
        ...


def part_text(
    shelter: Shelter | None,
    payload: bytes,
    *,
    transfer_encoding: str,
    charset: str,
    media_type: str,
) -> str:
    """As `core.text.decode_part`. Raises `Unreadable`."""
    if shelter is None or _is_light(payload, charset, media_type):
        return _part(payload, transfer_encoding, charset, media_type)
    return str(shelter.call(_part, payload, transfer_encoding, charset, media_type))


def message_text(shelter: Shelter | None, raw: bytes) -> MessageText:
    """As `core.text.read_message`. Raises `Unreadable`."""
    read: MessageText = read_message(raw) if shelter is None else shelter.call(read_message, raw)
    return read


def html_text(shelter: Shelter | None, html: str) -> str:
    """As `core.text.html_to_text`. Raises `Unreadable`."""
    html = html[:LARGEST_TEXT]
    return html_to_text(html) if shelter is None else str(shelter.call(html_to_text, html))


def _is_light(payload: bytes, charset: str, media_type: str) -> bool:
    if media_type.lower() != "text/plain" or len(payload) > LARGEST_LIGHT:
        return False
    return not charset or codec_for(charset) in _LIGHT_CODECS


def _part(payload: bytes, transfer_encoding: str, charset: str, media_type: str) -> str:
    return decode_part(
        payload, transfer_encoding=transfer_encoding, charset=charset, media_type=media_type
    )
