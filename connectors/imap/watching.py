"""Waiting for new mail: by NOTIFY in all folders that are pulled, else by IDLE in the main one."""

import re
import socket
from collections.abc import Callable, Collection
from typing import Final

from connectors.imap import notifying
from connectors.imap.folders import Folder
from connectors.imap.hearing import Hearing
from connectors.imap.link import Link
from connectors.imap.notifying import NotifyWatch
from connectors.imap.session import Selected, Session
from connectors.imap.wire import Reply
from crm_sync.core.errors import Unreachable

_MAIN: Final = ("\\inbox", "\\all")
_COUNT: Final = re.compile(rb"\* (\d{1,10}) (EXISTS|EXPUNGE)", re.IGNORECASE)
_TAGGED: Final = re.compile(rb"W(\d{1,6}) (OK|NO|BAD)\b", re.IGNORECASE)


def begin(link: Link, chosen: Collection[Folder], capabilities: frozenset[str]) -> Hearing | None:
    """A watch over these folders, on a connection of its own; None where there is none to be had.

    Raises errors of the house and `failures.LOST`.
    """
    main = next((f for use in _MAIN for f in chosen if use in f.uses), None)
    ways: list[Callable[[Session], Hearing | None]] = []
    if chosen and "NOTIFY" in capabilities:
        ways.append(lambda session: _notified(link, session, list(chosen), main))
    if main is not None and "IDLE" in capabilities:
        ways.append(lambda session: _idling(link, session, main))
    for way in ways:
        # After NOTIFY a server tells nothing else, of the open folder neither: a new connection.
        session = link.sign_in(link.connect())
        try:
            watch = way(session)
        except BaseException:
            session.close()
            raise
        if watch is not None:
            return watch
        session.close()
    return None


def _notified(
    link: Link, session: Session, chosen: list[Folder], main: Folder | None
) -> NotifyWatch | None:
    told = notifying.notify(session, chosen)
    if told is None or (main is not None and not notifying.covers(main, told)):
        return None
    sock, received = session.detach()
    missed = notifying.missed(chosen, told)
    return NotifyWatch(sock, received, told, where=link.where, missed=missed, is_over=_end_of(link))


def _idling(link: Link, session: Session, folder: Folder) -> "IdleWatch":
    opened = link.reopen(session, folder.raw)
    if opened is None:
        raise Unreachable("the folder is not there", where=link.where)
    uidnext = folder.status.uidnext if folder.status else None
    sock, received = session.detach()
    return IdleWatch(
        sock,
        received,
        opened,
        where=link.where,
        missed=uidnext is None or uidnext != opened.uidnext,
        is_over=_end_of(link),
    )


def _end_of(link: Link) -> Callable[[], bool]:
    """Tells when the session that was just signed in has to end."""
    ends_at = link.credentials.ends_at
    return lambda: ends_at is not None and link.clock.now() >= ends_at


class IdleWatch(Hearing):
    """See `crm_sync.ports.Watch`. IDLE (RFC 2177) in the folder of `opened`, open on `sock`."""

    def __init__(
        self,
        sock: socket.socket,
        received: bytes,
        opened: Selected,
        *,
        where: str,
        missed: bool = False,
        is_over: Callable[[], bool] = lambda: False,
    ) -> None:
        super().__init__(sock, received, where=where, missed=missed, is_over=is_over)
        self._exists = opened.exists
        self._restarts = 0
        self._idle()

    def _idle(self) -> None:
        self._number += 1
        self._state = "asked"
        self._send(b"W%d IDLE\r\n" % self._number)

    def _prove(self) -> None:
        """Ends IDLE; it begins anew with the server's answer."""
        self._state, self._restarts = "ending", 0
        self._send(b"DONE\r\n")

    def _hear(self, reply: Reply) -> None:
        line = reply[0]
        if line.startswith(b"+"):
            if self._state == "asked":
                self._state = "idle"
        elif count := _COUNT.match(line):
            self._count(int(count[1]), count[2].upper())
        elif (tagged := _TAGGED.match(line)) and int(tagged[1]) == self._number:
            self._answered(ok=tagged[2].upper() == b"OK")

    def _count(self, number: int, what: bytes) -> None:
        if what == b"EXPUNGE":
            self._exists -= 1
            return
        self._news |= number > self._exists
        self._exists = number

    def _answered(self, *, ok: bool) -> None:
        """IDLE has ended: as we asked, or because the server had enough of it."""
        if not ok:
            raise self._over("the server does not let us wait for mail")
        if self._state != "ending":
            self._restarts += 1
            if self._restarts > 1:
                raise self._over("the server ends every wait for mail")
        self._idle()
