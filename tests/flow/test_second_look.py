"""What the text of a mail may change about its header's verdict."""

from datetime import timedelta
from types import SimpleNamespace

import pytest

from crm_sync.core.classification import classify, classify_body
from crm_sync.core.headers import parse_envelope
from crm_sync.core.records import Body, Locator
from crm_sync.flow.notices import OLDEST
from crm_sync.flow.second_look import note, second_look
from tests.flow.test_notices import LENA, Office

HEADER = (
    b"From: Lena <lena@nordvik.example>\r\nTo: karin@acme.example\r\nSubject: Offer\r\n"
    b"Message-ID: <1@nordvik.example>\r\n"
)
FOOTER = "Hello Karin, yes please.\n\nLena\nNordvik AB. Unsubscribe from our invitations here."


def looked_at(header: bytes, text: str) -> str | None:
    envelope = parse_envelope(header)
    assert classify(envelope) is None, "only what the header lets in is looked at again"
    entry = SimpleNamespace(
        item=SimpleNamespace(envelope=envelope), verdict=SimpleNamespace(direction="inbound")
    )
    found = second_look(note(entry), Body(Locator("INBOX", "1:1"), text))
    assert found == (None if envelope.in_reply_to else classify_body(envelope, text))
    return found


def test_a_person_with_a_word_of_mass_mail_in_the_footer_stays_in_the_diary():
    assert looked_at(HEADER, FOOTER) is None


def test_the_same_word_counts_where_the_header_has_a_sign_of_mass_mail_too():
    assert looked_at(HEADER + b"Reply-To: sales@other.example\r\n", FOOTER) == "bulk"
    assert looked_at(HEADER.replace(b"Message-ID", b"X-ID"), FOOTER) == "bulk"


def test_mail_to_many_is_recognised_with_its_text():
    many = b"To: " + b", ".join(b"p%d@d%d.example" % (n, n) for n in range(30)) + b"\r\n"
    assert looked_at(HEADER.replace(b"To: karin@acme.example\r\n", many), FOOTER) == "bulk"


def test_an_answer_is_a_persons_whatever_it_says():
    assert looked_at(HEADER + b"In-Reply-To: <0@acme.example>\r\n", FOOTER * 3) is None


def test_a_report_in_the_text_of_an_ordinary_header_is_found():
    assert looked_at(HEADER, "This is an automatically generated message.") == "automatic"


# -- what then becomes known about an address ------------------------------------------------

FREE_FORM = """\
From: {author}
To: karin@acme.example
Subject: Giraffe
Date: {date}
Message-ID: <{id}@mx.example>

Hi. This is the qmail-send program at mx.nordvik.example.
I'm afraid I wasn't able to deliver your message to the following addresses.
This is a permanent error; I've given up. Sorry it didn't work out.

<per@nordvik.example>:
Sorry, no such user here. (#5.1.1)

--- Below this line is a copy of the message.

Return-Path: <karin@acme.example>
From: karin@acme.example
To: per@nordvik.example
Message-ID: {about}
Subject: Giraffe

Zebrafish
"""
PROGRAM = """\
From: {author}
To: karin@acme.example
Subject: Giraffe
Date: {date}
Message-ID: <{id}@nordvik.example>

This is an automated message. I am away until 14 March. Contact per@nordvik.example.
"""


@pytest.fixture
def office(world):
    world.customers("Per,Nordvik AB,per@nordvik.example")
    return Office(world)


def test_a_bounce_that_only_its_text_betrays_is_an_event_after_the_same_pull(office):
    office.deliver(FREE_FORM, author=f"Post <{LENA}>", about="<m0@acme.example>")
    (pulled,) = office.world.sync()
    (event,) = office.events()
    assert (event["address"], event["kind"], event["status"]) == (
        "per@nordvik.example",
        "hard_bounce",
        "5.1.1",
    )
    assert (pulled.ignored, pulled.logged, pulled.error) == (1, 0, None)
    assert (office.world.log(), office.waiting()) == ([], 0)


def test_such_a_bounce_is_an_event_once_however_often_it_is_seen(office):
    office.deliver(FREE_FORM, author=f"Post <{LENA}>", about="<m0@acme.example>")
    office.box.copy("1:1", "INBOX", "Sent")
    office.world.sync()
    office.box.reset_uidvalidity()
    office.world.sync()
    assert len(office.events()) == 1


def test_such_a_bounce_of_long_ago_is_not_read(office):
    before = office.world.clock.now() - OLDEST - timedelta(days=1)
    office.deliver(FREE_FORM, before, author=f"Post <{LENA}>", about="<m0@acme.example>")
    office.world.sync()
    assert (office.world.log(), office.events(), office.waiting()) == ([], [], 0)


def test_an_absence_that_only_its_text_betrays_is_an_event_of_whoever_is_known(office):
    office.deliver(PROGRAM, author=f"Lena Vik <{LENA}>")
    office.deliver(PROGRAM, author="Sten <sten@nordvik.example>")
    office.world.sync()
    assert [(e["address"], e["kind"], e["until"]) for e in office.events()] == [
        (LENA, "absence", "2026-03-15")
    ]
    assert (office.world.log(), office.waiting()) == ([], 0)
