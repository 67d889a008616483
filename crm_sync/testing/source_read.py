"""The contract of `Source.read`."""

from crm_sync.core.records import Locator
from crm_sync.ports import Source
from crm_sync.testing.ledger import Ledger, pull
from crm_sync.testing.source_stage import Backstage, SourceStage


class ReadContract(SourceStage):
    """One test for each sentence of `Source.read`."""

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
