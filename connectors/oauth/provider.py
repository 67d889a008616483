"""A provider and our registration with it, as one value; and what Microsoft 365 is like."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Final

from pydantic import SecretStr

from connectors.oauth.options import OAuthOptions

_MICROSOFT: Final = "https://login.microsoftonline.com"


@dataclass(frozen=True, slots=True)
class Provider:
    """Where to sign in, as which program, for what.

    `extras` are further parameters of the authorization request, `loopback` the host under which
    the provider lets a browser come back to this machine. `ca_file` is trusted besides the system's
    authorities.
    """

    client_id: str
    authorization_url: str
    token_url: str
    scopes: tuple[str, ...]
    client_secret: SecretStr | None = None
    secret_expires: date | None = None
    device_url: str = ""
    extras: Mapping[str, str] = field(default_factory=dict)
    loopback: str = "127.0.0.1"
    ca_file: Path | None = None

    def identity(self) -> dict[str, str]:
        """How the program names itself at the token endpoint (RFC 6749 section 2.3.1)."""
        form = {"client_id": self.client_id}
        if self.client_secret is not None:
            form["client_secret"] = self.client_secret.get_secret_value()
        return form


def provider_of(
    options: OAuthOptions, microsoft_scopes: tuple[str, ...], ca_file: Path | None
) -> Provider:
    """The provider that the options name; `microsoft_scopes` hold where only a tenant is given."""
    base = f"{_MICROSOFT}/{options.tenant}/oauth2/v2.0" if options.tenant else ""
    return Provider(
        client_id=options.client_id,
        client_secret=options.client_secret,
        secret_expires=options.secret_expires,
        authorization_url=options.auth_url or f"{base}/authorize",
        token_url=options.token_url or f"{base}/token",
        device_url=options.device_url or (f"{base}/devicecode" if base else ""),
        scopes=tuple(options.scope.split()) or microsoft_scopes,
        # Microsoft takes any port of http://localhost, but of 127.0.0.1 only a registered one.
        loopback="localhost" if base else "127.0.0.1",
        ca_file=ca_file,
    )
