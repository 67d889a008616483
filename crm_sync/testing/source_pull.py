"""The contract of `Source.pull`."""

from collections.abc import Callable

import pytest

from crm_sync.core.errors import CursorLost
from crm_sync.core.records import Page, UnreadableItem
from crm_sync.ports import Source
from crm_sync.testing.ledger import Ledger, pull
from crm_sync.testing.source_stage import Backstage, SourceStage

GARBAGE = ("", "null", "[]", "{}", "0", '"x"', "\x00", "{" * 5000, '{"v": 999}', '{"v": true}')
"""Cursors that no connector has written."""


class PullContract(SourceStage):
    """One test for each sentence of `Source.pull`."""

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
