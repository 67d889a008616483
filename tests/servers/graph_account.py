"""An account at the loopback Graph, as tests use it: mails, sources, senders, tokens."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

from connectors.graph import MAILBOX, SENDER
from crm_sync.core.records import MailItem, Page, Stream
from crm_sync.ports import Sender, Source, Surroundings
from crm_sync.testing.clock import FixedClock
from crm_sync.testing.source_contract import Ledger, pull
from tests.servers.entra import CLIENT, SECRET, TENANT
from tests.servers.graph import USER, GraphServer

NOW = datetime(2026, 3, 4, 12, tzinfo=UTC)
ACCOUNT = "karin@acme.example/microsoft365"


class MemoryTokens:
    """Tokens in memory; `saved` counts, `held` tells whether the lock is held."""

    def __init__(self) -> None:
        self.text: str | None = None
        self.saved = 0
        self.held = False

    def load(self) -> str | None:
        assert self.held
        return self.text

    def save(self, text: str) -> None:
        assert self.held
        self.text, self.saved = text, self.saved + 1

    @contextmanager
    def lock(self) -> Iterator[None]:
        assert not self.held
        self.held = True
        try:
            yield
        finally:
            self.held = False


class Account:
    """Settings for one server, with a clock that stands still."""

    def __init__(self, graph: GraphServer) -> None:
        self.graph = graph
        self.clock = FixedClock(NOW)
        self.tokens = MemoryTokens()
        self.opened: list[Any] = []

    @property
    def settings(self) -> dict[str, Any]:
        return {
            "username": USER,
            "tenant": TENANT,
            "client_id": CLIENT,
            "base_url": self.graph.root,
            "authority": self.graph.origin,
            "ca_file": self.graph.ca_file,
        }

    @property
    def surroundings(self) -> Surroundings:
        return Surroundings(ACCOUNT, self.clock, UTC, self.tokens)

    def source(self, **options: Any) -> Source:
        given = {"client_secret": SECRET, "page_size": 3} | options
        source = MAILBOX.build(MAILBOX.options(**self.settings | given), self.surroundings)
        self.opened.append(source)
        return source

    def sender(self, **options: Any) -> Sender:
        given = {"client_secret": SECRET} | options
        sender = SENDER.build(SENDER.options(**self.settings | given), self.surroundings)
        self.opened.append(sender)
        return sender

    def close(self) -> None:
        for one in self.opened:
            one.close()

    def deliver(
        self, number: int, at: datetime | None = None, folder: str = "inbox", **row: Any
    ) -> str:
        """Files mail `number`, a minute after the one before."""
        at = at or NOW - timedelta(days=1) + timedelta(minutes=number)
        fields = {"From": "lena@nordvik.example", "To": USER, "Subject": f"item {number}"}
        return self.graph.add(
            f"AQMk-{folder}",
            {
                "receivedDateTime": at.isoformat(timespec="milliseconds"),
                "internetMessageId": f"<{number}@nordvik.example>",
                "internetMessageHeaders": [{"name": n, "value": v} for n, v in fields.items()],
                "body": {"contentType": "text", "content": f"text of item {number}"},
                **row,
            },
        )


def stream_of(source: Source, name: str = "Inkorg") -> Stream:
    """One folder, after a look at the server."""
    return next(s for s in source.streams() if s.name == name)


def poll(source: Source, ledger: Ledger, name: str = "Inkorg") -> list[Page]:
    """A whole poll of one folder."""
    return pull(source, stream_of(source, name), ledger)


def numbers(ledger: Ledger) -> list[int]:
    """Which mails came, in order, repeats kept."""
    return [
        int(i.envelope.subject.removeprefix("item "))
        for i in ledger.items
        if isinstance(i, MailItem)
    ]
