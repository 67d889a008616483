"""Bytes to and from an IMAP server (RFC 3501 section 2.2): bounded in size and in time.

Everything that is sent passes `line`, everything that is received comes as a `Reply`.
"""

import re
import socket
from time import monotonic
from typing import Final

Reply = tuple[bytes, ...]
"""One response: text and literals in turn, so that literals have the odd places."""

LONGEST_LINE: Final = 32 * 1024 * 1024
"""A SEARCH answer of four million UIDs fits; imaplib's own limit of 1 MB does not hold 150,000."""

KEPT: Final = 1024 * 1024 + 4096
"""Bytes of one literal that are kept; what follows is read and thrown away."""

LARGEST_LITERAL: Final = 64 * 1024 * 1024
MOST_LITERALS: Final = 2000
LARGEST_ANSWER: Final = 512 * 1024 * 1024
SLOWEST_RATE: Final = 4096
"""Bytes a second below which a server counts as silent although it drips."""

_CHUNK: Final = 256 * 1024
_FORBIDDEN: Final = re.compile(rb"[\0\r\n]")
_LITERAL: Final = re.compile(rb"\{(\d{1,12})\+?\}$")


class ConnectionLost(ConnectionError):  # noqa: N818  # a state of the line, not an error of ours
    """The other side closed the connection; the argument is what it said, if anything."""


class Garbled(Exception):  # noqa: N818  # a state of the line, not an error of ours
    """What came is no IMAP or beyond all bounds: the connection is out of step."""


class Forbidden(ValueError):  # noqa: N818  # likewise
    """An argument holds NUL, CR or LF and would have become another command."""


def line(*words: bytes) -> bytes:
    """A command line from its words: the one gate through which all goes that a server hears.

    Raises `Forbidden` for NUL, CR and LF (RFC 3501 section 9: no TEXT-CHAR).
    """
    text = b" ".join(words)
    if _FORBIDDEN.search(text):
        raise Forbidden("an argument to the server holds a line break or NUL")
    return text + b"\r\n"


def quoted(text: bytes) -> bytes:
    """`text` as a quoted string (RFC 3501 section 4.3)."""
    return b'"' + text.replace(b"\\", b"\\\\").replace(b'"', b'\\"') + b'"'


class Stream:
    """Reads lines and literals from a socket, with a limit on the time between two commands.

    A server may take `patience` seconds for an answer, and a second more for each `SLOWEST_RATE`
    bytes it sends meanwhile. Raises TimeoutError beyond that, `ConnectionLost` at the end.
    """

    def __init__(self, sock: socket.socket, patience: float) -> None:
        self._sock = sock
        self._patience = patience
        self._buffer = b""
        self._at = 0
        self.total = 0
        self.expect()

    def expect(self) -> None:
        """Starts the clock for what was just asked."""
        self._since = monotonic()
        self._received = 0

    def line(self) -> bytes:
        """The next line with its end."""
        end = self._buffer.find(b"\n", self._at) + 1
        if end:
            found = self._buffer[self._at : end]
            self._at = end
            return found
        parts, size = [self._buffer[self._at :]], len(self._buffer) - self._at
        while True:
            chunk = self._receive()
            end = chunk.find(b"\n") + 1
            if end:
                self._buffer, self._at = chunk, end
                return b"".join([*parts, chunk[:end]])
            parts.append(chunk)
            size += len(chunk)
            if size > LONGEST_LINE:
                raise Garbled("a line without end")

    def read(self, size: int, keep: int | None = None) -> bytes:
        """The next `size` bytes; of more than `keep` only the first."""
        keep = size if keep is None else min(size, keep)
        part = self._buffer[self._at : self._at + size]
        self._at += len(part)
        parts, have, missing = [part], len(part), size - len(part)
        while missing > 0:
            chunk = self._receive()
            part = chunk[:missing]
            self._buffer, self._at = chunk, len(part)
            missing -= len(part)
            if have < keep:
                parts.append(part)
                have += len(part)
        text = parts[0] if len(parts) == 1 else b"".join(parts)
        return text if len(text) <= keep else text[:keep]

    def reply(self) -> Reply:
        """The next whole response, literals included."""
        text = self.line().rstrip(b"\r\n")
        if not text.endswith(b"}"):
            return (text,)
        parts: list[bytes] = []
        while text.endswith(b"}") and (literal := _LITERAL.search(text)):
            size = int(literal[1])
            if size > LARGEST_LITERAL or len(parts) > 2 * MOST_LITERALS:
                raise Garbled("a literal beyond all bounds")
            parts += (text, self.read(size, KEPT))
            text = self.line().rstrip(b"\r\n")
        parts.append(text)
        return tuple(parts)

    def rest(self) -> bytes:
        """What has been received and not been read yet."""
        return self._buffer[self._at :]

    def _receive(self) -> bytes:
        chunk = self._sock.recv(_CHUNK)
        if not chunk:
            raise ConnectionLost
        self._received += len(chunk)
        self.total += len(chunk)
        if monotonic() - self._since > self._patience + self._received / SLOWEST_RATE:
            raise TimeoutError
        if self._received > LARGEST_ANSWER:
            raise Garbled("an answer without end")
        return chunk
