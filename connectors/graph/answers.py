"""What Graph answers, and what its errors mean for us. Its own words never leave this module."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any, Final

from connectors.graph.options import GraphOptions
from connectors.oauth.failures import command
from crm_sync.core.errors import CrmSyncError, Refused, Throttled, Unreachable

Json = Mapping[str, Any]

OK: Final = range(200, 300)
UNAUTHORIZED: Final = 401
FORBIDDEN: Final = 403
NOT_FOUND: Final = 404
GONE: Final = 410
TOO_MANY: Final = 429
UNAVAILABLE: Final = 503

_LONGEST_WAIT: Final = timedelta(hours=24)
_NO_MAILBOX: Final = frozenset(
    {
        "errorinvaliduser",
        "errornonexistentmailbox",
        "mailboxnotenabledforrestapi",
        "mailboxnotsupportedforrestapi",
        "request_resourcenotfound",
        "resourcenotfound",
    }
)
_SYNC_LOST: Final = frozenset(
    {
        "resyncchangesapplydifferences",
        "resyncchangesuploaddifferences",
        "resyncrequired",
        "syncstateinvalid",
        "syncstatenotfound",
    }
)
_NOT_AS_SENDER: Final = frozenset({"errorsendasdenied", "errorsendonbehalfofdenied"})


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer: status, JSON object (empty for none), header fields under lower-case names."""

    status: int
    body: Json = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)

    @property
    def ok(self) -> bool:
        """Whether it is a clear yes."""
        return self.status in OK

    @property
    def code(self) -> str:
        """Graph's code for the error in lower case, "" when there is none."""
        return text(mapping(self.body.get("error")).get("code")).lower()[:100]

    @property
    def is_lost(self) -> bool:
        """Whether a delta token is not known any more, so that only a new round helps."""
        return self.status == GONE or (400 <= self.status < 500 and self.code in _SYNC_LOST)  # noqa: PLR2004  # the classes of HTTP

    @property
    def is_no_mailbox(self) -> bool:
        """Whether the mailbox itself is what is not there."""
        return self.status in {FORBIDDEN, NOT_FOUND} and self.code in _NO_MAILBOX

    @property
    def is_throttled(self) -> bool:
        """Whether we are asked to wait."""
        return self.status == TOO_MANY or (
            self.status == UNAVAILABLE and "retry-after" in self.headers
        )

    @property
    def rows(self) -> list[Json]:
        """The members of a collection; what is no object is left out."""
        return [row for row in listed(self.body.get("value")) if isinstance(row, dict)]


def read_json(octets: bytes) -> Json | None:
    """The JSON object in an answer's body, {} for an empty one, None for anything else."""
    if not octets.strip():
        return {}
    try:
        found = json.loads(octets)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def text(value: object) -> str:
    """A JSON value as text, "" when it is none."""
    return value if isinstance(value, str) else ""


def mapping(value: object) -> Json:
    """A JSON value as an object, {} when it is none."""
    return value if isinstance(value, dict) else {}


def listed(value: object) -> list[Any]:
    """A JSON value as an array, [] when it is none."""
    return value if isinstance(value, list) else []


def moment(value: object) -> datetime | None:
    """A JSON value as a moment in UTC, None when it is none between 1990 and 2100."""
    try:
        found = datetime.fromisoformat(text(value)[:40])
        found = (found if found.tzinfo else found.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError):
        return None
    return found if 1990 <= found.year < 2100 else None  # noqa: PLR2004  # as the sentence above


def failure(answer: Answer, options: GraphOptions, account: str, now: datetime) -> CrmSyncError:
    """The error for an answer that isn't the wanted one."""
    if answer.is_throttled:
        return Throttled(
            "Microsoft asks for a pause", retry_at=retry_at(answer.headers, now), where=account
        )
    if answer.status == UNAUTHORIZED:
        return sign_in_ended(options, account)
    if answer.is_no_mailbox:
        advice = "Check username, and that the mailbox has a licence for Exchange Online."
        what = "there is no such mailbox"
        return Refused(what, where=account, advice=advice, kind="permission")
    if answer.code in _NOT_AS_SENDER:
        advice = "Check from, or give this mailbox the right to send as that address."
        what = "this mailbox may not send as this address"
        return Refused(what, where=account, advice=advice, kind="permission")
    if answer.status == FORBIDDEN:
        return _forbidden(options, account)
    what = f"Microsoft Graph failed (status {answer.status})"
    return Unreachable(what, where=account, advice="Trying again later.", kind="unavailable")


def sign_in_ended(options: GraphOptions, account: str) -> Refused:
    """The error for a sign-in that a human has to renew."""
    if options.is_app_only:
        advice = "Check tenant, client_id and the secret or certificate; they expire."
        what = "Microsoft refuses the application's sign-in"
        return Refused(what, where=account, advice=advice, kind="registration")
    advice = f"Run: {command(account)}"
    what = "Microsoft asks to sign in again"
    return Refused(what, where=account, advice=advice, kind="consent")


def _forbidden(options: GraphOptions, account: str) -> Refused:
    names = ", ".join(options.permissions)
    if options.is_app_only:
        advice = (
            f"In Entra, give the application the application permission {names} of Microsoft Graph,"
            " grant admin consent, and let it reach this mailbox."
        )
    else:
        advice = (
            f"In Entra, give the application the delegated permission {names} of Microsoft Graph,"
            f" then run `{command(account)}`; whoever signs in needs access to the mailbox."
        )
    what = f"Microsoft denies access: {names} is missing"
    return Refused(what, where=account, advice=advice, kind="permission")


def retry_at(headers: Mapping[str, str], now: datetime) -> datetime | None:
    """The moment a Retry-After names (RFC 9110 section 10.2.3), at most a day ahead."""
    value = headers.get("retry-after", "").strip()
    if value.isascii() and value.isdigit():
        return now + min(timedelta(seconds=int(value[:9])), _LONGEST_WAIT)
    try:
        found = parsedate_to_datetime(value).astimezone(UTC)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
    return min(max(found, now), now + _LONGEST_WAIT)
