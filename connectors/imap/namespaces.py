"""Whose folders are whose: one's own, other users' and those for all (RFC 2342)."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass

from connectors.imap.tokens import Token, Unparsable, tokens
from connectors.imap.wire import Reply

Prefixes = tuple[tuple[bytes, bytes], ...]
"""What names begin with, and the delimiter after a step of a name; b"" for a flat namespace."""


@dataclass(frozen=True, slots=True)
class Namespaces:
    """The prefixes that a server told of; none: every folder is one's own."""

    own: Prefixes = ()
    foreign: Prefixes = ()

    def is_own(self, raw: bytes) -> bool:
        """Whether a folder is the user's: the longest prefix of its name decides."""
        if raw == b"INBOX":
            return True
        # Without a namespace of one's own the one for all is as good (RFC 2342 section 6).
        own = _longest(self.own or ((b"", b""),), raw)
        return own >= _longest(self.foreign, raw)


def namespaces_in(replies: Iterable[Reply]) -> Namespaces:
    """What a NAMESPACE response among `replies` says; what makes no sense says nothing."""
    for reply in replies:
        if reply[0][:12].upper() == b"* NAMESPACE ":
            with suppress(Unparsable):
                own, *foreign = tokens(reply)[2:5]
                return Namespaces(
                    tuple(_prefixes(own)), tuple(p for t in foreign for p in _prefixes(t))
                )
    return Namespaces()


def _prefixes(told: Token) -> Iterator[tuple[bytes, bytes]]:
    """The pairs in (("INBOX." ".") …); there may be extensions behind each, and NIL for none."""
    for entry in told if isinstance(told, list) else ():
        if isinstance(entry, list) and len(entry) > 1 and isinstance(entry[0], bytes):
            yield entry[0], entry[1] if isinstance(entry[1], bytes) else b""


def _longest(prefixes: Sequence[tuple[bytes, bytes]], raw: bytes) -> int:
    """The length of the longest prefix of a name, -1 for none; "Public" itself is in "Public/"."""
    fitting = (
        len(prefix)
        for prefix, delimiter in prefixes
        if raw.startswith(prefix) or (delimiter and raw + delimiter == prefix)
    )
    return max(fitting, default=-1)
