"""A mailbox at Microsoft 365 as a `Source`, over Microsoft Graph. It only reads."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import islice

from connectors.graph import folders, listing, permissions, reading
from connectors.graph.answers import Answer, text
from connectors.graph.client import IMMUTABLE, Ask, GraphClient
from connectors.graph.cursor import Cursor
from connectors.graph.folders import Folder
from connectors.graph.options import MailboxOptions
from connectors.graph.pulling import Pull, is_missing
from crm_sync.core.errors import CrmSyncError
from crm_sync.core.folder_choice import absent_streams, refuse_absent
from crm_sync.core.records import Body, Finding, Locator, Page, Stream
from crm_sync.ports import Known, Surroundings


@dataclass(slots=True)
class _Watched:
    """A folder whose delta link is known: `stored` in the cursor, `newest` for the next poll."""

    stored: str
    newest: str
    answer: Answer | None = None


class GraphSource:
    """See `crm_sync.ports.Source`.

    A poll is one JSON batch: the delta link of the list of folders and those of up to 19 folders;
    each further 20 folders cost a request more. The links are remembered from the pull before, so
    the first poll after a start asks each folder by itself.
    """

    def __init__(self, options: MailboxOptions, surroundings: Surroundings) -> None:
        self._options = options
        self._client = GraphClient(options, surroundings)
        self._all: dict[str, Folder] = {}
        self._well_known: dict[str, str] = {}
        self._folders_link = ""
        self._chosen: dict[str, str] = {}
        self._watched: dict[str, _Watched] = {}

    # -- the port ----------------------------------------------------------------------------

    def streams(self) -> Sequence[Stream]:
        """See `crm_sync.ports.Source.streams`."""
        if self._folders_link:
            self._poll()
        else:
            self._list_folders()
        wanted = self._options.folders
        self._chosen = folders.choose(self._all, self._well_known, wanted)
        streams = [Stream(key, name, "mail") for key, name in self._chosen.items()]
        return streams + absent_streams(folders.missing(self._all, self._well_known, wanted))

    def pull(self, stream: Stream, cursor: str | None, known: Known) -> Iterator[Page]:
        """See `crm_sync.ports.Source.pull`."""
        refuse_absent(stream)
        at = self._start() if cursor is None else Cursor.loads(cursor)
        if not all(self._client.is_ours(link) for link in (at.link, at.next) if link):
            at = self._start()  # another cloud than before: the links belong to nobody here
        watched, stored, first = self._watched.pop(stream.key, None), at.link, None
        if watched is not None and at.phase == "live" and watched.stored == at.link:
            at.link, first = watched.newest, watched.answer
        pull = Pull(self._client, stream.key, at, self._options.page_size, known)
        for page in pull.pages(first):
            stored = Cursor.loads(page.cursor).link
            yield page
        self._watched[stream.key] = _Watched(stored, pull.newest)

    def held(self, stream: Stream, since: datetime | None) -> Iterator[Sequence[str]]:
        """See `crm_sync.ports.Source.held`."""
        refuse_absent(stream)
        reach = self._options.reach
        if since is None and reach is not None:
            since = self._client.clock.now() - reach
        yield from listing.held(self._client, stream.key, since)

    def read(
        self, locators: Sequence[Locator], *, items: bool = False, octets: bool = False
    ) -> Iterator[Body]:
        """See `crm_sync.ports.Source.read`."""
        if octets:
            yield from reading.read_octets(self._client, locators)
        else:
            yield from reading.read(self._client, locators, items=items)

    def probe(self) -> Iterator[Finding]:
        """See `crm_sync.ports.Source.probe`: sign-in, permissions, mailbox, folders."""
        self.close()
        step = "sign in"
        try:
            yield from self._client.sign_in.findings()
            token = self._client.sign_in.token()
            yield Finding(step, ok=True)
            yield from permissions.findings(self._options, token, self._client.account)
            step = "mailbox"
            self._folders_link = ""
            self.streams()
            yield Finding(step, ok=True)
            step = "messages"
            self._try_messages()
        except CrmSyncError as error:
            yield Finding(step, ok=False, problem=error.what, advice=error.advice)
        else:
            yield Finding(step, ok=True)
            yield self._folders_found()

    def close(self) -> None:
        """See `crm_sync.ports.Source.close`."""
        self._client.close()

    # -- how ---------------------------------------------------------------------------------

    def _start(self) -> Cursor:
        reach = self._options.reach
        if reach is None:
            return Cursor()
        return Cursor(since=int((self._client.clock.now() - reach).timestamp()))

    def _poll(self) -> None:
        """One look at what moved, in folders and list of folders."""
        watched = [(key, w) for key, w in self._watched.items() if key in self._chosen]
        asks = [Ask(self._folders_link, ("odata.maxpagesize=100",))]
        size = f"odata.maxpagesize={self._options.page_size}"
        asks += [Ask(w.newest, (IMMUTABLE, size)) for _, w in watched]
        listing, *answers = self._client.batch(asks)
        throttled = [a for a in (listing, *answers) if a.is_throttled]
        for (_, one), answer in zip(watched, answers, strict=True):
            # Any other error is met again, and told, by the pull of that folder alone.
            one.answer = answer if answer.ok or answer.is_lost else None
        if throttled:
            raise self._client.failure(throttled[0])
        if listing.is_lost:
            self._list_folders()
        else:
            self._take_folders(listing)

    def _list_folders(self) -> None:
        found: dict[str, str] = {}
        answers = self._client.batch(folders.ask_well_known(self._client.mailbox))
        for name, answer in zip(folders.WELL_KNOWN, answers, strict=True):
            if answer.ok and (key := text(answer.body.get("id"))):
                found[name] = key
            elif answer.is_no_mailbox or not is_missing(answer):
                raise self._client.failure(answer)
        self._well_known, self._all = found, {}
        self._take_folders(self._client.get(folders.ask_all(self._client.mailbox)))

    def _take_folders(self, answer: Answer) -> None:
        """Brings a delta round of the list of folders to its end."""
        for _ in range(folders.MOST):
            if not answer.ok:
                raise self._client.failure(answer)
            folders.apply(self._all, answer.rows)
            onward = self._client.link(answer, "@odata.nextLink")
            if not onward:
                break
            answer = self._client.get(Ask(onward, ("odata.maxpagesize=100",)))
        self._folders_link = self._client.link(answer, "@odata.deltaLink")

    def _try_messages(self) -> None:
        """A permission for folders alone (Mail.ReadBasic) is not enough: headers need more."""
        key = next(iter(self._chosen), None)
        if key is None:
            return
        path = folders.path_of(self._client.mailbox, key)
        answer = self._client.get(Ask(f"{path}?$top=1&$select=id,body,internetMessageHeaders"))
        if not answer.ok:
            raise self._client.failure(answer)

    def _folders_found(self) -> Finding:
        wanted = self._options.folders
        missing = folders.missing(self._all, self._well_known, wanted)
        if missing or not self._chosen:
            problem = f"not there: {', '.join(missing)}" if missing else "there are none"
            names = folders.choose(self._all, {}, ()).values()
            advice = f"There are: {_some(names)}."
            return Finding("folders", ok=False, problem=problem, advice=advice)
        return Finding(f"folders {_some(self._chosen.values())}", ok=True)


def _some(names: Iterable[str]) -> str:
    return ", ".join(islice(names, 50))
