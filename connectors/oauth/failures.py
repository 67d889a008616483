"""What a provider's no means for us, by the `error` of RFC 6749 section 5.2 alone.

Providers' numbers and sentences change; the codes do not. Only what a person must mend is
`Refused`: anything else passes by itself, and an account that was given up for it loses mail.
"""

import shlex
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Final

from connectors.oauth.wire import Answer
from crm_sync.core.errors import CrmSyncError, Refused, Throttled, Unreachable

SIGN_IN_AGAIN: Final = frozenset(
    {
        *("invalid_grant", "deleted_client", "access_denied", "interaction_required"),
        *("consent_required", "login_required"),
    }
)
"""The person's permission is gone: revoked, expired, password changed, policy, account closed."""

REGISTRATION: Final = frozenset({"invalid_client", "unauthorized_client"})
"""The registration of the application is wrong, or its secret has expired."""

_LONGEST_WAIT: Final = timedelta(hours=24)
_BUSY, _DOWN = 429, 503


def refusal(answer: Answer, *, where: str, now: datetime) -> CrmSyncError:
    """The error for an answer that holds no token; `where` names the account."""
    if answer.error in SIGN_IN_AGAIN:
        return sign_in_again(where)
    if answer.error in REGISTRATION:
        return Refused(
            "the provider does not accept the application's client_id or client_secret",
            where=where,
            advice="Its registration must exist and its secret must not have expired; an admin "
            "makes a new secret there and puts it into the configuration.",
            kind="registration",
        )
    busy = answer.status == _BUSY or (answer.status == _DOWN and answer.retry_after)
    if busy or answer.error == "slow_down":
        what = "the provider asks to wait with signing in"
        return Throttled(what, retry_at=retry_at(answer.retry_after, now), where=where)
    advice = "Signing in is tried again later."
    return Unreachable(_trouble(answer), where=where, advice=advice, kind="unavailable")


def sign_in_again(where: str, what: str = "") -> Refused:
    """The error that only a new sign-in mends, with the very command."""
    return Refused(
        what or "the permission to use the account was withdrawn or has run out",
        where=where,
        advice=f"Run: {command(where)}",
        kind="consent",
    )


def command(account: str) -> str:
    """What a person types to sign in."""
    return f"crm-sync login {shlex.quote(account)}"


def retry_at(header: str, now: datetime) -> datetime | None:
    """When to ask again by a Retry-After (RFC 9110 section 10.2.3); None when it names no time."""
    if header.isascii() and header.isdigit():
        return now + min(timedelta(seconds=int(header[:9])), _LONGEST_WAIT)
    try:
        moment = parsedate_to_datetime(header)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
    moment = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    return min(max(moment, now), now + _LONGEST_WAIT)


_KNOWN: Final[Mapping[str, str]] = {
    "invalid_scope": "the provider does not know the scope that is asked for",
    "invalid_request": "the provider takes the request for malformed",
    "unsupported_grant_type": "the provider does not know this way of signing in",
}


def _trouble(answer: Answer) -> str:
    if answer.error in _KNOWN:
        return _KNOWN[answer.error]
    if 300 <= answer.status < 400:  # noqa: PLR2004  # HTTP's redirects
        return "the provider's address leads elsewhere (check token_url)"
    if answer.status >= 500:  # noqa: PLR2004  # HTTP's own faults
        return f"the provider failed (status {answer.status})"
    if answer.data is None:
        return f"the provider's answer (status {answer.status}) is no OAuth, perhaps a proxy's page"
    return f"the provider's answer (status {answer.status}) makes no sense"
