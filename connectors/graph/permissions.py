"""Which permissions an access token of ours holds, and which are missing.

Microsoft says that an access token is nobody's business but Graph's: its form may change any day.
So what can't be read is taken as it is, and Graph has the last word.
"""

import base64
import binascii
from collections.abc import Iterator
from typing import Final

from connectors.graph.answers import listed, read_json, text
from connectors.graph.options import GraphOptions
from connectors.oauth.failures import command
from crm_sync.core.records import Finding

_LONGEST: Final = 64 * 1024
_MOST: Final = 500
_PARTS: Final = 3
_READING: Final = frozenset({"mail.read", "mail.read.shared"})


def held(token: str) -> frozenset[str] | None:
    """The permissions that a token names, in lower case; None for one that can't be read.

    `roles` are those of an application, `scp` those that a person has given (Microsoft's access
    token claims reference). The signature is not checked: the token comes from Microsoft itself.
    """
    parts = token.split(".", _PARTS)
    if len(token) > _LONGEST or len(parts) != _PARTS:
        return None
    try:
        octets = base64.b64decode(parts[1] + "=" * (-len(parts[1]) % 4), b"-_", validate=True)
    except (ValueError, binascii.Error):
        return None
    claims = read_json(octets)
    if not claims:
        return None
    names = [*listed(claims.get("roles")), *text(claims.get("scp")).split()]
    return frozenset(name.lower() for name in map(text, names[:_MOST]) if name)


def findings(options: GraphOptions, token: str, account: str) -> Iterator[Finding]:
    """What `doctor` says of the permissions of a token; nothing where it can't be read.

    An application without any permission to mail may have got it from Exchange itself (RBAC for
    Applications), which no token shows: a note, for whether it has shows when mail is read.
    """
    given = held(token)
    if given is None or not (given or options.is_app_only):
        return
    missing = [name for name in options.permissions if not _covers(given, name.lower())]
    if not missing:
        yield Finding("permissions", ok=True)
        return
    names = ", ".join(missing)
    may_be_elsewhere = options.is_app_only and not any(one.startswith("mail.") for one in given)
    yield Finding(
        "permissions",
        ok=may_be_elsewhere,
        problem=f"the token does not hold {names}",
        advice=_advice(options, names, account, may_be_elsewhere=may_be_elsewhere),
    )


def _covers(given: frozenset[str], wanted: str) -> bool:
    """Whether one of the permissions includes the wanted one: to write is to read, too."""
    ways = {wanted}
    if wanted in _READING:
        ways.add(wanted.replace("read", "readwrite"))
    # What is allowed in the mailboxes of others is allowed in one's own.
    return bool(given & (ways | {f"{way.removesuffix('.shared')}.shared" for way in ways}))


def _advice(options: GraphOptions, names: str, account: str, *, may_be_elsewhere: bool) -> str:
    if not options.is_app_only:
        return (
            f"In Entra, give the application the delegated permission {names} of Microsoft Graph,"
            f" then run: {command(account)}"
        )
    given = (
        f"In Entra, give the application the application permission {names} of Microsoft Graph and"
        " grant admin consent"
    )
    elsewhere = ", unless Exchange gives it by RBAC for Applications" if may_be_elsewhere else ""
    return f"{given}{elsewhere}."
