"""Signing a person in: by a browser that comes back to this machine, by pasting, or by a code."""

import hmac
import secrets
import threading
from base64 import urlsafe_b64encode
from dataclasses import dataclass, field
from hashlib import sha256
from time import monotonic
from typing import Final
from urllib.parse import parse_qs, urlencode, urlsplit

from connectors.oauth import failures
from connectors.oauth.grant import Grant, access_token_in, end_of_grant, refresh_token_in
from connectors.oauth.landing import Landing
from connectors.oauth.provider import Provider
from connectors.oauth.wire import Answer, post
from crm_sync.core.clean import clean
from crm_sync.core.errors import CrmSyncError, Refused, Unreachable, UsageError
from crm_sync.ports import Prompt, Surroundings

PATIENCE: Final = 900.0
"""Seconds that a person may take."""

_DEVICE_GRANT: Final = "urn:ietf:params:oauth:grant-type:device_code"
_LOOK: Final = 0.2
_INTERVAL, _LONGEST_INTERVAL, _SLOWER = 5, 60, 5
"""Seconds between two questions: usual, longest, and how much more after "slow_down"."""

_MOST_PASTES: Final = 10
_LONGEST_PASTE: Final = 8192
_IDENTITY: Final = frozenset({"offline_access", "openid", "profile", "email"})
"""Scopes that are about the sign-in itself; answers leave them out."""


def sign_in(provider: Provider, user: str, surroundings: Surroundings, prompt: Prompt) -> None:
    """Signs a person in and saves the grant.

    `user` is the address to sign in as, a hint for the provider. Raises `Refused` when the person
    or the provider says no, `Unreachable`, and `UsageError` where the way is not offered.
    """
    tokens = surroundings.tokens
    if tokens is None:
        raise Refused("there is no place for the tokens of a sign-in", where=surroundings.account)
    if prompt.wants_code:
        answer = _by_code(provider, surroundings, prompt)
    else:
        answer = _by_browser(provider, user, surroundings, prompt)
    grant = _grant(provider, answer, surroundings)
    with tokens.lock():
        tokens.save(grant.dumps())


@dataclass(frozen=True, slots=True)
class _Request:
    """One request for authorization (RFC 6749 section 4.1.1) with its proof (RFC 7636)."""

    redirect_uri: str
    state: str = field(default_factory=lambda: secrets.token_urlsafe(24))
    verifier: str = field(default_factory=lambda: secrets.token_urlsafe(48), repr=False)

    def address(self, provider: Provider, user: str) -> str:
        digest = urlsafe_b64encode(sha256(self.verifier.encode()).digest())
        query = {
            "response_type": "code",
            "client_id": provider.client_id,
            "redirect_uri": self.redirect_uri,
            "scope": " ".join(provider.scopes),
            "state": self.state,
            "code_challenge": digest.decode().rstrip("="),
            "code_challenge_method": "S256",
            "login_hint": user,
            **provider.extras,
        }
        joint = "&" if urlsplit(provider.authorization_url).query else "?"
        return f"{provider.authorization_url}{joint}{urlencode(query)}"

    def code_in(self, query: str, where: str) -> str:
        """The code that a browser brought, "" when it is not an answer to this request.

        Raises `Refused` when it brought a no.
        """
        fields = parse_qs(query, max_num_fields=50)
        if not hmac.compare_digest(fields.get("state", [""])[0].encode(), self.state.encode()):
            return ""
        if error := fields.get("error", [""])[0]:
            asked = "it was declined" if error == "access_denied" else "the provider said no"
            raise Refused(
                f"nobody was signed in: {asked}",
                where=where,
                advice="An admin of the organisation may have to allow the application first.",
            )
        return fields.get("code", [""])[0]


# -- by a browser ----------------------------------------------------------------------------


def _by_browser(
    provider: Provider, user: str, surroundings: Surroundings, prompt: Prompt
) -> Answer:
    with _landing(provider) as landing:
        request = _Request(landing.uri)
        prompt.show(f"Open this address in a browser and sign in as {user}:")
        prompt.show(request.address(provider, user))
        prompt.show(
            "Is the browser on another machine? Then it ends at a page that can't be shown: "
            "copy that page's address, paste it here and press Return."
        )
        code = _code(landing, request, surroundings.account, prompt)
    form = provider.identity() | {
        "grant_type": "authorization_code",
        "code": code,
        "redirect_uri": request.redirect_uri,
        "code_verifier": request.verifier,
    }
    return post(provider.token_url, form, ca_file=provider.ca_file, where=surroundings.account)


def _landing(provider: Provider) -> Landing:
    try:
        return Landing(provider.loopback)
    except OSError:
        raise UsageError("no port of this machine can be listened on") from None


def _code(landing: Landing, request: _Request, where: str, prompt: Prompt) -> str:
    """The code, whichever way it comes first."""
    until, pastes = monotonic() + PATIENCE, 0
    while monotonic() < until and pastes < _MOST_PASTES:
        query = landing.query()
        if query is not None and (code := request.code_in(query, where)):
            return code
        pasted = (prompt.line(_LOOK) or "").strip()
        if not pasted:
            continue
        if code := request.code_in(_query_of(pasted), where):
            return code
        pastes += 1
        prompt.show("That is not the address of this sign-in's last page; copy the whole of it.")
    raise Unreachable(
        "nobody signed in in time", where=where, advice=f"Run again: {failures.command(where)}"
    )


def _query_of(pasted: str) -> str:
    try:
        return urlsplit(pasted).query if len(pasted) <= _LONGEST_PASTE else ""
    except ValueError:
        return ""


# -- by a code on another device ---------------------------------------------------------------


def _by_code(provider: Provider, surroundings: Surroundings, prompt: Prompt) -> Answer:
    """RFC 8628."""
    where = surroundings.account
    if not provider.device_url:
        raise UsageError(
            "this provider gives out no device codes",
            advice="Leave --device out and paste the address back instead.",
        )
    form = provider.identity() | {"scope": " ".join(provider.scopes)}
    begun = post(provider.device_url, form, ca_file=provider.ca_file, where=where)
    device_code, user_code = begun.text("device_code"), begun.text("user_code")
    # Google wrote verification_url before the RFC chose another name.
    address = begun.text("verification_uri") or begun.text("verification_url")
    if not (device_code and user_code and address):
        raise failures.refusal(begun, where=where, now=surroundings.clock.now())
    prompt.show(f"Open this address on any device and enter the code {clean(user_code, 50)}:")
    prompt.show(clean(address, 500))
    form = provider.identity() | {"grant_type": _DEVICE_GRANT, "device_code": device_code}
    return _polled(provider, form, begun, where)


def _polled(provider: Provider, form: dict[str, str], begun: Answer, where: str) -> Answer:
    """Asks until the person has entered the code, as often as the provider wants."""
    until = monotonic() + min(max(begun.number("expires_in", int(PATIENCE)), 1), PATIENCE)
    interval = min(max(begun.number("interval", _INTERVAL), 0), _LONGEST_INTERVAL)
    never = threading.Event()
    while monotonic() < until:
        never.wait(max(interval, _LOOK))
        try:
            answer = post(provider.token_url, form, ca_file=provider.ca_file, where=where)
        except Unreachable:
            interval = min(interval * 2, _LONGEST_INTERVAL)
            continue
        if answer.error == "slow_down":
            interval += _SLOWER
        elif answer.status < 500 and answer.error != "authorization_pending":  # noqa: PLR2004  # a fault of its own passes
            return answer
    raise Unreachable(
        "nobody entered the code in time",
        where=where,
        advice=f"Run again: {failures.command(where)}",
    )


# -- what came -----------------------------------------------------------------------------------


def _grant(provider: Provider, answer: Answer, surroundings: Surroundings) -> Grant:
    where, now = surroundings.account, surroundings.clock.now()
    access, refresh = access_token_in(answer, now), refresh_token_in(answer)
    if access is None:
        raise _no_token(answer, surroundings)
    if missing := _not_granted(provider, answer.text("scope")):
        raise Refused(
            f"the sign-in does not permit {', '.join(missing)}",
            where=where,
            advice="Sign in again and leave every box on the page ticked.",
        )
    if not refresh:
        raise Refused(
            "the provider gave a permission for an hour only",
            where=where,
            advice="Remove the application's access in the account's security settings and sign "
            "in again.",
        )
    ends_at = end_of_grant(answer, now)
    return Grant(provider.client_id, refresh, access, renewed_at=now, ends_at=ends_at)


def _no_token(answer: Answer, surroundings: Surroundings) -> CrmSyncError:
    """A sign-in that fails is not mended by the same command at once."""
    where = surroundings.account
    if answer.error in failures.SIGN_IN_AGAIN:
        return Refused(
            "the provider did not accept the sign-in",
            where=where,
            advice=f"The code may be too old; run again: {failures.command(where)}",
        )
    if answer.error == "expired_token":
        return Unreachable(
            "nobody entered the code in time",
            where=where,
            advice=f"Run again: {failures.command(where)}",
        )
    return failures.refusal(answer, where=where, now=surroundings.clock.now())


def _not_granted(provider: Provider, granted: str) -> list[str]:
    """The scopes that were asked for and not given, where the answer says what was given."""
    given = {_last_word(scope) for scope in granted.split()}
    if not given:
        return []
    return [s for s in provider.scopes if s not in _IDENTITY and _last_word(s) not in given]


def _last_word(scope: str) -> str:
    """A scope without the address before it: providers leave that out at times."""
    return scope.rstrip("/").rsplit("/", 1)[-1].lower()
