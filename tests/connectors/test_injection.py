"""Strangers' words never become commands of ours, nor fields or recipients of a mail of ours.

Each hostile value goes everywhere a stranger can put one: Message-ID, References, subject, names,
addresses, folder names, user names. The scripted server counts tags and takes nothing but reading.
"""

import base64
import re
import shutil
from datetime import UTC, datetime, time, timedelta
from email import message_from_bytes, policy

import pytest
from pydantic import SecretStr

from connectors.imap import KIND
from connectors.smtp import KIND as SMTP
from crm_sync.core.errors import CrmSyncError, Refused
from crm_sync.core.records import Locator, Stream
from crm_sync.flow.explain import explain
from crm_sync.flow.post import GreetingRule
from crm_sync.ports import Surroundings
from tests.flow.conftest import KARIN, MONDAY, World
from tests.flow.imap_machine_parts import new_diary
from tests.servers.scripted_imap import FULL, PASSWORD, PLAIN, USER, ScriptedImap
from tests.servers.smtp import SmtpServer

ACCOUNT = f"{KARIN}/imap"
COMMAND = "EVIL1 DELETE INBOX"
VALUES = {
    "CR LF and a command": f"x\r\n{COMMAND}\r\n",
    "LF and a command": f"x\n{COMMAND}\n",
    "CR and a command": f"x\r{COMMAND}\r",
    "NUL": f"x\0{COMMAND}",
    "quotes": f'x" "y\\" {COMMAND} \\',
    "a literal": "{5}",
    "a literal that waits for nobody": f"{{19+}}\r\n{COMMAND}\r\n",
    "parentheses and wildcards": "(*) [%] ) BODY[]",
    "eight bits": "ÿþ å \x85\u2028x",
    "controls": "\x1b[2J\x08\x7f",
    "a header": "x\r\nBcc: evil@evil.example\r\nX-Evil: yes",
    "an encoded header": "=?utf-8?Q?x=0D=0ABcc:_evil@evil.example?=",
    "an SMTP command": "x>\r\nRCPT TO:<evil@evil.example",
    "the end of the data": "x\r\n.\r\nRCPT TO:<evil@evil.example>\r\n",
    "5,000 characters": "x" * 5000,
}
READING = {
    *(
        "CAPABILITY",
        "LOGIN",
        "AUTHENTICATE",
        "LOGOUT",
        "NOOP",
        "LIST",
        "STATUS",
        "EXAMINE",
        "UNSELECT",
        "CLOSE",
    ),
    *("SEARCH", "FETCH", "IDLE"),
}

hostile_values = pytest.mark.parametrize("value", VALUES.values(), ids=list(VALUES))


@pytest.fixture
def server():
    with ScriptedImap() as server:
        yield server
        assert server.violations == []
        assert set(server.verbs()) <= READING
        assert not [line for line in server.history if re.match(rb"EVIL|RCPT|Bcc", line)]


def build(server, world_clock, **options):
    usual = {"host": server.host, "port": server.port, "security": "none"}
    usual |= {"username": USER, "password": PASSWORD}
    return KIND.options(**usual | options), Surroundings(ACCOUNT, world_clock, UTC)


@pytest.fixture(scope="module")
def template(tmp_path_factory):
    return new_diary(tmp_path_factory.mktemp("template"))


@pytest.fixture
def world(template, tmp_path, server):
    shutil.copy(template, tmp_path / "diary.db")
    world = World(tmp_path)
    source = KIND.build(*build(server, world.clock))
    world.boxes[ACCOUNT] = (source, KARIN)
    yield world
    source.close()
    world.store.close()


def encoded(value: str) -> bytes:
    return b"=?utf-8?B?%b?=" % base64.b64encode(value.encode())


def mail_with(value: str, write) -> bytes:
    """A customer's mail in which a stranger has put `value` wherever there is room."""
    said = write(value)
    lines = [
        b"From: %b <lena@nordvik.example>" % said,
        b"To: %b <karin@acme.example>, <%b@stranger.example>" % (said, said),
        b"Subject: " + said,
        b"Date: Mon, 2 Mar 2026 08:30:00 +0000",
        b"Message-ID: <%b@x.example>" % said,
        b"In-Reply-To: <%b>" % said,
        b"References: <%b> <%b>" % (said, said),
        b"MIME-Version: 1.0",
        b'Content-Type: multipart/mixed; boundary="b"; x="%b"' % said,
        b"\r\n--b\r\nContent-Type: text/plain; charset=%b\r\n\r\ntext" % said,
        b'--b\r\nContent-Type: application/pdf; name="%b"' % said,
        b'Content-Disposition: attachment; filename="%b"\r\n\r\nx\r\n--b--' % said,
    ]
    return b"\r\n".join(lines) + b"\r\n"


def raw(value: str) -> bytes:
    return value.encode("utf-8", "surrogateescape")


GOOD = b"From: lena@nordvik.example\r\nSubject: good\r\nMessage-ID: <g@x.example>\r\n\r\ntext\r\n"


def one_line(text: str) -> bool:
    return not re.search(r"[\r\n\0]", text)


@hostile_values
@pytest.mark.parametrize("write", [encoded, raw])
def test_a_hostile_mail_is_pulled_read_held_and_explained_without_a_foreign_command(
    server, world, value, write
):
    server.deliver(b"INBOX", mail_with(value, write), MONDAY)
    server.deliver(b"INBOX", GOOD, MONDAY)
    (pulled,) = world.sync()
    assert pulled.error is None
    assert pulled.seen == 2
    assert "good" in world.subjects()
    for entry in world.log():
        told = [entry["subject"], entry["message_id"] or "", *entry["attachments"]]
        assert all(map(one_line, [*told, *entry["contacts"]]))
    source = world.boxes[ACCOUNT][0]
    (inbox,) = source.streams()
    held = [key for keys in source.held(inbox, None) for key in keys]
    bodies = list(source.read([Locator(inbox.key, key) for key in held], items=True))
    assert len(bodies) == 2
    assert explain(world.setup, value)
    assert explain(world.setup, f"<{value}@x.example>")


@hostile_values
@pytest.mark.parametrize("capabilities", [FULL, PLAIN], ids=["full", "plain"])
def test_a_hostile_folder_name_in_a_listing_stops_neither_listing_nor_folders(
    server, world, value, capabilities
):
    server.capabilities = capabilities
    name = raw(value)
    server.lies.raw_list = [
        b'* LIST () "/" {%d}\r\n%b\r\n' % (len(name), name),
        b"* STATUS {%d}\r\n%b (UIDNEXT 9 UIDVALIDITY 9)\r\n" % (len(name), name),
    ]
    if not re.search(rb"[\0\r\n]", name):
        server.make(name)
        server.deliver(name, GOOD.replace(b"good", b"in it"), MONDAY)
        server.lies.raw_list = []
    server.deliver(b"INBOX", GOOD, MONDAY)
    for _ in range(2):
        (pulled,) = world.sync()
        assert pulled.error is None
        world.clock.advance(timedelta(hours=1))
    assert "good" in world.subjects()


@hostile_values
def test_hostile_places_are_gone_and_hostile_ids_absent(server, world, value):
    server.deliver(b"INBOX", GOOD, MONDAY)
    world.sync()
    source = world.boxes[ACCOUNT][0]
    places = [Locator(value, "1:1"), Locator("INBOX", value), Locator("INBOX", f"101:{value}")]
    assert [body.gone for body in source.read(places)] == [True, True, True]
    strange = Stream(value, value, "mail")
    assert [key for keys in source.held(strange, None) for key in keys] == []
    assert [item for page in source.pull(strange, None, dict) for item in page.items] == []
    server.make(b"Sent", b"\\Sent")
    filing = KIND.filing(*build(server, world.clock))
    if one_line(value):
        assert set(filing.find([f"<{value}>"]).values()) == {"absent"}
    else:
        with pytest.raises(CrmSyncError) as caught:
            filing.find([f"<{value}>"])
        assert one_line(caught.value.sentence())
    filing.close()


@hostile_values
@pytest.mark.parametrize("key", ["username", "password"])
def test_a_hostile_user_name_or_password_signs_in_to_nothing(server, world, value, key):
    if key == "username" and len(value) > 500:
        value = value[:500]
    source = KIND.build(*build(server, world.clock, **{key: value}))
    with pytest.raises(Refused) as caught:
        source.streams()
    assert one_line(caught.value.sentence())
    assert COMMAND not in caught.value.sentence() or key == "username"
    source.close()


# -- mails of ours ----------------------------------------------------------------------------

OURS = {
    *("From", "To", "Reply-To", "Subject", "Date", "Message-ID", "MIME-Version"),
    *("Content-Type", "Content-Language", "Auto-Submitted", "X-Auto-Response-Suppress"),
    *("X-CRM-Sync-Id", "References", "In-Reply-To", "Precedence", "Return-Path"),
    *("List-Unsubscribe", "List-Unsubscribe-Post", "X-CRM-Sync", "Feedback-ID"),
}
"""All fields that a mail of ours may have."""


@pytest.fixture
def outgoing(template, tmp_path):
    """A diary that sends over a real submission server."""
    folder = tmp_path / "outgoing"
    folder.mkdir()
    shutil.copy(template, folder / "diary.db")
    with SmtpServer(users={"crm": "planted-password"}) as submission:
        options = SMTP.options(
            host=submission.host, port=submission.port, security="none", username="crm",
            password=SecretStr("planted-password"),
        )  # fmt: skip
        sender = SMTP.build(options, Surroundings("team/smtp", clock=None, zone=UTC))
        rules = (GreetingRule("birthday", time(9), "auto"),)
        world = World(folder, sender=sender, greetings=rules)
        yield world, submission
        sender.close()
        world.store.close()


def assert_ours(submission, recipients, count):
    assert len(submission.messages) == count
    for _, to, octets in submission.messages:
        message = message_from_bytes(octets, policy=policy.default)
        assert set(message.keys()) <= OURS
        assert len(message.keys()) == len({name.lower() for name in message})
        assert [a.addr_spec for a in message["From"].addresses] == ["crm@acme.example"]
        assert [a.addr_spec for a in message["To"].addresses] == list(to)
        assert list(to) == [recipients.pop(0)]
        assert [p.get_content_type() for p in message.iter_parts()] == ["text/plain", "text/html"]
        answers = message["Reply-To"].addresses if "Reply-To" in message else ()
        assert [a.addr_spec for a in answers] in ([], [KARIN])
    said = bytes(submission.wire).upper()
    assert said.count(b"\r\nRCPT TO:") == count
    assert submission.said.count("RCPT") == count


@hostile_values
def test_a_greeting_to_a_hostile_name_has_our_fields_and_one_recipient(outgoing, value):
    world, submission = outgoing
    cell = value.replace('"', '""')
    taken = world.customers(
        f'"{cell}","{cell}",bo@bo.example,1980-03-04,consent,{KARIN}',
        header="name,company,emails,birthday,greeting_basis,owner",
    )
    world.clock.move_to(datetime(2026, 3, 4, 10, tzinfo=UTC))
    world.turn()
    # What no name can hold is turned away by its line.
    assert taken["created"] + len(taken["rejected"]) == 1
    assert_ours(submission, ["bo@bo.example"], taken["created"])


@hostile_values
def test_a_digest_about_hostile_mail_has_our_fields_and_one_recipient(outgoing, server, value):
    world, submission = outgoing
    source = KIND.build(*build(server, world.clock))
    world.boxes[ACCOUNT] = (source, KARIN)
    world.sync()
    world.clock.advance(timedelta(minutes=5))
    server.deliver(b"INBOX", mail_with(value, encoded), world.clock.now())
    world.sync()
    world.clock.move_to(MONDAY + timedelta(days=4, hours=1))
    world.turn()
    source.close()
    assert_ours(submission, [KARIN], 1)
