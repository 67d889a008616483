"""Names of servers as admins write them, and what goes to a server unencrypted."""

import ipaddress
import re
from collections.abc import Iterator
from typing import Annotated, Final

from pydantic import AfterValidator, Field

from crm_sync.core.clean import clean
from crm_sync.core.records import Finding

_WITH_PORT: Final = re.compile(r"([^:]+|\[[^\]]*\]):(\d{1,5})")
_FORBIDDEN: Final = re.compile(r"[\s@/\0\[\]]")
_LONGEST_SHOWN: Final = 60


def _is_a_host(value: str) -> str:
    shown = f'"{clean(value, _LONGEST_SHOWN)}"'
    if found := _WITH_PORT.fullmatch(value):
        raise ValueError(f"{shown} holds a port; write the port as port = {found[2]}")
    if _FORBIDDEN.search(value):
        raise ValueError(f"{shown} is no host name; write it without scheme, path and brackets")
    return value


Host = Annotated[str, Field(min_length=1, max_length=255), AfterValidator(_is_a_host)]
"""A server's name or address, and nothing else. Validating raises ValueError with a sentence."""


def is_loopback(host: str) -> bool:
    """Whether that host is this machine."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"


def in_clear(host: str, security: str, auth: str) -> Iterator[Finding]:
    """What `doctor` says of an account that signs in without encryption, unless it stays here."""
    if security == "none" and not is_loopback(host):
        what = "password" if auth == "password" else "access token"
        yield Finding(
            "encryption",
            ok=False,
            problem=f"the {what} crosses the network unencrypted",
            advice='Set security = "starttls" or "tls".',
        )
