"""How many mails a sender account may still hand over: below what its provider bears."""

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Limits:
    """Mails in any minute and in any 24 hours."""

    per_minute: int = 20
    per_day: int = 400


class Budget:
    """Counts what left by one account. `left`: when mails left within the last day, in order."""

    def __init__(self, limits: Limits, left: Iterable[datetime]) -> None:
        self._windows = ((limits.per_minute, timedelta(minutes=1)), (limits.per_day, DAY))
        self._left = deque(left, maxlen=max(limits.per_minute, limits.per_day))

    def free_at(self, now: datetime) -> datetime | None:
        """When the next mail may leave; None for now."""
        moments = [
            self._left[-most] + window
            for most, window in self._windows
            if len(self._left) >= most and self._left[-most] + window > now
        ]
        return max(moments, default=None)

    def spend(self, now: datetime) -> None:
        """One more has left."""
        self._left.append(now)
