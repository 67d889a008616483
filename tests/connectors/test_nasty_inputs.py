"""Forty-three inputs that broke real mail clients, each with a good mail after it.

They go the whole way, from a mail server into the diary. The number is that of the list we keep of
such inputs; what a parser makes of them in detail is tested where the parser is.
"""

import base64
import shutil
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import pytest

from connectors.imap import KIND
from crm_sync.flow.explain import explain
from crm_sync.ports import Surroundings
from crm_sync.store import diary
from tests.flow.conftest import KARIN, MONDAY, World
from tests.flow.imap_machine_parts import new_diary
from tests.servers.dovecot import PASSWORD as DOVECOT_PASSWORD
from tests.servers.scripted_imap import PASSWORD, USER, ScriptedImap

ACCOUNT = f"{KARIN}/imap"
HOSTILE = base64.b64encode(b"a\r\nBcc: x@evil.example").decode()
DEEP = 2000


@dataclass(frozen=True)
class Nasty:
    """A mail, and what is to become of it: outcome, then what the diary shows of it."""

    raw: bytes
    outcome: str = "logged"
    subject: str | None = "nasty"
    text: str | None = "the text"
    at: datetime | None = None
    files: tuple[str, ...] | None = None


def mail(*fields, body=b"the text\r\n", **changed) -> bytes:
    """A mail of a customer; a field given by its name replaces the usual one, None leaves it out."""
    usual = {
        "From": "Lena <lena@nordvik.example>",
        "To": KARIN,
        "Subject": "nasty",
        "Date": "Mon, 2 Mar 2026 08:30:00 +0000",
        "Message-ID": "<nasty@x.example>",
    }
    usual |= {name.replace("_", "-"): value for name, value in changed.items()}
    lines = [f"{name}: {value}" for name, value in usual.items() if value is not None]
    head = b"\r\n".join(x if isinstance(x, bytes) else x.encode() for x in [*lines, *fields])
    return head + b"\r\n\r\n" + body


def part(about: str, body: bytes) -> bytes:
    return b"--b\r\n" + about.encode() + b"\r\n\r\n" + body + b"\r\n"


def mixed(*parts: bytes) -> bytes:
    first = part("Content-Type: text/plain", b"the text")
    body = first + b"".join(parts) + b"--b--\r\n"
    return mail("MIME-Version: 1.0", 'Content-Type: multipart/mixed; boundary="b"', body=body)


def file(disposition: str, body: bytes = b"eJ8+IgAA", kind: str = "application/ms-tnef") -> bytes:
    about = f"Content-Type: {kind}\r\nContent-Transfer-Encoding: base64\r\n{disposition}"
    return part(about, body)


def typed(content_type: str, body: bytes, encoding: str = "8bit") -> bytes:
    about = f"Content-Type: {content_type}", f"Content-Transfer-Encoding: {encoding}"
    return mail("MIME-Version: 1.0", *about, body=body)


def nested(levels: int) -> bytes:
    head = b"".join(
        b'Content-Type: multipart/mixed; boundary="b%d"\r\n\r\n--b%d\r\n' % (n, n)
        for n in range(levels)
    )
    return mail(body=b"").rstrip() + b"\r\nMIME-Version: 1.0\r\n" + head + b"\r\nthe text\r\n"


def dated(value: str) -> bytes:
    return mail(Date=value)


BOUNCE = mail(
    "Auto-Submitted: auto-replied",
    "MIME-Version: 1.0",
    'Content-Type: multipart/report; report-type=delivery-status; boundary="b"',
    From="MAILER-DAEMON@nordvik.example",
    body=part(
        'Content-Type: multipart/mixed; boundary="c"',
        b'--c\r\nContent-Type: multipart/alternative; boundary="d"\r\n\r\n--d\r\n\r\nx\r\n--d--\r\n--c--',
    )
    + part("Content-Type: message/delivery-status", b"Action: failed\r\nStatus: 5.1.1")
    + b"--b--\r\n",
)
ARRIVED = MONDAY
SENT = datetime(2026, 3, 2, 8, 30, tzinfo=UTC)

MAILS: dict[str, Nasty] = {
    "9.1 brackets in brackets": Nasty(mail(Message_ID="<[nasty@x.example]>")),
    "9.2 comment as a group": Nasty(mail(To="(c):")),
    "9.2 star without a charset": Nasty(typed("text/plain; name*=x; name*", b"the text\r\n")),
    "9.3 trailing comma": Nasty(mail(Cc="a@b.example, ")),
    "9.4 undisclosed recipients": Nasty(mail(To="undisclosed-recipients:;")),
    "9.5 broken off address": Nasty(mail(To='unlisted-recipients:; (no To: "x" <a@b.example')),
    "9.6 year 100": Nasty(dated("Mon, 3 Jan 100 10:00:00 +0000"), at=ARRIVED),
    "9.7 date backwards": Nasty(dated("2002/09/14 Sat"), at=ARRIVED),
    "9.8 date with a comma": Nasty(dated("17 June , 2022"), at=ARRIVED),
    "9.9 dotted time": Nasty(
        dated("Sun, 1 Mar 2026 21.15.03 +0100"), at=datetime(2026, 3, 1, 20, 15, 3, tzinfo=UTC)
    ),
    "9.10 no date at all": Nasty(dated("next Tuesday, if the weather holds"), at=ARRIVED),
    "9.12 NUL": Nasty(mail(Subject="na\0sty", body=b"the\0 text\r\n")),
    "9.13 lone surrogates": Nasty(
        typed("text/plain; charset=utf-8", b"the text\xed\xa0\x80\r\n"), text=None
    ),
    "9.13 surrogate in a word": Nasty(mail(Subject="=?utf-8?Q?nasty=ED=A0=80?="), subject=None),
    "9.14 uft-8": Nasty(
        typed("text/plain; charset=uft-8", "the text å".encode()), text="the text å"
    ),
    "9.14 iso-8859-8-i": Nasty(
        typed("text/plain; charset=iso-8859-8-i", b"the text \xf9"), text="the text ש"
    ),
    "9.14 cp-850": Nasty(typed("text/plain; charset=cp-850", b"the text \x86"), text="the text å"),
    "9.15 empty charset": Nasty(typed('text/plain; charset=""', b"the text\r\n")),
    "9.16 charset lies": Nasty(
        typed("text/plain; charset=us-ascii", "the text å".encode()), text="the text å"
    ),
    "9.17 charset of nobody": Nasty(typed("text/plain; charset=x-\xff", b"the text\r\n")),
    "9.18 raw bytes in headers": Nasty(
        mail(b"X-Mailer: \xff\xfe", Subject=None).replace(b"To: ", b"Subject: Hall\xe5\r\nTo: "),
        subject="Hallå",
    ),
    "9.19 hidden line break": Nasty(
        mail(Subject=f"=?utf-8?B?{HOSTILE}?="), subject="a Bcc: x@evil.example"
    ),
    "9.20 2,000 multiparts": Nasty(nested(DEEP), text=None),
    "9.20 3,000 messages": Nasty(
        mail(b"Content-Type: message/rfc822", body=b"Content-Type: message/rfc822\r\n\r\n" * 3000),
        text=None,
    ),
    "9.21 3,000 parentheses": Nasty(mail(Cc="(" * 3000 + " x@y.example")),
    "9.21 5,000 addresses": Nasty(mail(Cc=", ".join(f"a{n}@b.example" for n in range(5000)))),
    "9.22 a word that can't be folded": Nasty(mail(Subject="å" * 3000), subject="å" * 998),
    "9.23 multipart without boundary": Nasty(typed("multipart/mixed", b"the text\r\n"), text=None),
    "9.24 endless HTML": Nasty(
        typed("text/html", b"<div>" * 20_000 + b"the text" + b"<table><tr><td>" * 9000)
    ),
    "9.25 winmail.dat": Nasty(
        mixed(file('Content-Disposition: attachment; filename="winmail.dat"', b"////" * 9)),
        files=("winmail.dat",),
    ),
    "9.26 invitation in TNEF": Nasty(
        mixed(
            file(
                'Content-Disposition: attachment; filename="winmail.dat"',
                base64.b64encode(b"\x78\x9f\x3e\x22IPM.Microsoft Schedule.MtgReq"),
            )
        ),
        files=("winmail.dat",),
    ),
    "9.27 message in base64": Nasty(
        mixed(file("Content-Disposition: attachment", base64.b64encode(mail()), "message/rfc822"))
    ),
    "9.28 folded file name": Nasty(
        mixed(
            file('Content-Disposition: attachment; filename="a\r\n b.pdf"', kind="application/pdf")
        ),
        files=("a b.pdf",),
    ),
    "9.29 endless file name": Nasty(
        mixed(file(f'Content-Disposition: attachment; filename="{"n" * 5000}.pdf"'))
    ),
    "9.30 endless Message-ID": Nasty(mail(Message_ID=f"<{'x' * 3000}@x.example>")),
    "9.31 2,000 recipients": Nasty(
        mail(To=",\r\n ".join(f"a{n}@acme.example" for n in range(2000)))
    ),
    "9.31 more recipients than a header may hold": Nasty(
        mail(To=",\r\n ".join(f"a{n}@acme.example" for n in range(9000)))
    ),
    "9.32 comment after the version": Nasty(mail("MIME-Version: 1.0 (1.0)")),
    "9.36 encoded comma": Nasty(mail(From="=?utf-8?Q?Berg=2C_Lena?= <lena@nordvik.example>")),
    "9.37 two From": Nasty(mail("From: other@stranger.example")),
    "9.37 empty From": Nasty(mail(From=""), outcome="ignored"),
    "9.37 empty groups": Nasty(mail(To="a:;, b:;", Cc=":;")),
    **{
        f"9.37 encoding {name}": Nasty(typed("text/plain", body, name))
        for name, body in {
            "7BIT": b"the text",
            "8Bit": b"the text",
            "BINARY": b"the text",
            "Quoted-Printable": b"the=20te=\r\nxt",
            "Base64": b"dGhlIHRleHQ=",
            "x-none": b"the text",
            "": b"the text",
        }.items()
    },
    "9.38 parts in parts of a bounce": Nasty(BOUNCE, outcome="ignored"),
    "9.41 placeholder": Nasty(
        mail(
            From='"Microsoft Exchange Server" <lena@nordvik.example>',
            Subject="Retrieval using the IMAP4 protocol failed for the following message: 2469",
        ),
        outcome="quarantined",
    ),
    "9.43 domain literal": Nasty(mail(Cc="lena@[192.0.2.1]")),
    "9.43 quoted local part": Nasty(mail(Cc='"le@na b"@x.example')),
    "9.43 MAILER-DAEMON": Nasty(mail(From="MAILER-DAEMON"), outcome="ignored"),
}

GOOD = "good"


def good(number: int = 0) -> bytes:
    return mail(Subject=f"{GOOD} {number}", Message_ID=f"<good{number}@x.example>")


@pytest.fixture(scope="module")
def template(tmp_path_factory):
    return new_diary(tmp_path_factory.mktemp("template"))


@pytest.fixture
def server():
    with ScriptedImap() as server:
        yield server
        assert server.violations == []


@pytest.fixture
def office(template, tmp_path):
    """A diary, and a way to open a mailbox in it."""
    shutil.copy(template, tmp_path / "diary.db")
    world = World(tmp_path)
    opened = []

    def open_mailbox(port, user=USER, password=PASSWORD):
        options = KIND.options(
            host="127.0.0.1", port=port, security="none", username=user, password=password
        )
        opened.append(KIND.build(options, Surroundings(ACCOUNT, world.clock, UTC)))
        world.boxes[ACCOUNT] = (opened[-1], KARIN)
        return world

    yield open_mailbox
    for source in opened:
        source.close()
    world.store.close()


def logged(world, start=""):
    return [e for e in world.log() if e["subject"].startswith(start)]


def quarantine(world):
    with world.store.read() as tx:
        return diary.quarantined(tx)


def sync(world):
    (pulled,) = world.sync()
    assert pulled.error is None
    return pulled


def assert_fate(world, nasty, pulled):
    counts = {name: getattr(pulled, name) for name in ("logged", "unmatched", "ignored", "errors")}
    wanted = "errors" if nasty.outcome == "quarantined" else nasty.outcome
    usual = {"logged": 1, "unmatched": 0, "ignored": 0, "errors": 0}
    assert counts == usual | {wanted: usual[wanted] + 1}
    assert len(quarantine(world)) == (nasty.outcome == "quarantined")
    found = [e for e in world.log() if not e["subject"].startswith(GOOD)]
    assert len(found) == (nasty.outcome == "logged")
    for entry in found:
        if nasty.subject is not None:
            assert entry["subject"] == nasty.subject
        if nasty.text is not None:
            assert world.text(entry["id"]) == nasty.text
        if nasty.files is not None:
            assert tuple(entry["attachments"]) == nasty.files
        assert entry["occurred_at"] == f"{nasty.at or SENT:%Y-%m-%dT%H:%M:%SZ}"


@pytest.mark.parametrize("nasty", MAILS.values(), ids=list(MAILS))
def test_a_nasty_mail_has_its_place_and_the_good_one_after_it_is_logged(server, office, nasty):
    server.deliver(b"INBOX", nasty.raw, ARRIVED)
    server.deliver(b"INBOX", good(), ARRIVED)
    world = office(server.port)
    pulled = sync(world)
    assert [e["subject"] for e in logged(world, GOOD)] == ["good 0"]
    assert_fate(world, nasty, pulled)
    assert sync(world).seen == 0


def test_all_of_them_at_once_in_a_real_mailbox_cost_no_good_mail(dovecot, office):
    mails = []
    for number, nasty in enumerate(MAILS.values()):
        mails += [(nasty.raw, ARRIVED), (good(number), ARRIVED)]
    dovecot.seed("nasty", "INBOX", mails)
    before = dovecot.flags("nasty", "INBOX")
    world = office(dovecot.port, "nasty", DOVECOT_PASSWORD)
    pulled = sync(world)
    assert {e["subject"] for e in logged(world, GOOD)} == {f"good {n}" for n in range(len(MAILS))}
    assert pulled.seen == 2 * len(MAILS)
    assert pulled.seen == pulled.logged + pulled.unmatched + pulled.ignored + pulled.errors
    assert dovecot.flags("nasty", "INBOX") == before


def test_9_1_a_message_id_in_brackets_is_found_again(server, office):
    server.deliver(b"INBOX", mail(Message_ID="<[nasty@x.example]>"), ARRIVED)
    world = office(server.port)
    sync(world)
    assert explain(world.setup, "<[nasty@x.example]>")[0]["outcome"] == "logged"


@pytest.mark.parametrize("arrival", ["missing", "short"])
def test_9_11_a_date_of_arrival_may_be_missing_or_short(server, office, arrival):
    server.lies.arrival = arrival
    server.deliver(b"INBOX", mail(Date="?"), ARRIVED)
    server.deliver(b"INBOX", good(), ARRIVED)
    world = office(server.port)
    sync(world)
    assert [e["subject"] for e in logged(world)] == ["nasty", "good 0"]
    assert logged(world, "nasty")[0]["occurred_at"] == "2026-03-02T09:00:00Z"


def test_9_33_an_empty_body_is_no_reason_to_lose_the_mail(server, office):
    server.lies.empty = True
    server.deliver(b"INBOX", mail(), ARRIVED)
    server.deliver(b"INBOX", good(), ARRIVED)
    world = office(server.port)
    sync(world)
    assert len(logged(world)) == 2


def test_9_34_mails_without_message_id_stay_apart(server, office):
    for text in ("one", "two"):
        server.deliver(b"INBOX", mail(Message_ID=None, Subject=text), ARRIVED)
    server.deliver(b"INBOX", mail(Message_ID=None, Subject="two"), ARRIVED)
    world = office(server.port)
    sync(world)
    assert sorted(e["subject"] for e in logged(world)) == ["one", "two", "two"]


def test_9_35_one_message_id_on_two_mails_makes_two_interactions(server, office):
    server.deliver(b"INBOX", mail(), ARRIVED)
    other = mail(Subject="other", Date="Mon, 2 Mar 2026 07:00:00 +0000")
    server.deliver(b"INBOX", other, ARRIVED)
    world = office(server.port)
    sync(world)
    assert sorted(e["subject"] for e in logged(world)) == ["nasty", "other"]


ODD_NAMES = (b" lead", b"R&D", b"2024", b"a\tb", b"A&zzz")


def test_9_39_and_9_40_folders_of_any_name_are_pulled(server, office):
    server.lies.raw_list = [b'* LIST (\\HasNoChildren) NIL "flat"\r\n', b"* LIST () NIL NIL\r\n"]
    for number, name in enumerate(ODD_NAMES):
        server.make(name)
        server.deliver(name, good(number), ARRIVED)
    server.make(b"flat")
    world = office(server.port)
    sync(world)
    assert len(logged(world)) == len(ODD_NAMES)


def test_9_42_a_poisoned_mail_is_quarantined_and_not_asked_for_for_ever(server, office):
    server.deliver(b"INBOX", mail(), ARRIVED)
    server.deliver(b"INBOX", good(), ARRIVED)
    server.folders[b"INBOX"].messages[1].poison = "NO"
    world = office(server.port)
    for _ in range(12):
        sync(world)
        world.clock.advance(timedelta(hours=13))
    assert len(quarantine(world)) == 1
    assert [e["subject"] for e in logged(world)] == ["good 0"]
    server.history.clear()
    sync(world)
    assert "FETCH" not in server.verbs()
