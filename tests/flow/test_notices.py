"""What reports and automatic replies leave: knowledge about an address of a contact, no words."""

from dataclasses import replace
from datetime import date, datetime, time, timedelta

import pytest
from sqlalchemy import text

from connectors.memory.source import Mail
from crm_sync.core.errors import Unreachable, Unreadable
from crm_sync.core.headers import parse_envelope
from crm_sync.flow.notices import OLDEST
from crm_sync.flow.post import GreetingRule
from crm_sync.store import customers, outbox
from crm_sync.store import notices as known

KARIN, LENA = "karin@acme.example", "lena@nordvik.example"
BOUNCE = """\
Return-Path: <>
From: Mail Delivery System <MAILER-DAEMON@mx.example>
To: karin@acme.example
Subject: Undelivered Mail Returned to Sender
Date: {date}
Message-ID: <{id}@mx.example>
Content-Type: multipart/report; report-type=delivery-status; boundary="b"

--b
Content-Type: text/plain

Zebrafish: no such mailbox.
--b
Content-Type: message/delivery-status

Reporting-MTA: dns; mx.example

Final-Recipient: rfc822; {to}
Action: {action}
Status: {status}
--b
Content-Type: text/rfc822-headers

To: {to}
Subject: Giraffe
Message-ID: {about}
--b--
"""
REPLY = """\
From: {author}
To: karin@acme.example
Subject: Automatic reply: Giraffe
Date: {date}
Message-ID: <{id}@nordvik.example>
Auto-Submitted: auto-replied
Content-Type: text/plain

Zebrafish! {text}
"""
COMPLAINT = """\
From: feedback@mail.example
To: karin@acme.example
Subject: Complaint
Date: {date}
Message-ID: <{id}@mail.example>
Content-Type: multipart/report; report-type=feedback-report; boundary="b"

--b
Content-Type: message/feedback-report

Feedback-Type: abuse
{named}
--b
Content-Type: message/rfc822

To: undisclosed-recipients:;
Message-ID: {about}

Zebrafish
--b--
"""


class Office:
    """Karin's mailbox, with Lena as a contact and whatever arrives."""

    def __init__(self, world):
        self.world, self.box = world, world.mailbox()
        world.customers(f"Lena Vik,Nordvik AB,{LENA}")
        self.number = 0

    def deliver(self, template, at=None, **words):
        at = at or self.world.clock.now()
        self.number += 1
        stamp = f"{at:%a, %d %b %Y %H:%M:%S} +0000"
        raw = template.format(date=stamp, id=f"n{self.number}", **words)
        octets = raw.replace("\n", "\r\n").encode()
        said = octets.partition(b"\r\n\r\n")[2].decode()
        return self.box.deliver(Mail(parse_envelope(octets), at, said, raw=octets))

    def bounce(
        self, to=LENA, *, at=None, status="5.1.1", action="failed", about="<m0@acme.example>"
    ):
        return self.deliver(BOUNCE, at, to=to, status=status, action=action, about=about)

    def reply(self, sentence, *, at=None, author=f"Lena Vik <{LENA}>"):
        return self.deliver(REPLY, at, text=sentence, author=author)

    def events(self):
        with self.world.store.read() as tx:
            found = customers.listing(tx, None)
            known.attach(tx, found)
        return [e for c in found for p in c["contacts"] for e in p["address_events"]]

    def waiting(self):
        with self.world.store.read() as tx:
            return tx.execute(text("SELECT count(*) FROM notice")).scalar_one()

    def undeliverable(self):
        with self.world.store.read() as tx:
            return known.undeliverable(tx, [LENA], self.world.clock.now())

    def absent(self, on):
        with self.world.store.read() as tx:
            return known.absent(tx, [LENA], on)


@pytest.fixture
def office(world):
    return Office(world)


def test_a_bounce_becomes_an_event_on_the_address_and_no_interaction(office):
    office.bounce("Lena@Nordvik.example")
    (pulled,) = office.world.sync()

    assert office.events() == [
        {
            "address": LENA,
            "kind": "hard_bounce",
            "at": "2026-03-02T09:00:00Z",
            "status": "5.1.1",
            "until": None,
            "deputy": "",
        }
    ]
    assert office.world.log() == []
    assert (pulled.ignored, pulled.error, office.waiting()) == (1, None, 0)


def test_nothing_is_kept_of_words_or_of_addresses_that_no_contact_has(office):
    office.bounce("stranger@faraway.example")
    office.bounce()
    office.reply("I am away until 14 March. Contact per@nordvik.example.")
    office.reply("I am away until 14 March.", author="Sten <sten@elsewhere.example>")
    office.world.sync()

    assert len(office.events()) == 2
    with office.world.store.read() as tx:
        tables = tx.execute(text("SELECT name FROM sqlite_master WHERE type = 'table'")).scalars()
        rows = [tx.execute(text(f"SELECT * FROM {name}")).all() for name in tables]
    for word in ("zebrafish", "giraffe", "faraway", "elsewhere", "mx.example"):
        assert word not in repr(rows).lower()


def test_an_automatic_reply_tells_until_when_and_who_answers_instead(office):
    office.reply("I am on leave until 14 March. Please contact Per@nordvik.example instead.")
    office.world.sync()

    (event,) = office.events()
    assert (event["kind"], event["until"], event["deputy"]) == (
        "absence",
        "2026-03-15",
        "per@nordvik.example",
    )
    away = {LENA: known.Away(date(2026, 3, 15), "per@nordvik.example")}
    assert office.absent(date(2026, 3, 14)) == away
    assert office.absent(date(2026, 3, 15)) == {}


def test_the_newest_reply_counts(office):
    office.reply("I am away until 14 March.")
    office.reply("I am away until 5 March.", at=office.world.clock.now() + timedelta(hours=1))
    office.world.sync()
    assert office.absent(date(2026, 3, 4))[LENA].until == date(2026, 3, 6)


def test_a_receipt_and_a_mere_delay_are_no_events(office):
    office.reply("Thank you for your message. We answer soon.")
    office.bounce(status="4.4.1", action="delayed")
    office.world.sync()
    assert (office.events(), office.waiting()) == ([], 0)


def test_the_same_report_in_two_mailboxes_or_pulled_again_is_one_event(office):
    office.bounce()
    world = office.world
    other = world.mailbox("daniel@acme.example")
    other.deliver(next(iter(office.box._held["INBOX"].mails.values())))
    world.sync()
    office.box.reset_uidvalidity()
    world.sync()
    assert len(office.events()) == 1


def test_reports_of_long_ago_are_not_read(office):
    office.bounce(at=office.world.clock.now() - OLDEST - timedelta(days=1))
    office.world.sync()
    assert (office.events(), office.waiting()) == ([], 0)


def test_what_is_gone_is_forgotten_and_what_fails_is_tried_again_five_times(office):
    reads = []
    read = office.box.read

    def troubled(locators, **wishes):
        if wishes.get("octets"):
            reads.append(len(locators))
            return [replace(body, octets=b"", problem="spoilt") for body in read(locators)]
        return read(locators, **wishes)

    office.box.read = troubled
    office.bounce()
    for _ in range(8):
        office.world.sync()
    assert (office.events(), office.waiting(), reads) == ([], 0, [1] * 5)


def test_a_report_that_is_expunged_meanwhile_leaves_no_trace(office):
    key = office.bounce()
    read = office.box.read

    def late(locators, **wishes):
        if wishes.get("octets"):
            office.box.remove(key)
        return read(locators, **wishes)

    office.box.read = late
    office.world.sync()
    assert (office.events(), office.waiting()) == ([], 0)


def test_a_server_that_breaks_off_is_asked_again_at_the_next_pull(office):
    read = office.box.read

    def broken(locators, **wishes):
        office.box.read = read
        raise Unreachable("the connection broke")

    office.bounce()
    office.box.read = broken
    (pulled,) = office.world.sync()
    assert pulled.error is not None
    assert (office.events(), office.waiting()) == ([], 1)

    office.world.sync()
    assert len(office.events()) == 1


class Shelter:
    """A shelter that notes what it is asked, and may find the work too much."""

    def __init__(self, *, strict):
        self.asked, self.strict = [], strict

    def call(self, function, /, *arguments):
        self.asked.append(function.__name__)
        if self.strict:
            raise Unreadable("it takes too much time or memory to read")
        return function(*arguments)


def test_bytes_of_strangers_are_understood_in_the_shelter(office):
    world, shelter = office.world, Shelter(strict=False)
    world.setup = replace(world.setup, shelter=shelter)
    office.bounce()
    office.reply("I am away until 14 March.")
    world.sync()
    assert {e["kind"] for e in office.events()} == {"hard_bounce", "absence"}
    assert sorted(shelter.asked) == ["read_absence", "read_bounce", "read_complaint"]


def test_what_is_too_much_for_the_shelter_stops_nothing(office):
    world = office.world
    world.setup = replace(world.setup, shelter=Shelter(strict=True))
    office.bounce()
    office.box.deliver(world.mail())
    (pulled,) = world.sync()
    assert (pulled.error, world.subjects(), office.events()) == (None, ["Offert"], [])
    assert office.waiting() == 1


# -- what it is good for ----------------------------------------------------------------------


def test_a_dead_address_is_undeliverable_until_time_or_a_mail_from_it_heals_it(office):
    world = office.world
    office.bounce()
    world.sync()
    start = world.clock.now()
    assert office.undeliverable() == {LENA: known.Trouble("bounce", start, "5.1.1")}

    world.clock.move_to(start + timedelta(days=16))
    assert office.undeliverable() == {}

    world.clock.move_to(start + timedelta(days=1))
    assert office.undeliverable() != {}
    office.box.deliver(world.mail(sender=f"Lena <{LENA}>"))
    world.sync()
    assert office.undeliverable() == {}


def test_an_automatic_reply_does_not_heal_an_address(office):
    office.bounce()
    office.reply("I am away until 14 March.", at=office.world.clock.now() + timedelta(hours=1))
    office.world.sync()
    assert office.undeliverable()[LENA].kind == "bounce"


def test_one_full_mailbox_is_no_dead_address_and_three_in_a_row_are(office):
    office.bounce(status="5.2.2")
    office.world.sync()
    assert office.undeliverable() == {}
    office.bounce(status="5.2.2")
    office.bounce(status="4.2.2")
    office.world.sync()
    assert office.undeliverable()[LENA].kind == "bounce"


def test_a_complaint_stays(office):
    office.deliver(COMPLAINT, named=f"Original-Rcpt-To: {LENA}", about="<m0@acme.example>")
    office.world.sync()
    (event,) = office.events()
    assert event["kind"] == "complaint"
    office.world.clock.move_to(office.world.clock.now() + timedelta(days=400))
    assert office.undeliverable()[LENA].kind == "complaint"


HEADER = "name,company,emails,birthday,language,timezone,greeting_basis,owner"


@pytest.fixture
def greeted(make_world):
    world = make_world(greetings=(GreetingRule("birthday", time(9), "auto"),))
    office = Office(world)
    world.customers(f"Lena Vik,Nordvik AB,{LENA},1980-03-04,sv,,consent,{KARIN}", header=HEADER)
    world.clock.move_to(datetime.fromisoformat("2026-03-04T08:00Z"))
    world.turn()
    (row,) = world.outbox()
    assert row["state"] == "sent"
    return office, row


def test_a_bounce_of_our_own_mail_is_joined_to_it(greeted):
    office, row = greeted
    office.bounce("lena77@forwarded.example", about=row["message_id"])
    office.world.sync()
    (event,) = office.events()
    assert (event["address"], event["kind"]) == (LENA, "hard_bounce")
    with office.world.store.read() as tx:
        assert known.bounced(tx, [row["id"], 4711])[row["id"]]["status"] == "5.1.1"


def test_the_outbox_tells_which_mail_came_back_and_when(greeted):
    office, row = greeted
    assert bounced_in_the_outbox(office) == [None]
    office.deliver(COMPLAINT, named="Redacted-Address: redacted", about=row["message_id"])
    office.world.sync()
    assert bounced_in_the_outbox(office) == [None], "who complains has got it"
    for days in (1, 2):
        office.bounce(about=row["message_id"], at=office.world.clock.now() + timedelta(days=days))
    office.world.sync()
    assert bounced_in_the_outbox(office) == ["2026-03-06"]
    assert [mail["state"] for mail in office.world.outbox()] == ["sent"]


def bounced_in_the_outbox(office):
    with office.world.store.read() as tx:
        mails = outbox.listing(tx)
        known.attach_bounces(tx, mails)
    return [mail["bounced"] for mail in mails]


def test_a_complaint_that_blots_names_out_is_found_by_our_mail(greeted):
    office, row = greeted
    office.deliver(COMPLAINT, named="Redacted-Address: redacted", about=row["message_id"])
    office.world.sync()
    assert [e["kind"] for e in office.events()] == ["complaint"]
