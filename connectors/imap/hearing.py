"""A connection on which a server speaks up by itself, heard without ever blocking.

Its lines come in whatever pieces the network makes of them: nothing here relies on their order.
"""

import random
import re
import socket
import ssl
from abc import ABC, abstractmethod
from collections.abc import Callable
from contextlib import suppress
from typing import Final, Literal

from connectors.imap.wire import Reply
from crm_sync.core.errors import Unreachable

REFRESH: Final = 540.0
"""Seconds between two signs of life: servers allow 29 minutes, routers forget a line sooner."""

PATIENCE: Final = 30.0
"""Seconds in which a server has to answer."""

_CHUNK: Final = 16 * 1024
_AT_ONCE: Final = 64 * 1024
_LONGEST: Final = 8 * 1024
_MOST_UNASKED: Final = 1024 * 1024
_LITERAL: Final = re.compile(rb"\{(\d{1,6})\+?\}\r?\n$")
_KEEPALIVE: Final = (
    (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),
    (socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 120),
    (socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 30),
    (socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 4),
)


class Hearing(ABC):
    """See `crm_sync.ports.Watch`. How a server is made to speak is left to those who inherit.

    `received` are bytes that came already. `missed` says that something was new before the watch
    began. `is_over` tells when the session has to end for reasons of its own. `_state` is "idle"
    while the server is expected to speak up, and nothing else.
    """

    def __init__(
        self,
        sock: socket.socket,
        received: bytes,
        *,
        where: str,
        missed: bool = False,
        is_over: Callable[[], bool] = lambda: False,
    ) -> None:
        self._sock = sock
        self._buffer = received
        self._where = where
        self._news = missed
        self._is_over = is_over
        self._taken = self._number = 0
        self._proving = True
        self._state: Literal["asked", "idle", "ending"] = "asked"
        sock.setblocking(False)
        for level, option, value in _KEEPALIVE:
            with suppress(OSError):  # some systems lack some
                sock.setsockopt(level, option, value)

    def fileno(self) -> int:
        """See `crm_sync.ports.Watch.fileno`."""
        return self._sock.fileno()

    def ready(self) -> bool:
        """See `crm_sync.ports.Watch.ready`."""
        self._receive()
        while (reply := self._next()) is not None:
            if reply[0][:5].upper() == b"* BYE":
                raise self._over("the server said good-bye")
            self._hear(reply)
        if len(self._buffer) > _LONGEST:
            raise self._over("the server sends a line without end")
        news, self._news = self._news, False
        return news

    def refresh(self) -> float:
        """See `crm_sync.ports.Watch.refresh`. The sign has come by the next call."""
        if self._is_over():
            raise self._over("the session has lasted as long as it may")
        if self._state != "idle":
            raise self._over("the server gives no sign of life")
        if self._proving:
            self._proving = False
            return (REFRESH - PATIENCE) * random.uniform(0.8, 1)  # noqa: S311  # spreads load
        self._proving, self._taken = True, 0
        self._prove()
        return PATIENCE

    def close(self) -> None:
        """See `crm_sync.ports.Watch.close`: without a word, which a dead line would not take."""
        with suppress(OSError):
            self._sock.close()

    @abstractmethod
    def _hear(self, reply: Reply) -> None:
        """Takes in one response."""

    @abstractmethod
    def _prove(self) -> None:
        """Says something that a server has to answer; `_state` is "idle" when it has."""

    def _send(self, data: bytes) -> None:
        """A few bytes, for which there is always room on a line that is alive."""
        try:
            sent = self._sock.send(data)
        except OSError as error:
            raise self._over("the connection is broken") from error
        if sent < len(data):
            raise self._over("the server takes nothing any more")

    def _over(self, what: str) -> Unreachable:
        return Unreachable(what, where=self._where, advice="Polls go on.")

    # -- bytes -------------------------------------------------------------------------------

    def _receive(self) -> None:
        """All that has come, up to a bound; what TLS has decrypted already wakes nobody."""
        taken = 0
        while taken < _AT_ONCE or self._pending():
            try:
                data = self._sock.recv(_CHUNK)
            except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
                break
            except OSError as error:
                raise self._over("the connection is broken") from error
            if not data:
                raise self._over("the server closed the connection")
            self._buffer += data
            taken += len(data)
        self._taken += taken
        if self._taken > _MOST_UNASKED:
            raise self._over("the server tells more than anybody asked for")

    def _pending(self) -> int:
        return self._sock.pending() if isinstance(self._sock, ssl.SSLSocket) else 0

    def _next(self) -> Reply | None:
        """The next whole response, its literals included; None while it is incomplete."""
        parts: list[bytes] = []
        start = 0
        while end := self._buffer.find(b"\n", start) + 1:
            text = self._buffer[start:end]
            literal = _LITERAL.search(text)
            if literal is None:
                self._buffer = self._buffer[end:]
                return (*parts, text.rstrip(b"\r\n"))
            start = end + int(literal[1])
            if len(self._buffer) < start:
                return None
            parts += (text.rstrip(b"\r\n"), self._buffer[end:start])
        return None
