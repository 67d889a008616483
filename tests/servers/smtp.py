"""A submission server for tests: aiosmtpd, with one scripted fault at a named step.

Its history is the judge: `messages` holds what it took responsibility for, `wire` the octets it
received, and neither depends on what the client believes.
"""


# ruff: noqa: N802  # aiosmtpd finds its hooks by the names of the commands

import asyncio
import socket
import ssl
import threading
from dataclasses import dataclass, field
from typing import Literal

import pytest
import trustme
from aiosmtpd.smtp import SMTP, AuthResult

Step = Literal[
    "connect",
    "EHLO",
    "STARTTLS",
    "AUTH",
    "RSET",
    "MAIL",
    "RCPT",
    "DATA",
    "mid-data",
    "dot",
    "done",
    "QUIT",
]
Action = Literal["reply", "close", "stall", "cut"]


@dataclass(frozen=True)
class Fault:
    """What goes wrong at a step: `reply` is said instead of the right answer, or nothing is.

    "close" ends the connection after it, "cut" in the middle of it; "stall" says nothing for ever.

    At "dot" the data is complete, and `taken` says whether the mail counts as taken; "done" comes
    after the right answer to it. Happens `times` times, from the `skip`-th passing of the step on.
    """

    step: Step
    action: Action
    reply: str = ""
    taken: bool = False
    times: int = 1
    skip: int = 0


@dataclass
class SmtpServer:
    """A server in a thread, on a free loopback port."""

    security: Literal["tls", "starttls", "none"] = "none"
    users: dict[str, str] = field(default_factory=dict)
    utf8: bool = True
    mechanisms: tuple[str, ...] = ("PLAIN", "LOGIN")
    size_limit: int = 33_554_432
    certificate: trustme.LeafCert | None = None

    def __post_init__(self):
        self.host = "127.0.0.1"
        self.port = 0
        self.messages = []  # (mail_from, rcpt_tos, octets), dots unstuffed
        self.wire = bytearray()
        self.said = []  # verbs in order
        self.sign_ins = []  # (user, password)
        self.connections = 0
        self.fault = None
        self._left = self._skip = 0
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._ready = threading.Event()
        self._sessions = set()

    def __enter__(self):
        self._thread.start()
        assert self._ready.wait(10)
        return self

    def __exit__(self, *exc):
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(10)
        assert not self._thread.is_alive()

    def script(self, fault):
        """From now on `fault` happens; None: nothing does."""
        self.fault = fault
        self._left, self._skip = (fault.times, fault.skip) if fault else (0, 0)

    def take(self, step):
        """The fault due at this step, if any."""
        if self.fault is None or self.fault.step != step or self._left == 0:
            return None
        if self._skip:
            self._skip -= 1
            return None
        self._left -= 1
        return self.fault

    def _run(self):
        asyncio.set_event_loop(self._loop)
        try:
            self._loop.run_until_complete(self._serve())
        finally:
            self._loop.close()

    async def _serve(self):
        self._stop = asyncio.Event()
        listening = socket.socket()
        # A small buffer, so that a client soon notices when nobody reads.
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65_536)
        listening.bind((self.host, 0))
        self.port = listening.getsockname()[1]
        server = await self._loop.create_server(
            lambda: _Session(self),
            sock=listening,
            ssl=self.tls_context() if self.security == "tls" else None,
        )
        self._ready.set()
        await self._stop.wait()
        server.close()
        tasks = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        for task in tasks:
            task.cancel()
        for session in list(self._sessions):
            session.abort()
        await asyncio.gather(*tasks, return_exceptions=True)
        await server.wait_closed()
        # One more turn, in which the transports are told that they are lost.
        await asyncio.sleep(0)

    def tls_context(self):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.certificate.configure_cert(context)
        return context


class _Session(SMTP):
    def __init__(self, server):
        self.script = server
        super().__init__(
            _Handler(server),
            hostname="mail.acme.example",
            data_size_limit=server.size_limit,
            enable_SMTPUTF8=server.utf8,
            tls_context=server.tls_context() if server.security == "starttls" else None,
            auth_require_tls=server.security == "starttls",
            authenticator=self._sign_in,
            auth_exclude_mechanism={"PLAIN", "LOGIN"} - set(server.mechanisms),
            loop=asyncio.get_running_loop(),
        )
        server.connections += 1
        server._sessions.add(self)

    def _sign_in(self, _server, _session, _envelope, _mechanism, data):
        given = (data.login.decode(), data.password.decode())
        self.script.sign_ins.append(given)
        return AuthResult(success=given in self.script.users.items(), handled=False)

    def abort(self):
        for transport in (self.transport, self._original_transport):
            if transport is not None:
                transport.abort()

    def connection_lost(self, error):
        self.script._sessions.discard(self)
        super().connection_lost(error)

    def data_received(self, data):
        self.script.wire += data
        super().data_received(data)

    async def _handle_client(self):
        if not await self._misbehave("connect"):
            await super()._handle_client()

    async def _misbehave(self, step):
        """Whether the step was dealt with, the wrong way."""
        fault = self.script.take(step)
        if fault is not None:
            await self.do(fault)
        return fault is not None

    async def do(self, fault):
        if fault.action == "stall":
            await asyncio.Event().wait()
        if fault.action == "cut":
            self._writer.write(fault.reply.encode())
        elif fault.reply:
            await self.push(fault.reply)
        if fault.action != "reply" or fault.step == "connect":
            self.transport.close()

    async def _step(self, step, rightly, arg):
        self.script.said.append(step)
        if not await self._misbehave(step):
            await rightly(arg)

    async def smtp_QUIT(self, arg):
        await self._step("QUIT", super().smtp_QUIT, arg)

    async def smtp_EHLO(self, arg):
        await self._step("EHLO", super().smtp_EHLO, arg)

    async def smtp_STARTTLS(self, arg):
        await self._step("STARTTLS", super().smtp_STARTTLS, arg)

    async def smtp_AUTH(self, arg):
        await self._step("AUTH", super().smtp_AUTH, arg)

    async def smtp_RSET(self, arg):
        await self._step("RSET", super().smtp_RSET, arg)

    async def smtp_MAIL(self, arg):
        if self.script.users and not self.session.authenticated:
            await self.push("530 5.7.0 Authentication required")
            return
        await self._step("MAIL", super().smtp_MAIL, arg)

    async def smtp_RCPT(self, arg):
        await self._step("RCPT", super().smtp_RCPT, arg)

    async def smtp_DATA(self, arg):
        self.script.said.append("DATA")
        if await self._misbehave("DATA"):
            return
        if fault := self.script.take("mid-data"):
            await self.push("354 go on")
            await self._reader.read(1)
            await self.do(fault)
            return
        await super().smtp_DATA(arg)
        await self._misbehave("done")


class _Handler:
    def __init__(self, server):
        self.script = server

    async def handle_DATA(self, session, _state, envelope):
        fault = self.script.take("dot")
        if fault is None or fault.taken:
            mail = (envelope.mail_from, list(envelope.rcpt_tos), bytes(envelope.content))
            self.script.messages.append(mail)
        if fault is None:
            return "250 2.0.0 Ok: queued as K3V"
        if fault.action == "reply":
            return fault.reply
        await session.do(fault)
        raise asyncio.CancelledError


@pytest.fixture
def smtp_server():
    """A server without TLS or sign-in."""
    with SmtpServer() as server:
        yield server
