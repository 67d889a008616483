"""What the diary must hold afterwards: told by the story, not by the program under test."""

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any, Literal

from crm_sync.demo.people import Party


@dataclass(frozen=True, slots=True)
class Expected:
    """One interaction, in the shape of `interactions --json` without ids.

    Times are aware. `recurrence_id` is the original start (a date for all-day). `thread` is a label
    that mails of one thread share; empty where the story doesn't say.
    """

    kind: Literal["email", "meeting"]
    occurred_at: datetime
    subject: str
    parties: tuple[Party, ...]
    direction: Literal["inbound", "outbound"] | None = None
    ends_at: datetime | None = None
    all_day: bool = False
    message_id: str = ""
    uid: str = ""
    recurrence_id: datetime | date | None = None
    thread: str = ""
    status: Literal["planned", "held", "cancelled"] | None = None
    attachments: tuple[str, ...] = ()

    @property
    def customers(self) -> tuple[str, ...]:
        """Names of the customers concerned, sorted."""
        return tuple(sorted({p.customer for p in self.parties if p.customer}))

    @property
    def contacts(self) -> tuple[str, ...]:
        """Addresses as recorded at the customers, sorted."""
        return tuple(sorted({p.recorded for p in self.parties if p.customer}))

    @property
    def reps(self) -> tuple[str, ...]:
        """Main addresses of the reps concerned, sorted."""
        return tuple(sorted({p.recorded for p in self.parties if p.rep}))

    def as_json(self) -> dict[str, Any]:
        """The interaction as `interactions --json` prints it, without ids; lists are sorted."""
        return {
            "kind": self.kind,
            "direction": self.direction,
            "occurred_at": _utc(self.occurred_at),
            "ends_at": _utc(self.ends_at),
            "all_day": self.all_day,
            "subject": self.subject,
            "customers": [{"name": name} for name in self.customers],
            "contacts": list(self.contacts),
            "reps": list(self.reps),
            "message_id": self.message_id or None,
            "uid": self.uid or None,
            "recurrence_id": _utc(self.recurrence_id),
            "thread": self.thread or None,
            "status": self.status,
            "attachments": list(self.attachments),
        }


def lines(expected: Iterable[Expected]) -> str:
    """JSON Lines, newest first, as `interactions --json` would print them."""
    ordered = sorted(expected, key=lambda e: (e.occurred_at, e.uid, e.message_id), reverse=True)
    return "".join(json.dumps(e.as_json(), ensure_ascii=False) + "\n" for e in ordered)


def _utc(moment: datetime | date | None) -> str | None:
    if moment is None:
        return None
    if isinstance(moment, datetime):
        return f"{moment.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"
    return moment.isoformat()


def compare(rows: Iterable[Mapping[str, Any]], expected: Iterable[Expected]) -> list[str]:
    """How `interactions --json` differs from what is expected: a sentence each, none when equal.

    `rows` are its parsed lines; greetings, calls and notes among them are left aside. Numbers of
    customers and threads are not compared, but that mails share a thread exactly where they should.
    """
    found = [row for row in rows if row["kind"] in {"email", "meeting"}]
    wanted = [e.as_json() for e in expected]
    have, want = Counter(map(_key, found)), Counter(map(_key, wanted))
    return [
        *(f"missing: {key}" for key in (want - have).elements()),
        *(f"extra or twice: {key}" for key in (have - want).elements()),
        *_thread_differences(found, wanted),
    ]


def _key(row: Mapping[str, Any]) -> str:
    """Everything of an interaction that doesn't depend on the database it is in."""
    compared = {name: value for name, value in row.items() if name not in {"id", "thread"}}
    compared["customers"] = sorted(customer["name"] for customer in row["customers"])
    for name in ("contacts", "reps", "attachments"):
        compared[name] = sorted(row[name])
    return json.dumps(compared, sort_keys=True, ensure_ascii=False)


def _thread_differences(
    found: Iterable[Mapping[str, Any]], wanted: Iterable[Mapping[str, Any]]
) -> list[str]:
    number_of = {row["message_id"]: row["thread"] for row in found if row["message_id"]}
    pairs = {
        (row["thread"], number_of[row["message_id"]])
        for row in wanted
        if row["thread"] and row["message_id"] in number_of
    }
    labels = Counter(label for label, _ in pairs)
    numbers = Counter(number for _, number in pairs)
    return [
        *(f"thread {label} is torn" for label, times in labels.items() if times > 1),
        *(f"thread {number} mixes several" for number, times in numbers.items() if times > 1),
    ]
