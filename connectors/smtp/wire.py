"""smtplib's client with bounded answers.

smtplib waits anew for each byte, reads lines without end and takes half a line for an answer. Here
an answer has one deadline and a cap, and is complete or none.
"""

import smtplib
import socket
import ssl
from time import monotonic

from connectors.smtp.replies import Reply

_LONGEST_REPLY = 65_536
_CHUNK = 65_536
_CODE = slice(0, 3)


class Wire(smtplib.SMTP):
    """A client on a connected socket. Raises OSError (TimeoutError, ssl.SSLError) and no other.

    `reply_timeout` is in seconds, for sending a command and again for its whole answer.
    """

    def __init__(self, sock: socket.socket, reply_timeout: float) -> None:
        # The name is never said: `hello` gives the address, which needs no look-up.
        super().__init__(local_hostname="localhost")
        self.sock = sock
        self.reply_timeout = reply_timeout
        self._unread = b""

    def hello(self) -> Reply:
        """EHLO with our address literal (RFC 5321 section 4.1.3); fills `esmtp_features`."""
        address = self._socket().getsockname()[0]
        code, text = self.ehlo(f"[IPv6:{address}]" if ":" in address else f"[{address}]")
        return Reply(code, text.decode("ascii", "replace"))

    def ask(self, command: str) -> Reply:
        """Sends a command and waits for its answer."""
        self._socket().settimeout(self.reply_timeout)
        self.putcmd(command)
        return self.reply()

    def reply(self) -> Reply:
        """The next answer."""
        code, text = self.getreply()
        return Reply(code, text.decode("ascii", "replace"))

    def write(self, data: bytes) -> None:
        """Sends data as it is; each piece has the time of an answer."""
        for start in range(0, len(data), _CHUNK):
            self._socket().settimeout(self.reply_timeout)
            self.send(data[start : start + _CHUNK])

    def secure(self, context: ssl.SSLContext, host: str) -> None:
        """Wraps the connection after STARTTLS.

        All that was learnt in clear is forgotten (RFC 3207 section 4.2). What the server has
        already said beyond its "go ahead" was slipped in by somebody: raises ConnectionError.
        """
        if self._unread:
            raise ConnectionError("there was an answer before its question")
        self._socket().settimeout(self.reply_timeout)
        self.sock = context.wrap_socket(self._socket(), server_hostname=host)
        self.ehlo_resp = None
        self.esmtp_features = {}

    def quiet(self) -> bool:
        """Whether nothing has come unasked: no early answer, no end of the connection."""
        if self._unread:
            return False
        self._socket().settimeout(0)
        try:
            self._unread = self._socket().recv(_CHUNK)
        except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
            return True
        return False

    def getreply(self) -> tuple[int, bytes]:
        """The next answer as smtplib wants it: code -1 when it is no SMTP."""
        deadline = monotonic() + self.reply_timeout
        lines: list[bytes] = []
        size = 0
        while True:
            line = self._line(deadline)
            size += len(line)
            if size > _LONGEST_REPLY:
                raise ConnectionError("the answer has no end")
            lines.append(line)
            if line[3:4] != b"-" or not line[_CODE].isdigit():  # "SSH-2.0" is no first line of two
                break
        codes = {line[_CODE] for line in lines}
        text = b"\n".join(line[4:].strip() for line in lines)
        well_formed = len(codes) == 1 and line[3:4] in {b"", b" "} and line[_CODE].isdigit()
        return int(line[_CODE]) if well_formed else -1, text

    def _socket(self) -> socket.socket:
        if self.sock is None:
            raise ConnectionError("the connection was closed")
        return self.sock

    def _line(self, deadline: float) -> bytes:
        while b"\n" not in self._unread:
            if len(self._unread) > _LONGEST_REPLY:
                raise ConnectionError("the answer has no end")
            left = deadline - monotonic()
            if left <= 0:
                raise TimeoutError("the answer takes too long")
            self._socket().settimeout(left)
            chunk = self._socket().recv(_CHUNK)
            if not chunk:
                raise ConnectionError("the connection was closed")
            self._unread += chunk
        line, _, self._unread = self._unread.partition(b"\n")
        return line.rstrip(b"\r")
