"""One connection to an IMAP server, from the socket to the greeting and TLS.

imapclient and imaplib meet the server here, and only here are their privates touched; after the
sign-in commands and answers go through `wire` directly, which can pipeline and bounds everything.
"""

import imaplib
import re
import socket
import ssl
from functools import lru_cache
from pathlib import Path
from typing import Final

from imapclient import IMAPClient, SocketTimeout

from connectors.imap.options import ImapOptions
from connectors.imap.wire import Reply, Stream
from connectors.proxy import dial

_WITHOUT_TEXT: Final = re.compile(rb"\A(\w+ (?:OK|NO|BAD))(\r?\n)\Z", re.IGNORECASE)


class NoStartTls(Exception):  # noqa: N818  # a state of the server, not an error of ours
    """The server offers no STARTTLS although the admin asked for it."""


def tls_context(ca_file: Path | None) -> ssl.SSLContext:
    """A context that verifies; the same one for all accounts with the same `ca_file`.

    A context of its own for each connection would cost a megabyte each. Raises OSError when the
    file can't be read.
    """
    return _context(str(ca_file) if ca_file else None, ca_file.stat().st_mtime_ns if ca_file else 0)


@lru_cache(maxsize=32)
def _context(ca_file: str | None, _changed: int) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=ca_file)


class _Imap4(imaplib.IMAP4):
    """imaplib reading through a `Stream`, so that the greeting and sign-in are bounded too."""

    def __init__(self, options: ImapOptions) -> None:
        self._options = options
        self._stream: Stream | None = None
        self._stream_of: socket.socket | None = None
        super().__init__(options.host, options.effective_port)

    def _create_socket(self, timeout: float | None = None) -> socket.socket:
        del timeout
        options = self._options
        context = tls_context(options.ca_file) if options.security == "tls" else None
        connect = options.timeouts.connect
        sock = dial(options.host, options.effective_port, connect, options.proxy)
        try:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if context is not None:
                sock = context.wrap_socket(sock, server_hostname=options.host)
        except BaseException:
            sock.close()
            raise
        sock.settimeout(options.timeouts.read)
        return sock

    @property
    def stream(self) -> Stream:
        """The stream of the present socket; STARTTLS brings a new one, with nothing left over."""
        if self._stream is None or self._stream_of is not self.sock:
            self._stream_of = self.sock
            self._stream = Stream(self.sock, self._options.timeouts.answer)
        return self._stream

    def readline(self) -> bytes:
        # imaplib takes an answer without the text that RFC 3501 demands for a broken line.
        return _WITHOUT_TEXT.sub(rb"\1 \2", self.stream.line())

    def read(self, size: int) -> bytes:
        return self.stream.read(size)


class _Client(IMAPClient):  # type: ignore[misc]  # imapclient publishes no types
    def __init__(self, options: ImapOptions) -> None:
        self._options = options
        timeouts = SocketTimeout(options.timeouts.connect, options.timeouts.read)
        super().__init__(
            options.host,
            options.effective_port,
            ssl=options.security == "tls",
            timeout=timeouts,
        )
        # imapclient sets 5, at which imaplib writes every literal out: slow, and mail in logs.
        self._imap.debug = 0

    def _create_IMAP4(self) -> imaplib.IMAP4:  # noqa: N802  # imapclient's name
        return _Imap4(self._options)


class Connection:
    """A connection with TLS as the admin ordered it, not signed in yet.

    The constructor connects; it raises OSError (ssl.SSLError among them), imaplib's errors and
    `NoStartTls`.
    """

    def __init__(self, options: ImapOptions) -> None:
        self.options = options
        self._client = _Client(options)
        try:
            if options.security == "starttls":
                self._start_tls()
            self.capabilities = frozenset(c.decode("ascii", "replace") for c in self._offered())
        except BaseException:
            self.close()
            raise

    def sign_in_plain(self, username: str, password: str) -> None:
        """Signs in by SASL PLAIN, which can carry more than ASCII; raises imaplib's errors."""
        self._client.plain_login(username, password)

    def send(self, data: bytes) -> None:
        """Sends whole lines."""
        self._imap.stream.expect()
        self._imap.sock.sendall(data)

    def reply(self) -> Reply:
        """The next response."""
        return self._imap.stream.reply()

    @property
    def received(self) -> int:
        """Octets that came so far, those before STARTTLS apart."""
        return self._imap.stream.total

    def detach(self) -> tuple[socket.socket, bytes]:
        """The socket, and what came over it unread; the connection itself is of no more use.

        A socket alone takes a fraction of the memory.
        """
        return self._imap.sock, self._imap.stream.rest()

    def close(self) -> None:
        """Closes the socket without a word: a LOGOUT on a dead line would wait for its answer."""
        try:
            self._client.shutdown()
        except OSError:
            self._imap.sock.close()

    @property
    def _imap(self) -> _Imap4:
        imap: _Imap4 = self._client._imap  # noqa: SLF001  # the only way from imapclient to imaplib
        return imap

    def _offered(self) -> tuple[bytes, ...]:
        offered: tuple[bytes, ...] = self._client.capabilities()
        return offered

    def _start_tls(self) -> None:
        if b"STARTTLS" not in self._offered():
            raise NoStartTls
        self._client.starttls(tls_context(self.options.ca_file))
