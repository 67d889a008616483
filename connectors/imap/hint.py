"""What `pull` tells `read` about a message: plain texts need no BODYSTRUCTURE, none is lost."""

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from connectors.imap.gmail_ids import number_of
from crm_sync.core.mime import content_type
from crm_sync.core.records import Envelope

_VERSION: Final = "1"
_WORD: Final = re.compile(r"[\w.+:/-]{1,80}", re.ASCII)
_LONGEST: Final = 400


@dataclass(frozen=True, slots=True)
class Hint:
    """Content-Type, Content-Transfer-Encoding, charset and size (RFC822.SIZE) of a message.

    `gmail_id` is its X-GM-MSGID, by which it is found again; empty where there is none.
    """

    media_type: str
    transfer_encoding: str
    charset: str
    size: int
    gmail_id: str = ""

    @property
    def is_plain(self) -> bool:
        """Whether the whole body is one text."""
        return self.media_type in {"text/plain", "text/html"}


def hint_of(envelope: Envelope, size: int, gmail_id: str = "") -> str:
    """The hint to keep with a message: short, clean, without anything a person wrote."""
    media_type, charset = _content_type(envelope.content_type)
    hint = f"{_VERSION} {media_type} {_word(envelope.transfer_encoding)} {charset} {size}"
    return f"{hint} {gmail_id}" if gmail_id else hint


def read_hint(text: str) -> Hint | None:
    """The hint in a text; None for one that is missing or of another version."""
    words = text.split(" ") if len(text) <= _LONGEST else []
    if len(words) not in {5, 6} or words[0] != _VERSION or not words[4].isdecimal():
        return None
    media_type, encoding, charset = ("" if w == "-" else w for w in words[1:4])
    gmail_id = number_of(words[5]) if words[5:] else ""
    return Hint(media_type, encoding, charset, int(words[4]), gmail_id)


def _content_type(value: str) -> tuple[str, str]:
    if value[:10].lower() == "multipart/":
        return "multipart/-", "-"
    return _text_type(value)


@lru_cache(maxsize=256)
def _text_type(value: str) -> tuple[str, str]:
    media_type, parameters = content_type(value)
    return _word(media_type), _word(parameters.get("charset", ""))


def _word(value: str) -> str:
    value = value.strip()
    return value if _WORD.fullmatch(value) else "-"
