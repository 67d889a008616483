"""A mailbox on an IMAP server as a `Source`: it reads, and changes nothing, not even a flag."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from typing import Final, TypeVar

from connectors.imap import failures, folders, watching
from connectors.imap.credentials import Credentials
from connectors.imap.cursor import Cursor
from connectors.imap.folders import Folder, raw_of
from connectors.imap.link import Link
from connectors.imap.options import ImapOptions
from connectors.imap.pulling import Pull, moved
from connectors.imap.reading import Reading
from connectors.imap.session import Answer, Session
from connectors.imap.watching import IdleWatch
from connectors.imap.wire import Reply, quoted
from connectors.oauth.access import TokenSource
from crm_sync.core.errors import CrmSyncError, Refused
from crm_sync.core.records import Body, Finding, Locator, Page, Stream
from crm_sync.ports import Known, Surroundings

Choose = Callable[[Sequence[Folder], Sequence[str]], list[Folder]]

Result = TypeVar("Result")

_ITEMS: Final = "(MESSAGES UIDNEXT UIDVALIDITY)"
_LOOKS_PER_LISTING: Final = 20
_ABSENT: Final = "\0absent:"
_WATCHED: Final = ("\\inbox", "\\all")


class ImapSource:
    """See `crm_sync.ports.Source`. Keeps one connection, on which no folder is open during polls.

    `choose` decides which folders are pulled; a provider with habits of its own brings another.
    `tokens` are for options that sign in by OAuth 2.0.
    """

    def __init__(
        self,
        options: ImapOptions,
        surroundings: Surroundings,
        choose: Choose = folders.choose,
        tokens: TokenSource | None = None,
    ) -> None:
        self._options = options
        credentials = Credentials(options, surroundings.account, tokens)
        self._link = Link(options, surroundings.clock, credentials)
        # A session of its own, with an end of its own.
        credentials = Credentials(options, surroundings.account, tokens)
        self._second_link = Link(options, surroundings.clock, credentials)
        self._watch: IdleWatch | None = None
        self._choose = choose
        self._chosen: dict[str, Folder] = {}
        self._all: list[Folder] = []
        self._listing: list[Folder] = []
        self._looks = 0
        self._lists_simply = False

    # -- the port ----------------------------------------------------------------------------

    def streams(self) -> Sequence[Stream]:
        """See `crm_sync.ports.Source.streams`: one round trip on a kept connection."""
        self._all = self._link.once_again(self._look)
        chosen = self._choose(self._all, self._options.folders)
        self._chosen = {folder.key: folder for folder in chosen}
        streams = [Stream(folder.key, folder.name, "mail") for folder in chosen]
        # A server may lack a Sent folder; a folder called by its name was there once.
        named = [word for word in self._options.folders if not word.startswith("\\")]
        return streams + [Stream(_ABSENT + w, w, "mail") for w in folders.missing(self._all, named)]

    def pull(self, stream: Stream, cursor: str | None, known: Known) -> Iterator[Page]:
        """See `crm_sync.ports.Source.pull`."""
        del known
        if stream.key.startswith(_ABSENT):
            advice = "Correct `folders`, or make it again; `crm-sync doctor` lists those there are."
            raise Refused(f'there is no folder "{stream.name}"', advice=advice, scope="stream")
        at = None if cursor is None else Cursor.loads(cursor)
        raw = raw_of(stream.key)
        folder = self._chosen.get(stream.key)
        status = folder.status if folder else None
        if raw is None or not moved(at, status, self._link.clock.now()):
            return
        options = self._options
        pull = Pull(self._link, raw, at, options.reach, options.page_size)
        yield from self._guarded(pull.pages())

    def read(self, locators: Sequence[Locator], *, items: bool = False) -> Iterator[Body]:
        """See `crm_sync.ports.Source.read`."""
        yield from self._guarded(Reading(self._link, items=items).bodies(locators))

    def probe(self) -> Iterator[Finding]:
        """See `crm_sync.ports.Source.probe`: connection and TLS, sign-in, folders."""
        self.close()
        step = "sign-in by OAuth 2.0"
        try:
            if self._link.credentials.tokens is not None:
                yield from self._link.credentials.tokens.findings()
            step = "connect"
            connection = self._link.connect()
            yield Finding(step, ok=True)
            step = "sign in"
            self._link.keep(self._link.sign_in(connection))
            yield Finding(step, ok=True)
            step = "folders"
            self.streams()
        except CrmSyncError as error:
            yield Finding(step, ok=False, problem=error.what, advice=error.advice)
        else:
            yield from self._folders_found()

    def close(self) -> None:
        """See `crm_sync.ports.Source.close`."""
        self._link.drop()
        self._end_watch()

    def watch(self) -> IdleWatch | None:
        """See `crm_sync.ports.Watchable.watch`: the INBOX, or where all mail is."""
        self._end_watch()
        chosen = self._chosen.values()
        places = (f for use in _WATCHED for f in chosen if use in f.uses)
        folder = next(places, None)
        try:
            if folder is not None and "IDLE" in self._link.session().capabilities:
                self._watch = watching.begin(self._second_link, folder)
        except (CrmSyncError, *failures.LOST):
            return None
        return self._watch

    # -- how ---------------------------------------------------------------------------------

    def _end_watch(self) -> None:
        if self._watch is not None:
            self._watch.close()
            self._watch = None

    def _look(self, session: Session) -> list[Folder]:
        """All folders with the status of those that matter."""
        if session.capabilities >= {"LIST-STATUS"} and not self._lists_simply:
            uses = "SPECIAL-USE " if "SPECIAL-USE" in session.capabilities else ""
            command = f'LIST "" "*" RETURN ({uses}STATUS {_ITEMS})'.encode()
            answer, told = self._run(session, command)
            if answer.ok:
                return folders.folders_in(told)
            # Some advertise it and know it only in part.
            self._lists_simply = True
        return self._look_simply(session)

    def _look_simply(self, session: Session) -> list[Folder]:
        """The same where LIST can't tell a status: a LIST now and then, STATUS for each choice."""
        self._looks += 1
        if not self._listing or self._looks % _LOOKS_PER_LISTING == 0:
            uses = b" RETURN (SPECIAL-USE)" if "SPECIAL-USE" in session.capabilities else b""
            answer, told = self._run(session, b'LIST "" "*"' + uses)
            if not answer.ok:
                raise self._link.refused(answer.text, "LIST")
            self._listing = folders.folders_in(told)
        chosen = self._choose(self._listing, self._options.folders)
        asked = [b"STATUS %b %b" % (quoted(f.raw), _ITEMS.encode()) for f in chosen]
        _, told = session.run(*session.unselect_command(), *asked)
        return folders.with_status(self._listing, told)

    @staticmethod
    def _run(session: Session, command: bytes) -> tuple[Answer, list[Reply]]:
        """A command that needs no open folder; closing one costs no round trip of its own."""
        answers, told = session.run(*session.unselect_command(), command)
        return answers[-1], told

    def _folders_found(self) -> Iterator[Finding]:
        missing = folders.missing(list(self._chosen.values()), self._options.folders)
        if missing:
            problem = f"not there: {', '.join(missing)}"
            advice = f"There are: {_names(self._all)}."
            yield Finding("folders", ok=False, problem=problem, advice=advice)
        elif not self._chosen:
            yield Finding("folders", ok=False, problem="there are none", advice="Check username.")
        else:
            yield Finding(f"folders {_names(self._chosen.values())}", ok=True)

    def _guarded(self, results: Iterator[Result]) -> Iterator[Result]:
        """What comes, with errors of the house only; a broken connection is let go."""
        try:
            yield from results
        except failures.LOST as error:
            self._link.drop()
            raise self._link.broken(error) from error


def _names(found: Iterable[Folder]) -> str:
    return ", ".join(folder.name for folder in islice(found, 50))
