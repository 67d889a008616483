"""Who marked a mail of ours as unwanted."""

import pytest

from crm_sync.core.complaints import Complaint, read_complaint

RETURNED = """\
From: karin@acme.example
To: Lena <lena@nordvik.example>
Message-ID: <m1@acme.example>

Hej
"""


def report(fields, returned=RETURNED, kind="message/rfc822"):
    return f"""\
From: feedback@mail.example
To: abuse@acme.example
Subject: Complaint
MIME-Version: 1.0
Content-Type: multipart/report; report-type=feedback-report; boundary="b"

--b
Content-Type: text/plain

This is a report about a message.
--b
Content-Type: message/feedback-report

{fields}
--b
Content-Type: {kind}

{returned}
--b--
""".encode()


def test_a_complaint_names_who_complained_and_the_mail():
    raw = report(
        "Feedback-Type: abuse\nUser-Agent: X/1\nOriginal-Rcpt-To: <Lena@Nordvik.example>\n"
    )
    expected = Complaint(("lena@nordvik.example",), "abuse", ("<m1@acme.example>",))
    assert read_complaint(raw) == expected


def test_where_the_report_names_nobody_the_returned_mail_does():
    found = read_complaint(report("Feedback-Type: abuse\nVersion: 1\n"))
    assert found is not None
    assert found.addresses == ("lena@nordvik.example",)


def test_a_mail_to_several_says_of_none_that_she_complained():
    returned = RETURNED.replace("\nMessage-ID", ", per@nordvik.example\nMessage-ID")
    found = read_complaint(report("Feedback-Type: abuse\n", returned))
    assert found is not None
    assert found.addresses == ()
    assert found.original_ids == ("<m1@acme.example>",)


def test_the_header_alone_will_do():
    found = read_complaint(report("Feedback-Type: fraud\n", kind="text/rfc822-headers"))
    assert found == Complaint(("lena@nordvik.example",), "fraud", ("<m1@acme.example>",))


@pytest.mark.parametrize("kind", ["auth-failure", "not-spam", "virus", "Not-Spam"])
def test_reports_that_complain_of_nothing_are_none(kind):
    assert read_complaint(report(f"Feedback-Type: {kind}\n")) is None


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"\0",
        b"Subject: Hej\r\n\r\nOriginal-Rcpt-To: lena@nordvik.example",
        b"Content-Type: message/rfc822\n\n" * 9000,
        b"Content-Type: multipart/report; report-type=feedback-report; boundary=b\n\n--b",
    ],
)
def test_other_mail_is_no_complaint(raw):
    assert read_complaint(raw) is None
