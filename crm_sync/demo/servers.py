"""Real servers on free loopback ports, for as long as a `with` block lasts (extra `demo`).

pymap speaks IMAP and aiosmtpd SMTP, both in one event loop in a thread of its own; what is sent to
one of the mailboxes lies in its INBOX at once, what is sent to anybody else becomes a file.
Radicale speaks CalDAV in a second thread. Mail is kept in memory, calendars below `directory`.
"""

import asyncio
import base64
import http.client
import logging
import threading
from argparse import Namespace
from collections.abc import Coroutine, Mapping
from concurrent.futures import Future
from datetime import datetime
from http import HTTPStatus
from pathlib import Path
from socketserver import ThreadingMixIn
from types import TracebackType
from typing import Any, Self, TypeVar
from urllib.parse import quote
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from aiosmtpd.smtp import SMTP
from proxyprotocol.reader import ProxyProtocolReader
from pymap.backend.dict import Config, Identity
from pymap.backend.dict import Login as MemoryLogin
from pymap.imap import IMAPServer
from pymap.parsing.message import AppendMessage
from pymap.user import Passwords, UserMetadata
from radicale import config as radicale_config
from radicale.app import Application

from crm_sync.ports import Clock

HOST = "127.0.0.1"
_TIMEOUT = 20.0  # seconds for any single step of starting, filling and stopping
_T = TypeVar("_T")


class DemoServers:
    """IMAP, SMTP and CalDAV for a few users with one password.

    `mailboxes` maps each address to the user whose INBOX it is. Mail to others is written as
    numbered .eml files to `outgoing`. Each user has the folders INBOX and Sent and one calendar.
    """

    def __init__(
        self,
        directory: Path,
        outgoing: Path,
        mailboxes: Mapping[str, str],
        password: str,
        clock: Clock,
    ) -> None:
        self.users = tuple(dict.fromkeys(mailboxes.values()))
        self.password = password
        self._mail = _MailServers(mailboxes, self.users, password, outgoing, clock)
        self._calendars = _CalendarServer(directory, self.users, password)

    @property
    def imap_port(self) -> int:
        """The port of the IMAP server; plain text, user name and password."""
        return self._mail.imap_port

    @property
    def smtp_port(self) -> int:
        """The port of the SMTP server; plain text, no sign-in."""
        return self._mail.smtp_port

    def caldav_url(self, user: str) -> str:
        """The address below which a user's calendars lie."""
        return f"http://{HOST}:{self._calendars.port}/{user}/"

    def append(self, user: str, folder: str, raw: bytes, arrived_at: datetime) -> None:
        """Puts a mail into a folder, as arrived at that moment (aware)."""
        self._mail.append(user, folder, raw, arrived_at)

    def put(self, user: str, calendar: str, href: str, ics: bytes) -> None:
        """Puts a calendar object into a calendar, which is made when it isn't there."""
        self._calendars.put(user, calendar, href, ics)

    def __enter__(self) -> Self:
        self._mail.start()
        try:
            self._calendars.start()
        except BaseException:
            self._mail.stop()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._calendars.stop()
        self._mail.stop()


class _ImapConfig(Config):
    """pymap's own settings, but a greeting that doesn't ask the name server for our name."""

    @property
    def greeting(self) -> bytes:
        return b"Demo server ready"


class _MailServers:
    """The IMAP and the SMTP server in one event loop."""

    def __init__(
        self,
        mailboxes: Mapping[str, str],
        users: tuple[str, ...],
        password: str,
        outgoing: Path,
        clock: Clock,
    ) -> None:
        self.imap_port = 0
        self.smtp_port = 0
        self._mailboxes = {address.lower(): user for address, user in mailboxes.items()}
        self._users = users
        self._password = password
        self._outgoing = outgoing
        self._clock = clock
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(
            target=self._loop.run_forever, name="demo-mail", daemon=True
        )
        self._login: Any = None
        self._servers: list[asyncio.Server] = []
        self._sent = 0

    def start(self) -> None:
        self._thread.start()
        self._wait(self._serve())

    def stop(self) -> None:
        self._wait(self._close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(_TIMEOUT)
        self._loop.close()

    def append(self, user: str, folder: str, raw: bytes, arrived_at: datetime) -> None:
        self._wait(self._append(user, folder, raw, arrived_at))

    def _wait(self, work: Coroutine[Any, Any, _T]) -> _T:
        future: Future[_T] = asyncio.run_coroutine_threadsafe(work, self._loop)
        return future.result(_TIMEOUT)

    async def _serve(self) -> None:
        config = _ImapConfig.from_args(_imap_arguments())
        config.apply_context()
        self._login = MemoryLogin(config)
        digest = await Passwords(config).hash_password(self._password)
        for user in self._users:
            identity = Identity(user, self._login, None, frozenset())
            await identity.set(UserMetadata(config, user, password=digest))
            async with identity.new_session() as session:
                await session.mailbox_set.add_mailbox("Sent")
        speak = ProxyProtocolReader(config.proxy_protocol).get_callback(
            IMAPServer(self._login, config)
        )
        imap = await asyncio.start_server(speak, HOST, 0)
        smtp = await self._loop.create_server(self._smtp, HOST, 0)
        self._servers = [imap, smtp]
        self.imap_port = imap.sockets[0].getsockname()[1]
        self.smtp_port = smtp.sockets[0].getsockname()[1]

    def _smtp(self) -> Any:
        return SMTP(self, loop=self._loop, hostname="demo", enable_SMTPUTF8=True)

    async def _close(self) -> None:
        for server in self._servers:
            server.close()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)

    async def _append(self, user: str, folder: str, raw: bytes, arrived_at: datetime) -> None:
        async with Identity(user, self._login, None, frozenset()).new_session() as session:
            mailbox = await session.mailbox_set.get_mailbox(folder)
            await mailbox.append(AppendMessage(raw, arrived_at))

    async def handle_DATA(self, _server: Any, _session: Any, envelope: Any) -> str:  # noqa: N802  # aiosmtpd's name
        """Delivers a mail: to our own mailboxes, or to a file (aiosmtpd calls this)."""
        raw: bytes = envelope.content
        own = {self._mailboxes.get(address.lower()) for address in envelope.rcpt_tos}
        for user in sorted(user for user in own if user):
            await self._append(user, "INBOX", raw, self._clock.now())
        if None in own:
            self._sent += 1
            self._outgoing.mkdir(parents=True, exist_ok=True)
            (self._outgoing / f"{self._sent:03}.eml").write_bytes(raw)
        return "250 2.0.0 delivered"


def _imap_arguments() -> Namespace:
    return Namespace(
        host=HOST, port=0, debug=False, cert=None, key=None, tls=False, passlib_cfg=None,
        proxy_protocol=None, demo_data=False, demo_user="", demo_password="",
    )  # fmt: skip


class _ThreadedWsgiServer(ThreadingMixIn, WSGIServer):
    daemon_threads = True


class _QuietHandler(WSGIRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  # the base class's name
        """Requests are nobody's business here."""


class _CalendarServer:
    """Radicale in a thread."""

    def __init__(self, directory: Path, users: tuple[str, ...], password: str) -> None:
        self.port = 0
        self._directory = directory
        self._users = users
        self._password = password
        self._server: WSGIServer | None = None
        self._thread = threading.Thread(target=self._run, name="demo-calendars", daemon=True)
        self._made: set[str] = set()

    def start(self) -> None:
        self._directory.mkdir(parents=True, exist_ok=True)
        passwords = self._directory / "users"
        passwords.write_text("".join(f"{user}:{self._password}\n" for user in self._users))
        logging.getLogger("radicale").setLevel(logging.CRITICAL)
        settings = radicale_config.load()
        settings.update(
            {
                "auth": {
                    "type": "htpasswd",
                    "htpasswd_filename": str(passwords),
                    "htpasswd_encryption": "plain",
                    "delay": "0",
                },
                "storage": {"filesystem_folder": str(self._directory / "calendars")},
                "web": {"type": "none"},
                "logging": {"level": "critical"},
            },
            "demo",
        )
        self._server = make_server(
            HOST, 0, Application(settings), _ThreadedWsgiServer, _QuietHandler
        )
        self.port = self._server.server_port
        self._thread.start()

    def _run(self) -> None:
        assert self._server is not None
        self._server.serve_forever(poll_interval=0.1)

    def stop(self) -> None:
        if self._server is not None:
            self._server.shutdown()
            self._thread.join(_TIMEOUT)
            self._server.server_close()

    def put(self, user: str, calendar: str, href: str, ics: bytes) -> None:
        path = f"/{quote(user)}/{quote(calendar)}/"
        if path not in self._made:
            self._request(user, "MKCALENDAR", path, b"")
            self._made.add(path)
        self._request(user, "PUT", path + quote(href), ics)

    def _request(self, user: str, method: str, path: str, body: bytes) -> None:
        token = base64.b64encode(f"{user}:{self._password}".encode()).decode("ascii")
        headers = {
            "Authorization": f"Basic {token}",
            "Content-Type": "text/calendar; charset=utf-8",
        }
        connection = http.client.HTTPConnection(HOST, self.port, timeout=_TIMEOUT)
        try:
            connection.request(method, path, body, headers)
            status = connection.getresponse().status
        finally:
            connection.close()
        if status not in {HTTPStatus.CREATED, HTTPStatus.NO_CONTENT}:
            raise RuntimeError(f"the calendar server answered {status} to {method} {path}")
