"""How much is asked for at once: a server that slows an account down is asked for less."""

from typing import Final

AHEAD: Final = 2
"""Commands under way beyond the one at hand, so that a long line is never idle."""

LEAST: Final = 25
"""Messages below which asking for fewer only makes more commands."""


class Pace:
    """How many messages a command asks for, and how many commands are under way beyond it.

    A server may do as it is told and say [THROTTLED] with its OK, as Gmail does in its slow mode.
    From the first such answer on commands go one by one, and with each one `size` is halved, down
    to `LEAST`. A pace is for one pull or one `read`: the next one tries its luck again.
    """

    def __init__(self, size: int) -> None:
        self.size = size
        self.slowed = 0
        self.exhausted = False
        self._least = min(size, LEAST)

    @property
    def ahead(self) -> int:
        """Commands that may be under way beyond the one whose answer is waited for."""
        return 0 if self.slowed else AHEAD

    def slow_down(self, before: int) -> None:
        """A command was answered with [THROTTLED]; `before` is what `slowed` was when it was sent.

        What was on its way by then says nothing new. `exhausted`: even the least was too much.
        """
        if before < self.slowed:
            return
        self.exhausted = self.slowed > 0 and self.size == self._least
        self.slowed += 1
        self.size = max(self.size // 2, self._least)
