"""An OAuth 2.0 provider on loopback: strict about PKCE, and faulty when it is told to be.

Its access tokens are JWTs that a Dovecot beside it checks by itself (`OAuthServer.dovecot`).
"""

import base64
import hashlib
import hmac
import itertools
import json
import secrets
import threading
import time
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Self
from urllib.parse import parse_qs, urlencode, urlsplit

from tests.servers.dovecot import Dovecot

CLIENT, SECRET = "crm-client", "canary-client-secret"
JWT_SECRET = b"a secret of thirty-two octets!!!"

_DOVECOT = """
auth_mechanisms = plain xoauth2 oauthbearer
passdb {{
  driver = oauth2
  mechanisms = xoauth2 oauthbearer
  args = {folder}/oauth2.conf
}}
namespace inbox {{
  mailbox "All Mail" {{
    special_use = \\All
    auto = create
  }}
}}
"""


@dataclass(frozen=True)
class Fault:
    """What the token endpoint does once instead of its work; `silent` never answers."""

    status: int = 200
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    silent: bool = False

    @classmethod
    def error(cls, code: str, status: int = 400, **headers: str) -> "Fault":
        body = json.dumps({"error": code, "error_description": "canary words of the provider"})
        return cls(status, body.encode(), {k.replace("_", "-"): v for k, v in headers.items()})


class OAuthServer:
    """A context manager. `user` is who sits before the browser, `consents` what they press.

    `forms` are the requests to the token endpoint. `faults` happen first, in their order. Each
    refresh gives a new refresh token where `rotates`; the old one then works until the new one
    does.
    """

    def __init__(self, user: str = "karin@acme.example") -> None:
        self.user, self.consents, self.rotates = user, True, True
        self.lifetime = 3600
        self.signs_with = JWT_SECRET
        self.token_for: str | None = None
        self.expired = False
        self.gives_scope: str | None = None
        self.gives_refresh = True
        self.tells: dict[str, object] = {}
        self.enters_code = True
        self.forms: list[dict[str, str]] = []
        self.faults: list[Fault] = []
        self.delay = 0.0
        self.issued: list[str] = []
        self._codes: dict[str, dict[str, str]] = {}
        self._refresh: dict[str, str] = {}
        self._serial = itertools.count(1)
        self._lock = threading.Lock()
        self._closing = threading.Event()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._closing.set()
        self._server.shutdown()
        self._server.server_close()

    @property
    def options(self) -> dict[str, str]:
        """What an account writes to sign in here."""
        return {
            "client_id": CLIENT,
            "client_secret": SECRET,
            "auth_url": f"{self.url}/authorize",
            "token_url": f"{self.url}/token",
            "scope": "https://mail.acme.example/",
        }

    def revoke(self) -> None:
        """The user withdraws what was granted."""
        self._refresh.clear()

    def refresh_token(self) -> str:
        """A refresh token, as a sign-in would have given it."""
        token = f"canary-refresh-{next(self._serial)}-{secrets.token_urlsafe(8)}"
        self._refresh[token] = self.user
        self.issued.append(token)
        return token

    def jwt(self) -> str:
        """An access token: a JWT with the user's address (RFC 7519), HMAC-SHA-256."""
        now = int(time.time())  # noqa: TID251  # Dovecot reads the same clock
        expires = now - 60 if self.expired else now + self.lifetime
        claims = {
            "email": self.token_for or self.user,
            "sub": "canary",
            "iat": now - 120,
            "exp": expires,
            "jti": str(next(self._serial)),
        }
        signed = f"{_packed({'alg': 'HS256', 'typ': 'JWT', 'kid': 'default'})}.{_packed(claims)}"
        digest = hmac.digest(self.signs_with, signed.encode(), "sha256")
        token = f"{signed}.{_encoded(digest)}"
        self.issued.append(token)
        return token

    def count(self, grant_type: str) -> int:
        """How many requests of this kind came."""
        return sum(form.get("grant_type", "").endswith(grant_type) for form in self.forms)

    @staticmethod
    def dovecot() -> Dovecot:
        """A Dovecot, not started yet, that takes this provider's tokens and has an All Mail."""
        server = Dovecot()
        folder, path = server.base, server.base / "keys" / "default" / "HS256"
        path.mkdir(parents=True)
        (path / "default").write_text(base64.b64encode(JWT_SECRET).decode())
        (folder / "oauth2.conf").write_text(
            "introspection_mode = local\nusername_attribute = email\n"
            f"local_validation_key_dict = fs:posix:prefix={folder}/keys/\n"
        )
        with (folder / "dovecot.conf").open("a") as configuration:
            configuration.write(_DOVECOT.format(folder=folder))
        return server

    # -- the endpoints -----------------------------------------------------------------------

    def _authorize(self, query: dict[str, str]) -> tuple[int, dict[str, str], bytes]:
        target = urlsplit(query.get("redirect_uri", ""))
        good = (
            query.get("client_id") == CLIENT
            and query.get("response_type") == "code"
            and query.get("code_challenge_method") == "S256"
            and target.hostname in {"127.0.0.1", "localhost"}
        )
        if not good:
            return 400, {}, b"a malformed request"
        if self.consents:
            code = f"canary-code-{secrets.token_urlsafe(8)}"
            self._codes[code] = query
            answer = {"code": code, "state": query["state"]}
        else:
            answer = {"error": "access_denied", "state": query["state"]}
        return 302, {"Location": f"{query['redirect_uri']}?{urlencode(answer)}"}, b""

    def _token(self, form: dict[str, str]) -> tuple[int, dict[str, str], bytes]:
        grant_type = form.get("grant_type", "").rsplit(":", 1)[-1]
        if grant_type == "jwt-bearer":
            return _json(200, {"access_token": self.jwt(), "expires_in": self.lifetime})
        if form.get("client_id") != CLIENT or form.get("client_secret") != SECRET:
            return _json(401, {"error": "invalid_client"})
        if grant_type == "authorization_code":
            return self._redeem(form)
        if grant_type == "refresh_token":
            return self._renew(form)
        if self.enters_code:
            return _json(200, self._grant())
        self.enters_code = True
        return _json(400, {"error": "authorization_pending"})

    def _redeem(self, form: dict[str, str]) -> tuple[int, dict[str, str], bytes]:
        asked = self._codes.pop(form.get("code", ""), None)
        proof = hashlib.sha256(form.get("code_verifier", "").encode()).digest()
        if (
            asked is None
            or asked["code_challenge"] != _encoded(proof)
            or asked["redirect_uri"] != form.get("redirect_uri")
        ):
            return _json(400, {"error": "invalid_grant"})
        return _json(200, self._grant())

    def _renew(self, form: dict[str, str]) -> tuple[int, dict[str, str], bytes]:
        token = form.get("refresh_token", "")
        if token not in self._refresh:
            return _json(400, {"error": "invalid_grant", "error_description": "canary words"})
        # What came before the token in use is worth nothing from now on.
        self._refresh = {token: self._refresh[token]}
        answer = self._grant()
        if not self.rotates:
            self._refresh.pop(answer.pop("refresh_token"))
        return _json(200, answer)

    def _grant(self) -> dict[str, object]:
        answer: dict[str, object] = {
            "access_token": self.jwt(),
            "token_type": "Bearer",
            "expires_in": self.lifetime,
        }
        if self.gives_refresh:
            answer["refresh_token"] = self.refresh_token()
        if self.gives_scope is not None:
            answer["scope"] = self.gives_scope
        return answer | self.tells

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                parts = urlsplit(self.path)
                query = {k: v[0] for k, v in parse_qs(parts.query).items()}
                self._say(*server._authorize(query))

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0)).decode()
                form = {k: v[0] for k, v in parse_qs(body).items()}
                if self.path == "/device":
                    told = {"device_code": "canary-device", "user_code": "WDJB-MJHT"}
                    told["verification_uri"] = f"{server.url}/enter"
                    self._say(*_json(200, {**told, "interval": 0, "expires_in": 600}))
                    return
                with server._lock:
                    server.forms.append(form)
                    fault = server.faults.pop(0) if server.faults else None
                if fault is not None and fault.silent:
                    server._closing.wait(30)
                    self.close_connection = True
                elif fault is not None:
                    self._say(fault.status, fault.headers, fault.body)
                else:
                    server._closing.wait(server.delay)
                    with server._lock:
                        answer = server._token(form)
                    self._say(*answer)

            def _say(self, status: int, headers: dict[str, str], body: bytes) -> None:
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                """Keeps standard error clean."""

        return Handler


def _json(status: int, data: dict[str, object]) -> tuple[int, dict[str, str], bytes]:
    return status, {"Content-Type": "application/json"}, json.dumps(data).encode()


def _packed(data: dict[str, object]) -> str:
    return _encoded(json.dumps(data).encode())


def _encoded(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")
