"""Lengths of time as people write them: "90d", "36h", "2 weeks", "2 business days"."""

import re
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from crm_sync.core.clean import clean

LONGEST_DAYS: Final = 36_500
"""A hundred years: more is a slip of the finger, and would overflow dates."""

ALL: Final = "all"
"""Written in place of a length of time where everything is meant."""

_FORM: Final = re.compile(r"([0-9]{1,9}) ?([a-z]+(?: [a-z]+)?)")
_SECOND: Final = timedelta(seconds=1)
_MINUTE: Final = timedelta(minutes=1)
_HOUR: Final = timedelta(hours=1)
_DAY: Final = timedelta(days=1)
_WEEK: Final = timedelta(weeks=1)
_UNITS: Final = {
    **dict.fromkeys(("s", "sec", "second", "seconds"), _SECOND),
    **dict.fromkeys(("m", "min", "mins", "minute", "minutes"), _MINUTE),
    **dict.fromkeys(("h", "hour", "hours"), _HOUR),
    **dict.fromkeys(("d", "day", "days"), _DAY),
    **dict.fromkeys(("w", "week", "weeks"), _WEEK),
}
_BUSINESS_DAYS: Final = {"business day", "business days", "working day", "working days"}


@dataclass(frozen=True, slots=True)
class Duration:
    """A length of time: plain, with `delta` set, or a number of `business_days` with delta None.

    Only a `WorkingTime` can tell when business days are over; a type checker reminds of that.
    """

    delta: timedelta | None = None
    business_days: int = 0


def _form(text: str) -> re.Match[str] | None:
    """A number and a unit that there is; None for anything else."""
    form = _FORM.fullmatch(" ".join(text[:100].lower().split()))
    return form if form and (form[2] in _UNITS or form[2] in _BUSINESS_DAYS) else None


def parse_duration(text: str) -> Duration:
    """What `text` says: a whole number of seconds, minutes, hours, days, weeks or business days.

    Raises ValueError, with a sentence for a person, for anything else, for nothing (0) and for
    more than a hundred years.
    """
    form = _form(text)
    if form is None:
        raise ValueError(
            f'"{clean(text, 40)}" is not a length of time; write it like 90d, 36h, 2 weeks '
            "or 2 business days"
        )
    number, unit = int(form[1]), form[2]
    step = _UNITS.get(unit, _DAY)
    if not 1 <= number <= timedelta(days=LONGEST_DAYS) // step:
        raise ValueError(
            f'"{clean(text, 40)}" is out of range; write at least 1 and at most 100 years'
        )
    if unit in _BUSINESS_DAYS:
        return Duration(business_days=number)
    return Duration(delta=number * step)


def parse_length(text: str, examples: str) -> timedelta:
    """A plain length of time, without business days; `examples` are what the error proposes.

    Raises ValueError, with a sentence for a person.
    """
    form = _form(text)
    if form is None:
        raise ValueError(f'"{clean(text, 40)}" is not a length of time; write it like {examples}')
    delta = parse_duration(text).delta
    if delta is None:
        raise ValueError(f"business days do not fit here; write it like {examples}")
    return delta


def parse_reach(text: str) -> timedelta | None:
    """How far back something goes: a plain length of time, or None for "all".

    Raises ValueError as `parse_length`.
    """
    if text.strip().lower() == ALL:
        return None
    return parse_length(text, '90d, 36h or 2 weeks, or "all"')
