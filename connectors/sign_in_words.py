"""Why a server lets nobody in, told from its words: IMAP and SMTP servers use the same.

A response code says too little: AUTHENTICATIONFAILED and 535 stand for a wrong password, for an
account that is locked and for one that needs another way to sign in. What a server said is never
repeated: it may hold anything.
"""

import re
from dataclasses import dataclass
from typing import Final, Literal

from crm_sync.core.errors import CrmSyncError, Kind, Refused, Unreachable

Service = Literal["IMAP", "SMTP"]

_LONGEST: Final = 1000


@dataclass(frozen=True, slots=True)
class _Row:
    """What a server may say, and what that means.

    The sentences know {account} ("the account karin") and {service}.
    """

    words: re.Pattern[str]
    kind: Kind
    what: str
    advice: str

    def error(self, user: str, service: Service, where: str) -> CrmSyncError:
        known = {"account": f"the account {user}".rstrip(), "service": service}
        what, advice = self.what.format(**known), self.advice.format(**known)
        if self.kind == "unavailable":
            return Unreachable(what, where=where, advice=advice, kind=self.kind)
        return Refused(what, where=where, advice=advice, kind=self.kind)


def _row(kind: Kind, words: str, what: str, advice: str) -> _Row:
    return _Row(re.compile(words, re.IGNORECASE), kind, what, advice)


_ROWS: Final = (
    # Before the lock: Microsoft says "locked" of a rule, too.
    _row(
        "policy",
        r"conditional access|security defaults|locked by your organi[sz]ation"
        r"|did not meet the criteria to be authenticated",
        "a rule of the provider keeps {account} from signing in",
        "Its admin finds the rule in the sign-in log (conditional access, security defaults) and"
        " can let this program in.",
    ),
    _row(
        "locked",
        r"too many (?:(?!connection|session|simultaneous|concurrent|command)[\w-]+\W+){0,4}?"
        r"(?:log-?[io]n|sign-?in|auth|password|attempt|tries|fail)"
        r"(?!\w* (?:connections|sessions|processes))"
        r"|(?<!connection )rate.?limit"
        r"|\block(?:ed)?[ -]?out\b"
        r"|\b(?:account|user|log-?in|sign-?in|address|ip)\b.{0,40}\blocked\b(?! by\b)"
        r"|\b(?:log-?in|sign-?in|auth\w*|password) attempts exceeded"
        r"|\blocked (?:account|due|because|after|for|until)\b"
        r"|\btemporarily (?:locked|blocked|disabled|suspended|banned)",
        "the server has locked {account} for a while",
        "Do not sign in elsewhere with an old password: each such try prolongs it. It is tried"
        " again by itself, after pauses that grow.",
    ),
    _row(
        "policy",
        r"basic ?auth\w*\b.{0,30}\b(?:disabled|blocked|not (?:supported|allowed|permitted)"
        r"|(?:switched|turned) off|retired|no longer)|BasicAuthBlocked",
        "the provider takes no password any more to let {account} in",
        'It wants OAuth 2.0: set auth = "xoauth2" and client_id in place of password, then run'
        ' `crm-sync login`; at Microsoft 365 connector = "microsoft365" will do, too.',
    ),
    _row(
        "policy",
        r"web log-?in required|\b(?:via|with|in|using) (?:your|a) (?:web )?browser",
        "the provider wants {account} to be signed in to with a browser first",
        "Sign in there once, then try again.",
    ),
    _row(
        "policy",
        r"\bapp(?:lication)?[ -](?:specific )?password",
        "the server wants an app password for {account}",
        "Make one in the account's security settings and store it as the password.",
    ),
    _row(
        "policy",
        # What is said as one of two possibilities ("invalid credentials or IMAP is disabled") is
        # not said.
        r"(?<!\bor )imap4? (?:access |use |login )?(?:is |has been )?"
        r"(?:disabled|not (?:enabled|allowed|permitted)|(?:switched|turned) off)"
        r"|(?:not enabled|disabled) for imap|enable (?:your account for )?imap"
        r"|smtp ?(?:client ?)?auth\w* is disabled",
        "{service} is switched off for {account}",
        "The account's settings or the provider's admin can switch it on.",
    ),
    _row(
        "policy",
        r"\b(?:account|user|mailbox)\b(?: \S{1,300})?? (?:(?:is|was|has been|temporarily) )*"
        r"(?:disabled|suspended|deactivated|blocked|inactive|closed"
        r"|locked by (?:an? |the |your )?(?:admin|provider))(?!-)"
        r"|(?:account|user)disabled",
        "{account} is disabled at the server",
        "Its admin can enable it; then try again.",
    ),
    _row(
        "unavailable",
        r"temporar\w*\W+(?:\w+\W+){0,2}?(?:fail|error|problem|unavailab)"
        r"|internal (?:server )?error",
        "the server can't let anybody in at the moment: it has trouble of its own",
        "Trying again later.",
    ),
)
"""The first that fits holds."""


def explanation(said: str, service: Service, where: str, user: str = "") -> CrmSyncError | None:
    """The error for a no to a sign-in, None where its words do not say why.

    `said` is what the server said, `where` and `user` are named to people.
    """
    row = _found(said)
    return row.error(user, service, where) if row is not None else None


def explains(said: str) -> bool:
    """Whether a no to a sign-in is about something else than password or token."""
    return _found(said) is not None


def _found(said: str) -> _Row | None:
    return next((row for row in _ROWS if row.words.search(said[:_LONGEST])), None)
