"""The place on this machine to which a browser comes back (RFC 8252 section 7.3)."""

import queue
import threading
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Final, Self
from urllib.parse import urlsplit

_PAGE: Final = (
    b"<!doctype html><meta charset=utf-8><title>crm-sync</title>"
    b"<p>You can close this window and go back to the terminal."
)
_SILENCE: Final = 10
_MOST_WAITING: Final = 20


class Landing:
    """Listens on loopback, on a free port; a context manager."""

    def __init__(self, host: str) -> None:
        self._queries: queue.Queue[str] = queue.Queue(_MOST_WAITING)
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self._queries))
        self._server.daemon_threads = True
        self.uri = f"http://{host}:{self._server.server_address[1]}/"

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, args=(0.1,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def query(self) -> str | None:
        """The query of an address that a browser came to, None when there is none."""
        try:
            return self._queries.get_nowait()
        except queue.Empty:
            return None


def _handler(queries: queue.Queue[str]) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        timeout = _SILENCE  # a browser opens connections that it may never use

        def do_GET(self) -> None:
            parts = urlsplit(self.path)
            is_ours = parts.path == "/" and bool(parts.query)
            self.send_response(200 if is_ours else 404)
            self.send_header("Content-Type", "text/html; charset=utf-8")
            self.send_header("Content-Security-Policy", "default-src 'none'")
            self.send_header("Referrer-Policy", "no-referrer")
            self.send_header("Cache-Control", "no-store")
            self.end_headers()
            if is_ours:
                self.wfile.write(_PAGE)
                with suppress(queue.Full):
                    queries.put_nowait(parts.query)

        def log_message(self, *_: object) -> None:
            """The address holds a code: it belongs into no log."""

    return Handler
