"""The one connection an account keeps between polls, and what to do when it dies."""

from collections.abc import Callable
from contextlib import suppress
from typing import TypeVar

from connectors.imap import failures
from connectors.imap.connection import Connection
from connectors.imap.credentials import Credentials
from connectors.imap.options import ImapOptions
from connectors.imap.session import Answer, Selected, Session
from connectors.imap.wire import Forbidden
from crm_sync.core.errors import CrmSyncError, Unreachable
from crm_sync.ports import Clock

Result = TypeVar("Result")


class Link:
    """Gives a signed-in `Session`, the kept one or a new one. Raises only errors of the house."""

    def __init__(self, options: ImapOptions, clock: Clock, credentials: Credentials) -> None:
        self.options = options
        self.clock = clock
        self.credentials = credentials
        self._session: Session | None = None
        self._received = 0

    @property
    def octets(self) -> int:
        """Octets received over all sessions that were kept."""
        return self._received + (self._session.received if self._session is not None else 0)

    @property
    def where(self) -> str:
        """Host and port, for people."""
        return self.options.where

    def session(self) -> Session:
        """The kept session, or a new one; before its access token expires it is replaced."""
        ends_at = self.credentials.ends_at if self._session is not None else None
        if self._session is not None and ends_at is not None and self.clock.now() >= ends_at:
            # Answers under way still come over it; what they bring is not asked for again.
            self._session.settle()
            self.drop()
        if self._session is None:
            self._session = self.sign_in(self.connect())
        return self._session

    def keep(self, session: Session) -> None:
        """Takes over a session as the kept one."""
        self.drop()
        self._session = session

    def keeps(self, session: Session) -> bool:
        """Whether this is still the kept session."""
        return self._session is session

    def once_again(self, work: Callable[[Session], Result]) -> Result:
        """Does `work`; when a kept connection turns out dead, once more on a new one."""
        kept = self._session is not None
        try:
            return work(self.session())
        except failures.LOST as error:
            self.drop()
            if not kept:
                raise self.broken(error) from error
        try:
            return work(self.session())
        except failures.LOST as error:
            self.drop()
            raise self.broken(error) from error

    def connect(self) -> Connection:
        """A new connection, not signed in."""
        try:
            return Connection(self.options)
        except failures.LOST as error:
            raise self.broken(error) from error

    def sign_in(self, connection: Connection) -> Session:
        """A session of the account on a new connection."""
        session, answer = self._try(connection)
        if not answer.ok:
            session.close()
            if self.credentials.are_better_now(answer):
                session, answer = self._try(self.connect())
        if not answer.ok:
            session.close()
            remedy = self.credentials.remedy
            raise failures.signing_in(answer.text, self.options, self.clock.now(), remedy)
        return session

    def _try(self, connection: Connection) -> tuple[Session, Answer]:
        session = Session(connection)
        try:
            return session, self.credentials.sign_in(session)
        except Forbidden as error:
            session.close()
            raise failures.unsendable(error, self.options) from None
        except failures.LOST as error:
            session.close()
            raise self.broken(error) from None
        except BaseException:
            session.close()
            raise

    def open(self, session: Session, folder: bytes) -> Selected | None:
        """Has a folder open for reading in a session; None when it is not there."""
        if session.selected is not None and session.selected.name == folder:
            return session.selected
        return self.reopen(session, folder)

    def reopen(self, session: Session, folder: bytes) -> Selected | None:
        """Opens a folder anew, so that what came meanwhile is seen."""
        opened = session.examine(folder)
        if isinstance(opened, Selected):
            return opened
        if failures.is_missing(opened.text):
            return None
        error = self.refused(opened.text, "EXAMINE")
        if error.kind in {"", "permission"}:
            error.scope = "stream"  # damaged, or not for us: the other folders can be read
        raise error

    def refused(self, text: bytes, command: str) -> CrmSyncError:
        """The error for a NO or BAD to a command."""
        return failures.answer(text, command, self.where, self.clock.now())

    def broken(self, error: BaseException) -> CrmSyncError:
        """The error for a connection that failed."""
        return failures.connecting(error, self.options, self.clock.now())

    def out_of_order(self, what: str) -> CrmSyncError:
        """The error for a server that does not keep to its own word."""
        return Unreachable(what, where=self.where, advice="Trying again later.")

    def drop(self) -> None:
        """Lets go of the connection without a word; never raises."""
        session, self._session = self._session, None
        if session is not None:
            self._received += session.received
            with suppress(Exception):
                session.close()
