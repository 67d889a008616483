"""The readable text of a message and the names of what is attached to it.

The walk through the parts is our own: the standard library's recurses as deep as a stranger likes.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from crm_sync.core.charsets import decode, decode_raw
from crm_sync.core.clean import clean_text
from crm_sync.core.mime import content_type, decode_transfer, file_name, parameters
from crm_sync.core.records import Attachment

__all__ = ["MessageText", "content_type", "decode_part", "html_to_text", "read_message"]

LARGEST_MESSAGE: Final = 25 * 1024 * 1024
LARGEST_TEXT: Final = 1024 * 1024
DEEPEST: Final = 50
MOST_PARTS: Final = 1000

_LARGEST_HEADER: Final = 64 * 1024
_END_OF_HEADER: Final = re.compile(rb"\r\n\r\n|\n\n|\r\r|\n\r\n")
_FIELD: Final = re.compile(
    rb"^(content-(?:type|transfer-encoding|disposition))[ \t]*:((?:[^\n]|\n[ \t])*)",
    re.IGNORECASE | re.MULTILINE,
)
_FOLD: Final = re.compile(rb"\n[ \t]*")
_UNNAMED_BOUNDARY: Final = re.compile(
    rb"^--(\S[^\r\n]{0,200}?)[ \t]*\r?\n(?=content-)", re.IGNORECASE | re.MULTILINE
)
_META_CHARSET: Final = re.compile(
    rb"<meta[^>]{0,200}?charset\s*=\s*[\"']?([\w-]{1,40})", re.IGNORECASE
)
# Laying tables out pads each cell to its column's widest: 50 kB of hostile HTML become 40 MB of
# blanks. Mail uses tables for layout, so rows become lines and cells words.
_TABLE_TAG: Final = re.compile(
    r"<(/?)(table|tr|td|th|tbody|thead|tfoot|caption|col|colgroup)\b[^<>]*+>", re.IGNORECASE
)
_BLOCKS: Final = frozenset({"table", "tr", "caption"})
_CELLS: Final = frozenset({"td", "th"})
_INVISIBLE: Final = " \t\xa0\u034f\u200b\u2060"
_BLANK_LINES: Final = re.compile(r"\n{3,}")


@dataclass(frozen=True, slots=True)
class MessageText:
    """What a person would read, what is attached, and in a few words of ours what was wrong."""

    text: str
    attachments: tuple[Attachment, ...] = ()
    defects: tuple[str, ...] = ()


@dataclass(slots=True)
class _Walk:
    """What has been found on the way through a message."""

    parts: int = 0
    attachments: list[Attachment] = field(default_factory=list)
    defects: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class _Found:
    """A piece of text, and whether it had been written as such."""

    text: str
    plain: bool


def read_message(raw: bytes) -> MessageText:
    """Text and attachments of a whole message; never raises.

    Takes 25 MB, 50 levels, 1,000 parts and 1 MB of text at most; what lies beyond is left out and
    named in `defects`. Of alternatives the plain text is taken before HTML. A forwarded message is
    an attachment.
    """
    walk = _Walk()
    if len(raw) > LARGEST_MESSAGE:
        walk.defects.append("larger than 25 MB")
    found = _read_part(raw[:LARGEST_MESSAGE].lstrip(b"\r\n"), walk, 0, "text/plain")
    text = "\n\n".join(piece.text for piece in found if piece.text)
    if len(text) > LARGEST_TEXT:
        walk.defects.append("more than 1 MB of text")
    defects = tuple(dict.fromkeys(walk.defects))
    return MessageText(text[:LARGEST_TEXT], tuple(walk.attachments), defects)


def decode_part(payload: bytes, *, transfer_encoding: str, charset: str, media_type: str) -> str:
    """The clean text of one text part, given as it was transferred, whole or cut; never raises.

    Undoes the transfer encoding, reads the charset or what it should have been, turns HTML into
    lines. At most 1 MB of characters.
    """
    octets = decode_transfer(payload, transfer_encoding)
    is_html = media_type.lower() in ("text/html", "application/xhtml+xml")
    if is_html and not charset:
        named = _META_CHARSET.search(octets[:2048])
        charset = named[1].decode("ascii", "replace") if named else ""
    text = decode(octets, charset) if charset else decode_raw(octets)
    text = clean_text(text, LARGEST_TEXT)
    if is_html:
        text = clean_text(html_to_text(text), LARGEST_TEXT)
    return text.strip()


def html_to_text(html: str) -> str:
    """HTML as lines of text: markup, scripts and styles gone, at most 1 MB read; never raises."""
    html = _TABLE_TAG.sub(_untabled, html[:LARGEST_TEXT])
    # HTML is read in another process as a rule, and this one need not hold the parser.
    import turbohtml  # noqa: PLC0415

    text = turbohtml.parse(html, positions=False).to_text()
    lines = (line.rstrip(_INVISIBLE) for line in text.split("\n"))
    return _BLANK_LINES.sub("\n\n", "\n".join(lines))


def _untabled(tag: re.Match[str]) -> str:
    closing, name = tag[1], tag[2].lower()
    if name in _BLOCKS:
        return f"<{closing}div>"
    return " " if name in _CELLS else ""


def _read_part(part: bytes, walk: _Walk, depth: int, default_type: str) -> list[_Found]:
    """The texts in a part and in the parts below it; attachments and defects go to `walk`."""
    walk.parts += 1
    header, body = _split(part)
    media_type, about = content_type(header.get("content-type", default_type))
    if media_type.startswith("multipart/"):
        return _read_multipart(media_type, about.get("boundary", ""), body, walk, depth)
    disposition = header.get("content-disposition", "")
    encoding = header.get("content-transfer-encoding", "")
    named = parameters(disposition)
    if _is_text(media_type, disposition, named):
        text = decode_part(
            body,
            transfer_encoding=encoding,
            charset=about.get("charset", ""),
            media_type=media_type,
        )
        return [_Found(text, plain=media_type != "text/html")]
    size = len(decode_transfer(body, encoding))
    walk.attachments.append(Attachment(file_name(named, about), media_type[:255], size))
    return []


def _is_text(media_type: str, disposition: str, named: Mapping[str, str]) -> bool:
    attached = disposition[:20].strip().lower().startswith("attachment") or "filename" in named
    return (
        media_type in ("text/plain", "text/html", "text/enriched", "text/x-markdown")
        and not attached
    )


def _read_multipart(
    media_type: str, boundary: str, body: bytes, walk: _Walk, depth: int
) -> list[_Found]:
    if depth >= DEEPEST:
        walk.defects.append("parts nested more than 50 deep")
        return []
    default = "message/rfc822" if media_type == "multipart/digest" else "text/plain"
    branches: list[list[_Found]] = []
    for part in _parts(body, boundary, walk):
        if walk.parts >= MOST_PARTS:
            walk.defects.append("more than 1,000 parts")
            break
        branches.append(_read_part(part, walk, depth + 1, default))
    if media_type != "multipart/alternative":
        return [piece for branch in branches for piece in branch]
    readable = [branch for branch in branches if any(piece.text for piece in branch)]
    plain = [branch for branch in readable if any(piece.plain and piece.text for piece in branch)]
    return (plain or readable or [[]])[0]


def _parts(body: bytes, boundary: str, walk: _Walk) -> list[bytes]:
    """The parts of a multipart body (RFC 2046 section 5.1.1); without boundary the body as one."""
    mark = b"--" + boundary.encode("utf-8", "replace")
    if not boundary or mark not in body:
        walk.defects.append("a multipart without its boundary")
        unnamed = _UNNAMED_BOUNDARY.search(body[:_LARGEST_HEADER])
        if unnamed is None:
            return [b"\n" + body]
        mark = b"--" + unnamed[1]
    found: list[bytes] = []
    pieces = (b"\n" + body).split(b"\n" + mark, MOST_PARTS + 1)
    if len(pieces) == 1:  # line ends of bare CR
        pieces = (b"\r" + body).split(b"\r" + mark, MOST_PARTS + 1)
    for piece in pieces[1:]:
        if piece.startswith(b"--"):
            return found
        # Anything but blanks after the mark: a longer boundary that only begins alike.
        line, _, rest = piece.partition(b"\n" if b"\n" in piece else b"\r")
        if line.strip():
            found[-1:] = [(found[-1] if found else b"") + b"\n" + mark + piece]
        else:
            found.append(rest.removesuffix(b"\r"))
    if len(pieces) <= MOST_PARTS:
        walk.defects.append("a multipart without its end")
    return found


def _split(part: bytes) -> tuple[dict[str, str], bytes]:
    """The fields about the content, lower-case name -> value, and the body."""
    if part.startswith((b"\n", b"\r\n")):
        return {}, part.lstrip(b"\r\n")
    end = _END_OF_HEADER.search(part)
    header = part if end is None else part[: end.start()]
    body = b"" if end is None else part[end.end() :]
    header = header[:_LARGEST_HEADER].replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    fields: dict[str, str] = {}
    for name, value in _FIELD.findall(header):
        text = decode_raw(_FOLD.sub(b" ", value)).strip()
        fields.setdefault(name.decode("ascii").lower(), text)
    return fields, body
