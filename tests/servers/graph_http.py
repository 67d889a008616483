"""HTTP and TLS under the loopback Graph of `tests.servers.graph`."""

import json
import ssl
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Protocol
from urllib.parse import parse_qs, urlsplit

from tests.servers.entra import Entra


@dataclass
class Reply:
    status: int = 200
    body: Any = None
    headers: dict[str, str] = field(default_factory=dict)
    silent: bool = False
    cut: bool = False


@dataclass
class Asked:
    """A request, or one in a batch; `prefer` in lower case."""

    method: str
    path: str
    query: dict[str, str]
    prefer: str
    content: bytes = b""
    media_type: str = ""


class Graph(Protocol):
    """What the server below asks of the one above."""

    entra: Entra
    outer: list[str]
    context: ssl.SSLContext
    closing: threading.Event
    sockets: set[Any]

    @property
    def origin(self) -> str: ...

    def admits(self, sock: Any) -> bool: ...

    def answer(self, asked: Asked, bearer: str) -> Reply: ...


def problem(status: int, code: str, **headers: str) -> Reply:
    body = {"error": {"code": code, "message": "Secret words of the server.", "innerError": {}}}
    return Reply(status, body, {k.replace("_", "-"): v for k, v in headers.items()})


def throttled(seconds: int = 17) -> Reply:
    return problem(429, "ApplicationThrottled", Retry_After=str(seconds))


def parse(method: str, target: str, prefer: str, content: bytes, media_type: str) -> Asked:
    parts = urlsplit(target)
    query = {name: values[0] for name, values in parse_qs(parts.query).items()}
    return Asked(method, parts.path, query, prefer.lower(), content, media_type)


def shut(sock: Any) -> None:
    try:
        sock.shutdown(2)
        sock.close()
    except OSError:
        pass


class Listener(ThreadingHTTPServer):
    daemon_threads = True
    graph: "Graph"

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        if not self.graph.admits(request):
            request.close()
            return
        try:
            secured = self.graph.context.wrap_socket(request, server_side=True)
        except OSError:
            return
        self.graph.sockets.discard(request)
        self.graph.sockets.add(secured)
        super().process_request_thread(secured, client_address)

    def handle_error(self, *_: object) -> None:
        """Cut connections are part of the play."""


def handler(graph: "Graph") -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def _serve(self) -> None:
            length = int(self.headers.get("Content-Length", 0))
            content = self.rfile.read(length)
            if len(content) < length:
                self.close_connection = True
                return
            if not self.path.startswith("/v1.0"):
                self._say(*graph.entra.answer(graph.origin, self.path, content))
                return
            target = self.path.removeprefix("/v1.0")
            media_type = self.headers.get("Content-Type", "")
            asked = parse(self.command, target, self.headers.get("Prefer", ""), content, media_type)
            graph.outer.append(f"{self.command} {asked.path}")
            bearer = self.headers.get("Authorization", "").removeprefix("Bearer ")
            reply = graph.answer(asked, bearer)
            if reply.silent or reply.cut:
                if reply.silent:
                    graph.closing.wait(20)
                self.close_connection = True
                shut(self.connection)
                return
            octets = reply.body if isinstance(reply.body, bytes) else b""
            if isinstance(reply.body, dict):
                octets = json.dumps(reply.body).encode()
            self._say(reply.status, octets, reply.headers)

        def _say(self, status: int, octets: bytes, headers: dict[str, str]) -> None:
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(octets)))
            self.end_headers()
            self.wfile.write(octets)

        do_GET = do_POST = do_PATCH = do_DELETE = _serve  # noqa: N815  # http.server finds them by name

        def log_message(self, *_: object) -> None:
            pass

    return Handler
