"""Which address a report is about, whether it failed for good, and which mail came back."""

import time
from datetime import UTC, datetime, timedelta

import pytest

from crm_sync.core.bounces import Bounce, Failure, is_dead, kind_of, read_bounce, score

NOW = datetime(2026, 8, 3, 12, 0, tzinfo=UTC)
RETURNED = """\
Content-Type: message/rfc822

From: Karin Ek <karin@acme.example>
To: Lena <lena@nordvik.example>
Subject: Offert
Message-ID: <m1@acme.example>
X-CRM-Sync-Id: <g7@acme.example>

Hej Lena
"""
TEXT = "Content-Type: text/plain\n\nSorry. Your message did not arrive.\n"


def mail(*parts, kind="multipart/report; report-type=delivery-status", ends="\r\n"):
    lines = [
        "From: Mail Delivery System <MAILER-DAEMON@mx.example>",
        "To: karin@acme.example",
        "Subject: Undelivered Mail Returned to Sender",
        "MIME-Version: 1.0",
        f'Content-Type: {kind}; boundary="b"',
        "",
        *(f"--b\n{part}" for part in parts),
        "--b--",
    ]
    return "\n".join(lines).replace("\n", ends).encode()


def status(*groups):
    head = "Content-Type: message/delivery-status\n\nReporting-MTA: dns; mx.example\n"
    return head + "".join(f"\n{group}\n" for group in groups)


def failed(code="5.1.1", address="lena@nordvik.example", action="failed", more=""):
    return f"Final-Recipient: rfc822; {address}\nAction: {action}\nStatus: {code}{more}"


def test_a_report_names_recipient_code_and_the_mail_that_came_back():
    assert read_bounce(mail(TEXT, status(failed()), RETURNED)) == Bounce(
        (Failure(("lena@nordvik.example",), "hard", "5.1.1"),),
        ("<m1@acme.example>", "<g7@acme.example>"),
    )


@pytest.mark.parametrize("ends", ["\r\n", "\n", "\r"])
def test_any_line_ends_will_do(ends):
    bounce = read_bounce(mail(TEXT, status(failed()), ends=ends))
    assert [f.addresses for f in bounce.failures] == [("lena@nordvik.example",)]


def test_each_recipient_is_judged_by_herself():
    groups = [
        failed(address="lena@nordvik.example"),
        failed("4.4.7", "per@nordvik.example"),
        failed("2.0.0", "ida@nordvik.example", "delivered"),
        failed("4.4.1", "ulf@nordvik.example", "delayed"),
        failed("2.0.0", "list@nordvik.example", "expanded"),
    ]
    found = {f.addresses[0]: f.kind for f in read_bounce(mail(TEXT, status(*groups))).failures}
    assert found == {
        "lena@nordvik.example": "hard",
        "per@nordvik.example": "soft",
        "ulf@nordvik.example": "delayed",
    }


def test_the_address_that_was_written_to_comes_before_the_one_it_was_forwarded_to():
    group = (
        failed(address="lena77@mail.example") + "\nOriginal-Recipient: rfc822;Lena@Nordvik.example"
    )
    (failure,) = read_bounce(mail(TEXT, status(group))).failures
    assert failure.addresses == ("lena@nordvik.example", "lena77@mail.example")


def test_the_recipient_of_the_returned_mail_is_a_last_guess():
    group = failed(address="lena77@mail.example")
    (failure,) = read_bounce(mail(TEXT, status(group), RETURNED)).failures
    assert failure.addresses == ("lena77@mail.example", "lena@nordvik.example")


def test_a_code_that_says_nothing_gives_way_to_that_of_the_last_server():
    group = failed("5.0.0", more="\nDiagnostic-Code: smtp; 552 5.2.2 Over quota")
    (failure,) = read_bounce(mail(TEXT, status(group))).failures
    assert (failure.kind, failure.status) == ("soft", "5.2.2")


def test_where_only_the_header_came_back_its_ids_are_read():
    header = "Content-Type: text/rfc822-headers\n\nMessage-ID: <m1@acme.example>\nSubject: Offert\n"
    assert read_bounce(mail(TEXT, status(failed()), header)).original_ids == ("<m1@acme.example>",)


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        ("5.1.1", "hard"),
        ("5.1.2", "hard"),
        ("5.1.10", "hard"),
        ("5.0.0", "hard"),
        ("5.2.1", "hard"),
        ("5.4.4", "hard"),
        ("5.4.1", "hard"),
        ("", "hard"),
        ("5.2.2", "soft"),
        ("5.2.3", "soft"),
        ("5.3.4", "soft"),
        ("5.4.6", "soft"),
        ("5.6.1", "soft"),
        ("5.7.1", "soft"),
        ("5.1.8", "soft"),
        ("4.2.2", "soft"),
        ("4.1.1", "soft"),
    ],
)
def test_only_what_tells_of_the_address_is_for_good(code, kind):
    assert kind_of(code) == kind
    assert kind_of(code, delayed=True) == "delayed"


FREE_FORMS = {
    "qmail": """\
From: MAILER-DAEMON@mx.example
To: karin@acme.example
Subject: failure notice

Hi. This is the qmail-send program at mx.example.
I'm afraid I wasn't able to deliver your message to the following addresses.
This is a permanent error; I've given up. Sorry it didn't work out.

<lena@nordvik.example>:
192.0.2.1 does not like recipient.
Remote host said: 550 5.1.1 no mailbox here by that name

--- Below this line is a copy of the message.

Return-Path: <karin@acme.example>
Message-ID: <m1@acme.example>
To: per@nordvik.example
""",
    "exim": """\
From: Mail Delivery System <Mailer-Daemon@mx.example>
To: karin@acme.example
X-Failed-Recipients: lena@nordvik.example
Subject: Mail delivery failed: returning message to sender

This message was created automatically by mail delivery software.
A message that you sent could not be delivered to one or more of its recipients.

  lena@nordvik.example
    unrouteable address

------ This is a copy of the message, including all the headers. ------

Message-ID: <m1@acme.example>
""",
    "plain words": """\
From: postmaster@mx.example
To: karin@acme.example
Subject: Undeliverable: Offert

There was an error delivering your mail to <lena@nordvik.example>.
550 5.1.1 rejected our RCPT TO

Original message follows.

Message-ID: <m1@acme.example>
From: Karin Ek <karin@acme.example>
""",
    "fields in the text": """\
From: postmaster@mx.example
To: karin@acme.example
Subject: Undeliverable: Offert

Technical report:
Final-Recipient: rfc822; lena@nordvik.example
Action: failed
Status: 5.1.1

Message-ID: <m1@acme.example>
""",
    "the returned mail alone": """\
From: postmaster@mx.example
To: karin@acme.example
Subject: Undeliverable: Offert
Content-Type: multipart/mixed; boundary=b

--b
Content-Type: text/plain

The recipient does not exist (5.1.1).
--b
Content-Type: message/rfc822

To: lena@nordvik.example
Message-ID: <m1@acme.example>

Hej
--b--
""",
}


@pytest.mark.parametrize("form", FREE_FORMS)
def test_free_forms_are_understood_too(form):
    bounce = read_bounce(FREE_FORMS[form].replace("\n", "\r\n").encode())
    assert [(f.addresses[0], f.kind) for f in bounce.failures] == [("lena@nordvik.example", "hard")]
    assert bounce.original_ids == ("<m1@acme.example>",)


def test_a_full_mailbox_is_no_dead_one_without_any_code():
    raw = FREE_FORMS["qmail"].replace("550 5.1.1 no mailbox here by that name", "mailbox is full")
    assert [f.kind for f in read_bounce(raw.encode()).failures] == ["soft"]


def test_a_warning_in_words_is_no_failure():
    raw = """\
From: postmaster@mx.example
To: karin@acme.example
Subject: Warning: message delayed 24 hours

Your message has not yet been delivered to all its recipients:
  lena@nordvik.example
Delivery attempts will continue for some days.
"""
    (failure,) = read_bounce(raw.encode()).failures
    assert failure == Failure(("lena@nordvik.example",), "delayed")


def test_neither_we_nor_the_mail_system_is_what_failed():
    raw = """\
From: postmaster@mx.example
To: karin@acme.example
Subject: Undeliverable: Offert

Your mail could not be delivered. Write to postmaster@mx.example or hostmaster@mx.example.
From: k.ek@acme.example
"""
    assert read_bounce(raw.encode()) == Bounce()


def test_ids_are_clean_and_few():
    ids = "".join(f"Message-ID: <{n}\x07@x.example>\n" for n in range(1000))
    found = read_bounce(FREE_FORMS["plain words"].encode() + ids.encode()).original_ids
    assert len(found) <= 10
    assert all(text.isprintable() for text in found)


NESTED = "".join(
    f"--b{n}\nContent-Type: multipart/mixed; boundary=b{n + 1}\n\n" for n in range(4000)
)
HOSTILE = {
    "nothing": b"",
    "noise": bytes(range(256)) * 1000,
    "nesting": b"Content-Type: multipart/report; boundary=b0\n\n" + NESTED.encode(),
    "forwards": b"Content-Type: message/rfc822\n\n" * 9000,
    "groups": mail(status(*[failed(address=f"a{n}@b.example") for n in range(3000)])),
    "fields": b"\n\n" + b"Final-Recipient: rfc822;" + b" " * 250000,
    "addresses": FREE_FORMS["plain words"].encode() + b"<a@b.example> " * 18000,
    "ids": b"\n\n" + b"Message-ID: <" * 20000,
    "digits": FREE_FORMS["plain words"].encode() + b"5.1." * 60000,
    "encoded": b"Content-Transfer-Encoding: base64\n\n" + b"A" * 250000,
    "charset": b"Content-Type: text/plain; charset=no-such\n\nlena@nordvik.example",
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_hostile_reports_cost_little(kind):
    began = time.perf_counter()
    assert len(read_bounce(HOSTILE[kind]).failures) <= 50
    assert time.perf_counter() - began < 3


def days_ago(days, kind="hard"):
    return kind, NOW - timedelta(days=days)


def test_a_hard_bounce_marks_an_address_for_a_fortnight_and_fades():
    assert is_dead(score([days_ago(0)], NOW))
    assert is_dead(score([days_ago(14)], NOW))
    assert not is_dead(score([days_ago(16)], NOW))
    assert score([days_ago(31)], NOW) == 0
    assert is_dead(score([days_ago(20), days_ago(16)], NOW))


def test_soft_bounces_count_only_together():
    assert not is_dead(score([days_ago(0, "soft")], NOW))
    assert is_dead(score([days_ago(n, "soft") for n in (0, 1, 2)], NOW))
    assert not is_dead(score([days_ago(n, "soft") for n in (0, 25, 29)], NOW))


def test_a_bounce_from_a_clock_that_is_ahead_weighs_no_more():
    assert score([days_ago(-5)], NOW) == score([days_ago(0)], NOW)
