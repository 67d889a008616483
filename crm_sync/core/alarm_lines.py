"""What an alarm says of one account, in the reader's language."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Final, Literal, get_args

from crm_sync.core.clean import clean
from crm_sync.core.wording import Wording, write_day, write_moment

AlarmKind = Literal["stopped", "silent", "working", "ending"]
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
    "network",
    "unavailable",
    "throttled",
    "failing",
    "working",
    "ending_secret",
    "ending_sign_in",
]

ALARM_LIMIT: Final = 20
"""Accounts shown in one alarm."""

_ACCOUNT_LIMIT, _DETAIL_LIMIT = 254, 600
_SILENT: Final[tuple[AlarmReason, ...]] = ("network", "unavailable", "throttled", "failing")
_OF_THE_REST: Final = ("working", "ending_secret", "ending_sign_in")


@dataclass(frozen=True, slots=True)
class AlarmLine:
    """One account of which a person has to know.

    `detail` is our own sentence about what is wrong, `command` what to type. `until_local` is the
    reader's wall time up to which everything is proved to have been read; where there is none,
    `is_new` says that nothing was read at all. `day` is the last day of what ends.
    """

    account: str
    reason: AlarmReason
    detail: str = ""
    command: str = ""
    until_local: datetime | None = None
    day: date | None = None
    is_new: bool = True


def shown(line: AlarmLine, kind: AlarmKind, words: Wording) -> dict[str, object]:
    """The values by which the shape of an alarm knows an account. Raises ConfigError."""
    until = write_moment(line.until_local, words.locale) if line.until_local else ""
    day = write_day(line.day, words.locale) if line.day else ""
    return {
        "account": words.isolated(clean(line.account, _ACCOUNT_LIMIT)),
        "words": words.passage(line.reason, until=until, day=day),
        "detail": words.isolated(clean(line.detail, _DETAIL_LIMIT)),
        "label": words.passage(_label(line, kind)),
        "command": line.command,
        "waits": words.passage(_waits(line), until=until) if kind in ("stopped", "silent") else "",
    }


def _label(line: AlarmLine, kind: AlarmKind) -> str:
    if line.command.startswith("crm-sync login "):
        return "label_login"
    if kind == "silent":
        return "label_try"
    return "label_password" if line.reason == "password" else "label_mend"


def _waits(line: AlarmLine) -> str:
    if line.until_local:
        return "waits"
    return "waits_all" if line.is_new else "waits_some"


def samples() -> Iterator[tuple[AlarmKind, Sequence[AlarmLine]]]:
    """Alarms of every kind with every reason, with few accounts and with too many."""
    noon = datetime(2026, 3, 12, 12, tzinfo=UTC)
    reasons: dict[AlarmKind, list[AlarmReason]] = {
        "stopped": [r for r in get_args(AlarmReason) if r not in (*_SILENT, *_OF_THE_REST)],
        "silent": list(_SILENT),
        "working": ["working"],
        "ending": ["ending_secret", "ending_sign_in"],
    }
    for kind, chosen in reasons.items():
        lines = [AlarmLine("a/imap", r, "Detail.", "Command", noon, noon.date()) for r in chosen]
        yield kind, lines
        yield kind, [AlarmLine("a/imap", chosen[0], day=noon.date())] * (ALARM_LIMIT + 1)
        yield kind, [AlarmLine("a/imap", chosen[0], day=noon.date(), is_new=False)]
