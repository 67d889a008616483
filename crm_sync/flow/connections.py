"""The senders and mailboxes of one round of dispatch, each opened when it is first needed."""

from collections.abc import Callable

from crm_sync.flow.post import Way
from crm_sync.ports import Filing, Sender


class Connections:
    """Keeps them for a run of mails; `close` lets go of all."""

    def __init__(self) -> None:
        self._senders: dict[Callable[[], Sender], Sender] = {}
        self._filings: dict[Callable[[], Filing], Filing] = {}

    def sender(self, way: Way) -> Sender:
        """The sender of a way out."""
        if way.open_sender not in self._senders:
            self._senders[way.open_sender] = way.open_sender()
        return self._senders[way.open_sender]

    def filing(self, open_filing: Callable[[], Filing]) -> Filing:
        """The mailbox that `open_filing` opens."""
        if open_filing not in self._filings:
            self._filings[open_filing] = open_filing()
        return self._filings[open_filing]

    def close(self) -> None:
        """Lets go of all connections."""
        for sender in self._senders.values():
            sender.close()
        for filing in self._filings.values():
            filing.close()
