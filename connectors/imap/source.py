"""A mailbox on an IMAP server as a `Source`: it reads, and changes nothing, not even a flag."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime
from itertools import islice
from typing import TypeVar

from connectors.hosts import in_clear
from connectors.imap import capabilities, failures, folders, watching
from connectors.imap.credentials import Credentials
from connectors.imap.cursor import Cursor
from connectors.imap.folders import Folder, raw_of
from connectors.imap.hearing import Hearing
from connectors.imap.link import Link
from connectors.imap.looking import Looking
from connectors.imap.options import ImapOptions
from connectors.imap.pulling import Pull, Wanted, moved
from connectors.imap.reading import Reading
from connectors.imap.searching import Searching
from connectors.imap.session import Session
from connectors.oauth.access import TokenSource
from crm_sync.core.errors import CrmSyncError, Refused
from crm_sync.core.folder_choice import absent_streams, refuse_absent
from crm_sync.core.records import Body, Finding, Locator, Page, Stream
from crm_sync.ports import Known, Surroundings

Choose = Callable[[Sequence[Folder], Sequence[str]], list[Folder]]

Result = TypeVar("Result")


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
        self._shelter = surroundings.shelter
        credentials = Credentials(options, surroundings.account, tokens)
        self._link = Link(options, surroundings.clock, credentials)
        # A session of its own, with an end of its own.
        credentials = Credentials(options, surroundings.account, tokens)
        self._second_link = Link(options, surroundings.clock, credentials)
        self._watch: Hearing | None = None
        self._watched_beside: Session | None = None
        self._unwatchable: Session | None = None
        self._refusal: Refused | None = None
        self._choose = choose
        self._looking = Looking(self._link, lambda found: choose(found, options.folders))
        self._chosen: dict[str, Folder] = {}
        self._all: list[Folder] = []
        self._history = True
        self._left_out = False

    # -- the port ----------------------------------------------------------------------------

    def streams(self) -> Sequence[Stream]:
        """See `crm_sync.ports.Source.streams`: one round trip on a kept connection.

        Raises, once and without asking the server again, what a watch was refused with.
        """
        refusal, self._refusal = self._refusal, None
        if refusal is not None:
            raise refusal
        self._all = self._link.once_again(self._looking.look)
        chosen = self._choose(self._all, self._options.folders)
        self._chosen = {folder.key: folder for folder in chosen}
        streams = [Stream(folder.key, folder.name, "mail") for folder in chosen]
        return streams + absent_streams(folders.missing(self._all, self._options.folders))

    def pull(self, stream: Stream, cursor: str | None, known: Known) -> Iterator[Page]:
        """See `crm_sync.ports.Source.pull`."""
        del known
        raw = self._raw(stream)
        at = None if cursor is None else Cursor.loads(cursor)
        folder = self._chosen.get(stream.key)
        status = folder.status if folder else None
        now = self._link.clock.now()
        self._left_out = not self._history and (at is None or at.history is not None)
        if raw is None or not moved(at, status, now, history=self._history):
            return
        wanted = Wanted(self._options.reach, self._options.page_size, self._history)
        yield from self._guarded(Pull(self._link, raw, at, wanted).pages())

    def held(self, stream: Stream, since: datetime | None) -> Iterator[Sequence[str]]:
        """See `crm_sync.ports.Source.held`."""
        raw = self._raw(stream)
        if since is None and self._options.reach is not None:
            since = self._link.clock.now() - self._options.reach
        if raw is not None:
            yield from self._guarded(self._held(raw, since))

    def read(
        self, locators: Sequence[Locator], *, items: bool = False, octets: bool = False
    ) -> Iterator[Body]:
        """See `crm_sync.ports.Source.read`."""
        reading = Reading(self._link, self._shelter, items=items, octets=octets)
        yield from self._guarded(reading.bodies(locators))

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
            yield from in_clear(self._options.host, self._options.security, self._options.auth)
            step = "sign in"
            self._link.keep(self._link.sign_in(connection))
            yield Finding(step, ok=True)
            yield from capabilities.notes(self._link.session().capabilities)
            step = "folders"
            self.streams()
        except CrmSyncError as error:
            problem = f"{error.where}: {error.what}" if step == "connect" else error.what
            yield Finding(step, ok=False, problem=problem, advice=error.advice)
        else:
            yield from self._folders_found()

    def close(self) -> None:
        """See `crm_sync.ports.Source.close`."""
        self._link.drop()
        self._refusal = None
        self._end_watch()

    # -- see `crm_sync.ports.Watchable` and `Metered` ------------------------------------------

    def sign_in_ends(self) -> datetime | None:
        """When a person has to sign in again, where that is known in advance; asks nobody."""
        tokens = self._link.credentials.tokens
        return tokens.ends_at() if tokens is not None else None

    def watch(self) -> Hearing | None:
        """See `crm_sync.ports.Watchable.watch`: all folders that are pulled, or the main one."""
        self._end_watch()
        before, session = self._watched_beside, None
        try:
            session = self._watched_beside = self._link.session()
            if session is not self._unwatchable:
                chosen = self._chosen.values()
                self._watch = watching.begin(self._second_link, chosen, session.capabilities)
        except Refused as error:
            if error.scope != "stream":
                self._doubt(error, None if session is before else session)
        except (CrmSyncError, *failures.LOST):
            pass
        return self._watch

    def _doubt(self, refusal: Refused, just_begun: Session | None) -> None:
        """A watch's sign-in was refused: the next pull says so, in place of another sign-in.

        Where the pull's own was taken a moment ago the no is about a second connection: there is no
        watch beside this session, and nothing is wrong.
        """
        if just_begun is not None:
            self._unwatchable = just_begun
            return
        self._link.drop()
        if self._link.credentials.tokens is None:
            # With OAuth 2.0 a person may have signed in meanwhile, and nobody is locked out.
            self._refusal = refusal

    @property
    def daily_octets(self) -> int | None:
        """See `crm_sync.ports.Metered.daily_octets`."""
        return self._options.daily_octets

    def octets(self) -> int:
        """See `crm_sync.ports.Metered.octets`; what a watch hears is not worth counting."""
        return self._link.octets

    def want_history(self, *, wanted: bool) -> None:
        """See `crm_sync.ports.Metered.want_history`."""
        self._history = wanted

    @property
    def left_history_out(self) -> bool:
        """See `crm_sync.ports.Metered.left_history_out`."""
        return self._left_out

    # -- how ---------------------------------------------------------------------------------

    def _raw(self, stream: Stream) -> bytes | None:
        """The folder's name on the wire, None for a key of nobody's."""
        refuse_absent(stream)
        return raw_of(stream.key)

    def _held(self, raw: bytes, since: datetime | None) -> Iterator[list[str]]:
        opened = self._link.once_again(lambda session: self._link.reopen(session, raw))
        if opened is not None:
            for uids in Searching(self._link, raw).held(opened.exists, since):
                yield [f"{opened.uidvalidity}:{uid}" for uid in uids]

    def _end_watch(self) -> None:
        if self._watch is not None:
            self._watch.close()
            self._watch = None

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
