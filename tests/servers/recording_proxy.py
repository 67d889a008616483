"""A TCP proxy that writes down what a client says, and plays the faults of networks and servers.

It stands in front of a real server, so nothing has to be imitated but the fault itself.
"""

import queue
import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Self

Answer = Callable[[bytes], bytes | None]

_READING = {
    *("CAPABILITY", "LOGIN", "AUTHENTICATE", "STARTTLS", "LOGOUT", "NOOP", "LIST", "STATUS"),
    *("EXAMINE", "UNSELECT", "CLOSE", "SEARCH", "FETCH", "NAMESPACE", "IDLE", "NOTIFY"),
}


class RecordingProxy:
    """Forwards a port of its own to `host:port`; use as a context manager.

    `commands` holds each line of the client. `round_trips` counts how often the client spoke after
    it had heard something. `delay` is added to each direction, in seconds. `on_command` may answer
    a line itself (bytes) or let it pass (None); `on_answer` may replace a line of the server, or
    swallow it (b""). `cut_after` breaks the connection once, after so many bytes of the server. `rewrite` changes a line on its way to the server.
    """

    def __init__(self, host: str, port: int, *, delay: float = 0.0) -> None:
        self.host, self.delay = "127.0.0.1", delay
        self.commands: list[bytes] = []
        self.round_trips = 0
        self.connections = 0
        self.bytes_from_client = 0
        self.bytes_from_server = 0
        self.on_command: Answer | None = None
        self.on_answer: Answer | None = None
        self.cut_after: int | None = None
        self.rewrite: Callable[[bytes], bytes] | None = None
        self._target = (host, port)
        self._open: set[socket.socket] = set()
        self._heard = threading.Event()
        self._listener = self._listen(0)
        self.port = int(self._listener.getsockname()[1])
        self._refusing = False

    def __enter__(self) -> Self:
        self._serve()
        return self

    def __exit__(self, *_: object) -> None:
        self.refuse()

    # -- what a test orders ------------------------------------------------------------------

    def forget(self) -> None:
        """Starts counting and recording afresh."""
        self.commands.clear()
        self.round_trips = self.bytes_from_client = self.bytes_from_server = 0
        self._heard.set()

    def cut(self) -> None:
        """Breaks all connections; new ones are welcome."""
        for sock in list(self._open):
            _break(sock)
        self._open.clear()

    def refuse(self) -> None:
        """Breaks all connections and refuses new ones."""
        self._refusing = True
        _break(self._listener)
        self.cut()

    def accept(self) -> None:
        """Ends `refuse`."""
        if self._refusing:
            self._refusing = False
            self._listener = self._listen(self.port)
            self._serve()

    def verbs(self) -> list[str]:
        """The commands without tags and arguments; the second word for UID."""
        words = [line.upper().split() for line in self.commands]
        return [
            (line[2] if line[1] == b"UID" else line[1]).decode("latin-1")
            for line in words
            if len(line) > 1
        ]

    def only_read(self) -> bool:
        """Whether no command was other than reading, and every FETCH a PEEK."""
        fetches = [line.upper() for line in self.commands if b" FETCH " in line.upper()]
        peeked = all(b"BODY[" not in line and b"RFC822 " not in line for line in fetches)
        return peeked and set(self.verbs()) <= _READING

    # -- how it works ------------------------------------------------------------------------

    @staticmethod
    def _listen(port: int) -> socket.socket:
        listener = socket.socket()
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", port))
        listener.listen()
        return listener

    def _serve(self) -> None:
        threading.Thread(target=self._accept, args=(self._listener,), daemon=True).start()

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            self.connections += 1
            server = socket.create_connection(self._target)
            self._open |= {client, server}
            to_server, to_client = self._writer(server), self._writer(client)
            for target, args in (
                (self._pump_client, (client, to_server, to_client)),
                (self._pump_server, (server, to_client)),
            ):
                threading.Thread(target=target, args=args, daemon=True).start()

    def _pump_client(self, client: socket.socket, to_server: "_Line", to_client: "_Line") -> None:
        rest, encrypted = b"", False
        while data := _receive(client):
            self.bytes_from_client += len(data)
            if self._heard.is_set():
                self._heard.clear()
                self.round_trips += 1
            if encrypted:
                to_server.put(data, self.delay)
                continue
            *lines, rest = (rest + data).split(b"\r\n")
            for line in lines:
                self._command(line, to_server, to_client)
                encrypted = line.upper().endswith(b" STARTTLS")
        to_server.end(self.delay)

    def _command(self, line: bytes, to_server: "_Line", to_client: "_Line") -> None:
        self.commands.append(line)
        answer = self.on_command(line) if self.on_command else None
        if answer is None:
            line = self.rewrite(line) if self.rewrite else line
            to_server.put(line + b"\r\n", self.delay)
        else:
            self._heard.set()
            to_client.put(answer, self.delay)

    def _pump_server(self, server: socket.socket, to_client: "_Line") -> None:
        rest = b""
        while data := _receive(server):
            before, self.bytes_from_server = (
                self.bytes_from_server,
                self.bytes_from_server + len(data),
            )
            if self.cut_after is not None and self.bytes_from_server > self.cut_after:
                data, self.cut_after = data[: self.cut_after - before], None
                to_client.put(data, self.delay)
                break
            self._heard.set()
            if self.on_answer is None:
                to_client.put(rest + data, self.delay)
                rest = b""
                continue
            *lines, rest = (rest + data).split(b"\r\n")
            for line in lines:
                answer = self.on_answer(line)
                to_client.put(line + b"\r\n" if answer is None else answer, self.delay)
        to_client.end(self.delay)

    def _writer(self, sock: socket.socket) -> "_Line":
        line = _Line(sock)
        threading.Thread(target=line.run, daemon=True).start()
        return line


class _Line:
    """One direction of a wire: what is put in comes out after its delay, in order."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._queue: queue.Queue[tuple[float, bytes]] = queue.Queue()

    def put(self, data: bytes, delay: float) -> None:
        if data:
            self._queue.put((time.monotonic() + delay, data))

    def end(self, delay: float) -> None:
        self._queue.put((time.monotonic() + delay, b""))

    def run(self) -> None:
        never = threading.Event()
        while True:
            due, data = self._queue.get()
            if (wait := due - time.monotonic()) > 0:
                never.wait(wait)
            if not data:
                _break(self._sock)
                return
            try:
                self._sock.sendall(data)
            except OSError:
                _break(self._sock)
                return


def _receive(sock: socket.socket) -> bytes:
    try:
        return sock.recv(65536)
    except OSError:
        return b""


def _break(sock: socket.socket) -> None:
    with suppress(OSError):
        sock.shutdown(socket.SHUT_RDWR)
    with suppress(OSError):
        sock.close()
