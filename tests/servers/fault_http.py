"""An HTTP proxy that plays bad servers: what it does not answer itself goes to a real one.

So nothing of a protocol is imitated but the fault itself.
"""

import hashlib
import http.client
import re
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Self


@dataclass(frozen=True)
class Request:
    """What a client asked."""

    method: str
    path: str
    body: bytes
    headers: dict[str, str]


@dataclass(frozen=True)
class Reply:
    """What is answered; `silent` never answers, `cut` closes half-way."""

    status: int = 200
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    silent: bool = False
    cut: bool = False


class FaultyServer:
    """Forwards to `host:port`; use as a context manager.

    `requests` holds what came. `on_request` may answer itself (None lets it pass) and `on_answer`
    may change the body of what the real server said.
    """

    def __init__(self, host: str = "127.0.0.1", port: int = 0) -> None:
        self.requests: list[Request] = []
        self.on_request: Callable[[Request], Reply | None] | None = None
        self.on_answer: Callable[[Request, bytes], bytes] | None = None
        self._upstream = (host, port)
        self._closing = threading.Event()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        self.port = self._server.server_address[1]

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._closing.set()
        self._server.shutdown()
        self._server.server_close()

    @property
    def url(self) -> str:
        """The root."""
        return f"http://127.0.0.1:{self.port}/"

    def methods(self) -> list[str]:
        """The methods of all requests so far."""
        return [request.method for request in self.requests]

    def _answer(self, request: Request) -> Reply:
        self.requests.append(request)
        reply = self.on_request(request) if self.on_request else None
        return reply if reply is not None else self._forward(request)

    def _forward(self, request: Request) -> Reply:
        connection = http.client.HTTPConnection(*self._upstream, timeout=30)
        kept = {k: v for k, v in request.headers.items() if k.lower() not in {"host", "connection"}}
        # The real server's hrefs shall name the proxy, and nothing be packed that a test changes.
        kept |= {"Host": f"127.0.0.1:{self.port}", "Accept-Encoding": "identity"}
        try:
            connection.request(request.method, request.path, request.body or None, kept)
            answer = connection.getresponse()
            body = answer.read()
        finally:
            connection.close()
        if self.on_answer is not None:
            body = self.on_answer(request, body)
        passed = ("Content-Type", "ETag", "WWW-Authenticate", "Location")
        headers = {name: value for name, value in answer.getheaders() if name in passed}
        return Reply(answer.status, body, headers)

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        server = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def _any(self) -> None:
                length = int(self.headers.get("Content-Length") or 0)
                body = self.rfile.read(length)
                request = Request(self.command, self.path, body, dict(self.headers))
                reply = server._answer(request)
                if reply.silent:
                    server._closing.wait(30)
                    self.close_connection = True
                    return
                self.send_response(reply.status)
                for name, value in reply.headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(reply.body) + 10 * reply.cut))
                self.end_headers()
                self.wfile.write(reply.body)
                self.close_connection = reply.cut

            do_GET = do_PROPFIND = do_REPORT = do_OPTIONS = _any  # noqa: N815  # http.server's

            def log_message(self, *_: object) -> None:
                """Keeps standard error clean."""

        return Handler


class DigestGuard:
    """An `on_request` that lets only Digest with the right password through (RFC 7616, MD5)."""

    def __init__(self, user: str, password: str, then: str) -> None:
        self._secret = _md5(f"{user}:calendars:{password}")
        self._then = then
        self.let_in = 0

    def __call__(self, request: Request) -> Reply | None:
        """401 until the answer to the challenge is right; then Basic towards the real server."""
        said = dict(re.findall(r'(\w+)="?([^",]*)"?', request.headers.get("Authorization", "")))
        asked = _md5(f"{request.method}:{said.get('uri')}")
        proof = (self._secret, "n0nce", said.get("nc"), said.get("cnonce"), "auth", asked)
        if said.get("response") != _md5(":".join(map(str, proof))):
            challenge = 'Digest realm="calendars", nonce="n0nce", qop="auth", algorithm=MD5'
            return Reply(401, headers={"WWW-Authenticate": challenge})
        self.let_in += 1
        request.headers["Authorization"] = self._then
        return None


def _md5(text: str) -> str:
    return hashlib.md5(text.encode()).hexdigest()
