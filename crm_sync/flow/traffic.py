"""The share of traffic that a provider leaves an account each day: history may wait, news never."""

from datetime import datetime, timedelta
from typing import Any, Final

from crm_sync.core.records import Page
from crm_sync.flow.setup import Setup
from crm_sync.ports import Metered, Source
from crm_sync.store import traffic
from crm_sync.store.accounts import Account

NEW_TEXTS: Final = timedelta(days=7)
"""Texts of messages younger than this are fetched even when the day's share is used up."""

_WORTH_NOTING: Final = 64 * 1024


class Traffic:
    """What one pull of an account receives, counted per day (UTC) against its source's budget.

    For sources without a budget nothing is counted and nothing is ever used up. Asks the source to
    leave history out as long as the share of the day is used up.
    """

    def __init__(self, setup: Setup, account: Account, source: Source) -> None:
        self._setup = setup
        self._account = account
        metered = source if isinstance(source, Metered) else None
        self._metered = metered if metered and metered.daily_octets is not None else None
        self._day = setup.now().date()
        self._spent = self._seen = self._noted = 0
        self._stopped = False
        if self._metered is not None:
            self._seen = self._metered.octets()
            with setup.store.read() as tx:
                self._spent = self._noted = traffic.received(tx, account.id, self._day)
            self._metered.want_history(wanted=not self.exhausted())

    def exhausted(self) -> bool:
        """Whether the share of today is used up."""
        if self._metered is None:
            return False
        self._count()
        return self._spent >= (self._metered.daily_octets or 0)

    def stops(self, page: Page) -> bool:
        """Whether to leave the stream after this page: what follows is history, and it has to wait.

        Then no other stream of this pull brings history either.
        """
        self._stopped = page.history and page.more and self.exhausted()
        if self._stopped and self._metered is not None:
            self._metered.want_history(wanted=False)
        return self._stopped

    def history_waits(self) -> bool:
        """Whether the stream that was just pulled has history left; to be asked once for each."""
        stopped, self._stopped = self._stopped, False
        return stopped or (self._metered is not None and self._metered.left_history_out)

    def texts_since(self) -> datetime | None:
        """Texts of messages from before wait for another day; None: all may be fetched."""
        return self._setup.now() - NEW_TEXTS if self.exhausted() else None

    def note(self, tx: Any) -> None:
        """Notes what came so far, in the transaction of what it brought."""
        if self._metered is not None:
            self._count()
            traffic.note_received(tx, self._account.id, self._day, self._spent)
            self._noted = self._spent

    def finish(self) -> None:
        """Notes what no page brought, in a transaction of its own; an idle poll is not worth it."""
        if self._metered is None:
            return
        self._count()
        if self._spent - self._noted > _WORTH_NOTING:
            with self._setup.store.write() as tx:
                self.note(tx)

    def _count(self) -> None:
        assert self._metered is not None
        octets, today = self._metered.octets(), self._setup.now().date()
        if today != self._day:
            self._day, self._spent, self._noted = today, 0, 0
        self._spent += octets - self._seen
        self._seen = octets
