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

from collections.abc import Callable

import pytest

from crm_sync.core.errors import Unreachable
from crm_sync.core.records import EventItem, Item, MailItem, Page
from crm_sync.ports import Source
from crm_sync.testing.ledger import Ledger, held_keys, locate, pull
from crm_sync.testing.source_held import HeldContract
from crm_sync.testing.source_pull import PullContract
from crm_sync.testing.source_read import ReadContract
from crm_sync.testing.source_stage import Backstage

__all__ = ["Backstage", "Ledger", "SourceContract", "held_keys", "locate", "pull"]


class SourceContract(PullContract, HeldContract, ReadContract):
    """One test for each sentence of `Source`; the subclass gives `server` and `source`."""

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
