"""The one place that asks the machine what time it is."""

from datetime import UTC, datetime


class SystemClock:
    """The machine's clock. Nothing remembers what it said."""

    def now(self) -> datetime:
        """The present moment, aware UTC."""
        return datetime.now(UTC)  # noqa: TID251  # here, and nowhere else
