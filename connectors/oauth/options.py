"""The keys by which an account says how it signs in through OAuth 2.0."""

import re
from datetime import date
from typing import Annotated, Final
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, Field, SecretStr

from connectors.hosts import is_loopback
from crm_sync.core.clean import clean


def _is_an_endpoint(value: str) -> str:
    parts = urlsplit(value)
    if value and (parts.scheme not in {"https", "http"} or not parts.hostname or parts.username):
        raise ValueError("write it like https://login.example.com/oauth2/token")
    if parts.scheme == "http" and not is_loopback(parts.hostname or ""):
        raise ValueError("http would send secrets in clear; use https")
    return value


def _is_a_tenant(value: str) -> str:
    if not _TENANT.fullmatch(value):
        raise ValueError(
            f'"{clean(value, _LONGEST_SHOWN)}" is not a tenant; write a domain of yours, such as '
            "acme.example, or the Directory (tenant) ID"
        )
    return value


_TENANT: Final = re.compile(r"[A-Za-z0-9._-]{1,253}")
_LONGEST_SHOWN: Final = 60

Tenant = Annotated[str, AfterValidator(_is_a_tenant)]
"""A Microsoft 365 directory: its id, or a domain of it. Validating raises ValueError."""

Endpoint = Annotated[str, Field(max_length=2000), AfterValidator(_is_an_endpoint)]


class OAuthOptions(BaseModel):
    """What the application was registered with, for connectors' options to inherit.

    `client_id` and `client_secret` are the registration's; `secret_expires` is the last day of the
    secret, of which `doctor` warns. `tenant` is a Microsoft 365 directory (its id or a domain of
    it) and gives the three addresses; other providers need `auth_url` and `token_url`, and
    `device_url` where they know device codes (RFC 8628). `scope` holds what is asked for, with
    blanks between.
    """

    client_id: Annotated[str, Field(max_length=500)] = ""
    client_secret: SecretStr | None = None
    secret_expires: date | None = None
    tenant: Tenant = ""
    auth_url: Endpoint = ""
    token_url: Endpoint = ""
    device_url: Endpoint = ""
    scope: Annotated[str, Field(max_length=2000)] = ""

    def oauth_fault(self) -> str:
        """What is missing for signing in through OAuth 2.0, "" when nothing is."""
        if not self.client_id:
            return "client_id is missing: the id that the provider gave the application"
        if not self.tenant and not (self.auth_url and self.token_url):
            return "auth_url and token_url are missing (or tenant, for Microsoft 365)"
        if not self.tenant and not self.scope:
            return "scope is missing: what the provider calls the permission to read mail"
        return ""

    def password_fault(self, auth: str) -> str:
        """What is wrong with a password beside `auth`, which is another way to sign in."""
        if "auth" in self.model_fields_set:
            return f'password has no meaning with auth = "{auth}"'
        if self.client_id:
            return "password has no meaning beside client_id; leave one of them out"
        return 'password is not what signs in here; for an app password add auth = "password"'

    def oauth_keys_given(self) -> list[str]:
        """The keys of this model that were written, for those who must not have them."""
        given: set[str] = self.model_fields_set
        return sorted(given & set(OAuthOptions.model_fields))
