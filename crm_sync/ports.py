"""What the house asks of the outside world: Protocols, small on purpose.

Each sentence here has a test in `crm_sync.testing` that every connector must pass.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime, tzinfo
from typing import Any, Literal, Protocol, runtime_checkable

from pydantic import BaseModel

from crm_sync.core.records import Body, Draft, Finding, Locator, Page, Receipt, Stream

Known = Callable[[], Mapping[str, str]]
"""Asks the diary which keys of the stream it has witnessed: key -> version. Costs a query."""

Found = Literal["found", "absent", "cannot_tell"]

Place = Literal["drafts", "sent"]


class Clock(Protocol):
    """The only way to learn what time it is."""

    def now(self) -> datetime:
        """The present moment, aware UTC."""
        ...


class Source(Protocol):
    """Reads one account. It never changes anything there. One thread uses it at a time.

    Every verb raises `Unreachable`, `Throttled` or `Refused` for the account; no library's own
    exception leaves a connector. After an error the source can be used again: it connects anew.
    """

    def streams(self) -> Sequence[Stream]:
        """The folders or calendars to pull, after one look at the server.

        On a kept connection this is the whole cost of a poll: `pull` of a stream in which nothing
        moved yields no page and asks the server nothing.
        """
        ...

    def pull(self, stream: Stream, cursor: str | None, known: Known) -> Iterator[Page]:
        """Everything new since `cursor` (None: from the start), in pages.

        A page's cursor, given back later, continues after that page; nothing is left out and
        nothing comes twice on an unchanged server. An item that can't be understood comes as an
        `UnreadableItem` and never stops the others. Raises `CursorLost` for a cursor that is
        garbage or of another version.
        """
        ...

    def held(self, stream: Stream, since: datetime | None) -> Iterator[Sequence[str]]:
        """The keys of all items that are in the stream now, in batches, each key once.

        What an audit compares with the diary. `since` (aware UTC) leaves out what arrived before;
        a source that knows only days may include a little more, never less. None: as far back as
        a first pull goes. Nothing is read and nothing remembered. May be asked between two pages of
        a `pull`, which goes on as if it had not been.
        """
        ...

    def read(
        self, locators: Sequence[Locator], *, items: bool = False, octets: bool = False
    ) -> Iterator[Body]:
        """Text and attachments at the locators, in any order, exactly one `Body` for each.

        With `items`, the item itself too. With `octets`, the message itself, cut at 256 KiB, in
        place of text and attachments. What is no longer there comes as `gone`.
        """
        ...

    def probe(self) -> Iterator[Finding]:
        """Tries the account for `doctor`: one finding a step, sentences for a person."""
        ...

    def close(self) -> None:
        """Lets go of the connection. Never raises."""
        ...


class Watch(Protocol):
    """A connection on which a server tells by itself that something may be new: a hint, no more.

    One thread waits for many of them; no verb blocks. Where nothing is told a poll finds it too.
    """

    def fileno(self) -> int:
        """The descriptor to wait on until it is readable."""
        ...

    def ready(self) -> bool:
        """Takes in all that has come; whether something may be new since the last call.

        Asked once at the begin, too: something may have come before. Raises `Unreachable` when the
        watch is over, by whatever cause; then it is closed and another can be asked for.
        """
        ...

    def refresh(self) -> float:
        """Makes the server give a sign of life; after how many seconds to call this again.

        Raises as `ready`, also when no sign came since the last call.
        """
        ...

    def close(self) -> None:
        """Lets go of the connection. Never raises."""
        ...


@runtime_checkable
class Watchable(Protocol):
    """A `Source` that can watch its account."""

    def watch(self) -> Watch | None:
        """A new watch, begun right after a pull; an earlier one is closed.

        Its connection is the account's second and last. None where the server can't be watched or
        takes no further connection: polls go on as before. Never raises.
        """
        ...


@runtime_checkable
class Metered(Protocol):
    """A `Source` that counts its traffic, for providers that allow an account so much a day."""

    @property
    def daily_octets(self) -> int | None:
        """Octets a day (UTC) after which history waits for the next one; None: no such budget."""
        ...

    def octets(self) -> int:
        """Octets received since the source was made."""
        ...

    def want_history(self, *, wanted: bool) -> None:
        """Whether pulls bring history, as they do at first; without it, only what is new.

        Asks the server nothing. History that was left out comes once it is wanted again.
        """
        ...

    @property
    def left_history_out(self) -> bool:
        """Whether the pull that ended last left history out because it was not wanted."""
        ...


@runtime_checkable
class SignedIn(Protocol):
    """A `Source` into which a person signs in."""

    def sign_in_ends(self) -> datetime | None:
        """When she has to do it again, where that is known. Asks nobody, never raises."""
        ...


class Sender(Protocol):
    """Hands mails over. Only `flow.dispatch` calls it."""

    def send(self, draft: Draft, sending: Callable[[], None]) -> Receipt:
        """Hands one mail over.

        Calls `sending` once, when everything but the end of the data has been accepted and
        just before that end is given. Before that call any error means that nothing left:
        `Unreachable`/`Throttled` (try later), `Refused` (scope "item": this mail; "account": all).
        After it, no clear answer raises `InDoubt`; a clear no raises as before.
        """
        ...

    def find(self, message_ids: Sequence[str]) -> Mapping[str, Found]:
        """Whether mails of ours are among those sent, as far as this sender can see."""
        ...

    def probe(self) -> Iterator[Finding]:
        """Tries sign-in without sending anything."""
        ...

    def close(self) -> None:
        """Lets go of the connection. Never raises."""
        ...


class Filing(Protocol):
    """A mailbox that keeps mails of ours: drafts, and copies of what was sent.

    The only verbs that write into a mailbox: on a connection of their own, only where configured,
    and called by nobody but `flow.dispatch`. Errors are those of a `Sender`.
    """

    def keep(self, draft: Draft, place: Place) -> bool:
        """Puts a mail into the folder, unless one with its ids is there; whether it was put."""
        ...

    def find(self, message_ids: Sequence[str]) -> Mapping[str, Found]:
        """Whether mails of ours are among those sent, by Message-ID or by our own header.

        A message whose id a server rewrote is found by X-Microsoft-Original-Message-ID or
        X-CRM-Sync-Id.
        """
        ...

    def close(self) -> None:
        """Lets go of the connection. Never raises."""
        ...


class Shelter(Protocol):
    """A place where costly work on a stranger's bytes can only ever cost itself."""

    def call(self, function: Callable[..., Any], /, *arguments: Any) -> Any:
        """The result of a function of `crm_sync.core`, run within limits of time and memory.

        Raises `Unreadable` when it took too much of either or raised by itself.
        """
        ...


class Tokens(Protocol):
    """The sealed place of one account's OAuth tokens; the text is the connector's own."""

    def load(self) -> str | None:
        """What was saved last, None when nobody signed in."""
        ...

    def save(self, text: str) -> None:
        """Keeps `text`, encrypted. On return it survives a crash: save before using a new token."""
        ...

    def lock(self) -> AbstractContextManager[None]:
        """One refresh at a time for this account, in all threads and processes."""
        ...


class Prompt(Protocol):
    """A person who signs in, seen through whatever is in front of them."""

    @property
    def wants_code(self) -> bool:
        """Whether the person would rather type a code into another device (RFC 8628)."""
        ...

    def show(self, text: str) -> None:
        """Shows sentences or an address; an address stands on a line of its own, unbroken."""
        ...

    def line(self, seconds: float) -> str | None:
        """The line the person entered, None when none came within `seconds`."""
        ...


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a connector may know of its surroundings: the account's name, clock and team zone.

    `tokens` is there for connectors that sign in by OAuth 2.0, `shelter` for those that understand
    texts of strangers.
    """

    account: str
    clock: Clock
    zone: tzinfo
    tokens: Tokens | None = None
    shelter: Shelter | None = None


Login = Callable[[Any, Surroundings, Prompt], None]
"""Takes the options of an account, its surroundings and the person who signs in."""


@dataclass(frozen=True, slots=True)
class SourceKind:
    """What an entry point of group `crm_sync.sources` gives: options and how to build a source.

    `kind` tells whether it belongs under `[[mailboxes]]` or `[[calendars]]`. `options` is the
    pydantic model (extra fields forbidden) of the keys that are the connector's own; fields typed
    `SecretStr` arrive resolved. `build` must not connect. `login` signs a person in and saves the
    tokens; it raises `UsageError` where these options need no sign-in. `filing` is there where
    the account can keep drafts and copies of what was sent; it must not connect either.
    """

    kind: Literal["mailbox", "calendar"]
    options: type[BaseModel]
    build: Callable[[Any, Surroundings], Source]
    login: Login | None = None
    filing: Callable[[Any, Surroundings], Filing] | None = None


@dataclass(frozen=True, slots=True)
class SenderKind:
    """What an entry point of group `crm_sync.senders` gives."""

    options: type[BaseModel]
    build: Callable[[Any, Surroundings], Sender]
    login: Login | None = None
