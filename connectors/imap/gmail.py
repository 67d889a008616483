"""Gmail: IMAP with habits of its own, signed in by OAuth 2.0.

Every message is in All Mail once, whatever labels it has, so that folder alone is read; spam and
the bin are not in it. What Gmail does to IMAP is told in its page "IMAP extensions".
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final, Literal, Self

from pydantic import model_validator

from connectors.hosts import Host
from connectors.imap.filing import ImapFiling
from connectors.imap.folders import Folder, raw_of
from connectors.imap.options import ImapOptions
from connectors.imap.searching import Searching
from connectors.imap.source import ImapSource
from connectors.oauth.access import TokenSource
from connectors.oauth.google import login, tokens_of
from crm_sync.core.errors import Refused
from crm_sync.core.records import Finding, Page, Stream
from crm_sync.ports import Known, SourceKind, Surroundings

_ALL: Final = "\\all"
_SETTINGS: Final = "Gmail in a browser, Settings, Forwarding and POP/IMAP"
_CAPS: Final = frozenset({1000, 2000, 5000, 10000})
"""The "folder size limits" a user can choose."""

_LIMITED: Final = "All Mail shows exactly {messages} messages, which looks like a limit"
_UNLIMITED: Final = f'{_SETTINGS}: "Do not limit the number of messages" lets us see them all.'


class GmailOptions(ImapOptions):
    """The keys of a mailbox with `connector = "gmail"`; those of `imap`, with Gmail's own values.

    A person signs in with `client_id` and `client_secret`, or `service_account_file` (a key of a
    service account, JSON) acts for every user of a Workspace; `username` is the address. With
    `auth = "password"` an app password does it. Gmail lets 2,500 MB a day through IMAP, after which
    the user's own programs are locked out too: history leaves them their share.
    """

    host: Host = "imap.gmail.com"
    auth: Literal["password", "xoauth2", "oauthbearer"] = "xoauth2"
    service_account_file: Path | None = None
    history_per_day: str = "1500 MB"

    @model_validator(mode="after")
    def _reads_all_mail(self) -> Self:
        if self.folders:
            raise ValueError("folders: Gmail is read as a whole, from All Mail; leave it out")
        if self.tenant or self.device_url:
            raise ValueError("tenant and device_url have no meaning at Gmail")
        if self.service_account_file is not None and self.client_id:
            raise ValueError("give client_id or service_account_file, not both")
        if self.service_account_file is not None and self.auth == "password":
            raise ValueError('service_account_file has no meaning with auth = "password"')
        return self

    def oauth_fault(self) -> str:
        """See `OAuthOptions.oauth_fault`: Google's addresses and scope are known."""
        if not self.client_id and self.service_account_file is None:
            return "client_id is missing (or service_account_file, for a whole Workspace)"
        return ""


class GmailSource(ImapSource):
    """See `crm_sync.ports.Source`; one stream, All Mail, over one connection."""

    def __init__(
        self, options: GmailOptions, surroundings: Surroundings, tokens: TokenSource | None
    ) -> None:
        super().__init__(options, surroundings, choose=all_mail, tokens=tokens)
        self._account = surroundings.account
        self._messages: int | None = None
        self._looked_at: tuple[int | None, int | None] | None = None
        self._hidden = False

    def streams(self) -> Sequence[Stream]:
        """See `crm_sync.ports.Source.streams`. Raises `Refused` when All Mail is hidden."""
        found = super().streams()
        if not found:
            raise Refused(
                "All Mail is hidden from IMAP",
                where=self._account,
                advice='Switch it on: Gmail in a browser, Settings, Labels, "Show in IMAP" '
                "beside All Mail.",
            )
        status = self._chosen[found[0].key].status
        if status is not None and status.messages is not None:
            self._messages = status.messages
        return found

    def pull(self, stream: Stream, cursor: str | None, known: Known) -> Iterator[Page]:
        """See `crm_sync.ports.Source.pull`. Raises `Refused` in the end when Gmail hides the rest.

        A user can have IMAP show the newest messages only: for each that comes an old one goes out
        of sight. A folder of just that size is believed until one that was seen is hidden.
        """
        yield from self._guarded(self._pages(stream, cursor, known))

    def _pages(self, stream: Stream, cursor: str | None, known: Known) -> Iterator[Page]:
        for page in super().pull(stream, cursor, known):
            yield page
            opened = self._link.session().selected
            self._messages = opened.exists if opened is not None else self._messages
        if self._is_cut_off(stream, known):
            what = _LIMITED.format(messages=self._messages)
            raise Refused(what, where=self._account, advice=_UNLIMITED, scope="stream")

    def _is_cut_off(self, stream: Stream, known: Known) -> bool:
        """Whether Gmail hides old messages; asked of the server when something has moved."""
        folder = self._chosen.get(stream.key)
        if folder is None or self._messages not in _CAPS:
            self._looked_at, self._hidden = None, False
            return False
        look = (self._messages, folder.status.uidnext if folder.status else None)
        if look != self._looked_at:
            self._hidden = self._hides(stream, known)
            self._looked_at = look
        return self._hidden

    def _hides(self, stream: Stream, known: Known) -> bool:
        """Whether a message that was seen once lay before the first that All Mail shows now."""
        raw = raw_of(stream.key) or b""
        first = Searching(self._link, raw).find(b"1")
        opened = self._link.open(self._link.session(), raw)
        if not first or opened is None:
            return False
        epochs = (key.partition(":") for key in known())
        seen = [int(uid) for validity, _, uid in epochs if validity == str(opened.uidvalidity)]
        return min(seen, default=first[0].start) < first[0].start

    def _folders_found(self) -> Iterator[Finding]:
        yield from super()._folders_found()
        messages = next((f.status.messages for f in self._chosen.values() if f.status), None)
        if messages in _CAPS:
            yield Finding(
                "folder size",
                ok=True,
                problem=_LIMITED.format(messages=messages),
                advice=_UNLIMITED,
            )


def all_mail(folders: Sequence[Folder], _wanted: Sequence[str]) -> list[Folder]:
    r"""The folder with the special use \All (RFC 6154); its name is in the user's language."""
    return [folder for folder in folders if _ALL in folder.uses][:1]


def _build(options: GmailOptions, surroundings: Surroundings) -> GmailSource:
    return GmailSource(options, surroundings, tokens_of(options, surroundings))


def _filing(options: GmailOptions, surroundings: Surroundings) -> ImapFiling:
    return ImapFiling(options, surroundings, tokens_of(options, surroundings))


KIND: Final = SourceKind(
    kind="mailbox", options=GmailOptions, build=_build, login=login, filing=_filing
)
