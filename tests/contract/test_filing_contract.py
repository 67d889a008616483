"""Mailboxes that keep drafts and Sent copies do what a `Filing` promises."""

import uuid
from datetime import UTC, datetime

import pytest

from connectors.imap import KIND
from connectors.memory.filing import MemoryFiling
from crm_sync.core.errors import Unreachable
from crm_sync.ports import Surroundings
from crm_sync.testing.clock import FixedClock
from crm_sync.testing.filing_contract import DRAFT, FilingContract
from tests.servers.dovecot import PASSWORD
from tests.servers.recording_proxy import RecordingProxy

NOW = datetime(2026, 3, 4, 12, tzinfo=UTC)
CHANGES = {"SELECT", "STORE", "EXPUNGE", "MOVE", "COPY", "DELETE", "CREATE", "RENAME", "CLOSE"}
FOLDERS = {"drafts": "Drafts", "sent": "Sent"}


class Memory:
    def __init__(self, filing):
        self.filing = filing

    def kept(self, place):
        return self.filing.kept[place]

    def put(self, place, message):
        self.filing.kept[place].append(message)

    def break_connection(self):
        """There is none."""

    def go_away(self):
        self.filing.fail(Unreachable("nobody listens"))


class TestMemoryFiling(FilingContract):
    @pytest.fixture
    def filing(self):
        return MemoryFiling()

    @pytest.fixture
    def backstage(self, filing):
        return Memory(filing)


class Mailbox:
    def __init__(self, dovecot, proxy):
        self.dovecot, self.proxy = dovecot, proxy
        self.user = f"karin-{uuid.uuid4().hex[:8]}"
        dovecot.add_user(self.user)

    def rows(self, place, item):
        with self.dovecot.client(self.user) as client:
            client.select_folder(FOLDERS[place], readonly=True)
            found = client.fetch(client.search() or [], [item]) if client.search() else {}
        return [found[uid][item] for uid in sorted(found)]

    def kept(self, place):
        return self.rows(place, b"BODY[]")

    def put(self, place, message):
        self.dovecot.append(self.user, FOLDERS[place], message, NOW)

    def break_connection(self):
        self.proxy.cut()

    def go_away(self):
        self.proxy.refuse()


@pytest.fixture
def proxy(dovecot):
    with RecordingProxy(dovecot.host, dovecot.port) as proxy:
        yield proxy


@pytest.fixture
def backstage(dovecot, proxy):
    return Mailbox(dovecot, proxy)


@pytest.fixture
def filing(backstage):
    options = KIND.options(
        host=backstage.proxy.host,
        port=backstage.proxy.port,
        security="none",
        username=backstage.user,
        password=PASSWORD,
    )
    assert KIND.filing is not None
    filing = KIND.filing(options, Surroundings("karin/imap", FixedClock(NOW), UTC))
    yield filing
    filing.close()


class TestImapFiling(FilingContract):
    @pytest.fixture
    def backstage(self, backstage):
        return backstage

    @pytest.fixture
    def filing(self, filing, backstage):
        yield filing
        # A Filing adds; nothing that is in the mailbox is ever changed or opened for writing.
        assert not CHANGES & set(backstage.proxy.verbs())


@pytest.mark.parametrize(
    ("place", "flags"), [("sent", {b"\\Seen"}), ("drafts", {b"\\Seen", b"\\Draft"})]
)
def test_a_copy_is_seen_a_draft_is_a_draft_and_both_bear_the_date_of_the_mail(
    filing, backstage, place, flags
):
    filing.keep(DRAFT, place)

    (given,) = backstage.rows(place, b"FLAGS")
    assert set(given) - {b"\\Recent"} == flags
    (arrived,) = backstage.rows(place, b"INTERNALDATE")
    assert arrived.astimezone(UTC) == DRAFT.date


def test_a_folder_the_server_names_goes_before_one_that_is_only_called_so(
    filing, backstage, dovecot
):
    dovecot.add_user(backstage.user, ["Skickat", "Gesendet"])
    filing.keep(DRAFT, "sent")

    assert len(backstage.kept("sent")) == 1


def test_where_the_server_names_none_the_folder_is_known_by_its_name(filing, backstage, dovecot):
    dovecot.add_user(backstage.user, ["Skickat"])
    backstage.proxy.on_answer = lambda line: (
        line.replace(b"\\Sent", b"").replace(b'"/" Sent', b'"/" Projects') + b"\r\n"
        if line.startswith(b"* LIST")
        else None
    )
    filing.keep(DRAFT, "sent")

    assert dovecot.uids(backstage.user, "Skickat") == [1]


def test_a_connection_that_breaks_while_the_server_stores_leaves_one_copy(filing, backstage):
    """The answer to APPEND is lost; the next try looks before it puts."""
    proxy = backstage.proxy
    proxy.on_answer = lambda line: (proxy.cut(), b"")[1] if b"Append completed" in line else None
    with pytest.raises(Unreachable):
        filing.keep(DRAFT, "sent")
    proxy.on_answer = None

    assert filing.keep(DRAFT, "sent") is False
    assert len(backstage.kept("sent")) == 1


def test_a_server_that_searches_few_fields_is_asked_for_the_message_id_alone(filing, backstage):
    def refuse(line):
        if b"X-CRM-Sync-Id" in line and b"SEARCH" in line:
            return line.split()[0] + b" NO [CANNOT] such fields are not searched\r\n"
        return None

    backstage.proxy.on_command = refuse
    assert filing.keep(DRAFT, "sent") is True
    assert filing.keep(DRAFT, "sent") is False
    other = "<never@acme.example>"
    assert dict(filing.find([DRAFT.message_id, other])) == {
        DRAFT.message_id: "found",
        other: "cannot_tell",
    }


def test_a_mailbox_without_a_sent_folder_says_so(filing, backstage):
    backstage.proxy.on_answer = lambda line: (
        b"" if line.startswith(b"* LIST") and b"Sent" in line else None
    )
    assert dict(filing.find([DRAFT.message_id])) == {DRAFT.message_id: "cannot_tell"}
    with pytest.raises(Exception, match="no folder for sent mail"):
        filing.keep(DRAFT, "sent")
