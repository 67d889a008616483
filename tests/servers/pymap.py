"""pymap, an IMAP server by others: the second opinion beside Dovecot. It keeps mail in memory."""

import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from imapclient import IMAPClient

from tests.servers.dovecot import PASSWORD, Dovecot

USER = "karin"


class Pymap(Dovecot):
    """One pymap with one user; other mail clients do with it what they do with a Dovecot."""

    def __init__(self) -> None:
        self.host = "127.0.0.1"
        with socket.create_server((self.host, 0)) as free:
            self.port = int(free.getsockname()[1])
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Starts the server and returns when it answers."""
        command = [sys.executable, "-c", "from pymap.main import main; main()"]
        command += ["--host", self.host, "--port", str(self.port)]
        command += ["--no-tls", "--no-service", "admin", "--no-service", "managesieve", "dict"]
        command += ["--demo-data", "--demo-user", USER, "--demo-password", PASSWORD]
        self._process = subprocess.Popen(
            command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        for _ in range(200):
            try:
                with socket.create_connection((self.host, self.port), 1) as sock:
                    if sock.recv(1000).startswith(b"* OK"):
                        return
            except OSError:
                threading.Event().wait(0.05)
            if self._process.poll() is not None:
                break
        raise RuntimeError("pymap did not start")

    def remove(self) -> None:
        """Stops the server; its mail goes with it."""
        self.stop()

    @contextmanager
    def client(self, user: str) -> Iterator[IMAPClient]:
        """Another mail client of the only user there is, signed in."""
        del user
        with IMAPClient(self.host, self.port, ssl=False, timeout=30) as client:
            client.login(USER, PASSWORD)
            yield client
