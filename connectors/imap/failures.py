"""What went wrong with a server, as errors of the house: by response code first, then by text.

Response codes are those of RFC 3501 section 7.1 and RFC 5530; the texts are what servers in the
wild say instead. What a server said is never repeated: it may hold anything.
"""

import imaplib
import re
import socket
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final

from connectors import sign_in_words
from connectors.imap.connection import NoStartTls
from connectors.imap.options import ImapOptions
from connectors.imap.wire import ConnectionLost, Forbidden, Garbled
from crm_sync.core.clean import clean
from crm_sync.core.errors import CrmSyncError, Kind, Refused, Scope, Throttled, Unreachable

LOST: Final = (OSError, imaplib.IMAP4.error, Garbled, NoStartTls, EOFError)
"""What may come out of a connection when it is not to be used any more."""

_CODE: Final = re.compile(rb"\s*\[([A-Za-z0-9-]+)")
_SLOW_MODE: Final = re.compile(rb"\[THROTTLED\]", re.IGNORECASE)
_BACK_OFF: Final = re.compile(r"backoff time:\s*(\d{1,9})\s*milliseconds", re.IGNORECASE)
_LONGEST_WAIT: Final = timedelta(hours=24)
_LATER: Final = "Trying again later."


@dataclass(frozen=True, slots=True)
class _Failure:
    """A row of the tables below: what it is, what a person reads, and the pause it asks for.

    The sentences know {user}, {proof} (password or sign-in) and {doing} (the sign-in, a command).
    """

    kind: Kind
    what: str
    advice: str = _LATER
    refused: bool = False
    pause: timedelta | None = None
    scope: Scope = "account"

    def error(self, where: str, now: datetime, **words: str) -> CrmSyncError:
        what, advice = self.what.format(**words), self.advice.format(**words)
        if self.refused:
            return Refused(what, where=where, advice=advice, kind=self.kind, scope=self.scope)
        if self.kind in {"throttled", "quota"}:
            at = None if self.pause is None else now + self.pause
            return Throttled(what, retry_at=at, where=where, advice=advice, kind=self.kind)
        return Unreachable(what, where=where, advice=advice, kind=self.kind, scope=self.scope)


# -- what a NO, BAD or BYE may mean ---------------------------------------------------------------

_THROTTLED: Final = _Failure("throttled", "the server asks for a pause")
_QUOTA: Final = _Failure(
    "quota",
    "the account has used up its share of traffic",
    "The provider counts bytes a day; the next try is in an hour.",
    pause=timedelta(hours=1),
)
_CONNECTIONS: Final = _Failure(
    "connections",
    "too many connections to the mailbox",
    "Other programs may hold connections open; trying again later.",
)
_UNAVAILABLE: Final = _Failure(
    "unavailable", "the server says that it is not available at the moment"
)
_BROKEN: Final = _Failure(
    "unavailable", "the server has a fault of its own", "Its admin can find it; trying again later."
)
_NOT_UNDERSTOOD: Final = _Failure(
    "",
    "the server has had enough of commands that it does not understand",
    "Please report it, with the server's name and version.",
)
_NOT_CONNECTED: Final = _Failure(
    "policy",
    "the mailbox is not connected",
    "IMAP or the licence of the mailbox may be switched off.",
)

_BY_CODE: Final[Mapping[str, _Failure]] = {
    "OVERQUOTA": _QUOTA,
    "THROTTLED": _THROTTLED,
    "LIMIT": _CONNECTIONS,
    "SERVERBUG": _BROKEN,
    "CONTACTADMIN": _BROKEN,
}
"""Codes that say all there is to say."""

_BY_WORDS: Final = tuple(
    (re.compile(pattern, re.IGNORECASE), failure)
    for pattern, failure in (
        (r"too many (\w+ ){0,3}(commands|errors)", _NOT_UNDERSTOOD),
        (r"bandwidth limit|overquota|exceeded (command|bandwidth)", _QUOTA),
        (r"throttl|rate limit|backoff time", _THROTTLED),
        (
            r"too many|maximum number of connections|simultaneous|connection limit",
            _CONNECTIONS,
        ),
        (r"authenticated but not connected", _NOT_CONNECTED),
        (
            r"unavailable|temporar|try again|later|internal|timed? ?out|overload",
            _UNAVAILABLE,
        ),
    )
)
"""What servers say without a code, or behind one that may mean anything ([ALERT])."""

_BY_VAGUE_CODE: Final[Mapping[str, _Failure]] = {"UNAVAILABLE": _UNAVAILABLE, "INUSE": _UNAVAILABLE}
"""Codes that their text may say more exactly: some servers say UNAVAILABLE of connections."""

_LOAD: Final = (_THROTTLED, _QUOTA, _CONNECTIONS)

_PASSWORD_ADVICE: Final = 'Check username and password = "secret:…".'  # noqa: S105  # words
_FORBIDDEN_BOX: Final = _Failure(
    "permission",
    "{user} may not use this mailbox",
    "Its owner or the server's admin can allow it.",
    refused=True,
)
_ONLY_TLS: Final = _Failure(
    "settings",
    "the server takes passwords only over TLS",
    'Write security = "tls" or "starttls".',
    refused=True,
)
_REJECTED: Final = _Failure(
    "password", "the server refused the {proof} of {user}", "{remedy}", refused=True
)
_SIGN_IN_BY_CODE: Final[Mapping[str, _Failure]] = {
    "AUTHENTICATIONFAILED": _REJECTED,
    "EXPIRED": _Failure("password", "the {proof} of {user} has expired", "{remedy}", refused=True),
    "AUTHORIZATIONFAILED": _FORBIDDEN_BOX,
    "NOPERM": _FORBIDDEN_BOX,
    "PRIVACYREQUIRED": _ONLY_TLS,
}
_UNEXPLAINED: Final = _Failure("sign_in", _REJECTED.what, "{remedy}", refused=True)
"""Microsoft says so of a wrong password, of a mailbox without IMAP and of too many tries."""

_FORBIDDEN: Final = _Failure(
    "permission", "the server does not allow {doing}", "The server's admin can allow it.", True
)
_COMMAND_BY_CODE: Final = dict.fromkeys(
    ("NOPERM", "AUTHORIZATIONFAILED", "PRIVACYREQUIRED"), _FORBIDDEN
)
_SOME_NO: Final = _Failure("", "the server says no to {doing}")

# -- why there is no connection -------------------------------------------------------------------

_SESSION_ENDED: Final = re.compile(r"session (has )?expired", re.IGNORECASE)
"""Gmail's farewell when a token has ended; said to a new session too, it is about traffic."""

_NO_IMAP: Final = _Failure("network", "what the server says is no IMAP", "Check host and port.")
_NO_TLS: Final = _Failure("certificate", "TLS with the server failed", "Check port and security.")
_HUNG_UP: Final = _Failure("network", "the server closed the connection")
_BROKE: Final = _Failure("network", "the server closed the connection", scope="host")
_NO_FOLDER: Final = re.compile(
    r"(does not|doesn't|doesn.t) exist|unknown mailbox|no such|not found|nonexist|can't be selected"
    r"|not selectable",
    re.IGNORECASE,
)

_UNKNOWN_AUTHORITY: Final = (
    "the certificate of the server is from an authority unknown here",
    "Name that authority's file as ca_file if it is yours.",
)
_CERTIFICATE: Final = {
    10: ("the certificate of the server has expired", "Ask its admin to renew it."),
    18: (
        "the certificate of the server is signed by itself",
        "Name the certificate's file as ca_file if it is yours.",
    ),
    19: _UNKNOWN_AUTHORITY,
    20: _UNKNOWN_AUTHORITY,
    62: (
        "the certificate of the server is for another name",
        "Write host as the certificate has it.",
    ),
    64: ("the certificate of the server is for another address", "Write its name as host."),
}
"""OpenSSL's verify codes (X509_V_ERR_*) that people meet."""

_UNVERIFIED: Final = ("the certificate of the server can't be verified", "Check ca_file.")


_USUAL_PORTS: Final = {("tls", 993), ("starttls", 143), ("none", 143)}
_CHECK_PORT: Final = 'Check security and port: 993 is "tls", 143 "starttls". '
"""Two of which only one speaks TLS may wait for each other for ever."""


class NoTls(Exception):  # noqa: N818  # a state of the server, not an error of ours
    """What answers on the port does not speak TLS."""


_BY_TYPE: Final[tuple[tuple[type | tuple[type, ...], _Failure], ...]] = (
    (
        NoTls,
        _Failure(
            "settings",
            "the server does not speak TLS on this port",
            'Check port and security: 993 is "tls", 143 "starttls".',
            refused=True,
        ),
    ),
    (
        NoStartTls,
        _Failure(
            "settings",
            "the server offers no STARTTLS",
            'Try security = "tls" on port 993; the password is not sent in clear.',
            refused=True,
        ),
    ),
    (
        (FileNotFoundError, PermissionError, IsADirectoryError),
        _Failure(
            "settings",
            "the file of the certificate authority can't be read",
            "Check ca_file and who may read it.",
            refused=True,
        ),
    ),
    (
        socket.gaierror,
        _Failure("network", "no such host", "Check host and the name servers.", scope="host"),
    ),
    (
        ConnectionRefusedError,
        _Failure(
            "network",
            "nobody listens there",
            "Check port, and whether the server runs.",
            scope="host",
        ),
    ),
    (
        TimeoutError,
        _Failure(
            "network",
            "the server is silent",
            "{check_port}It may be overloaded or behind a firewall; trying again later.",
            scope="host",
        ),
    ),
    (Garbled, _NO_IMAP),
    (ssl.SSLError, _NO_TLS),
    ((ConnectionLost, imaplib.IMAP4.error), _HUNG_UP),
    (OSError, _BROKE),
)


def code_of(text: bytes) -> str:
    """The response code of a status response, in upper case; empty when there is none."""
    found = _CODE.match(text)
    return found[1].decode("ascii").upper() if found else ""


def is_missing(text: bytes) -> bool:
    """Whether a NO to EXAMINE means that the folder is not there."""
    return code_of(text) in {"NONEXISTENT", "TRYCREATE"} or bool(
        _NO_FOLDER.search(text.decode("latin-1"))
    )


def tells_of_slow_mode(text: bytes) -> bool:
    """Whether an OK says that the server is slow on purpose: Gmail's "Success [THROTTLED]"."""
    return bool(_SLOW_MODE.search(text))


def slow_mode(where: str, now: datetime) -> CrmSyncError:
    """The error of an account that is slowed down however little is asked for at once."""
    return _THROTTLED.error(where, now)


def asks_to_wait(text: bytes) -> bool:
    """Whether a NO or BAD is about load, not about what was asked."""
    return code_of(text) in _BY_VAGUE_CODE or _known(text) in _LOAD


def connecting(error: BaseException, options: ImapOptions, now: datetime) -> CrmSyncError:
    """Why there is no connection, or no longer one."""
    where = options.where
    if isinstance(error, CrmSyncError):
        return error
    if isinstance(error, ssl.SSLCertVerificationError):
        what, advice = _CERTIFICATE.get(error.verify_code, _UNVERIFIED)
        return Refused(what, where=where, advice=advice, kind="certificate", scope="host")
    if isinstance(error, ssl.SSLError) and "WRONG_VERSION" in str(error):
        error = NoTls()
    said = _farewell(error)
    if isinstance(told := _explanation(said, options), Refused):
        return told
    if asks_to_wait(said) or _known(said) is _NOT_UNDERSTOOD:
        return answer(said, "the connection", where, now)
    if _SESSION_ENDED.search(said.decode("latin-1")):
        return _QUOTA.error(where, now)
    is_usual = (options.security, options.effective_port) in _USUAL_PORTS
    failure = next((f for types, f in _BY_TYPE if isinstance(error, types)), _HUNG_UP)
    return failure.error(where, now, check_port="" if is_usual else _CHECK_PORT)


def _farewell(error: BaseException) -> bytes:
    """What the server said when it hung up."""
    if isinstance(error, OSError) and not isinstance(error, ConnectionLost):
        return b""
    said = " ".join(str(a) for a in error.args).encode("latin-1", "replace")
    return re.sub(rb"^b['\"]\* (BYE|NO|BAD) |^\* BYE ", b"", said)


def signing_in(text: bytes, options: ImapOptions, now: datetime, remedy: str = "") -> CrmSyncError:
    """Why the server did not let the user in; not every no is about the password.

    `remedy` is what helps where there is no password.
    """
    told = _explanation(text, options)
    if told is not None:
        return told
    by_password = options.auth == "password"
    failure = _SIGN_IN_BY_CODE.get(code_of(text)) or _known(text) or _UNEXPLAINED
    error = _stated(failure, text).error(
        options.where,
        now,
        user=clean(options.username, 100),
        proof="password" if by_password else "sign-in",
        doing="the sign-in",
        remedy=_PASSWORD_ADVICE if by_password else remedy,
    )
    if error.kind == "password" and not by_password:
        error.kind = "consent"
    return error


def _explanation(text: bytes, options: ImapOptions) -> CrmSyncError | None:
    """The reason a server gives in words, which a code before them may hide."""
    user = clean(options.username, 100)
    return sign_in_words.explanation(text.decode("latin-1"), "IMAP", options.where, user)


def rejects_token(text: bytes) -> bool:
    """Whether a no at the sign-in may be about the access token, so that another one may do."""
    if sign_in_words.explains(text.decode("latin-1")):
        return False
    if code := code_of(text):
        return code in {"AUTHENTICATIONFAILED", "EXPIRED"}
    return _known(text) is None


def unsendable(_: Forbidden, options: ImapOptions) -> CrmSyncError:
    """The user name or password has a line break in it."""
    return Refused(
        "the user name or the password holds a line break",
        where=options.where,
        advice="Look for one at the end of the secret's file.",
        kind="settings",
    )


def answer(text: bytes, doing: str, where: str, now: datetime) -> CrmSyncError:
    """Why the server answered NO, BAD or BYE to `doing` ("the sign-in", "EXAMINE")."""
    failure = _COMMAND_BY_CODE.get(code_of(text)) or _known(text) or _SOME_NO
    return _stated(failure, text).error(where, now, doing=doing, user="the user")


def _known(text: bytes) -> _Failure | None:
    """The row for what holds at the sign-in and later; None for what says nothing we know."""
    said, code = text.decode("latin-1"), code_of(text)
    if code in _BY_CODE:
        return _BY_CODE[code]
    by_words = next((failure for words, failure in _BY_WORDS if words.search(said)), None)
    return by_words or _BY_VAGUE_CODE.get(code)


def _stated(failure: _Failure, text: bytes) -> _Failure:
    """The row with the pause that the server itself named, as Exchange does."""
    found = _BACK_OFF.search(text.decode("latin-1"))
    if found is None or failure.refused:
        return failure
    wait = min(timedelta(milliseconds=int(found[1])), _LONGEST_WAIT)
    return replace(_THROTTLED, pause=wait)
