"""An HTTP proxy on loopback that knows CONNECT and nothing else."""

import base64
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field


@dataclass
class ConnectProxy:
    """`asked` are the targets of CONNECT; `user` and `password` are wanted where they are set.

    `hosts` are names that nobody else knows, with their addresses; `status` is what it answers.
    """

    port: int
    user: str = ""
    password: str = ""
    asked: list[str] = field(default_factory=list)
    hosts: dict[str, str] = field(default_factory=dict)
    status: int = 200

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def serve(self, client: socket.socket) -> None:
        with client, suppress(OSError):
            head = b""
            while b"\r\n\r\n" not in head:
                head += client.recv(4096)
            lines = head.decode().split("\r\n")
            verb, target, _ = lines[0].split(" ")
            words = base64.b64encode(f"{self.user}:{self.password}".encode()).decode()
            if self.user and f"Proxy-Authorization: Basic {words}" not in lines:
                client.sendall(b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n")
                return
            assert verb == "CONNECT"
            self.asked.append(target)
            if self.status != 200:
                client.sendall(f"HTTP/1.1 {self.status} Words of the proxy\r\n\r\n".encode())
                return
            host, _, port = target.rpartition(":")
            with socket.create_connection((self.hosts.get(host, host), int(port)), 5) as server:
                client.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
                back = threading.Thread(target=_pass_on, args=(server, client), daemon=True)
                back.start()
                _pass_on(client, server)
                back.join(5)


def _pass_on(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(65536):
            target.sendall(data)
    for end in (source, target):
        with suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)


@contextmanager
def connect_proxy(user: str = "", password: str = "") -> Iterator[ConnectProxy]:
    listener = socket.create_server(("127.0.0.1", 0))
    proxy = ConnectProxy(listener.getsockname()[1], user, password)

    def accept() -> None:
        with suppress(OSError):
            while True:
                client, _ = listener.accept()
                threading.Thread(target=proxy.serve, args=(client,), daemon=True).start()

    thread = threading.Thread(target=accept, daemon=True)
    thread.start()
    try:
        yield proxy
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join(5)
