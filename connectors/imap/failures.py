"""What went wrong with a server, as errors of the house: by response code first, then by text.

Response codes are those of RFC 3501 section 7.1 and RFC 5530; the texts are what servers in the
wild say instead. What a server said is never repeated: it may hold anything.
"""

import imaplib
import re
import socket
import ssl
from datetime import datetime, timedelta
from typing import Final

from connectors.imap.connection import NoStartTls
from connectors.imap.options import ImapOptions
from connectors.imap.wire import Forbidden, Garbled
from crm_sync.core.clean import clean
from crm_sync.core.errors import CrmSyncError, Refused, Throttled, Unreachable

LOST: Final = (OSError, imaplib.IMAP4.error, Garbled, NoStartTls, EOFError)
"""What may come out of a connection when it is not to be used any more."""

_CODE: Final = re.compile(rb"\s*\[([A-Za-z0-9-]+)")
_BACK_OFF: Final = re.compile(r"backoff time:\s*(\d{1,9})\s*milliseconds", re.IGNORECASE)
_LONGEST_WAIT: Final = timedelta(hours=24)
_QUOTA_WAIT: Final = timedelta(hours=1)

_SLOWED: Final = re.compile(r"throttl|bandwidth limit|rate limit|overquota", re.IGNORECASE)
_CROWDED: Final = re.compile(
    r"too many|maximum number of connections|simultaneous|connection limit", re.IGNORECASE
)
_POLICIES: Final = (
    (
        re.compile(r"web login required|via your web browser", re.IGNORECASE),
        "the provider wants {user} to sign in with a browser first",
        "Sign in there once, then try again.",
    ),
    (
        re.compile(r"application.specific password", re.IGNORECASE),
        "the server wants an app password for {user}",
        "Make one in the account's security settings and store it as the password.",
    ),
    (
        re.compile(r"imap (access )?is disabled|enable imap", re.IGNORECASE),
        "IMAP is switched off for {user}",
        "The provider's admin can switch it on.",
    ),
)
_ABOUT_THE_USER: Final = {
    "AUTHENTICATIONFAILED": "the server refused the {proof} of {user}",
    "EXPIRED": "the {proof} of {user} has expired",
    "AUTHORIZATIONFAILED": "{user} may not use this mailbox",
    "NOPERM": "{user} may not use this mailbox",
    "PRIVACYREQUIRED": "the server takes passwords only over TLS",
}
_NOT_CONNECTED: Final = re.compile(r"authenticated but not connected", re.IGNORECASE)
_PASSING: Final = re.compile(
    r"unavailable|temporar|try again|later|internal|timed? ?out|overload", re.IGNORECASE
)
_NO_FOLDER: Final = re.compile(
    r"(does not|doesn't|doesn.t) exist|unknown mailbox|no such|not found|nonexist|can't be selected"
    r"|not selectable",
    re.IGNORECASE,
)

_CERTIFICATE: Final = {
    10: ("the certificate of the server has expired", "Ask its admin to renew it."),
    18: (
        "the certificate of the server is signed by itself",
        "Name the certificate's file as ca_file if it is yours.",
    ),
    19: (
        "the certificate of the server is from an authority unknown here",
        "Name that authority's file as ca_file if it is yours.",
    ),
    20: (
        "the certificate of the server is from an authority unknown here",
        "Name that authority's file as ca_file if it is yours.",
    ),
    62: (
        "the certificate of the server is for another name",
        "Write host as the certificate has it.",
    ),
    64: ("the certificate of the server is for another address", "Write its name as host."),
}
"""OpenSSL's verify codes (X509_V_ERR_*) that people meet."""

_UNVERIFIED: Final = ("the certificate of the server can't be verified", "Check ca_file.")


class NoTls(Exception):  # noqa: N818  # a state of the server, not an error of ours
    """What answers on the port does not speak TLS."""


_KINDS: Final[tuple[tuple[type | tuple[type, ...], bool, str, str], ...]] = (
    (
        NoTls,
        True,
        "the server does not speak TLS on this port",
        'Check port and security: 993 is "tls", 143 "starttls".',
    ),
    (
        NoStartTls,
        True,
        "the server offers no STARTTLS",
        'Try security = "tls" on port 993; the password is not sent in clear.',
    ),
    (
        (FileNotFoundError, PermissionError, IsADirectoryError),
        True,
        "the file of the certificate authority can't be read",
        "Check ca_file and who may read it.",
    ),
    (socket.gaierror, False, "no such host", "Check host and the name servers."),
    (
        ConnectionRefusedError,
        False,
        "nobody listens there",
        "Check port, and whether the server runs.",
    ),
    (
        TimeoutError,
        False,
        "the server is silent",
        "It may be overloaded or behind a firewall; trying again later.",
    ),
)
"""Kinds of failures: whether asking again is useless, what happened, what to do."""


def code_of(text: bytes) -> str:
    """The response code of a status response, in upper case; empty when there is none."""
    found = _CODE.match(text)
    return found[1].decode("ascii").upper() if found else ""


def is_missing(text: bytes) -> bool:
    """Whether a NO to EXAMINE means that the folder is not there."""
    return code_of(text) in {"NONEXISTENT", "TRYCREATE"} or bool(
        _NO_FOLDER.search(text.decode("latin-1"))
    )


def asks_to_wait(text: bytes) -> bool:
    """Whether a NO or BAD is about load, not about what was asked."""
    said = text.decode("latin-1")
    return code_of(text) in {"OVERQUOTA", "LIMIT", "THROTTLED", "UNAVAILABLE", "INUSE"} or bool(
        _SLOWED.search(said) or _CROWDED.search(said)
    )


def connecting(error: BaseException, options: ImapOptions, now: datetime) -> CrmSyncError:
    """Why there is no connection, or no longer one."""
    where = options.where
    if isinstance(error, CrmSyncError):
        return error
    if isinstance(error, ssl.SSLCertVerificationError):
        what, advice = _CERTIFICATE.get(error.verify_code, _UNVERIFIED)
        return Refused(what, where=where, advice=advice)
    if isinstance(error, ssl.SSLError) and "WRONG_VERSION" in str(error):
        error = NoTls()
    for kinds, refused, what, advice in _KINDS:
        if isinstance(error, kinds):
            return (Refused if refused else Unreachable)(what, where=where, advice=advice)
    return _by_words(error, where, now)


def _by_words(error: BaseException, where: str, now: datetime) -> CrmSyncError:
    said = " ".join(str(a) for a in error.args).encode("latin-1", "replace")
    said = re.sub(rb"^b['\"]\* (BYE|NO|BAD) |^\* BYE ", b"", said)
    if asks_to_wait(said):
        return answer(said, "the connection", where, now)
    if isinstance(error, Garbled):
        what, advice = "what the server says is no IMAP", "Check host and port."
    elif isinstance(error, ssl.SSLError):
        what, advice = "TLS with the server failed", "Check port and security."
    else:
        what, advice = "the server closed the connection", "Trying again later."
    return Unreachable(what, where=where, advice=advice)


def signing_in(text: bytes, options: ImapOptions, now: datetime, remedy: str = "") -> CrmSyncError:
    """Why the server did not let the user in; not every no is about the password.

    `remedy` is what helps where there is no password.
    """
    said, code, user = text.decode("latin-1"), code_of(text), clean(options.username, 100)
    for pattern, what, advice in _POLICIES:
        if pattern.search(said):
            return Refused(what.format(user=user), where=options.where, advice=advice)
    passing = code in {"SERVERBUG", "CONTACTADMIN"} or asks_to_wait(text) or _PASSING.search(said)
    if passing and code not in _ABOUT_THE_USER:
        return answer(text, "the sign-in", options.where, now)
    is_password = options.auth == "password"
    what = _ABOUT_THE_USER.get(code, _ABOUT_THE_USER["AUTHENTICATIONFAILED"])
    what = what.format(user=user, proof="password" if is_password else "sign-in")
    advice = 'Check username and password = "secret:…".' if is_password else remedy
    return Refused(what, where=options.where, advice=advice)


def rejects_token(text: bytes) -> bool:
    """Whether a no at the sign-in may be about the access token, so that another one may do."""
    said, code = text.decode("latin-1"), code_of(text)
    if code:
        return code in {"AUTHENTICATIONFAILED", "EXPIRED"}
    told = asks_to_wait(text) or _PASSING.search(said)
    return not told and not any(pattern.search(said) for pattern, *_ in _POLICIES)


def unsendable(_: Forbidden, options: ImapOptions) -> CrmSyncError:
    """The user name or password has a line break in it."""
    return Refused(
        "the user name or the password holds a line break",
        where=options.where,
        advice="Look for one at the end of the secret's file.",
    )


def answer(text: bytes, doing: str, where: str, now: datetime) -> CrmSyncError:
    """Why the server answered NO, BAD or BYE to `doing` ("the sign-in", "EXAMINE")."""
    said, code = text.decode("latin-1"), code_of(text)
    if throttled := _throttled(said, code, where, now):
        return throttled
    kind: type[Unreachable | Refused] = Unreachable
    what, advice = f"the server says no to {doing}", "Trying again later."
    if code == "LIMIT" or _CROWDED.search(said):
        what = "too many connections to the mailbox"
        advice = "Other programs may hold connections open; trying again later."
    elif _NOT_CONNECTED.search(said):
        what = "the mailbox is not connected"
        advice = "IMAP or the licence of the mailbox may be switched off."
    elif code in {"NOPERM", "AUTHORIZATIONFAILED", "PRIVACYREQUIRED"}:
        kind, what = Refused, f"the server does not allow {doing}"
        advice = "The server's admin can allow it."
    elif code == "UNAVAILABLE" or _PASSING.search(said):
        what = "the server says that it is not available at the moment"
    return kind(what, where=where, advice=advice)


def _throttled(said: str, code: str, where: str, now: datetime) -> Throttled | None:
    if found := _BACK_OFF.search(said):
        wait = min(timedelta(milliseconds=int(found[1])), _LONGEST_WAIT)
        return Throttled("the server asks for a pause", retry_at=now + wait, where=where)
    if code == "OVERQUOTA" or "bandwidth" in said.lower():
        advice = "The provider counts bytes a day; the next try is in an hour."
        what = "the account has used up its share of traffic"
        return Throttled(what, retry_at=now + _QUOTA_WAIT, where=where, advice=advice)
    if code == "THROTTLED" or _SLOWED.search(said):
        return Throttled("the server asks for a pause", where=where)
    return None
