"""Microsoft 365 keeps the promises of a source and of a sender, on a loopback Graph."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any, ClassVar

import pytest

from connectors.graph import MAILBOX, SENDER
from crm_sync.core.records import Item, MailItem
from crm_sync.ports import Sender, Source, Surroundings
from crm_sync.testing.clock import FixedClock
from crm_sync.testing.sender_contract import Mailed, SenderContract, Trouble
from crm_sync.testing.source_contract import SourceContract
from tests.servers.entra import CLIENT, SECRET, TENANT
from tests.servers.graph import USER, GraphServer, running
from tests.servers.graph_http import Reply, problem, throttled

NOW = datetime(2026, 3, 4, 12, tzinfo=UTC)


def settings_for(graph: GraphServer) -> dict[str, Any]:
    return {
        "username": USER,
        "tenant": TENANT,
        "client_id": CLIENT,
        "client_secret": SECRET,
        "base_url": graph.root,
        "authority": graph.origin,
        "ca_file": graph.ca_file,
    }


def surroundings() -> Surroundings:
    return Surroundings("karin@acme.example/microsoft365", FixedClock(NOW), UTC)


class GraphBackstage:
    stream_name = "Inkorg"

    def __init__(self, graph: GraphServer) -> None:
        self.graph = graph
        self.keys: dict[int, str] = {}

    def put(self, number: int, more: str = "") -> None:
        header = {
            "From": "Lena <lena@nordvik.example>",
            "To": USER,
            "Subject": f"item {number}",
            "Message-ID": f"<{number}@nordvik.example>",
            "Date": "Sun, 1 Mar 2026 09:30:00 +0100",
        }
        row = {
            "receivedDateTime": f"2026-03-01T08:30:{number:02d}.500000+00:00",
            "internetMessageId": header["Message-ID"],
            "internetMessageHeaders": [{"name": n, "value": v} for n, v in header.items()],
            "body": {"contentType": "text", "content": f"text of item {number}\r\n{more}"},
        }
        self.keys[number] = self.graph.add("AQMk-inbox", row)

    def put_large(self, number: int) -> None:
        self.put(number, "x" * 300_000)

    def spoil(self, number: int) -> None:
        row = {"receivedDateTime": f"2026-03-01T08:30:{number:02d}.500000+00:00"}
        self.keys[number] = self.graph.add("AQMk-inbox", row)

    def remove(self, number: int) -> None:
        self.graph.remove(self.keys[number])

    def number_of(self, item: Item) -> int:
        assert isinstance(item, MailItem)
        return int(item.envelope.subject.removeprefix("item "))

    def reset(self) -> None:
        raise NotImplementedError

    def break_connection(self) -> None:
        self.graph.break_connections()

    def go_away(self) -> None:
        self.graph.go_away()

    def come_back(self) -> None:
        self.graph.come_back()

    def requests(self) -> int:
        return len(self.graph.outer)


class TestMicrosoft365(SourceContract):
    can_reset = False  # immutable ids are never renumbered
    can_break = True
    can_count = True
    can_put_large = True
    arrived = datetime(2026, 3, 1, 8, 30, tzinfo=UTC)

    @pytest.fixture
    def server(self) -> Iterator[GraphBackstage]:
        with running() as graph:
            yield GraphBackstage(graph)
            assert graph.busiest <= 1
            assert {line.split()[0] for line in graph.outer} <= {"GET", "POST"}
            assert {a.method for a in graph.asked} <= {"GET"}

    @pytest.fixture
    def source(self, server: GraphBackstage) -> Iterator[Source]:
        options = MAILBOX.options(**settings_for(server.graph), page_size=self.page_size)
        source = MAILBOX.build(options, surroundings())
        yield source
        source.close()


class GraphSenderContract(SenderContract):
    drafts: ClassVar[bool]
    mail_path: ClassVar[str]
    sending_path: ClassVar[str]

    @pytest.fixture
    def graph(self) -> Iterator[GraphServer]:
        with running() as graph:
            yield graph

    @pytest.fixture
    def sender(self, graph: GraphServer) -> Iterator[Sender]:
        options = SENDER.options(
            **settings_for(graph), drafts=self.drafts, per_minute=30, timeout=0.8
        )
        sender = SENDER.build(options, surroundings())
        yield sender
        sender.close()

    @pytest.fixture
    def mailbox(self, graph: GraphServer):
        return lambda: [Mailed(m.recipients, m.data) for m in graph.mailed]

    @pytest.fixture
    def make_trouble(self, graph: GraphServer, sender: Sender):
        replies = {
            "throttled": (self.mail_path, throttled()),
            "refuses_mail": (self.mail_path, problem(400, "ErrorInvalidRecipients")),
            "refuses_account": (self.mail_path, problem(403, "ErrorAccessDenied")),
            "silent_after_end": (self.sending_path, Reply(silent=True)),
            "gone_after_end": (self.sending_path, Reply(cut=True)),
            "throttled_after_end": (self.sending_path, throttled()),
            "refuses_after_end": (self.sending_path, problem(400, "ErrorMessageSizeExceeded")),
        }

        def make(trouble: Trouble) -> None:
            if trouble == "unreachable":
                graph.refuse_next()
            else:
                graph.script_once(*replies[trouble])

        return make


class TestMicrosoft365AtOnce(GraphSenderContract):
    """In one request nothing is refused before its end."""

    drafts = False
    mail_path = sending_path = "/sendMail"
    troubles: ClassVar = frozenset(
        {
            "unreachable",
            "silent_after_end",
            "gone_after_end",
            "throttled_after_end",
            "refuses_after_end",
        }
    )


class TestMicrosoft365ByDraft(GraphSenderContract):
    drafts = True
    mail_path = "/messages"
    sending_path = "/send"
    troubles: ClassVar = frozenset(
        {
            "unreachable",
            "throttled",
            "refuses_mail",
            "refuses_account",
            "silent_after_end",
            "gone_after_end",
            "throttled_after_end",
            "refuses_after_end",
        }
    )
