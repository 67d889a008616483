"""Waiting for new mail by IDLE (RFC 2177), without ever blocking.

The server's lines come in whatever pieces the network makes of them, beside the `+` or before it,
whole or in part: nothing here relies on their order.
"""

import random
import re
import socket
import ssl
from collections.abc import Callable
from contextlib import suppress
from typing import Final, Literal

from connectors.imap.folders import Folder
from connectors.imap.link import Link
from connectors.imap.session import Selected
from crm_sync.core.errors import Unreachable

REFRESH: Final = 540.0
"""Seconds between two IDLEs: servers allow 29 minutes, routers forget a silent line much sooner."""

PATIENCE: Final = 30.0
"""Seconds in which a server has to answer."""

_CHUNK: Final = 16 * 1024
_AT_ONCE: Final = 64 * 1024
_LONGEST_LINE: Final = 8 * 1024
_MOST_UNASKED: Final = 1024 * 1024
_COUNT: Final = re.compile(rb"\* (\d{1,10}) (EXISTS|EXPUNGE)", re.IGNORECASE)
_TAGGED: Final = re.compile(rb"W(\d{1,6}) (OK|NO|BAD)\b", re.IGNORECASE)
_KEEPALIVE: Final = (
    (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),
    (socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 120),
    (socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 30),
    (socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 4),
)

_State = Literal["asked", "idle", "ending"]


def begin(link: Link, folder: Folder) -> "IdleWatch":
    """A watch over a folder, on a connection of its own.

    Raises errors of the house and `failures.LOST`.
    """
    session = link.sign_in(link.connect())
    try:
        opened = link.reopen(session, folder.raw)
        if opened is None:
            raise Unreachable("the folder is not there", where=link.where)
        ends_at = link.credentials.ends_at
        uidnext = folder.status.uidnext if folder.status else None
        sock, received = session.detach()
        return IdleWatch(
            sock,
            received,
            opened,
            where=link.where,
            missed=uidnext is None or uidnext != opened.uidnext,
            is_over=lambda: ends_at is not None and link.clock.now() >= ends_at,
        )
    except BaseException:
        session.close()
        raise


class IdleWatch:
    """See `crm_sync.ports.Watch`. The folder of `opened` is open on `sock` for reading.

    `received` are bytes that came already. `missed` says that something was new before the watch
    began. `is_over` tells when the session has to end for reasons of its own.
    """

    def __init__(
        self,
        sock: socket.socket,
        received: bytes,
        opened: Selected,
        *,
        where: str,
        missed: bool = False,
        is_over: Callable[[], bool] = lambda: False,
    ) -> None:
        self._sock = sock
        self._buffer = received
        self._exists = opened.exists
        self._where = where
        self._news = missed
        self._is_over = is_over
        self._taken = self._number = self._restarts = 0
        self._proving = True
        self._state: _State = "asked"
        sock.setblocking(False)
        for level, option, value in _KEEPALIVE:
            with suppress(OSError):  # some systems lack some
                sock.setsockopt(level, option, value)
        self._idle()

    def fileno(self) -> int:
        """See `crm_sync.ports.Watch.fileno`."""
        return self._sock.fileno()

    def ready(self) -> bool:
        """See `crm_sync.ports.Watch.ready`."""
        self._receive()
        *lines, self._buffer = self._buffer.split(b"\n")
        if len(self._buffer) > _LONGEST_LINE:
            raise self._over("the server sends a line without end")
        for line in lines:
            self._hear(line)
        news, self._news = self._news, False
        return news

    def refresh(self) -> float:
        """See `crm_sync.ports.Watch.refresh`.

        Ends IDLE; it begins anew with the server's answer, which has come by the next call.
        """
        if self._is_over():
            raise self._over("the session has lasted as long as it may")
        if self._state != "idle":
            raise self._over("the server gives no sign of life")
        if self._proving:
            self._proving = False
            return (REFRESH - PATIENCE) * random.uniform(0.8, 1)  # noqa: S311  # spreads load
        self._proving, self._state = True, "ending"
        self._taken = self._restarts = 0
        self._send(b"DONE\r\n")
        return PATIENCE

    def close(self) -> None:
        """See `crm_sync.ports.Watch.close`: without a word, which a dead line would not take."""
        with suppress(OSError):
            self._sock.close()

    # -- how ---------------------------------------------------------------------------------

    def _idle(self) -> None:
        self._number += 1
        self._state = "asked"
        self._send(b"W%d IDLE\r\n" % self._number)

    def _send(self, data: bytes) -> None:
        """A few bytes, for which there is always room on a line that is alive."""
        try:
            sent = self._sock.send(data)
        except OSError as error:
            raise self._over("the connection is broken") from error
        if sent < len(data):
            raise self._over("the server takes nothing any more")

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

    def _hear(self, line: bytes) -> None:
        if line.startswith(b"+"):
            if self._state == "asked":
                self._state = "idle"
        elif line[:5].upper() == b"* BYE":
            raise self._over("the server said good-bye")
        elif count := _COUNT.match(line):
            self._count(int(count[1]), count[2].upper())
        elif (tagged := _TAGGED.match(line)) and int(tagged[1]) == self._number:
            self._answered(ok=tagged[2].upper() == b"OK")

    def _count(self, number: int, what: bytes) -> None:
        if what == b"EXPUNGE":
            self._exists -= 1
            return
        self._news |= number > self._exists
        self._exists = number

    def _answered(self, *, ok: bool) -> None:
        """IDLE has ended: as we asked, or because the server had enough of it."""
        if not ok:
            raise self._over("the server does not let us wait for mail")
        if self._state != "ending":
            self._restarts += 1
            if self._restarts > 1:
                raise self._over("the server ends every wait for mail")
        self._idle()

    def _over(self, what: str) -> Unreachable:
        return Unreachable(what, where=self._where, advice="Polls go on.")
