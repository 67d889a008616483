"""What a test remembers of a stream, as the diary would, and pulls into it."""

from collections.abc import Mapping
from datetime import datetime

from crm_sync.core.records import Item, Locator, MailItem, Page, Stream, UnreadableItem
from crm_sync.ports import Source


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
