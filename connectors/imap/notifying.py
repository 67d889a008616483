"""Waiting for new mail in many folders at once by NOTIFY (RFC 5465)."""

import re
import socket
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Final

from connectors.imap.folders import Folder, Status, status_in
from connectors.imap.hearing import Hearing
from connectors.imap.session import Session
from connectors.imap.tokens import Unparsable
from connectors.imap.wire import Reply, quoted

Statuses = dict[bytes, Status]
"""What was last told of folders, by the names that are used in telling."""

_LONGEST_COMMAND: Final = 6000
_MOST_FOLDERS: Final = 1000
_TAGGED: Final = re.compile(rb"W(\d{1,6}) (OK|NO|BAD)\b", re.IGNORECASE)
_GIVEN_UP: Final = re.compile(rb"\* (?:OK|NO) \[NOTIFICATIONOVERFLOW", re.IGNORECASE)


def notify(session: Session, folders: Sequence[Folder]) -> Statuses | None:
    """Makes a server tell of new mail in these folders; how they are now.

    None where it can't. Raises `failures.LOST`.
    """
    # Some servers want the names in UTF-8 here, and all pass over names they don't know.
    names = {name for folder in folders for name in (folder.raw, folder.name.encode())}
    words = b" ".join(quoted(name) for name in sorted(names))
    if not names or len(words) > _LONGEST_COMMAND:
        return None
    events = b"(MessageNew MessageExpunge)"
    answers, told = session.run(b"NOTIFY SET STATUS (mailboxes (%b) %b)" % (words, events))
    return _statuses(told) if answers[0].ok else None


def missed(folders: Sequence[Folder], told: Mapping[bytes, Status]) -> bool:
    """Whether something moved in a folder between its last look and the begin of the watch."""
    return any(_moved(folder.status, now) for folder in folders if (now := _of(folder, told)))


def covers(folder: Folder, told: Mapping[bytes, Status]) -> bool:
    """Whether the server tells of this folder."""
    return _of(folder, told) is not None


class NotifyWatch(Hearing):
    """See `crm_sync.ports.Watch`. `told` is what `notify` brought on this connection."""

    def __init__(
        self,
        sock: socket.socket,
        received: bytes,
        told: Statuses,
        *,
        where: str,
        missed: bool = False,
        is_over: Callable[[], bool] = lambda: False,
    ) -> None:
        super().__init__(sock, received, where=where, missed=missed, is_over=is_over)
        self._told = told
        self._state = "idle"

    def _hear(self, reply: Reply) -> None:
        line = reply[0]
        if line[:9].upper() == b"* STATUS ":
            for name, status in _statuses([reply]).items():
                self._compare(name, status)
        elif _GIVEN_UP.match(line):
            raise self._over("the server tells nothing any more")
        elif (tagged := _TAGGED.match(line)) and int(tagged[1]) == self._number:
            if tagged[2].upper() != b"OK":
                raise self._over("the server does not let us wait for mail")
            self._state = "idle"

    def _compare(self, name: bytes, status: Status) -> None:
        before = self._told.get(name)
        if before is None and len(self._told) >= _MOST_FOLDERS:
            raise self._over("the server tells more than anybody asked for")
        self._news |= _moved(before, status)
        # A change is told without UIDVALIDITY.
        validity = status.uidvalidity or (before.uidvalidity if before else 0)
        self._told[name] = Status(validity, status.uidnext)

    def _prove(self) -> None:
        self._number += 1
        self._state = "asked"
        self._send(b"W%d NOOP\r\n" % self._number)


def _statuses(replies: Sequence[Reply]) -> Statuses:
    found: Statuses = {}
    for reply in replies:
        if reply[0][:9].upper() == b"* STATUS ":
            with suppress(Unparsable):
                name, status = status_in(reply)
                found[name] = status
    return found


def _of(folder: Folder, told: Mapping[bytes, Status]) -> Status | None:
    return told.get(folder.raw) or told.get(folder.name.encode())


def _moved(before: Status | None, now: Status) -> bool:
    """Whether there may be new mail: a deletion alone changes neither number."""
    if before is None or before.uidnext is None or now.uidnext is None:
        return True
    renumbered = bool(now.uidvalidity) and now.uidvalidity != before.uidvalidity
    return renumbered or now.uidnext != before.uidnext
