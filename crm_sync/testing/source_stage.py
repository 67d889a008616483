"""Where the contract of a source is played: the server's side, and what it can play."""

from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from typing import ClassVar, Protocol

import pytest

from crm_sync.core.records import Item, Page, Stream, StreamKind, UnreadableItem
from crm_sync.ports import Source
from crm_sync.testing.ledger import Ledger, pull


class Backstage(Protocol):
    """The server's side of a test: what happens to the account while nobody pulls.

    Items are numbered by the test; how number 7 looks as a mail or an event is the server's own
    affair. All happens in one folder or calendar, the one called `stream_name`.
    """

    stream_name: str

    def put(self, number: int) -> None:
        """Makes item `number`; its text holds the words "text of item NUMBER"."""
        ...

    def remove(self, number: int) -> None:
        """Deletes item `number` for good."""
        ...

    def number_of(self, item: Item) -> int:
        """Which number a readable item was made with."""
        ...

    def spoil(self, number: int) -> None:
        """Makes item `number` in a way that the source can't understand (`can_spoil`)."""
        ...

    def reset(self) -> None:
        """Renumbers the stream so that all keys are void (`can_reset`)."""
        ...

    def break_connection(self) -> None:
        """Cuts what is connected now; new connections work (`can_break`)."""
        ...

    def go_away(self) -> None:
        """Cuts what is connected and refuses new connections until `come_back` (`can_break`)."""
        ...

    def come_back(self) -> None:
        """Ends `go_away`."""
        ...

    def put_large(self, number: int) -> None:
        """Makes item `number` longer than 256 KiB (`can_put_large`)."""
        ...

    def requests(self) -> int:
        """How many commands or requests came in so far (`can_count`)."""
        ...


class SourceStage:
    """What the tests of a source share: flags of the server, fixtures, how to look at a stream."""

    kind: ClassVar[StreamKind] = "mail"
    page_size: ClassVar[int] = 3
    can_spoil: ClassVar[bool] = True
    can_reset: ClassVar[bool] = False
    can_break: ClassVar[bool] = False
    can_count: ClassVar[bool] = False
    can_put_large: ClassVar[bool] = False
    gives_octets: ClassVar[bool] = True
    arrived: ClassVar[datetime | None] = None
    """When what `put` makes arrives; None where items have no date of arrival."""

    @pytest.fixture
    def server(self) -> Backstage:
        """The server's side, with an empty account."""
        raise NotImplementedError

    @pytest.fixture
    def source(self, server: Backstage) -> Iterator[Source]:
        """The source under test."""
        raise NotImplementedError

    @pytest.fixture
    def pull_all(self, source: Source, server: Backstage) -> Callable[[Ledger], list[Page]]:
        """Polls once: asks for the streams, pulls the one of the tests."""
        return lambda ledger: pull(source, self.stream(source, server), ledger)

    def stream(self, source: Source, server: Backstage) -> Stream:
        """The stream in which the server's verbs happen, after one look at the server."""
        return next(s for s in source.streams() if s.name == server.stream_name)

    def needs(self, capability: str) -> None:
        """Skips by name what this server can't play."""
        if not getattr(self, capability):
            pytest.skip(f"{type(self).__name__}: {capability} = {getattr(self, capability)}")

    def numbers(self, server: Backstage, items: Sequence[Item]) -> list[int]:
        """The numbers of the readable items, sorted, repeats kept."""
        return sorted(server.number_of(i) for i in items if not isinstance(i, UnreadableItem))
