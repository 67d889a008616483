"""IMAP responses as nested lists, read tolerantly (RFC 3501 section 9)."""

import re
from typing import Final, TypeAlias

from connectors.imap.wire import Reply

Token: TypeAlias = "bytes | list[Token] | None"  # noqa: S105  # a token of a grammar
"""An atom, number or string as bytes, NIL as None, a parenthesised list as a list."""

DEEPEST: Final = 200
MOST_TOKENS: Final = 50_000
LONGEST: Final = 256 * 1024
"""Octets between two literals; the structure of a thousand parts takes less."""

# Every octet but blanks is in one of the alternatives, so that `findall` leaves nothing out. The
# first octet tells which it was; a quote by itself is a broken string.
_TOKEN: Final = re.compile(
    rb"""
      [()]
    | "(?:[^"\\]|\\.)*+"
    | (?:BODY|BINARY)\[[^\]]*\](?:<\d+>)? | [^\s()"]+
    | "
    """,
    re.VERBOSE | re.IGNORECASE | re.DOTALL,
)
_OPEN, _CLOSE, _QUOTE = b'()"'
_LITERAL_MARK: Final = re.compile(rb"~?\{\d+\+?\}$")
_ESCAPED: Final = re.compile(rb"\\(.)", re.DOTALL)


class Unparsable(ValueError):  # noqa: N818  # a state of the response, not an error of ours
    """A response does not follow the grammar; the connection is in step all the same."""


def tokens(reply: Reply) -> list[Token]:
    """All tokens of a response; raises `Unparsable`."""
    top: list[Token] = []
    stack, count = [top], 0
    for place, part in enumerate(reply):
        if place % 2:
            stack[-1].append(part)
            continue
        text = _LITERAL_MARK.sub(b"", part) if place < len(reply) - 1 else part
        count += _take(text, stack)
        if count > MOST_TOKENS:
            raise Unparsable("too many parts")
    if len(stack) != 1:
        raise Unparsable("a bracket is missing")
    return top


def _take(text: bytes, stack: list[list[Token]]) -> int:
    """Puts the tokens of `text` where they belong; how many there were."""
    if len(text) > LONGEST:
        raise Unparsable("too long")
    found: list[bytes] = _TOKEN.findall(text)
    top = stack[-1]
    for token in found:
        first = token[0]
        if first == _QUOTE:
            if token == b'"':
                raise Unparsable("a broken string")
            top.append(_ESCAPED.sub(rb"\1", token[1:-1]) if b"\\" in token else token[1:-1])
        elif first == _OPEN:
            inner: list[Token] = []
            top.append(inner)
            stack.append(inner)
            top = inner
            if len(stack) > DEEPEST:
                raise Unparsable("too deep")
        elif first != _CLOSE:
            top.append(None if token.upper() == b"NIL" else token)
        elif len(stack) == 1:
            raise Unparsable("a bracket too many")
        else:
            stack.pop()
            top = stack[-1]
    return len(found)


def number(token: Token) -> int:
    """A token as a number; -1 when it is none."""
    return int(token) if isinstance(token, bytes) and token.isdigit() and len(token) < 20 else -1  # noqa: PLR2004  # 64 bits have 20 digits


def text(token: Token) -> str:
    """A token as text, whatever it was; empty for NIL and lists."""
    return token.decode("utf-8", "replace") if isinstance(token, bytes) else ""
