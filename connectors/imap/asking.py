"""FETCHes that one bad message can't spoil: what makes a server fail is isolated by halving."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from connectors.imap import failures
from connectors.imap.link import Link
from connectors.imap.session import Answer, Fetch, Session
from connectors.imap.uids import Ranges, write_set
from connectors.imap.wire import Reply
from crm_sync.core.errors import CrmSyncError, Unreachable

BREAKS_OFF: Final = "the server breaks the connection off at this message"
REFUSES: Final = "the server refuses to hand out this message"

_MOST_BREAKS: Final = 60
_BREAKS_WITHOUT_SUCCESS: Final = 4
_MOST_SILENCES: Final = 12
_MOST_REFUSALS: Final = 200
_REFUSALS_WITHOUT_SUCCESS: Final = 12
"""Halving 500 down to one takes nine steps. Each silence costs a minute of waiting."""


@dataclass(slots=True)
class Asked:
    """What came of asking: responses by UID, failures by UID in our words, UIDs without a word.

    `doubtful`: nothing has worked so far, so a failure may be the server's and not the message's.
    `slowed`: the server said that it answers slowly on purpose.
    """

    replies: dict[int, list[Reply]] = field(default_factory=dict)
    failed: dict[int, str] = field(default_factory=dict)
    silent: list[int] = field(default_factory=list)
    doubtful: bool = False
    slowed: bool = False


@dataclass(frozen=True, slots=True)
class Pending:
    """A question under way; `fetch` is None when the connection broke before it could be put."""

    uids: Sequence[int]
    items: bytes
    session: Session | None
    fetch: Fetch | None


class Asking:
    """Asks for items of messages in one folder. Raises only errors of the house."""

    def __init__(self, link: Link, folder: bytes, uidvalidity: int) -> None:
        self._link = link
        self._folder = folder
        self._uidvalidity = uidvalidity
        self._worked = False
        self._breaks = 0
        self._refusals = 0
        self._silences = 0
        self._error: CrmSyncError | None = None

    def begin(self, uids: Sequence[int], items: bytes) -> Pending:
        """Puts a question without waiting for the answer."""
        try:
            session = self._ready()
            return Pending(uids, items, session, session.fetch(uids, items))
        except failures.LOST as error:
            self._broke(error)
            return Pending(uids, items, None, None)

    def end(self, pending: Pending) -> Asked:
        """The answer: each UID is in one of its three parts."""
        asked = Asked()
        missing = list(pending.uids)
        if pending.session is not None and pending.fetch is not None:
            missing = self._finish(pending.session, pending.fetch, asked)
        self._halve(missing, pending.items, asked)
        asked.doubtful = not self._worked
        if len(asked.failed) > 1 and not self._worked:
            # Whatever we ask for fails: that is hardly the messages' fault.
            raise self._error or self._link.out_of_order("the server hands out no message")
        return asked

    def announced(self, uids: Sequence[int]) -> set[int]:
        """Which of these UIDs the server says are there."""
        found = self.search(b"UID " + write_set(uids))
        if isinstance(found, Answer):
            raise self._link.refused(found.text, "SEARCH")
        return {uid for uid in uids if any(uid in part for part in found)}

    def search(self, criteria: bytes) -> Ranges | Answer:
        """The UIDs that meet `criteria`, or the answer of a server that does not know them."""
        found = self._link.once_again(lambda _: self._ready().search(criteria))
        if isinstance(found, Answer) and failures.asks_to_wait(found.text):
            raise self._link.refused(found.text, "SEARCH")
        return found

    def _ready(self) -> Session:
        """The session with our folder open in the epoch we know."""
        session = self._link.session()
        opened = self._link.open(session, self._folder)
        if opened is None or opened.uidvalidity != self._uidvalidity:
            raise Unreachable(
                "the folder was renumbered or removed while it was read",
                where=self._link.where,
                advice="Trying again at the next poll.",
                scope="stream",
            )
        return session

    def _finish(self, session: Session, fetch: Fetch, asked: Asked) -> list[int]:
        """Takes over what came of a FETCH; the UIDs to ask for again."""
        answer = fetch.answer
        if answer is None and self._link.keeps(session):
            try:
                answer = session.finish(fetch)
            except failures.LOST as error:
                self._broke(error)
        asked.replies.update(fetch.replies)
        self._worked = self._worked or bool(fetch.replies)
        missing = sorted(fetch.uids - fetch.replies.keys())
        if answer is not None and answer.ok:
            asked.slowed |= failures.tells_of_slow_mode(answer.text)
            asked.silent += missing
            return []
        if answer is not None and failures.asks_to_wait(answer.text):
            raise self._link.refused(answer.text, "FETCH")
        if answer is not None and missing:
            self._refused(answer.text)
        return missing

    def _halve(self, uids: Sequence[int], items: bytes, asked: Asked) -> None:
        """Asks for fewer and fewer at a time, until what fails stands alone."""
        # One message alone goes first: whether it works tells an ill server from an ill message.
        waiting = [part for part in (list(uids[:-1]), list(uids[-1:])) if part]
        while waiting:
            now = waiting.pop()
            missing, breaks = now, self._breaks
            try:
                session = self._ready()
                missing = self._finish(session, session.fetch(now, items), asked)
            except failures.LOST as error:
                self._broke(error)
            if missing and len(now) == 1:
                asked.failed[now[0]] = BREAKS_OFF if self._breaks > breaks else REFUSES
            elif missing:
                middle = (len(missing) + 1) // 2
                waiting += [part for part in (missing[middle:], missing[:middle]) if part]

    def _broke(self, error: BaseException) -> None:
        self._link.drop()
        self._error = self._link.broken(error)
        self._breaks += 1
        self._silences += isinstance(error, TimeoutError)
        most = _MOST_BREAKS if self._worked else _BREAKS_WITHOUT_SUCCESS
        if self._breaks > most or self._silences > _MOST_SILENCES:
            raise self._error from error

    def _refused(self, text: bytes) -> None:
        self._error = self._link.refused(text, "FETCH")
        self._refusals += 1
        if self._refusals > (_MOST_REFUSALS if self._worked else _REFUSALS_WITHOUT_SUCCESS):
            raise self._error
