"""What an alarm says of one account, in the reader's language."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Final, Literal, get_args

from crm_sync.core.clean import clean
from crm_sync.core.wording import Wording, write_day, write_moment

AlarmKind = Literal["stopped", "working", "ending"]
AlarmReason = Literal[
    "consent",
    "password",
    "sign_in",
    "policy",
    "registration",
    "permission",
    "certificate",
    "settings",
    "other",
    "working",
    "ending_secret",
    "ending_sign_in",
]

ALARM_LIMIT: Final = 20
"""Accounts shown in one alarm."""

_ACCOUNT_LIMIT, _DETAIL_LIMIT = 254, 600
_NOT_STOPPED: Final = ("working", "ending_secret", "ending_sign_in")


@dataclass(frozen=True, slots=True)
class AlarmLine:
    """One account of which a person has to know.

    `detail` is our own sentence about what is wrong, `command` what to type. `until_local` is the
    reader's wall time up to which everything has been read, None for nothing; `day` the last day
    of what ends.
    """

    account: str
    reason: AlarmReason
    detail: str = ""
    command: str = ""
    until_local: datetime | None = None
    day: date | None = None


def shown(line: AlarmLine, kind: AlarmKind, words: Wording) -> dict[str, object]:
    """The values by which the shape of an alarm knows an account. Raises ConfigError."""
    until = write_moment(line.until_local, words.locale) if line.until_local else ""
    day = write_day(line.day, words.locale) if line.day else ""
    label = "label_password" if line.reason == "password" else "label_mend"
    if line.command.startswith("crm-sync login "):
        label = "label_login"
    waits = words.passage("waits" if until else "waits_all", until=until)
    return {
        "account": words.isolated(clean(line.account, _ACCOUNT_LIMIT)),
        "words": words.passage(line.reason, until=until, day=day),
        "detail": words.isolated(clean(line.detail, _DETAIL_LIMIT)),
        "label": words.passage(label),
        "command": line.command,
        "waits": waits if kind == "stopped" else "",
    }


def samples() -> Iterator[tuple[AlarmKind, Sequence[AlarmLine]]]:
    """Alarms of every kind with every reason, with few accounts and with too many."""
    noon = datetime(2026, 3, 12, 12, tzinfo=UTC)
    reasons: dict[AlarmKind, list[AlarmReason]] = {
        "stopped": [r for r in get_args(AlarmReason) if r not in _NOT_STOPPED],
        "working": ["working"],
        "ending": ["ending_secret", "ending_sign_in"],
    }
    for kind, chosen in reasons.items():
        lines = [AlarmLine("a/imap", r, "Detail.", "Command", noon, noon.date()) for r in chosen]
        yield kind, lines
        yield kind, [AlarmLine("a/imap", chosen[0], day=noon.date())] * (ALARM_LIMIT + 1)
