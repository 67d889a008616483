"""Access tokens as mail servers want them: XOAUTH2, or OAUTHBEARER (RFC 7628)."""

from base64 import b64encode
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from connectors.oauth.grant import AccessToken
from crm_sync.core.errors import Refused

_FORBIDDEN: Final = frozenset("\0\x01\r\n")


@dataclass(frozen=True, slots=True)
class Mechanism:
    """A SASL mechanism with one message of ours.

    `after_error` answers the challenge in which a server explains its no; it waits for one.
    """

    name: str
    message: Callable[[str, str, int, str], str]
    after_error: bytes


def initial_response(
    mechanism: Mechanism, user: str, token: AccessToken, host: str, port: int
) -> bytes:
    """The message in base64. Raises `Refused` for a user name that could end a field early."""
    if _FORBIDDEN & set(user):
        raise Refused("the user name holds a control character", advice="Check username.")
    return b64encode(mechanism.message(user, host, port, token.text).encode())


def _xoauth2(user: str, _host: str, _port: int, token: str) -> str:
    return f"user={user}\x01auth=Bearer {token}\x01\x01"


def _oauthbearer(user: str, host: str, port: int, token: str) -> str:
    # "=" and "," have a meaning in the header of GS2 (RFC 5801 section 4).
    name = user.replace("=", "=3D").replace(",", "=2C")
    return f"n,a={name},\x01host={host}\x01port={port}\x01auth=Bearer {token}\x01\x01"


MECHANISMS: Final[Mapping[str, Mechanism]] = MappingProxyType(
    {
        "xoauth2": Mechanism("XOAUTH2", _xoauth2, b""),
        "oauthbearer": Mechanism("OAUTHBEARER", _oauthbearer, b"AQ=="),
    }
)
"""By the word that stands as `auth` in the configuration."""
