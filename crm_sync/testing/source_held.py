"""The contract of `Source.held`."""

from datetime import timedelta

from crm_sync.core.records import Locator, UnreadableItem
from crm_sync.ports import Source
from crm_sync.testing.ledger import Ledger, held_keys, pull
from crm_sync.testing.source_stage import Backstage, SourceStage


class HeldContract(SourceStage):
    """One test for each sentence of `Source.held`."""

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
