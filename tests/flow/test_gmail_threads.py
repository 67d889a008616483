"""Gmail's own conversations: they join mails of one mailbox that do not refer to each other."""

from datetime import UTC

import pytest

from connectors.imap import KIND
from crm_sync.ports import Surroundings
from tests.flow.conftest import DANIEL, KARIN
from tests.servers.scripted_imap import FULL, PASSWORD, USER, ScriptedImap

GMAIL = FULL | {"X-GM-EXT-1"}


@pytest.fixture
def gmail(world):
    """Connects a rep to a server like Gmail's."""
    opened = []
    world.customers("Lena,Nordvik AB,lena@nordvik.example")

    def connect(rep):
        server = ScriptedImap(GMAIL).__enter__()
        options = KIND.options(
            host=server.host, port=server.port, security="none", username=USER, password=PASSWORD
        )
        source = KIND.build(options, Surroundings(f"{rep}/imap", world.clock, UTC))
        world.boxes[f"{rep}/imap"] = (source, rep)
        opened.append((source, server))
        return server

    yield connect
    for source, server in opened:
        source.close()
        server.__exit__()
        assert server.violations == []


def deliver(world, server, rep, subject, conversation):
    raw = (
        f"From: lena@nordvik.example\r\nTo: {rep}\r\nDate: Mon, 2 Mar 2026 08:30:00 +0000\r\n"
        f"Subject: {subject}\r\nMessage-ID: <{subject}@x.example>\r\n\r\ntext\r\n"
    )
    uid = server.deliver(b"INBOX", raw.encode(), world.clock.now())
    server.folders[b"INBOX"].messages[uid].conversation = conversation


def threads(world):
    return {entry["subject"]: entry["thread"] for entry in world.log()}


def test_mails_without_references_are_joined_by_the_conversation_gmail_sees(world, gmail):
    server = gmail(KARIN)
    deliver(world, server, KARIN, "one", 18446744073709551615)
    world.sync()
    deliver(world, server, KARIN, "two", 18446744073709551615)
    deliver(world, server, KARIN, "other", 7)
    world.sync()
    found = threads(world)
    assert found["one"] == found["two"] != found["other"]


def test_the_same_number_in_another_mailbox_is_another_conversation(world, gmail):
    for rep, subject in ((KARIN, "one"), (DANIEL, "two")):
        deliver(world, gmail(rep), rep, subject, 7)
    world.sync()
    found = threads(world)
    assert found["one"] != found["two"]
