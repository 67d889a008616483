"""A mailbox that keeps our drafts and copies of what was sent: the one part of IMAP that writes.

It has a connection of its own. It appends, and that only after it has looked and found nothing.
"""

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Final

from connectors.imap import failures
from connectors.imap.credentials import Credentials
from connectors.imap.folders import Folder, folders_in
from connectors.imap.link import Link
from connectors.imap.options import ImapOptions
from connectors.imap.searching import arrived, date_of
from connectors.imap.session import Answer, Session
from connectors.imap.wire import Forbidden, Reply, quoted
from connectors.oauth.access import TokenSource
from crm_sync.core.compose import compose
from crm_sync.core.errors import CrmSyncError, Refused
from crm_sync.core.records import Draft, Finding
from crm_sync.ports import Found, Place, Surroundings

_USES: Final[Mapping[Place, str]] = {"drafts": "\\drafts", "sent": "\\sent"}
_CALLED: Final[Mapping[Place, str]] = {"drafts": "drafts", "sent": "sent mail"}
_FLAGS: Final[Mapping[Place, bytes]] = {"drafts": rb"(\Draft \Seen)", "sent": rb"(\Seen)"}
_LISTED: Final = re.compile(rb"\* LIST \(([^)]*)\)", re.IGNORECASE)
_FIELDS: Final = (b"Message-ID", b"X-Microsoft-Original-Message-ID", b"X-CRM-Sync-Id")
"""Exchange gives a message an id of its own, and keeps what it had in the other two."""

_MARGIN: Final = timedelta(days=2)
"""A server compares dates of arrival without times and in a zone of its own."""


class ImapFiling:
    """See `crm_sync.ports.Filing`. Folders are those with the special use, else with its name."""

    def __init__(
        self, options: ImapOptions, surroundings: Surroundings, tokens: TokenSource | None = None
    ) -> None:
        self._options = options
        self._link = Link(
            options, surroundings.clock, Credentials(options, surroundings.account, tokens)
        )
        self._folders: dict[Place, Folder] = {}

    def keep(self, draft: Draft, place: Place) -> bool:
        """See `crm_sync.ports.Filing.keep`. A draft is not put where its mail was sent already."""
        try:
            message = compose(draft)
        except ValueError as error:
            raise self._item(f"the mail can't be filed: {error}") from error
        folder = self._folder(place)
        since = draft.date - _MARGIN
        places: tuple[Place, ...] = ("drafts", "sent") if place == "drafts" else ("sent",)
        if any(self._holds(one, draft.message_id, since) == "found" for one in places):
            return False
        how = b"%b %b" % (_FLAGS[place], _date_time(draft.date))
        self._append(folder, how, message)
        return True

    def find(self, message_ids: Sequence[str]) -> Mapping[str, Found]:
        """See `crm_sync.ports.Filing.find`; nothing can be told where there is no folder for it."""
        return {one: self._holds("sent", one) for one in dict.fromkeys(message_ids)}

    def probe_folders(self, places: Collection[Place]) -> Iterator[Finding]:
        """Looks for `doctor` whether the folders are there and open; only LIST and EXAMINE."""
        for place in places:
            name = f"folder for {_CALLED[place]}"
            try:
                folder = self._folder(place)
                if not self._opens(folder):
                    raise self._missing(place)
            except CrmSyncError as error:
                yield Finding(name, ok=False, problem=error.what, advice=error.advice)
            else:
                yield Finding(f"{name}: {folder.name}", ok=True)

    def close(self) -> None:
        """See `crm_sync.ports.Filing.close`."""
        self._link.drop()

    def _opens(self, folder: Folder) -> bool:
        opened = self._link.once_again(lambda session: self._link.reopen(session, folder.raw))
        return opened is not None

    # -- looking -----------------------------------------------------------------------------

    def _holds(self, place: Place, message_id: str, since: datetime | None = None) -> Found:
        """Whether a folder holds the mail, under its id or as our own field tells."""
        folder = self._folders.get(place) or self._find_folder(place)
        if folder is None:
            return "cannot_tell"
        value = quoted(message_id.encode("ascii", "replace"))
        try:
            return self._link.once_again(
                lambda session: self._search(session, folder, value, since)
            )
        except Forbidden as error:
            raise self._item("the id of the mail holds a line break") from error

    def _search(
        self, session: Session, folder: Folder, value: bytes, since: datetime | None
    ) -> Found:
        # Opened anew: what came meanwhile must be seen.
        if self._link.reopen(session, folder.raw) is None:
            self._folders.clear()
            return "cannot_tell"
        found = session.search(
            b"OR OR " + b" ".join(_having(n, value) for n in _FIELDS) + arrived(since)
        )
        if not isinstance(found, Answer):
            return "found" if found else "absent"
        if failures.asks_to_wait(found.text):
            raise self._link.refused(found.text, "SEARCH")
        # Some servers search only the fields they know.
        found = session.search(_having(_FIELDS[0], value) + arrived(since))
        if isinstance(found, Answer):
            raise self._link.refused(found.text, "SEARCH")
        return "found" if found else "cannot_tell"

    # -- folders -----------------------------------------------------------------------------

    def _folder(self, place: Place) -> Folder:
        folder = self._folders.get(place) or self._find_folder(place)
        if folder is None:
            raise self._missing(place)
        return folder

    def _missing(self, place: Place) -> Refused:
        return Refused(
            f"the mailbox has no folder for {_CALLED[place]}",
            where=self._options.where,
            advice="Make one in a mail program; it is known by its special use or its name.",
        )

    def _find_folder(self, place: Place) -> Folder | None:
        """The folder with the use told by the server; where none has it, the one so called."""
        told = self._link.once_again(self._list)
        flag = _USES[place].encode()
        flagged = [reply for reply in told if flag in _flags_in(reply)]
        candidates = folders_in(flagged) or folders_in(told)
        found = next((f for f in candidates if _USES[place] in f.uses), None)
        if found is not None:
            self._folders[place] = found
        return found

    def _list(self, session: Session) -> list[Reply]:
        uses = b" RETURN (SPECIAL-USE)" if "SPECIAL-USE" in session.capabilities else b""
        (answer,), told = session.run(b'LIST "" "*"' + uses)
        if not answer.ok and uses:
            (answer,), told = session.run(b'LIST "" "*"')
        if not answer.ok:
            raise self._link.refused(answer.text, "LIST")
        return told

    # -- writing -----------------------------------------------------------------------------

    def _append(self, folder: Folder, how: bytes, message: bytes) -> None:
        """Never repeated at once: a server that broke off may still be storing the message."""
        session = self._link.session()
        try:
            answer = session.append(folder.raw, how, message)
        except failures.LOST as error:
            self._link.drop()
            raise self._link.broken(error) from error
        if not answer.ok:
            self._folders.clear()
            raise self._link.refused(answer.text, "APPEND")

    def _item(self, what: str) -> CrmSyncError:
        return Refused(what, where=self._options.where, scope="item")


def _flags_in(reply: Reply) -> list[bytes]:
    found = _LISTED.match(reply[0])
    return found[1].lower().split() if found else []


def _having(name: bytes, value: bytes) -> bytes:
    return b"HEADER %b %b" % (name, value)


def _date_time(moment: datetime) -> bytes:
    """A date-time, in UTC (RFC 3501 section 9)."""
    at = moment.astimezone(UTC)
    return b'"%b %b +0000"' % (date_of(at).rjust(11), f"{at:%H:%M:%S}".encode())
