"""Access tokens that are always fresh, renewed by one at a time for each account."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from hashlib import blake2b
from typing import Final, Protocol

from connectors.oauth import failures
from connectors.oauth.grant import AccessToken, Grant
from connectors.oauth.provider import Provider
from connectors.oauth.wire import post
from crm_sync.core.errors import CrmSyncError, Refused
from crm_sync.core.records import Finding
from crm_sync.ports import Surroundings, Tokens

MARGIN: Final = timedelta(minutes=10)
"""A token is renewed this long before it expires, and up to a minute more."""

ASK_AGAIN: Final = timedelta(minutes=15)
"""How long a provider that said "withdrawn" is believed without being asked again."""

JUST_RENEWED: Final = timedelta(minutes=5)
"""A token younger than this is not renewed for being rejected: another would be rejected too."""

_IDLE: Final = timedelta(days=70)
_SECRET_WARNING: Final = timedelta(days=30)
_END_WARNING: Final = timedelta(days=14)


class TokenSource(Protocol):
    """Gives access tokens for one account."""

    @property
    def remedy(self) -> str:
        """What a person can do when a server goes on refusing the tokens."""
        ...

    def access(self, *, rejected: str = "") -> AccessToken:
        """A token that is good for some minutes at least.

        `rejected` is one that a server did not take: another is fetched, unless that one is brand
        new; then it is given again. Raises `Unreachable`, `Throttled` or `Refused`.
        """
        ...

    def findings(self) -> Iterator[Finding]:
        """What `doctor` says of the sign-in, without asking anybody. Raises `Refused`."""
        ...

    def ends_at(self) -> datetime | None:
        """When a person has to sign in again, where that is known in advance. Never raises."""
        ...


class UserTokens:
    """Access tokens for an account into which a person has signed in; see `TokenSource`."""

    def __init__(self, provider: Provider, surroundings: Surroundings) -> None:
        self._provider = provider
        self._account = surroundings.account
        self._clock = surroundings.clock
        self._tokens = surroundings.tokens
        self._margin = MARGIN + spread(surroundings.account, timedelta(minutes=1))
        self._kept: AccessToken | None = None

    @property
    def remedy(self) -> str:
        """See `TokenSource.remedy`."""
        return f"Sign in as the address in username: {failures.command(self._account)}"

    def access(self, *, rejected: str = "") -> AccessToken:
        """See `TokenSource.access`."""
        if self._kept is not None and self._is_good(self._kept, rejected):
            return self._kept
        place = self._place()
        with place.lock():
            # Whoever had the lock before may have renewed it.
            grant = self._grant(place)
            if not self._is_good(grant.access, rejected) and not self._is_new(grant, rejected):
                grant = self._renew(grant, place)
        self._kept = grant.access
        return grant.access

    def findings(self) -> Iterator[Finding]:
        """See `TokenSource.findings`: how old the sign-in is, and whether the secret expires."""
        yield from secret_findings(self._provider, self._clock.now())
        grant = self._grant(self._place())
        yield from self._end_findings(grant)
        days = (self._clock.now() - grant.renewed_at).days
        name = f"signed in, last renewed {days} days ago"
        if timedelta(days=days) < _IDLE:
            yield Finding(name, ok=True)
            return
        yield Finding(
            name,
            ok=True,
            problem="providers forget sign-ins that are not used for 90 days to 6 months",
            advice=f"Pull the account, or run: {failures.command(self._account)}",
        )

    def ends_at(self) -> datetime | None:
        """See `TokenSource.ends_at`."""
        try:
            return self._grant(self._place()).ends_at
        except CrmSyncError:
            return None

    def _end_findings(self, grant: Grant) -> Iterator[Finding]:
        if grant.ends_at is None:
            return
        left = grant.ends_at - self._clock.now()
        yield Finding(
            f"signed in until {grant.ends_at:%Y-%m-%d}",
            ok=left > timedelta(),
            problem="" if left > _END_WARNING else "the provider ends the sign-in by then",
            advice="" if left > _END_WARNING else f"Run: {failures.command(self._account)}",
        )

    def _is_good(self, access: AccessToken, rejected: str) -> bool:
        return access.text != rejected and access.expires_at - self._clock.now() > self._margin

    def _is_new(self, grant: Grant, rejected: str) -> bool:
        """Whether the rejected token is so young that renewing it is of no use."""
        age = self._clock.now() - grant.renewed_at
        return grant.access.text == rejected and timedelta() <= age < JUST_RENEWED

    def _place(self) -> Tokens:
        if self._tokens is None:
            raise Refused("there is no place for the tokens of a sign-in", where=self._account)
        return self._tokens

    def _grant(self, place: Tokens) -> Grant:
        text = place.load()
        if text is None:
            raise failures.sign_in_again(self._account, "nobody has signed in yet")
        grant = Grant.loads(text)
        if grant is None:
            raise failures.sign_in_again(
                self._account, "the stored sign-in is of another version of the program"
            )
        if grant.client_id != self._provider.client_id:
            raise failures.sign_in_again(
                self._account, "the stored sign-in was made with another client_id"
            )
        return grant

    def _renew(self, grant: Grant, place: Tokens) -> Grant:
        """Asks for a new token; what came is saved before anybody uses it."""
        now = self._clock.now()
        if grant.refused_at is not None and timedelta() <= now - grant.refused_at < ASK_AGAIN:
            raise failures.sign_in_again(self._account)
        provider = self._provider
        form = provider.identity() | {
            "grant_type": "refresh_token",
            "refresh_token": grant.refresh_token,
        }
        answer = post(provider.token_url, form, ca_file=provider.ca_file, where=self._account)
        renewed = grant.renewed(answer, now)
        if renewed is None:
            if answer.error in failures.SIGN_IN_AGAIN:
                place.save(replace(grant, refused_at=now).dumps())
            raise failures.refusal(answer, where=self._account, now=now)
        place.save(renewed.dumps())
        return renewed


def secret_findings(provider: Provider, now: datetime) -> Iterator[Finding]:
    """Whether the application's secret expires soon, where the configuration says when."""
    if provider.secret_expires is None:
        return
    days = (provider.secret_expires - now.date()).days
    name = f"client_secret until {provider.secret_expires}"
    advice = "Make a new secret where the application is registered, and put it into the "
    advice += "configuration with its secret_expires."
    if days < 0:
        yield Finding(name, ok=False, problem="it has expired", advice=advice)
    elif days < _SECRET_WARNING.days:
        yield Finding(name, ok=True, problem=f"it expires in {days} days", advice=advice)
    else:
        yield Finding(name, ok=True)


def spread(account: str, most: timedelta) -> timedelta:
    """A time below `most`, always the same for an account: not all renew at the same second."""
    digest = blake2b(account.encode(), digest_size=4).digest()
    return most * (int.from_bytes(digest, "big") / 2**32)
