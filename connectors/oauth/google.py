"""Google: its addresses, its permission for mail, and service accounts that act for users."""

import json
import threading
from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final, Protocol

from connectors.oauth import failures
from connectors.oauth.access import JUST_RENEWED, MARGIN, TokenSource, UserTokens, spread
from connectors.oauth.grant import AccessToken, access_token_in
from connectors.oauth.options import OAuthOptions
from connectors.oauth.provider import Provider
from connectors.oauth.sign_in import sign_in
from connectors.oauth.wire import Answer, post
from crm_sync.core.errors import CrmSyncError, Refused, UsageError
from crm_sync.core.records import Finding
from crm_sync.ports import Prompt, Surroundings

AUTHORIZATION: Final = "https://accounts.google.com/o/oauth2/v2/auth"
TOKEN: Final = "https://oauth2.googleapis.com/token"  # noqa: S105  # an address
MAIL: Final = "https://mail.google.com/"
"""The permission for IMAP and SMTP; Google knows no smaller one for them."""

OFFLINE: Final[Mapping[str, str]] = MappingProxyType(
    # Without the second a person who signs in again gets no refresh token.
    {"access_type": "offline", "prompt": "consent"}
)
_ASSERTION: Final = "urn:ietf:params:oauth:grant-type:jwt-bearer"
_LIFETIME: Final = timedelta(hours=1)
_LARGEST_FILE: Final = 64 * 1024


def google(options: OAuthOptions, ca_file: Path | None = None) -> Provider:
    """Google, for people who sign in themselves. It gives out no device codes for mail."""
    return Provider(
        client_id=options.client_id,
        client_secret=options.client_secret,
        secret_expires=options.secret_expires,
        authorization_url=options.auth_url or AUTHORIZATION,
        token_url=options.token_url or TOKEN,
        scopes=tuple(options.scope.split()) or (MAIL,),
        extras=OFFLINE,
        ca_file=ca_file,
    )


class GoogleSignIn(Protocol):
    """What the options of a mailbox and of a sender at Gmail have in common."""

    @property
    def auth(self) -> str:
        """Either "password", or a mechanism of OAuth 2.0."""
        ...

    @property
    def username(self) -> str:
        """The mailbox's address."""
        ...

    @property
    def ca_file(self) -> Path | None:
        """Trusted besides the system's authorities."""
        ...

    @property
    def service_account_file(self) -> Path | None:
        """The key of a service account that acts for the user; without, the user signs in."""
        ...


def tokens_of(options: Any, surroundings: Surroundings) -> TokenSource | None:
    """The access tokens of `options` (a `GoogleSignIn` of `OAuthOptions`); None for a password."""
    how: GoogleSignIn = options
    if how.auth == "password":
        return None
    provider = google(options, how.ca_file)
    if how.service_account_file is not None:
        return ServiceAccountTokens(how.service_account_file, how.username, surroundings, provider)
    return UserTokens(provider, surroundings)


def login(options: Any, surroundings: Surroundings, prompt: Prompt) -> None:
    """Signs a person in (a `crm_sync.ports.Login`); `options` as for `tokens_of`."""
    how: GoogleSignIn = options
    if how.auth == "password" or how.service_account_file is not None:
        raise UsageError(
            f"{surroundings.account} signs in with what the configuration holds",
            advice="`crm-sync doctor` tries it.",
        )
    sign_in(google(options, how.ca_file), how.username, surroundings, prompt)


class ServiceAccountTokens:
    """Access tokens for a user of a Workspace that trusts a service account; see `TokenSource`.

    Domain-wide delegation (RFC 7523): no person signs in and nothing is stored. `file` is the
    account's key as Google gives it out (JSON). google-auth signs; the request is ours, so that
    time limits and errors are those of all other sign-ins.
    """

    def __init__(
        self,
        file: Path,
        user: str,
        surroundings: Surroundings,
        provider: Provider,
    ) -> None:
        self._file = file
        self._user = user
        self._provider = provider
        self._scope = " ".join(provider.scopes)
        self._account = surroundings.account
        self._clock = surroundings.clock
        self._margin = MARGIN + spread(surroundings.account, timedelta(minutes=1))
        self._guard = threading.Lock()
        self._kept: AccessToken | None = None
        self._renewed_at: datetime | None = None

    @property
    def remedy(self) -> str:
        """See `TokenSource.remedy`."""
        return "Check that username is a user of the Workspace with Gmail and IMAP switched on."

    def access(self, *, rejected: str = "") -> AccessToken:
        """See `TokenSource.access`."""
        with self._guard:
            now, kept = self._clock.now(), self._kept
            if kept is not None and kept.expires_at - now > self._margin:
                age = now - self._renewed_at if self._renewed_at else _LIFETIME
                if kept.text != rejected or timedelta() <= age < JUST_RENEWED:
                    return kept
            self._kept, self._renewed_at = self._ask(now), now
            return self._kept

    def findings(self) -> Iterator[Finding]:
        """See `TokenSource.findings`."""
        self._key()
        yield Finding(f"service account for {self._user}", ok=True)

    def ends_at(self) -> datetime | None:
        """See `TokenSource.ends_at`: nobody signs in."""
        return None

    def _ask(self, now: datetime) -> AccessToken:
        info = self._key()
        form = {"grant_type": _ASSERTION, "assertion": self._assertion(info, now)}
        provider = self._provider
        answer = post(provider.token_url, form, ca_file=provider.ca_file, where=self._account)
        access = access_token_in(answer, now)
        if access is None:
            raise self._refusal(answer, now)
        return access

    def _assertion(self, info: Mapping[str, Any], now: datetime) -> str:
        try:
            from google.auth import crypt, jwt  # noqa: PLC0415  # an extra that few need
        except ImportError:
            raise Refused(
                "service accounts need a package that is missing (google-auth)",
                where=self._account,
                advice='Install it with: pip install "crm-sync[google]"',
                kind="settings",
            ) from None
        issued = int(now.timestamp())
        claims = {
            "iss": info["client_email"],
            "sub": self._user,
            "scope": self._scope,
            "aud": self._provider.token_url,
            "iat": issued,
            "exp": issued + int(_LIFETIME.total_seconds()),
        }
        try:
            signing: Any = crypt.RSASigner  # google-auth publishes its types in part
            signer = signing.from_string(info["private_key"], info.get("private_key_id"))
            encode: Any = jwt.encode
            return str(encode(signer, claims), "ascii")
        except Exception:  # noqa: BLE001  # whatever a broken key does to the libraries below
            raise self._no_key("holds a private key that can't be used") from None

    def _key(self) -> Mapping[str, Any]:
        """The service account's file; read each time, so that a new key needs no restart."""
        try:
            with self._file.open("rb") as file:
                info = json.loads(file.read(_LARGEST_FILE))
        except OSError:
            raise self._no_key("can't be read") from None
        except (ValueError, RecursionError):
            raise self._no_key("is no JSON") from None
        wanted = ("client_email", "private_key")
        if not isinstance(info, dict) or not all(isinstance(info.get(k), str) for k in wanted):
            raise self._no_key("is not the key of a service account")
        return info

    def _no_key(self, what: str) -> Refused:
        return Refused(
            f"service_account_file {what}",
            where=self._account,
            advice="Make a key of the service account as JSON in Google's console and name it.",
            kind="settings",
        )

    def _refusal(self, answer: Answer, now: datetime) -> CrmSyncError:
        """Nobody can sign in again here: what is wrong is the delegation, the user or the clock."""
        if answer.error in {"unauthorized_client", "access_denied"}:
            return Refused(
                "the Workspace does not let the service account act for its users",
                where=self._account,
                advice="In Google's admin console under Security, API controls, Domain-wide "
                f"delegation, add the service account's client id with the scope {self._scope}",
                kind="registration",
            )
        if answer.error in failures.SIGN_IN_AGAIN | failures.REGISTRATION:
            return Refused(
                "Google does not accept the service account for this user",
                where=self._account,
                advice="Check username (a user of the Workspace), the key in "
                "service_account_file, and this machine's clock.",
                kind="registration",
            )
        return failures.refusal(answer, where=self._account, now=now)
