"""What a server's answer means for us (RFC 5321 section 4.2, RFC 3463)."""

import re
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

from connectors import sign_in_words
from crm_sync.core.errors import CrmSyncError, Kind, Refused, Scope, Throttled, Unreachable

Step = Literal[
    "greeting",
    "EHLO",
    "STARTTLS",
    "AUTH",
    "RSET",
    "MAIL",
    "RCPT",
    "DATA",
    "the data",
    "the end of the data",
]

_ENHANCED = re.compile(r"[245]\.\d{1,3}\.\d{1,3}(?!\S)")

# Limits that pass by themselves although they are worded as final: Gmail's and Exchange's per day.
_QUOTA = frozenset({"5.4.5", "5.1.90"})

# Sign-in missing or wrong, a basic sign-in switched off, or no right to this sender's address.
_ACCOUNT_CODES = frozenset({530, 534, 535, 538})
_ACCOUNT_STATUS = frozenset(
    {"5.7.3", "5.7.8", "5.7.9", "5.7.11", "5.7.14", "5.7.30", "5.7.57", "5.7.60", "5.7.139"}
)
_THIS_MAIL = frozenset({"5.2.3", "5.3.4", "5.6.7"})
_TOO_LARGE = 552
_RECIPIENT_WAITS = frozenset({450, 451, 452})

_FIRST_WORDS: frozenset[Step] = frozenset({"greeting", "EHLO"})
_NO_SMTP = "Check host and port: what answers there may not be SMTP"

_NOT_LIKE_THIS = "The provider does not let this account sign in this way; its admin can see why"
_OF_A_POLICY = frozenset({"5.7.30", "5.7.139"})
# Exchange says 5.7.139 of these, too.
_WRONG_PASSWORD = re.compile(r"credentials (were|are) incorrect", re.IGNORECASE)

_BY_CODE = MappingProxyType(
    {
        530: "The server wants a sign-in: set username and password",
        534: "The provider wants an app password or another way to sign in",
        535: "Check username and password; some providers want an app password",
        538: 'The server wants encryption: set security = "tls" or "starttls"',
    }
)
_BY_STATUS = MappingProxyType({"5.7.60": "This account may not send as this address: check from"})
_BY_STEP: MappingProxyType[Step, str] = MappingProxyType(
    {
        "MAIL": "Check that this account may send from the address in from",
        "RCPT": "Check the recipient's address",
    }
)


@dataclass(frozen=True, slots=True)
class Reply:
    """One answer: its code (-1 when it was no SMTP) and its text, lines joined."""

    code: int
    text: str

    @property
    def ok(self) -> bool:
        """Whether it is a clear yes."""
        return 200 <= self.code < 300  # noqa: PLR2004  # the classes of RFC 5321 section 4.2.1

    @property
    def no(self) -> bool:
        """Whether it is a clear no, for now or for good."""
        return 400 <= self.code < 600  # noqa: PLR2004  # likewise

    @property
    def status(self) -> str:
        """The enhanced status code, "" when there is none."""
        found = _ENHANCED.match(self.text)
        return found[0] if found else ""


def complaint(step: Step, reply: Reply, account: str) -> CrmSyncError:
    """The error for an answer that isn't the wanted one. The server's own words are left out."""
    said = f"{reply.code} {reply.status}".strip()
    if not reply.no:
        advice = _NO_SMTP if step in _FIRST_WORDS else ""
        what = f"the server's answer to {step} makes no sense"
        return Unreachable(what, where=account, advice=advice)
    if step == "AUTH":
        told = sign_in_words.explanation(reply.text, "SMTP", account)
        if told is not None:
            return told
    if reply.code < 500 or reply.status in _QUOTA:  # noqa: PLR2004  # as above
        wait = Throttled(f"the server asks to wait: {said} to {step}", where=account)
        wait.scope = "item" if _is_greylisting(step, reply) else "account"
        return wait
    by_policy = step == "AUTH" and _is_policy(reply)
    advice = _BY_STATUS.get(reply.status) or _BY_CODE.get(reply.code) or _BY_STEP.get(step) or ""
    kind: Kind = "password" if step == "AUTH" else ""
    return Refused(
        f"the server refuses {step}: {said}",
        where=account,
        advice=_NOT_LIKE_THIS if by_policy else advice,
        scope=_scope(step, reply),
        kind="policy" if by_policy else kind,
    )


def _is_policy(reply: Reply) -> bool:
    """Whether a no to a sign-in is about its way, whatever the password."""
    return reply.status in _OF_A_POLICY and not _WRONG_PASSWORD.search(reply.text)


def _is_greylisting(step: Step, reply: Reply) -> bool:
    """Whether only this recipient is to wait, not all that we send."""
    server_trouble = reply.status.startswith("4.3.") or reply.code not in _RECIPIENT_WAITS
    return step == "RCPT" and not server_trouble


def _scope(step: Step, reply: Reply) -> Scope:
    if reply.code in _ACCOUNT_CODES or reply.status in _ACCOUNT_STATUS:
        return "account"
    if step in {"RCPT", "DATA", "the data", "the end of the data"}:
        return "item"
    # A sender that is refused is refused for every mail, but a size is this mail's own.
    this_mail = step == "MAIL" and (reply.code == _TOO_LARGE or reply.status in _THIS_MAIL)
    return "item" if this_mail else "account"
