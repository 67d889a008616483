"""What every `crm_sync.ports.Source` must do, as tests that a connector inherits.

A connector's test module says which server it is tried on and inherits the sentences:

    class TestImap(SourceContract):
        page_size = 3
        can_reset = True

        @pytest.fixture
        def server(self): ...            # a `Backstage` with an empty account

        @pytest.fixture
        def source(self, server): ...    # the source under test, pages of `page_size`

What a server can't play is named by a flag of the class, and its tests are skipped by that name.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import ClassVar, Protocol

import pytest

from crm_sync.core.errors import CursorLost, Unreachable
from crm_sync.core.records import (
    EventItem,
    Item,
    Locator,
    MailItem,
    Page,
    Stream,
    StreamKind,
    UnreadableItem,
)
from crm_sync.ports import Source

GARBAGE = ("", "null", "[]", "{}", "0", '"x"', "\x00", "{" * 5000, '{"v": 999}', '{"v": true}')
"""Cursors that no connector has written."""


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


class Ledger:
    """What a diary would remember of a stream: keys with versions, and the last cursor."""

    def __init__(self) -> None:
        self.cursor: str | None = None
        self.versions: dict[str, str] = {}
        self.items: list[Item] = []

    def known(self) -> Mapping[str, str]:
        """The `Known` of the port."""
        return dict(self.versions)

    def store(self, page: Page) -> None:
        """Takes over a page as the diary does: items, what is gone, cursor."""
        if page.reset:
            self.versions.clear()
        for key in page.gone:
            self.versions.pop(key, None)
        for item in page.items:
            self.versions[item.key] = "" if isinstance(item, MailItem) else item.version
        self.items.extend(page.items)
        self.cursor = page.cursor

    def copy(self) -> "Ledger":
        """A diary that knows the same and can go another way."""
        twin = Ledger()
        twin.cursor, twin.versions, twin.items = self.cursor, dict(self.versions), list(self.items)
        return twin

    def locators(self, stream: Stream) -> list[Locator]:
        """Where all readable items are."""
        return [locate(stream, i) for i in self.items if not isinstance(i, UnreadableItem)]


def locate(stream: Stream, item: Item) -> Locator:
    """The locator that the diary would keep for an item."""
    return Locator(stream.key, item.key, item.hint if isinstance(item, MailItem) else "")


def pull(source: Source, stream: Stream, ledger: Ledger) -> list[Page]:
    """One whole pull into a ledger; what came."""
    pages = []
    for page in source.pull(stream, ledger.cursor, ledger.known):
        ledger.store(page)
        pages.append(page)
    return pages


def held_keys(source: Source, stream: Stream, since: datetime | None = None) -> list[str]:
    """What `held` lists, all batches together."""
    return [key for batch in source.held(stream, since) for key in batch]


class SourceContract:
    """One test for each sentence of `Source`; the subclass gives `server` and `source`."""

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

    # -- streams -----------------------------------------------------------------------------

    def test_streams_keep_their_keys_and_have_the_kind_of_the_account(
        self, source: Source, server: Backstage
    ) -> None:
        """A key is stable."""
        first, second = source.streams(), source.streams()
        assert [s.key for s in first] == [s.key for s in second]
        assert len({s.key for s in first}) == len(first)
        assert {s.kind for s in first} == {self.kind}
        assert server.stream_name in {s.name for s in first}

    # -- pull --------------------------------------------------------------------------------

    def test_the_first_pull_brings_everything_once(
        self, server: Backstage, pull_all: Callable[[Ledger], list[Page]]
    ) -> None:
        """None means from the start."""
        for number in range(7):
            server.put(number)
        ledger = Ledger()
        pages = pull_all(ledger)
        assert self.numbers(server, ledger.items) == list(range(7))
        assert len({i.key for i in ledger.items}) == 7
        assert all(p.cursor for p in pages)

    def test_an_empty_stream_pulls_without_error_and_then_brings_what_comes(
        self, server: Backstage, pull_all: Callable[[Ledger], list[Page]]
    ) -> None:
        """The start may be empty."""
        ledger = Ledger()
        pull_all(ledger)
        assert ledger.items == []
        server.put(1)
        pull_all(ledger)
        assert self.numbers(server, ledger.items) == [1]

    def test_only_the_last_page_says_that_nothing_more_follows(
        self, server: Backstage, pull_all: Callable[[Ledger], list[Page]]
    ) -> None:
        """`more` is true on all pages but the last."""
        for number in range(7):
            server.put(number)
        pages = pull_all(Ledger())
        assert [p.more for p in pages] == [True] * (len(pages) - 1) + [False]

    def test_a_pull_of_a_stream_in_which_nothing_moved_yields_no_page(
        self, server: Backstage, pull_all: Callable[[Ledger], list[Page]]
    ) -> None:
        """Nothing new, nothing to store."""
        server.put(1)
        ledger = Ledger()
        pull_all(ledger)
        assert pull_all(ledger) == []

    def test_a_pull_of_a_stream_in_which_nothing_moved_asks_the_server_nothing(
        self, source: Source, server: Backstage
    ) -> None:
        """`streams` was the whole cost of the poll."""
        self.needs("can_count")
        server.put(1)
        ledger = Ledger()
        pull(source, self.stream(source, server), ledger)
        stream = self.stream(source, server)
        before = server.requests()
        assert pull(source, stream, ledger) == []
        assert server.requests() == before

    def test_what_is_new_comes_alone(
        self, server: Backstage, pull_all: Callable[[Ledger], list[Page]]
    ) -> None:
        """Only what came since the cursor."""
        server.put(1)
        server.put(2)
        ledger = Ledger()
        pull_all(ledger)
        ledger.items.clear()
        server.put(3)
        pull_all(ledger)
        assert self.numbers(server, ledger.items) == [3]

    def test_a_pull_goes_on_after_any_page_it_was_stopped_at(
        self, source: Source, server: Backstage
    ) -> None:
        """Nothing is left out and nothing comes twice, wherever a crash was."""
        for number in range(3 * self.page_size + 1):
            server.put(number)
        stream = self.stream(source, server)
        ledger, moments = Ledger(), []
        for page in source.pull(stream, None, ledger.known):
            ledger.store(page)
            moments.append(ledger.copy())
        for moment in moments:
            pull(source, self.stream(source, server), moment)
            assert self.numbers(server, moment.items) == list(range(3 * self.page_size + 1))

    def test_a_pull_that_is_left_half_way_can_be_begun_again(
        self, source: Source, server: Backstage
    ) -> None:
        """Whoever stops in the middle loses nothing but time."""
        for number in range(3 * self.page_size):
            server.put(number)
        ledger = Ledger()
        pages = source.pull(self.stream(source, server), None, ledger.known)
        ledger.store(next(iter(pages)))
        del pages
        pull(source, self.stream(source, server), ledger)
        assert self.numbers(server, ledger.items) == list(range(3 * self.page_size))

    @pytest.mark.parametrize("cursor", GARBAGE, ids=range(len(GARBAGE)))
    def test_a_cursor_that_is_garbage_is_lost_and_nothing_worse(
        self, source: Source, server: Backstage, cursor: str
    ) -> None:
        """`CursorLost`, even where nothing moved."""
        server.put(1)
        stream = self.stream(source, server)
        with pytest.raises(CursorLost):
            list(source.pull(stream, cursor, dict))
        ledger = Ledger()
        pull(source, stream, ledger)
        assert self.numbers(server, ledger.items) == [1]

    def test_an_item_that_cannot_be_understood_never_stops_the_others(
        self, server: Backstage, pull_all: Callable[[Ledger], list[Page]]
    ) -> None:
        """It comes as an `UnreadableItem`, once, among the readable ones."""
        self.needs("can_spoil")
        server.put(1)
        server.spoil(2)
        server.put(3)
        ledger = Ledger()
        pull_all(ledger)
        assert self.numbers(server, ledger.items) == [1, 3]
        (spoilt,) = [i for i in ledger.items if isinstance(i, UnreadableItem)]
        assert spoilt.key
        assert spoilt.reason
        assert "text of item" not in spoilt.reason
        assert pull_all(ledger) == []

    def test_a_stream_that_was_renumbered_begins_again_with_a_reset(
        self, server: Backstage, pull_all: Callable[[Ledger], list[Page]]
    ) -> None:
        """`reset` on the first page, and everything comes again under new keys."""
        self.needs("can_reset")
        for number in range(self.page_size + 1):
            server.put(number)
        ledger = Ledger()
        pull_all(ledger)
        old = {i.key for i in ledger.items}
        ledger.items.clear()
        server.reset()
        pages = pull_all(ledger)
        assert [p.reset for p in pages] == [True] + [False] * (len(pages) - 1)
        assert self.numbers(server, ledger.items) == list(range(self.page_size + 1))
        assert not old & {i.key for i in ledger.items}
        assert pull_all(ledger) == []

    # -- held --------------------------------------------------------------------------------

    def test_held_lists_the_keys_of_all_that_is_there_each_once(
        self, source: Source, server: Backstage
    ) -> None:
        """What a pull gave, without what is gone since."""
        for number in range(2 * self.page_size + 1):
            server.put(number)
        ledger = Ledger()
        pull(source, self.stream(source, server), ledger)
        server.remove(1)
        pull(source, self.stream(source, server), ledger)
        readable = [i for i in ledger.items if not isinstance(i, UnreadableItem)]
        removed = {i.key for i in readable if server.number_of(i) == 1}
        held = held_keys(source, self.stream(source, server))
        assert sorted(held) == sorted(ledger.versions.keys() - removed)

    def test_held_lists_what_cannot_be_understood_too(
        self, source: Source, server: Backstage
    ) -> None:
        """It is there, whatever it is."""
        self.needs("can_spoil")
        server.put(1)
        server.spoil(2)
        stream, ledger = self.stream(source, server), Ledger()
        pull(source, stream, ledger)
        assert sorted(held_keys(source, stream)) == sorted(ledger.versions)

    def test_held_of_an_empty_stream_is_nothing(self, source: Source, server: Backstage) -> None:
        """No error, no keys."""
        assert held_keys(source, self.stream(source, server)) == []

    def test_held_leaves_out_what_arrived_before_a_time(
        self, source: Source, server: Backstage
    ) -> None:
        """A little more may come, never less."""
        self.needs("arrived")
        assert self.arrived is not None
        server.put(1)
        server.put(2)
        stream = self.stream(source, server)
        days = [timedelta(days=-3), timedelta(), timedelta(days=3)]
        found = [len(held_keys(source, stream, self.arrived + day)) for day in days]
        assert found == [2, 2, 0]

    def test_held_remembers_nothing(self, source: Source, server: Backstage) -> None:
        """A pull afterwards brings everything, the first one and any other."""
        server.put(1)
        stream, ledger = self.stream(source, server), Ledger()
        assert len(held_keys(source, stream)) == 1
        pull(source, stream, ledger)
        server.put(2)
        stream = self.stream(source, server)
        assert len(held_keys(source, stream)) == 2
        pull(source, stream, ledger)
        assert self.numbers(server, ledger.items) == [1, 2]
        assert pull(source, self.stream(source, server), ledger) == []

    def test_held_may_be_asked_between_two_pages(self, source: Source, server: Backstage) -> None:
        """The pull goes on as if nobody had asked."""
        for number in range(2 * self.page_size + 1):
            server.put(number)
        stream, ledger = self.stream(source, server), Ledger()
        for page in source.pull(stream, None, ledger.known):
            ledger.store(page)
            assert len(held_keys(source, stream)) == 2 * self.page_size + 1
        numbers = [*range(2 * self.page_size + 1)]
        assert sorted(self.numbers(server, ledger.items)) == numbers

    def test_what_held_lists_can_be_read(self, source: Source, server: Backstage) -> None:
        """A key is all that is needed, also for what no pull has brought."""
        for number in range(3):
            server.put(number)
        stream = self.stream(source, server)
        locators = [Locator(stream.key, key) for key in held_keys(source, stream)]
        items = [body.item for body in source.read(locators, items=True)]
        assert self.numbers(server, [i for i in items if i is not None]) == [0, 1, 2]

    # -- read --------------------------------------------------------------------------------

    def test_reading_gives_exactly_one_body_for_each_locator(
        self, source: Source, server: Backstage
    ) -> None:
        """In any order, each with its own text."""
        for number in range(5):
            server.put(number)
        stream, ledger = self.stream(source, server), Ledger()
        pull(source, stream, ledger)
        locators = ledger.locators(stream)
        bodies = list(source.read(locators))
        assert sorted(b.locator.key for b in bodies) == sorted(x.key for x in locators)
        assert {b.problem for b in bodies} == {""}
        if self.kind == "mail":
            text = {b.locator.key: b.text for b in bodies}
            for item in ledger.items:
                assert f"text of item {server.number_of(item)}" in text[item.key]

    def test_reading_needs_no_hint(self, source: Source, server: Backstage) -> None:
        """A locator whose hint was lost or belongs to another version works too."""
        server.put(1)
        stream, ledger = self.stream(source, server), Ledger()
        pull(source, stream, ledger)
        (locator,) = ledger.locators(stream)
        for hint in ("", "\x00garbage", "9 from another version"):
            (body,) = source.read([Locator(locator.stream, locator.key, hint)])
            assert not body.gone
            assert not body.problem
            assert self.kind != "mail" or "text of item 1" in body.text

    def test_reading_with_items_gives_the_item_itself_too(
        self, source: Source, server: Backstage
    ) -> None:
        """The item read anew equals the one that was pulled."""
        server.put(1)
        server.put(2)
        stream, ledger = self.stream(source, server), Ledger()
        pull(source, stream, ledger)
        bodies = list(source.read(ledger.locators(stream), items=True))
        assert {b.locator.key: b.item for b in bodies} == {i.key: i for i in ledger.items}

    def test_reading_octets_gives_the_message_itself_in_place_of_its_text(
        self, source: Source, server: Backstage
    ) -> None:
        """Header and text, as they are."""
        self.needs("gives_octets")
        server.put(1)
        server.put(2)
        stream, ledger = self.stream(source, server), Ledger()
        pull(source, stream, ledger)
        numbers = {i.key: server.number_of(i) for i in ledger.items}
        bodies = list(source.read(ledger.locators(stream), octets=True))
        assert len(bodies) == 2
        for body in bodies:
            number = numbers[body.locator.key]
            assert b"item %d" % number in body.octets.partition(b"\n\r\n")[0]
            assert b"text of item %d" % number in body.octets
            assert (body.text, body.attachments, body.problem) == ("", (), "")

    def test_octets_are_cut_at_256_kib(self, source: Source, server: Backstage) -> None:
        """However long the message is."""
        self.needs("can_put_large")
        server.put_large(1)
        stream, ledger = self.stream(source, server), Ledger()
        pull(source, stream, ledger)
        (body,) = source.read(ledger.locators(stream), octets=True)
        assert 255 * 1024 <= len(body.octets) <= 256 * 1024
        assert b"item 1" in body.octets

    def test_octets_of_what_is_no_longer_there_are_gone(
        self, source: Source, server: Backstage
    ) -> None:
        """As its text is."""
        self.needs("gives_octets")
        server.put(0)
        server.put(1)
        stream, ledger = self.stream(source, server), Ledger()
        pull(source, stream, ledger)
        server.remove(0)
        numbers = {i.key: server.number_of(i) for i in ledger.items}
        bodies = list(source.read(ledger.locators(stream), octets=True))
        assert {numbers[b.locator.key]: b.gone for b in bodies} == {0: True, 1: False}

    def test_what_is_no_longer_there_comes_as_gone(self, source: Source, server: Backstage) -> None:
        """Also between others that are there."""
        for number in range(3):
            server.put(number)
        stream, ledger = self.stream(source, server), Ledger()
        pull(source, stream, ledger)
        server.remove(1)
        bodies = list(source.read(ledger.locators(stream)))
        numbers = {i.key: server.number_of(i) for i in ledger.items}
        assert {numbers[b.locator.key]: b.gone for b in bodies} == {0: False, 1: True, 2: False}

    def test_keys_and_streams_that_never_were_are_gone(
        self, source: Source, server: Backstage
    ) -> None:
        """Old witnesses may name what nobody remembers."""
        server.put(1)
        stream = self.stream(source, server)
        strange = [Locator("no such stream", "1:1"), Locator(stream.key, "never:was")]
        assert [b.gone for b in source.read(strange)] == [True, True]

    def test_reading_nothing_asks_nothing(self, source: Source) -> None:
        """An empty list is a list."""
        assert list(source.read([])) == []

    # -- errors, probe, close ----------------------------------------------------------------

    def test_a_connection_that_died_between_two_polls_is_nobodys_concern(
        self, source: Source, server: Backstage
    ) -> None:
        """One quiet reconnect."""
        self.needs("can_break")
        server.put(1)
        ledger = Ledger()
        pull(source, self.stream(source, server), ledger)
        server.break_connection()
        server.put(2)
        pull(source, self.stream(source, server), ledger)
        assert self.numbers(server, ledger.items) == [1, 2]

    def test_after_an_error_the_source_can_be_used_again(
        self, source: Source, server: Backstage
    ) -> None:
        """It connects anew; the error was one of ours."""
        self.needs("can_break")
        server.put(1)
        stream, ledger = self.stream(source, server), Ledger()
        pull(source, stream, ledger)
        server.go_away()
        with pytest.raises(Unreachable) as error:
            source.streams()
        assert error.value.sentence()
        server.come_back()
        server.put(2)
        pull(source, self.stream(source, server), ledger)
        assert self.numbers(server, ledger.items) == [1, 2]

    def test_the_probe_says_that_all_is_well_in_named_steps(self, source: Source) -> None:
        """One finding a step."""
        findings = list(source.probe())
        assert findings
        assert [f for f in findings if not f.ok] == []
        assert len({f.name for f in findings}) == len(findings)

    def test_the_probe_of_a_server_that_is_away_says_what_to_do(
        self, source: Source, server: Backstage
    ) -> None:
        """It does not raise: a finding says it."""
        self.needs("can_break")
        server.go_away()
        findings = list(source.probe())
        assert not findings[-1].ok
        assert findings[-1].problem
        assert findings[-1].advice

    def test_closing_never_raises(self, source: Source, server: Backstage) -> None:
        """Before any use, twice, and when nobody is there any more."""
        source.close()
        source.streams()
        if self.can_break:
            server.go_away()
        source.close()
        source.close()

    def test_everything_that_comes_has_passed_the_one_boundary(
        self, server: Backstage, pull_all: Callable[[Ledger], list[Page]]
    ) -> None:
        """No CR, LF, NUL or lone surrogates in what a header or an event said."""
        server.put(1)
        ledger = Ledger()
        pull_all(ledger)
        (item,) = ledger.items
        for text in texts_of(item):
            assert not set("\r\n\0") & set(text)
            text.encode()


def texts_of(item: Item) -> list[str]:
    """What an item says of itself, where it is short."""
    if isinstance(item, MailItem):
        return [item.key, item.hint, item.envelope.subject, item.envelope.message_id]
    if isinstance(item, EventItem):
        return [item.key, item.version, item.uid, *(o.summary for o in item.occurrences)]
    return [item.key, item.reason]
