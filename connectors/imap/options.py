"""What an admin may write for a mailbox with `connector = "imap"`."""

import re
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Annotated, Final, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    SecretStr,
    field_validator,
    model_validator,
)

from connectors.hosts import Host
from connectors.oauth.options import OAuthOptions
from connectors.proxy import Proxy
from crm_sync.core.durations import parse_reach
from crm_sync.core.folder_choice import parse_folder

NONE: Final = "none"

FolderWord = Annotated[
    str,
    Field(min_length=1, max_length=1000),
    AfterValidator(partial(parse_folder, further=("\\All", "\\Flagged"))),
]

_OCTETS: Final = re.compile(r"([1-9][0-9]{0,5}) ?(MB|GB)", re.IGNORECASE)
_UNITS: Final = {"MB": 10**6, "GB": 10**9}


class Timeouts(BaseModel):
    """Seconds to wait: for a connection, for any sign of life, for a whole answer.

    Some servers delay the answer to a failed sign-in by 15 seconds.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    connect: float = Field(default=15, gt=0, le=600)
    read: float = Field(default=60, gt=0, le=3600)
    answer: float = Field(default=300, gt=0, le=3600)


class ImapOptions(OAuthOptions):
    r"""The keys of a mailbox that are the connector's own.

    `since` is a length of time or "all". `folders` are special-use names ("\\Sent", RFC 6154),
    "\\Inbox" or plain names; none means the user's own that hold mail. `auth` says how to sign in:
    with a password, or by OAuth 2.0 with one of the two mechanisms that carry its tokens.
    `proxy` is an HTTP proxy that lets us through to the server. `history_per_day` is a number of MB
    or GB (powers of ten), or "none".
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    host: Host
    port: int | None = Field(default=None, ge=1, le=65535)
    security: Literal["tls", "starttls", "none"] = "tls"
    ca_file: Path | None = None
    proxy: Proxy | None = None
    username: Annotated[str, Field(min_length=1, max_length=500)]
    auth: Literal["password", "xoauth2", "oauthbearer"] = "password"
    password: SecretStr | None = None
    since: str = "90d"
    folders: list[FolderWord] = Field(default_factory=list)
    page_size: int = Field(default=500, ge=1, le=500)
    history_per_day: str = NONE
    timeouts: Timeouts = Timeouts()

    @field_validator("since")
    @classmethod
    def _is_a_length_of_time(cls, value: str) -> str:
        parse_reach(value)
        return value

    @field_validator("history_per_day")
    @classmethod
    def _is_a_number_of_octets(cls, value: str) -> str:
        if value.strip().lower() != NONE and not _OCTETS.fullmatch(value.strip()):
            raise ValueError('an amount of traffic is written like 1500 MB or 2 GB, or "none"')
        return value

    @model_validator(mode="after")
    def _can_sign_in(self) -> Self:
        if self.auth == "password":
            if self.password is None:
                raise ValueError("password is missing")
            if given := self.oauth_keys_given():
                raise ValueError(f'{given[0]} has no meaning without auth = "xoauth2"')
        elif self.password is not None:
            raise ValueError(self.password_fault(self.auth))
        elif fault := self.oauth_fault():
            raise ValueError(fault)
        return self

    @property
    def effective_port(self) -> int:
        """The port, or the usual one (RFC 8314 section 7)."""
        return self.port or (993 if self.security == "tls" else 143)

    @property
    def where(self) -> str:
        """Host and port, for people."""
        return f"{self.host}:{self.effective_port}"

    @property
    def reach(self) -> timedelta | None:
        """How far back the first sync goes; None for everything."""
        return parse_reach(self.since)

    @property
    def daily_octets(self) -> int | None:
        """Octets a day after which history waits for the next one; None for no such budget."""
        found = _OCTETS.fullmatch(self.history_per_day.strip())
        return int(found[1]) * _UNITS[found[2].upper()] if found else None
