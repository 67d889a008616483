"""A clock that stands still until a test moves it."""

from datetime import UTC, datetime, timedelta


class FixedClock:
    """A `crm_sync.ports.Clock` for tests: always the same moment until it is moved.

    `now` must be aware. Time never passes by itself, so a test says what it means.
    """

    def __init__(self, now: datetime) -> None:
        self._now = _in_utc(now)

    def now(self) -> datetime:
        """The moment the clock stands at, aware UTC."""
        return self._now

    def move_to(self, moment: datetime) -> None:
        """Sets the clock to an aware moment, forwards or backwards."""
        self._now = _in_utc(moment)

    def advance(self, step: timedelta) -> datetime:
        """Moves the clock by `step` and returns the new moment."""
        self._now += step
        return self._now


def _in_utc(moment: datetime) -> datetime:
    if moment.tzinfo is None:
        raise ValueError("a clock needs an aware moment")
    return moment.astimezone(UTC)
