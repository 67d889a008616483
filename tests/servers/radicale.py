"""Radicale and Xandikos, started by the tests themselves on free loopback ports.

Both serve the user "karin" with the password "pass" (Xandikos asks for none) and begin without any
calendar object. What happens to the calendars goes past the connector, by plain HTTP.
"""

import base64
import http.client
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

USER, PASSWORD = "karin", "pass"

_MKCALENDAR = """<?xml version="1.0" encoding="utf-8"?>
<C:mkcalendar xmlns:D="DAV:" xmlns:C="urn:ietf:params:xml:ns:caldav"><D:set><D:prop>
<D:displayname>{name}</D:displayname>
<C:supported-calendar-component-set><C:comp name="{component}"/>
</C:supported-calendar-component-set>
</D:prop></D:set></C:mkcalendar>"""


class CalendarServer:
    """What both servers share: a process, and the verbs of another calendar program."""

    home = ""

    def __init__(self) -> None:
        self.base = Path(tempfile.mkdtemp(prefix="caldav-", dir="/tmp"))
        self.host, self.port = "127.0.0.1", _free_port()
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """The server's root."""
        return f"http://{self.host}:{self.port}/"

    def command(self) -> list[str]:
        """What starts the server."""
        raise NotImplementedError

    def start(self) -> None:
        """Starts the server and returns when it answers."""
        with (self.base / "log").open("ab") as log:
            self._process = subprocess.Popen(self.command(), stdout=log, stderr=log)
        for _ in range(400):
            try:
                self.request("OPTIONS", "/")
            except OSError:
                threading.Event().wait(0.05)
            else:
                return
            if self._process.poll() is not None:
                break
        raise RuntimeError(f"the server did not start:\n{(self.base / 'log').read_text()}")

    def stop(self) -> None:
        """Stops the server, keeping its calendars."""
        if self._process is not None:
            self._process.terminate()
            self._process.wait(20)
            self._process = None

    def remove(self) -> None:
        """Stops the server and deletes all it had."""
        self.stop()
        shutil.rmtree(self.base, ignore_errors=True)

    def request(
        self, method: str, path: str, body: str = "", content_type: str = "text/calendar"
    ) -> int:
        """One request of another program; the status."""
        connection = http.client.HTTPConnection(self.host, self.port, timeout=30)
        word = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
        headers = {
            "Authorization": f"Basic {word}",
            "Content-Type": f"{content_type}; charset=utf-8",
        }
        try:
            connection.request(method, path, body.encode(), headers)
            answer = connection.getresponse()
            answer.read()
        finally:
            connection.close()
        return answer.status

    def make_calendar(self, calendar: str, name: str = "", component: str = "VEVENT") -> str:
        """Makes a calendar; its path."""
        path = f"{self.home}{calendar}/"
        body = _MKCALENDAR.format(name=name or calendar, component=component)
        self._must(self.request("MKCALENDAR", path, body, "application/xml"), path)
        return path

    def put(self, path: str, text: str) -> None:
        """Creates or replaces an object."""
        self._must(self.request("PUT", path, text.replace("\n", "\r\n")), path)

    def delete(self, path: str) -> None:
        """Deletes an object or a calendar."""
        self._must(self.request("DELETE", path), path)

    @staticmethod
    def _must(status: int, path: str) -> None:
        if not 200 <= status < 300:
            raise RuntimeError(f"the server answered {status} for {path}")


class Radicale(CalendarServer):
    """One Radicale with passwords; its calendars are files under `base`."""

    home = f"/{USER}/"

    def command(self) -> list[str]:
        """What starts the server."""
        users = self.base / "users"
        users.write_text(f"{USER}:{PASSWORD}\n")
        return [
            *(sys.executable, "-m", "radicale", "--config", ""),
            *("--server-hosts", f"{self.host}:{self.port}"),
            *("--storage-filesystem-folder", str(self.base / "storage")),
            *("--auth-type", "htpasswd", "--auth-htpasswd-filename", str(users)),
            *("--auth-htpasswd-encryption", "plain", "--auth-delay", "0"),
        ]

    def expire_tokens(self, calendar: str) -> None:
        """Forgets all sync-tokens of a calendar, as after 30 days."""
        shutil.rmtree(self._folder(calendar) / ".Radicale.cache" / "sync-token")

    def plant(self, calendar: str, name: str, text: str) -> None:
        """Puts an object past the server's own checks, as older versions let it in."""
        (self._folder(calendar) / name).write_text(text, newline="\r\n")

    def _folder(self, calendar: str) -> Path:
        return self.base / "storage" / "collection-root" / USER / calendar


class Xandikos(CalendarServer):
    """One Xandikos; it asks for no password and lets in what Radicale refuses."""

    home = f"/{USER}/calendars/"

    def command(self) -> list[str]:
        """What starts the server."""
        return [
            *(
                sys.executable,
                "-m",
                "xandikos",
                "serve",
                "--defaults",
                "-d",
                str(self.base / "git"),
            ),
            *("-l", self.host, "-p", str(self.port), "--current-user-principal", f"/{USER}/"),
        ]


def _free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])
