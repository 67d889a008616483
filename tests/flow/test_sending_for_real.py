"""A greeting leaves by a real SMTP server and its copy goes into a real Sent folder, once."""

import uuid
from datetime import UTC, datetime, time, timedelta

import pytest
from pydantic import SecretStr

from connectors.imap import KIND as IMAP
from connectors.smtp import KIND as SMTP
from crm_sync.core.errors import Unreachable
from crm_sync.core.records import Address
from crm_sync.flow import dispatch, plan
from crm_sync.flow.post import GreetingRule, Way
from crm_sync.ports import Surroundings
from tests.servers.dovecot import PASSWORD
from tests.servers.recording_proxy import RecordingProxy
from tests.servers.smtp import Fault, SmtpServer

KARIN = "karin@acme.example"
HEADER = "name,company,emails,birthday,language,timezone,greeting_basis,owner"
HOSTILE = "Lena\r\nBcc: all@acme.example\r\n.\r\nQUIT\r\n"


class Office:
    """A world whose sender is an SMTP server and whose Sent folder is in Dovecot."""

    def __init__(self, world, smtp, dovecot, proxy):
        self.world, self.smtp, self.dovecot, self.proxy = world, smtp, dovecot, proxy
        self.user = f"karin-{uuid.uuid4().hex[:8]}"
        dovecot.add_user(self.user)
        row = f"Lena Vik,Nordvik AB,lena@nordvik.example,1980-03-04,sv,,consent,{KARIN}"
        world.customers(row, header=HEADER)
        world.clock.move_to(datetime(2026, 3, 4, 8, 30, tzinfo=UTC))
        self.filing = self.open_filing
        world.ways = {
            KARIN: Way(
                Address(KARIN, "Karin Ek"),
                self.open_sender,
                open_filing=self.filing,
                keeps_copy=True,
            )
        }
        world.drafts = {KARIN: self.filing}

    def open_sender(self):
        options = SMTP.options(
            host=self.smtp.host, port=self.smtp.port, security="none", dot_timeout=1
        )
        return SMTP.build(options, Surroundings("karin/smtp", self.world.clock, UTC))

    def open_filing(self):
        options = IMAP.options(
            host=self.proxy.host,
            port=self.proxy.port,
            security="none",
            username=self.user,
            password=SecretStr(PASSWORD),
        )
        return IMAP.filing(options, Surroundings("karin/imap", self.world.clock, UTC))

    def turns(self, count=4):
        for _ in range(count):
            self.world.turn()
            self.world.clock.advance(timedelta(minutes=20))

    def folder(self, name):
        with self.dovecot.client(self.user) as client:
            client.select_folder(name, readonly=True)
            uids = client.search()
            return [row[b"BODY[]"] for row in client.fetch(uids, [b"BODY[]"]).values()]

    @property
    def sent(self):
        return [octets for _, _, octets in self.smtp.messages]

    @property
    def states(self):
        return [row["state"] for row in self.world.outbox()]


@pytest.fixture
def office(make_world, dovecot):
    with SmtpServer() as smtp, RecordingProxy(dovecot.host, dovecot.port) as proxy:

        def make(customers="auto"):
            rule = GreetingRule("birthday", time(9), customers)
            return Office(make_world(greetings=(rule,)), smtp, dovecot, proxy)

        yield make


def test_the_copy_in_sent_is_what_left_to_the_octet(office):
    office = office()
    office.turns()

    assert office.states == ["sent"]
    assert office.folder("Sent") == office.sent
    assert len(office.sent) == 1
    assert office.smtp.messages[0][0] == KARIN


@pytest.mark.parametrize("step", ["before APPEND", "after APPEND", "answer lost"])
def test_a_death_around_the_append_leaves_one_copy_and_sends_nothing_again(office, step):
    office = office()

    class Killed(BaseException):
        pass

    whole = type(office.open_filing()).keep

    def dying(filing, draft, place):
        if step == "after APPEND":
            whole(filing, draft, place)
        raise Killed

    if step == "answer lost":
        cut = lambda line: (office.proxy.cut(), b"")[1] if b"Append completed" in line else None  # noqa: E731
        office.proxy.on_answer = cut
        assert isinstance(office.world.turn().error, Unreachable)
        office.proxy.on_answer = None
    else:
        with pytest.MonkeyPatch.context() as patch, pytest.raises(Killed):
            patch.setattr(type(office.open_filing()), "keep", dying)
            office.world.turn()
        office.world.restart()
    office.world.clock.advance(timedelta(minutes=20))
    office.turns()

    assert office.states == ["sent"]
    assert office.folder("Sent") == office.sent
    assert len(office.sent) == 1


def test_a_mail_in_doubt_that_the_provider_filed_is_found_in_sent(office):
    office = office()
    office.smtp.script(Fault("dot", "close", taken=True))
    office.world.turn()
    assert office.states == ["in_doubt"]
    # Some providers file what they took; Exchange gives it another id.
    octets = office.sent[0].replace(b"Message-ID:", b"Message-ID: <x@outlook.example>\r\nX-Old:")
    office.dovecot.append(office.user, "Sent", octets)
    office.turns()

    assert office.states == ["sent"]
    assert len(office.sent) == 1
    assert len(office.folder("Sent")) == 1


def test_a_draft_lies_in_drafts_and_nothing_is_sent(office):
    office = office("draft")
    office.turns()

    assert office.states == ["drafted"]
    (draft,) = office.folder("Drafts")
    assert b"From: Karin Ek <karin@acme.example>" in draft
    assert office.sent == []
    assert office.folder("Sent") == []


@pytest.mark.parametrize("customers", ["auto", "draft"])
def test_a_hostile_name_adds_no_field_no_recipient_and_no_command(office, customers):
    office = office(customers)
    plan.plan(office.world.setup, office.world.post)
    with office.world.store.write() as tx:
        tx.exec_driver_sql("UPDATE outbox SET recipient_name = ?, subject = ?", (HOSTILE, HOSTILE))
    dispatch.dispatch(office.world.setup, office.world.post)

    written = office.sent or office.folder("Drafts")
    (head,) = (octets.partition(b"\r\n\r\n")[0] for octets in written)
    assert not any(line.lower().startswith(b"bcc:") for line in head.split(b"\r\n"))
    assert all(to == ["lena@nordvik.example"] for _, to, _ in office.smtp.messages)
    assert office.states == ["sent" if customers == "auto" else "drafted"]
