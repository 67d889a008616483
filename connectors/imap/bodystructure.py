"""BODYSTRUCTURE (RFC 3501 section 7.4.2), read tolerantly: where the text is, what is attached.

The choice of text follows `core.text.read_message`, so that a message reads the same whichever way
it was fetched.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Final

from connectors.imap.tokens import Token, Unparsable, number, text
from crm_sync.core.mime import file_name, parameters
from crm_sync.core.records import Attachment

DEEPEST: Final = 50
MOST_PARTS: Final = 1000
MOST_TEXTS: Final = 4
_TEXTS: Final = frozenset({"text/plain", "text/html", "text/enriched", "text/x-markdown"})
_SURELY_A_TEXT: Final = 64
_LONGEST_WORD: Final = 1000


@dataclass(frozen=True, slots=True)
class TextPart:
    """A text part: its section, how it is written, its size as transferred.

    It counts only when the text of section `unless`, where there is one, turns out empty.
    """

    section: str
    media_type: str
    transfer_encoding: str
    charset: str
    size: int
    unless: str = ""


@dataclass(frozen=True, slots=True)
class Structure:
    """What to fetch of a message, and what is attached to it."""

    texts: tuple[TextPart, ...]
    attachments: tuple[Attachment, ...]


@dataclass(slots=True)
class _Walk:
    parts: int = 0
    attachments: list[Attachment] = field(default_factory=list)


def read_structure(node: Token) -> Structure:
    """The structure in a parsed BODYSTRUCTURE; raises `Unparsable`, also beyond 50 levels.

    What lies in an attached message is part of the attachment.
    """
    walk = _Walk()
    if not isinstance(node, list) or not node:
        raise Unparsable("no structure")
    section = "" if isinstance(node[0], list) else "1"
    texts = _part(node, section, walk, 0)
    return Structure(tuple(texts[:MOST_TEXTS]), tuple(walk.attachments))


def _part(node: Token, section: str, walk: _Walk, depth: int) -> list[TextPart]:
    walk.parts += 1
    if not isinstance(node, list) or depth > DEEPEST or walk.parts > MOST_PARTS:
        raise Unparsable("a part that is none, or too many of them")
    if node and isinstance(node[0], list):
        return _multipart(node, section, walk, depth)
    return _leaf(node, section, walk)


def _multipart(node: list[Token], section: str, walk: _Walk, depth: int) -> list[TextPart]:
    children = _leading_lists(node)
    branches = [
        _part(child, f"{section}.{place}" if section else str(place), walk, depth + 1)
        for place, child in enumerate(children, 1)
    ]
    subtype = text(node[len(children)]) if len(node) > len(children) else ""
    if subtype.lower() != "alternative":
        return [part for branch in branches for part in branch]
    readable = [branch for branch in branches if any(part.size for part in branch)]
    plain = [b for b in readable if any(p.media_type != "text/html" for p in b)]
    chosen = (plain or readable or [[]])[0]
    if sum(part.size for part in chosen) >= _SURELY_A_TEXT:
        return chosen
    # Some programs write a blank as the plain alternative; only its text will show that.
    others = [part for branch in readable if branch is not chosen for part in branch]
    return [*chosen, *(replace(part, unless=chosen[0].section) for part in others[:1])]


def _leading_lists(node: list[Token]) -> list[Token]:
    for place, child in enumerate(node):
        if not isinstance(child, list):
            return node[:place]
    return node


def _leaf(node: list[Token], section: str, walk: _Walk) -> list[TextPart]:
    if len(node) < 7:  # noqa: PLR2004  # the basic fields of a part
        raise Unparsable("a part without its basic fields")
    media_type = f"{text(node[0])}/{text(node[1])}".lower()[:255]
    about = _pairs(node[2])
    encoding, size = text(node[5]).lower()[:_LONGEST_WORD], max(number(node[6]), 0)
    disposition, named = _disposition(node)
    if media_type in _TEXTS and disposition != "attachment" and "filename" not in named:
        return [TextPart(section, media_type, encoding, about.get("charset", ""), size)]
    walk.attachments.append(
        Attachment(file_name(named, about), media_type, _decoded_size(size, encoding))
    )
    return []


def _disposition(node: list[Token]) -> tuple[str, Mapping[str, str]]:
    """Content-Disposition: the first list after the basic fields that looks like one.

    Its place depends on the type of the part, and servers leave fields out before it.
    """
    for extension in node[7:]:
        if (
            isinstance(extension, list)
            and len(extension) == 2  # noqa: PLR2004  # a word and its parameters
            and isinstance(extension[0], bytes)
            and (extension[1] is None or isinstance(extension[1], list))
        ):
            return extension[0].decode("latin-1").lower(), _pairs(extension[1])
    return "", {}


def _pairs(node: Token) -> Mapping[str, str]:
    """The parameters in a list, read again as a header would be (RFC 2231, RFC 2047)."""
    if not isinstance(node, list) or not node:
        return {}
    data = iter(node)
    words = [(text(key), text(value)) for key, value in zip(data, data, strict=False)]
    if all(_is_simple(key, value) for key, value in words):
        return {key.lower(): value for key, value in reversed(words)}
    return parameters(";" + ";".join(_written(words)))


def _is_simple(key: str, value: str) -> bool:
    return value.isascii() and value.isprintable() and "=?" not in value and "*" not in key


def _written(words: Iterable[tuple[str, str]]) -> Iterable[str]:
    for key, value in words:
        escaped = value[:_LONGEST_WORD].replace("\\", "\\\\").replace('"', '\\"')
        yield f'{key[:100]}="{escaped}"'


def _decoded_size(size: int, encoding: str) -> int:
    """An estimate: base64 writes 57 octets as a line of 76 and its end."""
    return size * 57 // 78 if encoding == "base64" else size
