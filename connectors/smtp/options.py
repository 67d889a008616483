"""The keys of `[sender]` that belong to SMTP."""

from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Final, Literal, Self

from pydantic import ConfigDict, Field, PositiveFloat, SecretStr, model_validator

from connectors.hosts import Host
from connectors.oauth.options import OAuthOptions
from connectors.proxy import Proxy

Security = Literal["tls", "starttls", "none"]

_FILE_THEMSELVES: Final = frozenset(
    {"smtp.gmail.com", "smtp.office365.com", "smtp-mail.outlook.com", "smtp.mail.me.com"}
)
"""Submission servers that put a copy of each mail into Sent."""

_PORTS = MappingProxyType({"tls": 465, "starttls": 587, "none": 25})


class SmtpOptions(OAuthOptions):
    """Where and how to hand mails over; times in seconds.

    `ca_file` (PEM) replaces the system's certificate authorities, `proxy` is an HTTP proxy that
    lets us through to the server. `dot_timeout` is the wait for the
    answer to the end of the data; a shorter one only makes mails doubtful (RFC 5321 section
    4.5.3.2.6). `per_minute` and `per_day` keep the account below its provider's limits. `auth` says
    how to sign in: with a password, or by OAuth 2.0 with one of the two mechanisms that carry its
    tokens.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    host: Host
    port: Annotated[int, Field(ge=1, le=65535)] | None = None
    security: Security = "starttls"
    ca_file: Path | None = None
    proxy: Proxy | None = None
    auth: Literal["password", "xoauth2", "oauthbearer"] = "password"
    username: str = ""
    password: SecretStr | None = None
    connect_timeout: PositiveFloat = 15
    command_timeout: PositiveFloat = 60
    dot_timeout: PositiveFloat = 600
    per_minute: Annotated[int, Field(ge=1, le=10_000)] = 20
    per_day: Annotated[int, Field(ge=1, le=1_000_000)] = 400

    @property
    def effective_port(self) -> int:
        """The port asked for, else the one registered for this kind of security (RFC 8314)."""
        return self.port or _PORTS[self.security]

    @property
    def files_sent(self) -> bool:
        """Whether the provider itself puts a copy of each mail into Sent."""
        return self.host.lower().rstrip(".") in _FILE_THEMSELVES

    @model_validator(mode="after")
    def _sign_in_is_complete(self) -> Self:
        if self.auth == "password":
            if bool(self.username) != (self.password is not None):
                raise ValueError("username and password must be given together, or neither")
            if given := self.oauth_keys_given():
                raise ValueError(f'{given[0]} has no meaning without auth = "xoauth2"')
        elif self.password is not None:
            raise ValueError(self.password_fault(self.auth))
        elif not self.username:
            raise ValueError("username is missing: the address that signs in")
        elif fault := self.oauth_fault():
            raise ValueError(fault)
        return self
