"""Microsoft Entra's token endpoint as its documentation describes it, for one application."""

import base64
import hashlib
import itertools
import json
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

TENANT = "acme.example"
CLIENT = "11111111-2222-3333-4444-555555555555"
SECRET = "planted-client-secret"

Answer = tuple[int, bytes, dict[str, str]]


class Entra:
    """Gives tokens; `requests` holds the forms that came to the token endpoint.

    `consented` are the permissions that the person allowed so far; None: the tenant allows all.
    """

    def __init__(self) -> None:
        self.requests: list[dict[str, str]] = []
        self.permissions = {"Mail.Read", "Mail.Send", "Mail.ReadWrite"}
        self.consented: set[str] | None = None
        self.on_token: Callable[[dict[str, str]], Answer | None] | None = None
        self.lifetime = 3600
        self.device_pending = 0
        self.user = "karin@acme.example"
        self._good: set[str] = set()
        self._scopes: dict[str, set[str]] = {}
        self._refresh: set[str] = set()
        self._codes: dict[str, dict[str, str]] = {}
        self._nonce = ""
        self._device_scope = ""
        self._numbers = itertools.count(1)

    def is_good(self, token: str) -> bool:
        return token in self._good

    def allows(self, token: str, permission: str) -> bool:
        """Whether a token was given with a permission that the application still has."""
        held = {name.removesuffix(".Shared") for name in self._scopes[token]} & self.permissions
        return permission in held or (permission == "Mail.Read" and "Mail.ReadWrite" in held)

    def expire_tokens(self) -> None:
        self._good.clear()

    def revoke(self) -> None:
        """The person takes the consent back."""
        self._good.clear()
        self._refresh.clear()

    def approve(self, address: str, *, error: str = "") -> str:
        """What a browser does: signs in, and the address it ends at."""
        query = {name: values[0] for name, values in parse_qs(urlsplit(address).query).items()}
        assert query["client_id"] == CLIENT
        assert query["code_challenge_method"] == "S256"
        back = {"state": query["state"]}
        if error:
            back |= {"error": error, "error_description": "AADSTS65004: words of the server"}
        else:
            code = f"code-{next(self._numbers)}"
            self._codes[code] = query
            back |= {"code": code}
        return f"{query['redirect_uri']}?{urlencode(back)}"

    def answer(self, origin: str, path: str, content: bytes) -> Answer:
        tenant, _, rest = urlsplit(path).path.strip("/").partition("/")
        if tenant != TENANT:
            return _json(400, {"error": "invalid_tenant", "error_description": "AADSTS90002"})
        if rest == "v2.0/.well-known/openid-configuration":
            base = f"{origin}/{TENANT}/oauth2/v2.0"
            return _json(200, {
                "issuer": f"{origin}/{TENANT}/v2.0",
                "authorization_endpoint": f"{base}/authorize",
                "token_endpoint": f"{base}/token",
                "device_authorization_endpoint": f"{base}/devicecode",
            })  # fmt: skip
        form = {name: values[0] for name, values in parse_qs(content.decode()).items()}
        if rest == "oauth2/v2.0/devicecode":
            address = "https://microsoft.example/devicelogin"
            self._device_scope = form["scope"]
            return _json(200, {
                "device_code": "device-1", "user_code": "F4K3", "verification_uri": address,
                "expires_in": 900, "interval": 1, "message": f"Enter F4K3 at {address}",
            })  # fmt: skip
        self.requests.append(form)
        if self.on_token and (scripted := self.on_token(form)):
            return scripted
        return self._grant(form)

    def _grant(self, form: dict[str, str]) -> Answer:  # noqa: PLR0911  # one answer a fault
        kind = form["grant_type"]
        if form["client_id"] != CLIENT:
            return _error("unauthorized_client", "AADSTS700016")
        if kind == "client_credentials":
            if not (form.get("client_secret") == SECRET or _is_signed(form)):
                return _error("invalid_client", "AADSTS7000215", status=401)
            return self._give(self.permissions, form, user=False)
        if kind == "refresh_token":
            if form["refresh_token"] not in self._refresh:
                return _error("invalid_grant", "AADSTS700082")
            if self.consented is not None and not _permissions(form) <= self.consented:
                return _error("invalid_grant", "AADSTS65001")
            # Rotation: it is used up.
            self._refresh.remove(form["refresh_token"])
        elif kind == "authorization_code":
            asked = self._codes.pop(form["code"], None)
            digest = hashlib.sha256(form.get("code_verifier", "").encode()).digest()
            challenge = base64.urlsafe_b64encode(digest).decode().rstrip("=")
            if asked is None or asked["code_challenge"] != challenge:
                return _error("invalid_grant", "AADSTS70000")
            self._nonce = asked.get("nonce", "")
        elif kind.endswith("device_code"):
            self.device_pending -= 1
            if self.device_pending >= 0:
                return _error("authorization_pending", "AADSTS70016")
        form.setdefault("scope", self._device_scope)
        scopes = _permissions(form)
        if self.consented is not None:
            self.consented |= scopes
        return self._give(scopes, form, user=True)

    def _give(self, scopes: set[str], form: dict[str, str], *, user: bool) -> Answer:
        token = f"access-{next(self._numbers)}"
        self._good.add(token)
        self._scopes[token] = scopes
        body: dict[str, Any] = {
            "token_type": "Bearer", "expires_in": self.lifetime, "access_token": token,
            "scope": form["scope"],
        }  # fmt: skip
        if user:
            refresh = f"refresh-{next(self._numbers)}"
            self._refresh.add(refresh)
            body |= {
                "refresh_token": refresh,
                "client_info": _encoded({"uid": "u1", "utid": "t1"}),
                "id_token": f"{_encoded({'alg': 'none'})}.{_encoded(self._claims())}.x",
            }
        return _json(200, body)

    def _claims(self) -> dict[str, Any]:
        issuer = f"https://login.microsoftonline.com/{TENANT}/v2.0"
        times = {"exp": 4_000_000_000, "iat": 0, "nbf": 0}
        return {
            "iss": issuer, "aud": CLIENT, "sub": "s1", "oid": "u1", "tid": "t1",
            "preferred_username": self.user, "nonce": self._nonce, **times,
        }  # fmt: skip


def _permissions(form: dict[str, str]) -> set[str]:
    names = {scope.rpartition("/")[2] for scope in form["scope"].split()}
    return names - {"openid", "profile", "offline_access"}


def _is_signed(form: dict[str, str]) -> bool:
    header = form.get("client_assertion", "").partition(".")[0]
    if not header or not form.get("client_assertion_type", "").endswith("jwt-bearer"):
        return False
    return json.loads(base64.urlsafe_b64decode(header + "==")).get("alg") in {"PS256", "RS256"}


def _encoded(value: Any) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")


def _json(status: int, body: Any) -> Answer:
    return status, json.dumps(body).encode(), {"Content-Type": "application/json"}


def _error(code: str, words: str, *, status: int = 400) -> Answer:
    return _json(status, {"error": code, "error_description": f"{words}: words of the server"})
