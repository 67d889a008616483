"""An IMAP4rev1 server (RFC 3501) over real sockets that lies, stumbles and breaks off on order.

It writes down every line it hears, and takes nothing but reading: any other command is refused and
kept in `violations`. The mailbox behind it is changed by the test, never by the client.
"""

import re
import socket
import threading
from collections.abc import Iterator
from contextlib import suppress
from datetime import datetime
from typing import Self

from tests.servers.scripted_mailbox import (
    Folder,
    Lies,
    Message,
    internal_date,
    search,
    section_of,
    structure_of,
    uids_in,
)

USER, PASSWORD = "karin", "pass"
PLAIN = frozenset({"IMAP4rev1", "IDLE", "UNSELECT"})
FULL = PLAIN | {"LIST-EXTENDED", "LIST-STATUS", "SPECIAL-USE", "ESEARCH"}

_WORD = re.compile(rb'"((?:[^"\\]|\\.)*)"|([()])|([^\s()"]+)')
_ITEM = re.compile(
    rb"BODY\.PEEK\[([^\]]*)\](?:<(\d+)\.(\d+)>)?|BODYSTRUCTURE|INTERNALDATE|RFC822\.SIZE|UID|FLAGS"
    rb"|X-GM-MSGID|X-GM-THRID",
    re.IGNORECASE,
)
_TAGGED = re.compile(rb"([A-Z]+)(\d+) [A-Z]+( |$)", re.IGNORECASE)
_SERIES = 3
"""Series of tags on one connection: while signing in, then, and while waiting for mail."""


class ScriptedImap:
    """A server on a free loopback port; use as a context manager. `lock` guards the mailbox."""

    def __init__(self, capabilities: frozenset[str] = FULL) -> None:
        self.host = "127.0.0.1"
        self.capabilities = capabilities
        self.lock = threading.RLock()
        self._listener = socket.create_server((self.host, 0))
        self.port = int(self._listener.getsockname()[1])
        self._open: set[socket.socket] = set()
        self._idle: dict[_Session, None] = {}
        self.reset()

    def reset(self) -> None:
        """An empty mailbox, an honest server, an empty history; connections are broken."""
        self.cut()
        self.lies = Lies()
        self.history: list[bytes] = []
        self.violations: list[bytes] = []
        self.connections = 0
        self.folders: dict[bytes, Folder] = {}
        self._validity = 100
        self.make(b"INBOX")

    def __enter__(self) -> Self:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        _break(self._listener)
        self.cut()

    # -- what a test orders ------------------------------------------------------------------

    def make(self, name: bytes, uses: bytes = b"") -> Folder:
        """A new, empty folder."""
        with self.lock:
            self.folders[name] = Folder(name, self.new_validity(), uses)
            return self.folders[name]

    def new_validity(self) -> int:
        """A UIDVALIDITY nobody has had."""
        self._validity += 1
        return self._validity

    def deliver(
        self, folder: bytes, raw: bytes, arrived_at: datetime, *, late: bool = False
    ) -> int:
        """A new message, told to those who wait; its UID."""
        with self.lock:
            uid = self.folders[folder].add(Message(raw, arrived_at, late))
            waiting = [s for s in self._idle if s.selected is self.folders[folder]]
            exists = b"* %d EXISTS\r\n" % len(self.folders[folder].visible())
        for session in waiting:
            session.send(exists)
        return uid

    def is_idle(self) -> bool:
        """Whether a client waits for mail."""
        return bool(self._idle)

    def cut(self) -> None:
        """Breaks all connections; new ones are welcome."""
        for sock in list(self._open):
            _break(sock)
        self._open.clear()

    def verbs(self) -> list[str]:
        """What was asked, without tags and arguments; the second word for UID."""
        words = [line.upper().split() for line in self.history]
        return [(w[2] if w[1] == b"UID" else w[1]).decode("latin-1") for w in words if len(w) > 1]

    def _accept(self) -> None:
        while True:
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self.connections += 1
            self._open.add(sock)
            threading.Thread(target=_Session(self, sock).run, daemon=True).start()


class _Over(Exception):  # noqa: N818  # the end of a conversation is no error
    pass


class _Session:
    """One connection."""

    def __init__(self, server: ScriptedImap, sock: socket.socket) -> None:
        self._server, self._sock = server, sock
        self.selected: Folder | None = None
        self._tags: dict[bytes, int] = {}
        self._open_command = b""
        self._sending = threading.Lock()

    def run(self) -> None:
        with suppress(_Over, OSError):
            self.send(b"* OK [CAPABILITY %b] at your service\r\n" % self._capabilities())
            for line in self._lines():
                self._command(line)
        self._server._idle.pop(self, None)
        self._server._open.discard(self._sock)
        _break(self._sock)

    def _lines(self) -> Iterator[bytes]:
        rest = b""
        while data := self._sock.recv(65536):
            *lines, rest = (rest + data).split(b"\r\n")
            yield from lines

    def send(self, data: bytes) -> None:
        """Sends as the lies have it: in pieces, or only a part and then nothing more."""
        lies, over = self._server.lies, False
        with self._sending:
            if lies.cut_after is not None and len(data) > lies.cut_after:
                over, data, lies.cut_after = True, data[: lies.cut_after], None
                if lies.bye:
                    data = data[: data.rfind(b"\r\n") + 2] + b"* BYE Session expired\r\n"
            elif lies.cut_after is not None:
                lies.cut_after -= len(data)
            step = lies.drip or len(data) or 1
            for at in range(0, len(data), step):
                self._sock.sendall(data[at : at + step])
        if over:
            raise _Over

    # -- commands ----------------------------------------------------------------------------

    def _command(self, line: bytes) -> None:
        server = self._server
        if self._open_command:
            tag, self._open_command = self._open_command, b""
            idling = self in server._idle
            server._idle.pop(self, None)
            self.send(tag + (b" OK done\r\n" if idling and line == b"DONE" else b" NO no\r\n"))
            return
        server.history.append(line)
        if not self._is_next(line) or re.search(rb"[\0\r\n]", line):
            server.violations.append(line)
            self.send(b"* BAD no command\r\n")
            return
        tag, verb, *rest = line.split(b" ", 2)
        arguments = rest[0] if rest else b""
        if verb.upper() == b"UID":
            verb, _, arguments = arguments.partition(b" ")
        name = verb.decode("latin-1").lower()
        handler = getattr(self, f"_do_{name}", None)
        if handler is None or (b"X-GM-" in line and "X-GM-EXT-1" not in server.capabilities):
            server.violations.append(line)
            self.send(tag + b" BAD this server only reads\r\n")
            return
        answer = server.lies.refuses(line)
        with server.lock:
            said = answer if answer is not None else handler(tag, arguments)
        chatter = b"* 1 FETCH (FLAGS (\\Seen))\r\n* OK still here\r\n"
        if server.lies.bare:
            said = re.sub(rb"(\w+ OK)[^\r\n]*\r\n\Z", rb"\1\r\n", said)
        self.send((chatter if server.lies.chatter else b"") + said)
        if name == "logout":
            raise _Over

    def _is_next(self, line: bytes) -> bool:
        """Whether the tag follows the one before: what is slipped in between has another one."""
        found = _TAGGED.match(line)
        if found is None:
            return False
        series, number = found[1], int(found[2])
        follows = self._tags.get(series, number - 1) == number - 1
        self._tags[series] = number
        return follows and len(self._tags) <= _SERIES

    def _capabilities(self) -> bytes:
        return " ".join(sorted(self._server.capabilities)).encode()

    def _do_capability(self, tag: bytes, _: bytes) -> bytes:
        return b"* CAPABILITY %b\r\n%b OK done\r\n" % (self._capabilities(), tag)

    def _do_login(self, tag: bytes, arguments: bytes) -> bytes:
        good = _words(arguments) == [USER.encode(), PASSWORD.encode()]
        return tag + (b" OK welcome\r\n" if good else b" NO [AUTHENTICATIONFAILED] no\r\n")

    def _do_authenticate(self, tag: bytes, _: bytes) -> bytes:
        self._open_command = tag
        return b"+ \r\n"

    def _do_logout(self, tag: bytes, _: bytes) -> bytes:
        return b"* BYE bye\r\n" + tag + b" OK done\r\n"

    def _do_noop(self, tag: bytes, _: bytes) -> bytes:
        exists = b""
        if self.selected is not None:
            exists = b"* %d EXISTS\r\n" % len(self.selected.visible())
        return exists + tag + b" OK done\r\n"

    def _do_unselect(self, tag: bytes, _: bytes) -> bytes:
        self.selected = None
        return tag + b" OK done\r\n"

    _do_close = _do_unselect

    def _do_idle(self, tag: bytes, _: bytes) -> bytes:
        self._open_command = tag
        self._server._idle[self] = None
        exists = b""
        if self._server.lies.exists_with_idling and self.selected is not None:
            exists = b"* %d EXISTS\r\n" % (len(self.selected.visible()))
        return b"+ idling\r\n" + exists

    def _do_examine(self, tag: bytes, arguments: bytes) -> bytes:
        self.selected = self._server.folders.get(_inbox(_words(arguments)[0]))
        if self.selected is None:
            return tag + b" NO [NONEXISTENT] no such folder\r\n"
        numbers = self._numbers(self.selected)
        told = b"".join(
            b"* OK [%b %d]\r\n" % (n, v) for n, v in numbers.items() if n != b"MESSAGES"
        )
        exists = b"* %d EXISTS\r\n" % len(self.selected.visible())
        return exists + told + tag + b" OK [READ-ONLY]\r\n"

    def _numbers(self, folder: Folder) -> dict[bytes, int]:
        """What EXAMINE and STATUS tell, as far as the lies let them."""
        lies = self._server.lies
        if lies.uidvalidity == "flapping":
            folder.uidvalidity = self._server.new_validity()
        numbers = {b"MESSAGES": len(folder.visible()), b"UIDNEXT": folder.uidnext}
        numbers[b"UIDVALIDITY"] = folder.uidvalidity
        if lies.uidvalidity == "missing":
            del numbers[b"UIDVALIDITY"]
        if lies.uidnext == "missing":
            del numbers[b"UIDNEXT"]
        elif lies.uidnext == "low":
            numbers[b"UIDNEXT"] = max(folder.uidnext - 1, 1)
        return numbers

    def _do_status(self, tag: bytes, arguments: bytes) -> bytes:
        name = _inbox(_words(arguments)[0])
        if name not in self._server.folders:
            return tag + b" NO [NONEXISTENT] no such folder\r\n"
        return self._status(name, arguments) + tag + b" OK done\r\n"

    def _status(self, name: bytes, asked: bytes) -> bytes:
        numbers = self._numbers(self._server.folders[name])
        told = b" ".join(b"%b %d" % (n, v) for n, v in numbers.items() if n in asked.upper())
        return b"* STATUS %b (%b)\r\n" % (_quoted(name), told)

    def _do_list(self, tag: bytes, arguments: bytes) -> bytes:
        what, _, options = arguments.partition(b" RETURN ")
        if options and "LIST-EXTENDED" not in self._server.capabilities:
            return tag + b" BAD no such option\r\n"
        wanted = {_inbox(word) for word in _words(what)[1:]}
        said = b""
        for folder in self._server.folders.values():
            if b"*" in wanted or folder.name in wanted:
                said += b'* LIST (%b) "/" %b\r\n' % (folder.uses, _quoted(folder.name))
                if b"STATUS" in options.upper():
                    said += self._status(folder.name, options)
        return said + b"".join(self._server.lies.raw_list) + tag + b" OK done\r\n"

    def _do_search(self, tag: bytes, arguments: bytes) -> bytes:
        folder, lies = self.selected, self._server.lies
        if folder is None:
            return tag + b" BAD no folder is open\r\n"
        short = arguments.upper().startswith(b"RETURN (ALL) ")
        words = _words(arguments[13:] if short else arguments)
        known = [*folder.visible(), *range(folder.uidnext, folder.uidnext + lies.phantoms)]
        try:
            found = sorted(search(folder, words, known))
        except (KeyError, ValueError, IndexError):
            return tag + b" BAD Command Argument Error. 11\r\n"
        told = [b"%d" % uid for uid in found]
        if short:
            every = b" ALL %b" % b",".join(told) if told else b""
            return b'* ESEARCH (TAG "%b") UID%b\r\n%b OK done\r\n' % (tag, every, tag)
        rows = [[n] for n in reversed(told)] if lies.scattered else [told]
        return (
            b"".join(b" ".join([b"* SEARCH", *r]) + b"\r\n" for r in rows) + tag + b" OK done\r\n"
        )

    def _do_fetch(self, tag: bytes, arguments: bytes) -> bytes:
        folder = self.selected
        asked, _, items = arguments.partition(b" ")
        if folder is None or _ITEM.sub(b"", items).strip(b"() "):
            if folder is not None:
                self._server.violations.append(arguments)
            return tag + b" BAD what is this\r\n"
        said, visible = b"", folder.visible()
        for uid in sorted(uids_in(asked, visible)):
            message = folder.messages[uid]
            if message.poison in {"NO", "BAD"}:
                return said + tag + b" %b Server error\r\n" % message.poison.encode()
            if message.poison:
                last = b"* BYE sorry\r\n" if message.poison == "BYE" else b"* 1 FETCH (UID"
                self.send(said + last)
                raise _Over
            if not message.silent:
                number = visible.index(uid) + 1
                said += b"* %d FETCH (%b)\r\n" % (number, self._items(uid, message, items))
        return said + tag + b" OK done\r\n"

    def _items(self, uid: int, message: Message, items: bytes) -> bytes:
        told: list[bytes] = []
        for found in _ITEM.finditer(items):
            name = found[0].upper()
            if name == b"UID":
                told.append(b"UID %d" % uid)
            elif name == b"FLAGS":
                told.append(b"FLAGS ()")
            elif name == b"INTERNALDATE":
                date = internal_date(message.arrived_at)
                date = date.lstrip() if self._server.lies.arrival == "short" else date
                told += [b'INTERNALDATE "%b"' % date] * (self._server.lies.arrival != "missing")
            elif name == b"RFC822.SIZE":
                size = len(message.raw) + self._server.lies.size
                told.append(b"RFC822.SIZE %d" % size)
            elif name.startswith(b"X-GM-"):
                told.append(b"%b %d" % (name, message.mark(name)))
            elif name == b"BODYSTRUCTURE":
                told.append(b"BODYSTRUCTURE " + structure_of(message.raw))
            else:
                told.append(self._section(message, found))
        return b" ".join(told)

    def _section(self, message: Message, found: re.Match[bytes]) -> bytes:
        octets = section_of(message.raw, found[1].decode("ascii"))
        if self._server.lies.empty and not found[1].upper().startswith(b"HEADER"):
            octets = b""
        name = b"BODY[%b]" % found[1]
        if found[2] is not None:
            name += b"<%b>" % found[2]
            start = int(found[2])
            octets = octets[start : start + int(found[3])] if octets is not None else None
        return name + (b" NIL" if octets is None else b" {%d}\r\n%b" % (len(octets), octets))


def _words(text: bytes) -> list[bytes]:
    """Atoms and quoted strings, parentheses left out."""
    found = _WORD.finditer(text)
    return [
        re.sub(rb"\\(.)", rb"\1", f[1]) if f[1] is not None else f[3] for f in found if not f[2]
    ]


def _inbox(name: bytes) -> bytes:
    return b"INBOX" if name.upper() == b"INBOX" else name


def _quoted(name: bytes) -> bytes:
    return b'"%b"' % re.sub(rb'(["\\])', rb"\\\1", name)


def _break(sock: socket.socket) -> None:
    with suppress(OSError):
        sock.shutdown(socket.SHUT_RDWR)
    with suppress(OSError):
        sock.close()
