"""The server's end of a watch that waits for mail."""

import socket
from collections.abc import Callable

from crm_sync.ports import Watch


class Peer:
    """Talks with the watch that `watch_at` makes of its end of the line."""

    def __init__(self, watch_at: Callable[[socket.socket], Watch]) -> None:
        ours, self.sock = socket.socketpair()
        self.sock.settimeout(5)
        self.heard = b""
        self.watch = watch_at(ours)

    def say(self, data: bytes) -> bool:
        """Sends, and lets the watch look: whether it took that for news."""
        self.sock.sendall(data)
        return self.watch.ready()

    def hears(self, line: bytes) -> None:
        """The watch has sent this line, and nothing else."""
        while not self.heard.endswith(b"\r\n"):
            self.heard += self.sock.recv(1000)
        assert self.heard == line
        self.heard = b""

    def close(self) -> None:
        """Hangs up on both ends."""
        self.watch.close()
        self.sock.close()
