"""What a sign-in gave, as the text that is sealed for its account."""

import json
import re
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Final

from connectors.oauth.wire import Answer

_VERSION: Final = 1
_TOKEN: Final = re.compile(r"[\x21-\x7e]{1,16384}")
_SHORTEST, _USUAL, _LONGEST = 60, 3600, 86400


@dataclass(frozen=True, slots=True)
class AccessToken:
    """A bearer token (RFC 6750) and the moment at which it is worth nothing any more."""

    text: str = field(repr=False)
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class Grant:
    """A person's permission: how to get access tokens, and the newest of them.

    `renewed_at` is when the provider last gave a token for it; `refused_at` when it last said that
    the permission is gone. `ends_at` is when it will be, where the provider says so in advance.
    """

    client_id: str
    refresh_token: str = field(repr=False)
    access: AccessToken
    renewed_at: datetime
    refused_at: datetime | None = None
    ends_at: datetime | None = None

    def dumps(self) -> str:
        """The text to seal."""
        refused = self.refused_at.isoformat() if self.refused_at else None
        ends = self.ends_at.isoformat() if self.ends_at else None
        return json.dumps(
            {
                "v": _VERSION,
                "client": self.client_id,
                "refresh": self.refresh_token,
                "access": self.access.text,
                "expires": self.access.expires_at.isoformat(),
                "renewed": self.renewed_at.isoformat(),
                "refused": refused,
                "ends": ends,
            }
        )

    @classmethod
    def loads(cls, text: str) -> "Grant | None":
        """The grant in a text; None for what another version wrote."""
        try:
            data = json.loads(text)
            if data["v"] != _VERSION:
                return None
            return cls(
                client_id=str(data["client"]),
                refresh_token=str(data["refresh"]),
                access=AccessToken(str(data["access"]), _moment(data["expires"])),
                renewed_at=_moment(data["renewed"]),
                refused_at=_moment(data["refused"]) if data["refused"] else None,
                ends_at=_moment(data["ends"]) if data.get("ends") else None,
            )
        except (ValueError, TypeError, KeyError):
            return None

    def renewed(self, answer: Answer, now: datetime) -> "Grant | None":
        """The grant after a renewal: with the new refresh token where there is one.

        None when the answer holds no usable token.
        """
        access = access_token_in(answer, now)
        if access is None:
            return None
        rotated = refresh_token_in(answer)
        return replace(
            self,
            refresh_token=rotated or self.refresh_token,
            access=access,
            renewed_at=now,
            refused_at=None,
            ends_at=end_of_grant(answer, now) or (None if rotated else self.ends_at),
        )


def access_token_in(answer: Answer, now: datetime) -> AccessToken | None:
    """The access token of an answer (RFC 6749 section 5.1); None when there is no usable one.

    Control characters in it would end a field of the SASL message, so there are none.
    """
    text, kind = answer.text("access_token"), answer.text("token_type") or "Bearer"
    if answer.status != 200 or not _TOKEN.fullmatch(text) or kind.lower() != "bearer":  # noqa: PLR2004  # HTTP OK
        return None
    seconds = min(max(answer.number("expires_in", _USUAL), _SHORTEST), _LONGEST)
    return AccessToken(text, now + timedelta(seconds=seconds))


def refresh_token_in(answer: Answer) -> str:
    """The refresh token of an answer; "" when there is no usable one."""
    text = answer.text("refresh_token")
    return text if _TOKEN.fullmatch(text) else ""


def end_of_grant(answer: Answer, now: datetime) -> datetime | None:
    """When the refresh token of an answer ends, where the provider tells it.

    Google does under the first name, for applications in testing (seven days) and for sign-ins a
    person limited; Keycloak under the second. None and zero mean: not known in advance.
    """
    for name in ("refresh_token_expires_in", "refresh_expires_in"):
        if (seconds := answer.number(name, 0)) > 0:
            return now + timedelta(seconds=seconds)
    return None


def _moment(text: str) -> datetime:
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError("no zone")
    return moment.astimezone(UTC)
