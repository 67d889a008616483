"""Which kind of machine mail a report is, by what its header says of it."""

from crm_sync.core.classification import classify
from crm_sync.core.headers import parse_envelope
from crm_sync.core.mailboxes import parse_addresses
from crm_sync.core.records import Address


def reason(*fields: str) -> str | None:
    return classify(parse_envelope("\r\n".join(["To: karin@acme.example", *fields]).encode()))


def test_a_mail_servers_refusal_by_a_receipt_is_no_bounce():
    fields = "From: postmaster@nordvik.example", "Auto-Submitted: auto-replied (rejected)"
    kind = "multipart/report; report-type=disposition-notification; boundary=b"
    assert reason(*fields, f"Content-Type: {kind}") == "automatic"


def test_a_delivery_report_is_a_bounce_whoever_sends_it():
    kind = "Content-Type: multipart/report; report-type=delivery-status; boundary=b"
    assert (
        reason("From: noreply@mail.example", "Return-Path: <>", "Subject: Hello", kind) == "bounce"
    )
    assert (
        reason("From: MAILER-DAEMON", "Return-Path: <x@y.example>", "Subject: Re: Hello", kind)
        == "bounce"
    )


def test_a_program_that_asks_who_you_are_in_the_shape_of_a_delivery_report_answers():
    kind = "Content-Type: multipart/report; report-type=delivery-status; boundary=b"
    fields = "From: noreply@guards.example", "Return-Path: <noreply@guards.example>"
    assert reason(*fields, "Subject: Re: Offer", kind) == "automatic"


def test_the_null_path_and_an_author_whom_nobody_can_answer_make_a_bounce():
    fields = "From: no-reply@carrier.example", "Return-Path: <>", "Subject: Mail"
    assert reason(*fields) == "bounce"
    assert reason(*fields, "Auto-Submitted: auto-replied") == "automatic"


def test_a_lists_precedence_does_not_make_its_mail_automatic():
    fields = "From: lena@nordvik.example", "Message-ID: <200106181704.BAA15500@mail.example>"
    assert reason(*fields, "Precedence: bulk", "List-Id: <wine.lists.example>") == "bulk"


def test_a_newsletter_is_bulk_even_where_its_path_is_a_programs():
    path = "Return-Path: <bounces@mails.example>"
    message_id = "Message-ID: <201012150659.oBF6xAuc018214@mails.example>"
    assert reason("From: News <enews@shop.example>", path, message_id) == "bulk"


def test_an_address_without_angle_brackets_is_found_behind_the_name():
    assert parse_addresses("Lena Lund lena@nordvik.example") == (
        Address("lena@nordvik.example", "Lena Lund"),
    )
    assert parse_addresses('"Lena" lena@nordvik.example, x@y.example') == (
        Address("lena@nordvik.example", "Lena"),
        Address("x@y.example"),
    )
