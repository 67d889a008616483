"""Which customers wait for an answer: the rule `unanswered`, as a function of what happened.

The same events give the same answer in whatever order they were pulled, so a reminder can be
judged anew whenever a fact about its contact arrives.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

EventKind = Literal["wrote", "answered", "spoke"]


@dataclass(frozen=True, slots=True)
class Event:
    """One fact about a contact.

    "wrote": the contact's message; "answered": our message in `thread` or to the contact;
    "spoke": a call, or a meeting at the moment it was held or newly planned. `fresh` tells that a
    message is newer than the first complete sync of its account.
    """

    kind: EventKind
    at: datetime
    thread: int | None = None
    interaction: int = 0
    fresh: bool = True
    to_contact: bool = True


def unanswered(events: Iterable[Event], thread: int) -> Event | None:
    """The message that waits for an answer in `thread`: the first since we last answered or spoke.

    A fresh message goes before one from before the first sync, which is only counted.
    """
    answered_at: datetime | None = None
    written: list[Event] = []
    for event in events:
        if event.kind == "wrote":
            if event.thread == thread:
                written.append(event)
        elif event.kind == "spoke" or event.to_contact or event.thread == thread:
            answered_at = max(answered_at or event.at, event.at)
    waiting = [e for e in written if answered_at is None or e.at > answered_at]
    return min(waiting, key=lambda e: (not e.fresh, e.at, e.interaction), default=None)
