"""Everything that can go wrong, grouped by what the house does next.

CrmSyncError                   something went wrong; .sentence() says what, where, what to do
|-- Unreachable                try later: the network, a server that is down or silent
|   `-- Throttled              try at .retry_at, which the server named
|-- Refused                    stop asking: pause what .scope names and tell the admin
|-- Unreadable                 quarantine this one item and go on
|-- CursorLost                 pull the stream again from the start; harmless (law 2)
|-- CursorMoved                somebody else was first; drop this page, nothing was stored
|-- StoreUnavailable           stop; nothing moved
|   `-- SchemaMismatch         the database belongs to another version
|-- InDoubt                    a mail may have left; a greeting is never sent again by itself
|-- ConfigError                do not start; .problems lists every fault at once
`-- UsageError                 a person asked for something that is not there
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

Scope = Literal["item", "stream", "account", "host", "program"]

Kind = Literal[
    "",
    "network",
    "unavailable",
    "throttled",
    "quota",
    "connections",
    "password",
    "locked",
    "sign_in",
    "consent",
    "registration",
    "policy",
    "permission",
    "certificate",
    "settings",
]
"""What it was, in a word, where that is known: how long to wait depends on it, and who is told.

network: no connection, or it broke. unavailable: the server says that it can't at the moment.
throttled, quota, connections: too fast, too much, too many at a time. password: refused, and the
server says so; sign_in: refused without a reason; locked: nobody gets in for a while, after too
many tries. consent: a person has to sign in again. registration: what the application was
registered with. policy: the provider wants something else first. permission: signed in, but not
allowed. certificate: TLS. settings: what an admin wrote.
"""


class CrmSyncError(Exception):
    """Base of all errors a person may meet.

    `what` is a plain sentence without a final stop, `where` names the account, file or key,
    `advice` says what a person can do. None of them ever holds a secret or words of a mail.
    """

    scope: Scope = "program"

    def __init__(
        self,
        what: str,
        *,
        where: str = "",
        advice: str = "",
        scope: Scope | None = None,
        kind: Kind = "",
    ) -> None:
        super().__init__(what)
        self.what = what
        self.where = where
        self.advice = advice
        self.kind: Kind = kind
        if scope is not None:
            self.scope = scope

    def sentence(self, within: str = "") -> str:
        """The error as one line for a person: where, what happened, what to do.

        `within` is what the line will stand under, an account's name; it is not named twice.
        """
        head = self.what if self.where in ("", within) else f"{self.where}: {self.what}"
        return f"{head}. {self.advice}" if self.advice else head

    def __str__(self) -> str:
        return self.sentence()


class Unreachable(CrmSyncError):
    """The other side did not answer as it should; trying later can help."""

    scope: Scope = "account"


class Throttled(Unreachable):
    """The other side asked us to wait until `retry_at` (aware UTC; None when it named no time)."""

    def __init__(
        self,
        what: str,
        *,
        retry_at: datetime | None = None,
        where: str = "",
        advice: str = "",
        kind: Kind = "throttled",
    ) -> None:
        super().__init__(what, where=where, advice=advice, kind=kind)
        self.retry_at = retry_at


class Refused(CrmSyncError):
    """The other side said no (password, permission, policy, recipient); asking again won't help."""

    scope: Scope = "account"


class Unreadable(CrmSyncError):
    """One item could not be understood; it goes to quarantine and the others go on."""

    scope: Scope = "item"


class CursorLost(CrmSyncError):
    """A cursor can't be used any more; the stream is pulled again from the start."""

    scope: Scope = "stream"


class CursorMoved(CrmSyncError):
    """Another process stored a page of this stream first; ours is dropped whole."""

    scope: Scope = "stream"


class StoreUnavailable(CrmSyncError):
    """The database can't be read or written now; nothing moved."""


class SchemaMismatch(StoreUnavailable):
    """The database was written by another version of the program."""


class InDoubt(CrmSyncError):
    """The connection broke after the final dot: the mail may have left (RFC 1047)."""

    scope: Scope = "item"


@dataclass(frozen=True, slots=True)
class Problem:
    """One fault in the configuration: the key (dotted), what was found, expected and advised."""

    key: str
    problem: str
    advice: str = ""
    line: int | None = None

    def sentence(self) -> str:
        """The fault as one line for a person."""
        at = f" (line {self.line})" if self.line else ""
        tail = f" {self.advice}" if self.advice else ""
        return f"{self.key}{at}: {self.problem}.{tail}"


class ConfigError(CrmSyncError):
    """The configuration can't be used; `problems` lists all faults found."""

    def __init__(self, problems: Sequence[Problem], *, where: str = "") -> None:
        super().__init__(" ".join(p.sentence() for p in problems), where=where)
        self.problems = tuple(problems)


class UsageError(CrmSyncError):
    """A person named something that does not exist or can't be done now."""
