"""One look at the folders of an account: which there are, and whether anything moved in them."""

from collections.abc import Callable, Sequence
from typing import Final

from connectors.imap import failures, folders
from connectors.imap.folders import Folder
from connectors.imap.link import Link
from connectors.imap.session import Answer, Session
from connectors.imap.wire import Reply, quoted

LOOKS_PER_LISTING: Final = 20
"""New folders are found by a complete listing, which comes with every so many looks."""

_NUMBERS: Final = b"(UIDNEXT UIDVALIDITY)"
_ALL_NUMBERS: Final = b"(MESSAGES UIDNEXT UIDVALIDITY)"
_LONGEST_LIST: Final = 6000


class Looking:
    """Looks by the cheapest way a server knows; what it can't do is tried once.

    The names of the folders that are pulled in one LIST with their status (RFC 5819), now and then
    and on a new connection all names; else LIST now and then and a STATUS for each folder. Methods
    raise errors of the house and `failures.LOST`.
    """

    def __init__(self, link: Link, choose: Callable[[Sequence[Folder]], list[Folder]]) -> None:
        self._link = link
        self._choose = choose
        self._listing: list[Folder] = []
        self._listed_on: Session | None = None
        self._looks = 0
        self._knows_names = True
        self._knows_uses = True
        self._knows_status = True

    def look(self, session: Session) -> list[Folder]:
        """All folders, with the present status of those that are pulled: one round trip."""
        self._looks += 1
        if "LIST-STATUS" not in session.capabilities or not self._knows_status:
            return self._look_simply(session)
        if self._is_listed(session) and self._knows_names:
            found = self._look_by_name(session)
            if found is not None:
                return found
        return self._list(session)

    def _is_listed(self, session: Session) -> bool:
        return self._listed_on is session and self._looks < LOOKS_PER_LISTING

    def _look_by_name(self, session: Session) -> list[Folder] | None:
        """The folders, None when a complete listing is needed."""
        chosen = self._choose(self._listing)
        names = b" ".join(quoted(folder.raw) for folder in chosen)
        if not 0 < len(names) <= _LONGEST_LIST:
            return None
        command = b'LIST "" (%b) RETURN (STATUS %b)' % (names, _NUMBERS)
        answer, told = self._run(session, command)
        if not answer.ok:
            self._knows_names = False
            return None
        there = {folder.raw for folder in folders.folders_in(told)}
        found = folders.with_status(self._listing, told)
        now = {folder.raw: folder.status for folder in found}
        lost = [f for f in chosen if f.raw not in there or (f.status and not now[f.raw])]
        if not lost:
            return found
        # Gone, or called differently when it is called by its name.
        everything = {folder.raw for folder in self._list(session)}
        self._knows_names = not any(folder.raw in everything for folder in lost)
        return self._listing

    def _list(self, session: Session) -> list[Folder]:
        """Everything at once."""
        uses = b"SPECIAL-USE " if "SPECIAL-USE" in session.capabilities else b""
        answer, told = self._list_all(session, b" RETURN (%bSTATUS %b)" % (uses, _ALL_NUMBERS))
        if not answer.ok:
            # Some advertise it and know it only in part.
            self._knows_status = False
            return self._look_simply(session)
        self._keep(session, told)
        return self._listing

    def _look_simply(self, session: Session) -> list[Folder]:
        """The same where LIST can't tell a status: a LIST now and then, STATUS for each choice."""
        if not self._is_listed(session):
            self._list_simply(session)
        numbers = _NUMBERS if self._looks else _ALL_NUMBERS
        chosen = self._choose(self._listing)
        asked = [b"STATUS %b %b" % (quoted(folder.raw), numbers) for folder in chosen]
        _, told = session.run(*session.unselect_command(), *asked)
        return folders.with_status(self._listing, told)

    def _list_simply(self, session: Session) -> None:
        uses = self._knows_uses and "SPECIAL-USE" in session.capabilities
        answer, told = self._list_all(session, b" RETURN (SPECIAL-USE)" if uses else b"")
        if answer.ok:
            self._keep(session, told)
        elif uses:
            self._knows_uses = False
            self._list_simply(session)
        else:
            raise self._link.refused(answer.text, "LIST")

    def _keep(self, session: Session, told: Sequence[Reply]) -> None:
        self._listing = folders.folders_in(told)
        self._listed_on, self._looks = session, 0

    def _list_all(self, session: Session, returning: bytes) -> tuple[Answer, list[Reply]]:
        """All folders and, in the same round trip, whose they are (RFC 2342)."""
        whose = [b"NAMESPACE"] if "NAMESPACE" in session.capabilities else []
        return self._run(session, *whose, b'LIST "" "*"' + returning)

    def _run(self, session: Session, *commands: bytes) -> tuple[Answer, list[Reply]]:
        """The last command's answer; none needs an open folder.

        Closing one costs no round trip of its own.
        """
        answers, told = session.run(*session.unselect_command(), *commands)
        if not answers[-1].ok and failures.asks_to_wait(answers[-1].text):
            raise self._link.refused(answers[-1].text, "LIST")
        return answers[-1], told
