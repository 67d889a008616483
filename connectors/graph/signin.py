"""Tokens from Microsoft Entra, by MSAL: a person's, renewed for months, or the application's own.

MSAL keeps everything in its cache, a text that is sealed by `Surroundings.tokens`. Each time a
token has to be fetched the text is read, used and saved under the account's lock, for a refresh
token may be used once only and Microsoft may give a new one with every answer.
"""

import json
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from datetime import UTC, datetime, timedelta
from functools import cached_property
from importlib import import_module
from time import monotonic
from typing import Any, Final
from urllib.parse import parse_qs

from connectors.graph import registration
from connectors.graph.answers import sign_in_ended, text
from connectors.graph.certificate import read_certificate
from connectors.graph.msal_http import MsalHttp
from connectors.graph.options import GraphOptions
from connectors.graph.transport import Transport
from connectors.oauth.failures import command
from connectors.oauth.landing import Landing
from crm_sync.core.clean import clean
from crm_sync.core.errors import CrmSyncError, Refused, Unreachable, UsageError
from crm_sync.core.records import Finding
from crm_sync.ports import Prompt, Surroundings

PATIENCE: Final = 900.0
"""Seconds that a person may take."""

_IDLE_DAYS: Final = 70
_LOOK: Final = 0.2
_LONGEST_PASTE: Final = 8192
_LONGEST_TIME: Final = 11
# MSAL hands a cached token out until five minutes before its end, so that asking later renews it.
_MARGIN: Final = timedelta(minutes=4)
_PASSING: Final = frozenset({"temporarily_unavailable", "server_error"})
_OURS: Final = frozenset({"invalid_client", "unauthorized_client", "invalid_scope"})


class SignIn:
    """Gives tokens for one account. Raises `Unreachable`, `Throttled` and `Refused`."""

    def __init__(
        self, options: GraphOptions, surroundings: Surroundings, transport: Transport
    ) -> None:
        self._options = options
        self._account = surroundings.account
        self._clock = surroundings.clock
        self._tokens = surroundings.tokens
        self._http = MsalHttp(transport, surroundings)
        self._application: Any = None
        self._token = ""
        self._until: datetime | None = None

    def token(self) -> str:
        """A token that is good for some minutes yet."""
        if self._until is None or self._clock.now() >= self._until:
            self._fetch(force=False)
        return self._token

    def renew(self) -> None:
        """Fetches another token although the old one seemed good: the server refused it."""
        self._fetch(force=True)

    def findings(self) -> Iterator[Finding]:
        """What `doctor` says of the sign-in, without asking anybody. Raises `Refused`."""
        now = self._clock.now()
        yield from registration.findings(self._options, self._account, now)
        renewed = None if self._options.is_app_only else self._renewed()
        if renewed is not None:
            yield _idle_finding(max((now - renewed).days, 0), self._account)

    def by_browser(self, prompt: Prompt) -> None:
        """Signs a person in with a browser.

        Authorization code with PKCE (RFC 7636). The browser comes back to this machine, or the
        address it ends at is pasted.
        """
        with self._landing() as landing:
            flow = self._ask(lambda: self._begin_flow(landing.uri))
            prompt.show(f"Open this address in a browser and sign in{self._as_whom()}:")
            prompt.show(flow["auth_uri"])
            prompt.show(
                "Is the browser on another machine? Then it ends at a page that can't be shown: "
                "copy that page's address, paste it here and press Return."
            )
            fields = self._answer_to(flow, landing, prompt)
        self._signed_in(
            self._ask(lambda: self._app().acquire_token_by_auth_code_flow(flow, fields))
        )

    def by_code(self, prompt: Prompt) -> None:
        """Signs a person in with a code typed elsewhere (RFC 8628).

        Many tenants block this way; `by_browser` works everywhere.
        """
        flow = self._ask(lambda: self._app().initiate_device_flow(self._scopes()))
        code, address = text(flow.get("user_code")), text(flow.get("verification_uri"))
        if not code or not address:
            raise self._error(flow)
        prompt.show(f"Open this address on any device and enter the code {clean(code, 50)}:")
        prompt.show(clean(address, 500))
        self._signed_in(self._ask(lambda: self._app().acquire_token_by_device_flow(flow)))

    def _begin_flow(self, redirect_uri: str) -> Any:
        with warnings.catch_warnings():
            # MSAL would rather have the code posted; then there is no address to paste.
            warnings.filterwarnings("ignore", message="response_mode", category=UserWarning)
            return self._app().initiate_auth_code_flow(
                self._scopes(), redirect_uri=redirect_uri, login_hint=self._hint()
            )

    def _landing(self) -> Landing:
        try:
            return Landing("localhost")
        except OSError:
            raise UsageError("no port of this machine can be listened on") from None

    def _answer_to(
        self, flow: Mapping[str, Any], landing: Landing, prompt: Prompt
    ) -> dict[str, str]:
        """The query the browser brought, whichever way it comes first; only to this very flow."""
        until = monotonic() + PATIENCE
        while monotonic() < until:
            query = landing.query()
            pasted = "" if query else (prompt.line(_LOOK) or "").strip()[:_LONGEST_PASTE]
            fields = _fields(query or pasted.partition("?")[2])
            if fields.get("state") == flow["state"] and fields.keys() & {"code", "error"}:
                return fields
            if pasted:
                prompt.show("That is not the address of this sign-in's last page; copy all of it.")
        advice = f"Run again: {command(self._account)}"
        raise Unreachable("nobody signed in in time", where=self._account, advice=advice)

    def _fetch(self, *, force: bool) -> None:
        with self._locked():
            self._load()
            result = self._ask(lambda: self._acquire(force=force))
            # Saved before it is used: after a crash the old refresh token is worth nothing.
            self._save()
        if result is None:
            raise sign_in_ended(self._options, self._account)
        self._take(result)

    def _acquire(self, *, force: bool) -> Any:
        if self._options.is_app_only:
            if force:
                self._cache.deserialize(None)
            scope = f"{self._options.resource}/.default"
            return self._app().acquire_token_for_client([scope])
        accounts = self._app().get_accounts()
        if not accounts:
            return None
        return self._app().acquire_token_silent_with_error(
            self._scopes(), accounts[0], force_refresh=force
        )

    def _take(self, result: Mapping[str, Any]) -> None:
        token, seconds = text(result.get("access_token")), result.get("expires_in")
        if not token or not token.isascii() or not isinstance(seconds, int):
            raise self._error(result)
        self._token = token
        self._until = self._clock.now() + timedelta(seconds=min(seconds, 86_400)) - _MARGIN

    def _signed_in(self, result: Mapping[str, Any]) -> None:
        """Keeps what a sign-in brought in place of what was there."""
        if text(result.get("error")) == "access_denied":
            advice = "An administrator may have to allow the application first."
            raise Refused(
                "nobody was signed in: it was declined", where=self._account, advice=advice
            )
        self._take(result)
        with self._locked():
            self._save()

    @cached_property
    def _msal(self) -> Any:
        """The library, an extra of the installation."""
        try:
            return import_module("msal")
        except ImportError as error:
            what = "the library for Microsoft's sign-in is missing"
            advice = 'Install it: pip install "crm-sync[microsoft]".'
            raise Refused(what, where=self._account, advice=advice, kind="settings") from error

    @cached_property
    def _cache(self) -> Any:
        return self._msal.SerializableTokenCache()

    def _app(self) -> Any:
        """MSAL's application object; making it asks Microsoft for its endpoints once."""
        if self._application is None:
            options = self._options
            settings: dict[str, Any] = {
                "authority": f"{options.authority}/{options.tenant}",
                "token_cache": self._cache,
                "http_client": self._http,
                "instance_discovery": False,
            }
            if options.is_app_only:
                self._application = self._msal.ConfidentialClientApplication(
                    options.client_id, client_credential=self._credential(), **settings
                )
            else:
                self._application = self._msal.PublicClientApplication(
                    options.client_id, **settings
                )
        return self._application

    def _credential(self) -> str | dict[str, str]:
        options = self._options
        if options.client_secret is not None:
            return options.client_secret.get_secret_value()
        assert options.certificate_file is not None
        pem = read_certificate(options.certificate_file, self._account).pem
        return {"private_key": pem, "public_certificate": pem}

    def _ask(self, question: Callable[[], Any]) -> Any:
        """Asks MSAL; its own complaints about answers and keys become errors of the house."""
        try:
            return question()
        except CrmSyncError:
            raise
        except ValueError as error:
            if self._application is not None:
                raise
            what, advice = "Microsoft knows no such tenant", "Check tenant and authority."
            raise Refused(what, where=self._account, advice=advice, kind="settings") from error
        except Exception as error:
            what = "the answer of Microsoft's sign-in makes no sense"
            raise Unreachable(what, where=self._account, advice="Trying again later.") from error

    def _error(self, result: Mapping[str, Any]) -> CrmSyncError:
        """The error for an answer without token, by the OAuth error alone (RFC 6749 section 5.2).

        Microsoft says that its AADSTS numbers are not to be relied on.
        """
        code = text(result.get("error"))
        if code in _PASSING or not code:
            what = "Microsoft's sign-in is out of order at the moment"
            advice = "Trying again later."
            return Unreachable(what, where=self._account, advice=advice, kind="unavailable")
        if code in _OURS:
            today = self._clock.now().date()
            return registration.refusal(result, self._options, self._account, today)
        return sign_in_ended(self._options, self._account)

    def _scopes(self) -> list[str]:
        return [f"{self._options.resource}/{name}" for name in self._options.permissions]

    def _as_whom(self) -> str:
        shared = self._options.shared
        return f", with access to {self._options.username}" if shared else f" as {self._hint()}"

    def _hint(self) -> str | None:
        return None if self._options.shared else self._options.username

    def _locked(self) -> AbstractContextManager[None]:
        return self._tokens.lock() if self._tokens is not None else nullcontext()

    def _load(self) -> None:
        if self._tokens is None:
            return
        try:
            kept = self._tokens.load()
            if kept is not None and not isinstance(json.loads(kept), dict):
                raise TypeError("no cache")
            self._cache.deserialize(kept)
        except (ValueError, TypeError, RecursionError) as error:
            raise sign_in_ended(self._options, self._account) from error

    def _renewed(self) -> datetime | None:
        """When the refresh token came, None where nobody has signed in."""
        with self._locked():
            self._load()
        kind = self._msal.TokenCache.CredentialType.REFRESH_TOKEN
        times = (text(kept.get("last_modification_time")) for kept in self._cache.search(kind))
        found = [int(t) for t in times if t.isascii() and t.isdigit() and len(t) <= _LONGEST_TIME]
        return datetime.fromtimestamp(max(found), UTC) if found else None

    def _save(self) -> None:
        if self._tokens is not None and self._cache.has_state_changed:
            self._tokens.save(self._cache.serialize())


def login(options: GraphOptions, surroundings: Surroundings, prompt: Prompt) -> None:
    """Signs a person in for an account and keeps the tokens.

    Raises `UsageError` where nobody needs to sign in, and as `SignIn` does.
    """
    if options.is_app_only:
        what = "the application signs in by itself, with its secret or certificate"
        raise UsageError(what, where=surroundings.account)
    if surroundings.tokens is None:
        raise Refused("there is no place for the tokens of a sign-in", where=surroundings.account)
    transport = Transport(options, surroundings.account)
    try:
        sign_in = SignIn(options, surroundings, transport)
        if prompt.wants_code:
            sign_in.by_code(prompt)
        else:
            sign_in.by_browser(prompt)
    finally:
        transport.close()


def _idle_finding(days: int, account: str) -> Finding:
    """Whether Microsoft may soon forget a sign-in that was renewed so many days ago."""
    name = f"signed in, last renewed {days} days ago"
    if days < _IDLE_DAYS:
        return Finding(name, ok=True)
    problem = "Microsoft forgets a sign-in that is not used for 90 days"
    advice = f"Pull the account, or run: {command(account)}"
    return Finding(name, ok=True, problem=problem, advice=advice)


def _fields(query: str) -> dict[str, str]:
    try:
        return {name: values[0] for name, values in parse_qs(query, max_num_fields=50).items()}
    except ValueError:
        return {}
