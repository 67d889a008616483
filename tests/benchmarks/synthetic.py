"""An IMAP server with as many messages as one likes: each is made of its number when it is asked for.

`python -m tests.benchmarks.synthetic COUNT` prints its port and serves until standard input ends.
It knows what our program asks, and nothing else: whatever else comes is answered with BAD.
"""

import re
import socketserver
import sys
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Final

_FIRST: Final = datetime(2015, 1, 1, tzinfo=UTC)
_EPOCH: Final = 77
_RANGES: Final = re.compile(rb"UID ([\d:*,]+)")
_SINCE: Final = re.compile(rb"SINCE (\d{1,2}-[A-Za-z]{3}-\d{4})")
_FIELDS: Final = re.compile(rb"BODY\.PEEK(\[HEADER\.FIELDS \([^)]*\)\])")
_CAPABILITIES: Final = b"IMAP4rev1 LITERAL+ UNSELECT ESEARCH LIST-EXTENDED LIST-STATUS SPECIAL-USE"
_OPENED: Final = (
    b"* %d EXISTS\r\n* OK [UIDVALIDITY %d] .\r\n* OK [UIDNEXT %d] .\r\n",
    b"[READ-ONLY] done",
)


def _arrival(uid: int) -> datetime:
    return _FIRST + timedelta(minutes=5 * uid)


def _message(uid: int, section: bytes) -> bytes:
    at = _arrival(uid)
    header = (
        f"From: Person {uid % 5000} <person{uid % 5000}@firm{uid % 700}.example>\r\n"
        f"To: karin@acme.example\r\nSubject: Number {uid}\r\nMessage-ID: <{uid}@firm.example>\r\n"
        f"Date: {at:%d %b %Y %H:%M:%S} +0000\r\n\r\n"
    ).encode()
    start = f'* {uid} FETCH (UID {uid} INTERNALDATE "{at:%d-%b-%Y %H:%M:%S} +0000" RFC822.SIZE 900 '
    return start.encode() + b"BODY%b {%d}\r\n%b)\r\n" % (section, len(header), header)


class _Handler(socketserver.StreamRequestHandler):
    server: "SyntheticServer"
    wbufsize = 1 << 16

    def handle(self) -> None:
        self.wfile.write(b"* OK [CAPABILITY " + _CAPABILITIES + b"] ready\r\n")
        self.wfile.flush()
        while line := self.rfile.readline():
            tag, _, command = line.strip().partition(b" ")
            try:
                said = self._answer(command)
            except ValueError:
                said = b"BAD not known here"
            self.wfile.write(tag + b" " + said + b"\r\n")
            self.wfile.flush()

    def _answer(self, command: bytes) -> bytes:
        count = self.server.count
        verb = command.upper()
        if verb.startswith((b"LOGIN", b"UNSELECT", b"CLOSE", b"NOOP")):
            return b"OK done"
        if verb.startswith(b"CAPABILITY"):
            self.wfile.write(b"* CAPABILITY " + _CAPABILITIES + b"\r\n")
            return b"OK done"
        if verb.startswith(b"LIST"):
            self.wfile.write(b'* LIST () "/" INBOX\r\n* STATUS INBOX (')
            numbers = (count, count + 1, _EPOCH)
            self.wfile.write(b"MESSAGES %d UIDNEXT %d UIDVALIDITY %d)\r\n" % numbers)
            return b"OK done"
        if verb.startswith(b"EXAMINE"):
            self.wfile.write(_OPENED[0] % (count, _EPOCH, count + 1))
            return b"OK " + _OPENED[1]
        if verb.startswith(b"UID SEARCH"):
            return self._search(command)
        if verb.startswith(b"UID FETCH"):
            return self._fetch(command)
        raise ValueError

    def _search(self, command: bytes) -> bytes:
        found = _RANGES.search(command)
        low, high = 1, self.server.count
        if found:
            parts = list(_read(found[1], high))
            low, high = parts[0][0], parts[-1][1]
        if since := _SINCE.search(command):
            day = datetime.strptime(since[1].decode(), "%d-%b-%Y").replace(tzinfo=UTC)
            low = max(low, -(-(day - _FIRST) // timedelta(minutes=5)))
        hit = b" ALL %d:%d" % (low, high) if low <= high else b""
        self.wfile.write(b'* ESEARCH (TAG "x") UID' + hit + b"\r\n")
        return b"OK done"

    def _fetch(self, command: bytes) -> bytes:
        asked, _, items = command[10:].partition(b" ")
        section = _FIELDS.search(items)
        if section is None:
            raise ValueError
        for low, high in _read(asked, self.server.count):
            for uid in range(low, min(high, self.server.count) + 1):
                self.wfile.write(_message(uid, section[1]))
        return b"OK done"


def _read(text: bytes, top: int) -> Iterator[tuple[int, int]]:
    for part in text.split(b","):
        numbers = [top if word == b"*" else int(word) for word in part.split(b":")]
        yield min(numbers[0], numbers[-1]), max(numbers[0], numbers[-1])


class SyntheticServer(socketserver.ThreadingTCPServer):
    """A mailbox of `count` messages on a free port of loopback."""

    daemon_threads = True

    def __init__(self, count: int) -> None:
        self.count = count
        super().__init__(("127.0.0.1", 0), _Handler)

    def handle_error(self, *_: object) -> None:
        """Clients that are killed leave without a word."""


if __name__ == "__main__":
    server = SyntheticServer(int(sys.argv[1]))
    print(server.server_address[1], flush=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    sys.stdin.read()
