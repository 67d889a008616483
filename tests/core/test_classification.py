"""Who wrote a message: a person, a program, a list, a server, a calendar."""

import pytest

from crm_sync.core.classification import classify, classify_body, explain
from crm_sync.core.headers import parse_envelope
from crm_sync.core.records import Attachment

PERSON = {
    "From": "Lena Berg <lena@nordvik.example>",
    "To": "Karin Ek <karin@acme.example>",
    "Subject": "Offert 2024-118",
    "Message-ID": "<a1b2@nordvik.example>",
    "Return-Path": "<lena@nordvik.example>",
    "Content-Type": "text/plain; charset=utf-8",
}


def mail(**fields: str):
    """A person's mail with some fields changed (`_` for `-`), or left out with an empty value."""
    header = PERSON | {name.replace("_", "-").title(): value for name, value in fields.items()}
    header = {name.replace("Message-Id", "Message-ID"): text for name, text in header.items()}
    merged = {name.lower(): (name, text) for name, text in header.items()}
    lines = [f"{name}: {text}" for name, text in merged.values() if text]
    return parse_envelope("\r\n".join(lines).encode())


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"subject": "Re: Automatic reply: Offert 2024-118"},
        {"subject": "Fwd: Undeliverable: Offert"},
        {"subject": "Out of office next week"},
        {"subject": "Delivery delayed: order 123"},
        {"subject": "Unable to deliver before Friday"},
        {"subject": "Mail system migration"},
        {"subject": "Invitation to our summer party"},
        {"subject": "Accepted: your quote 2024-118"},
        {"subject": "OFFERT"},
        {"subject": "Special offer for you"},
        {"subject": "", "message_id": ""},
        {"subject": "", "content_type": "text/html", "to": "undisclosed-recipients:;"},
        {"content_type": "text/html", "subject": "Newsletter", "in_reply_to": "<x@y>"},
        {"from": "Marketing <marketing@nordvik.example>"},
        {"from": "info@nordvik.example"},
        {"sender": "office-admin@nordvik.example"},
        {"reply_to": "Lena <lena@home.example>"},
        {"subject": "[Support] printer broken", "to": "support@acme.example"},
        {"auto_submitted": "no"},
        {"x_auto_response_suppress": "All"},
        {"x_auto_response_suppress": "DR, RN, NRN, OOF, AutoReply"},
        {"precedence": "bulk", "subject": "SV: Offert", "x_mailer": "Postman 3"},
        {"return_path": "<SRS0=ab=cd=nordvik.example=lena@bounce.forwarder.example>"},
        {"content_type": 'multipart/signed; protocol="application/pkcs7-signature"'},
    ],
)  # fmt: skip
def test_mail_from_a_person_is_a_person_s(fields):
    assert classify(mail(**fields)) is None


@pytest.mark.parametrize(
    "fields",
    [
        {"auto_submitted": "auto-replied"},
        {"auto_submitted": "Auto-Generated (rejected); owner-email=x"},
        {"return_path": "<>"},
        {"x_autoreply": "yes"},
        {"x_autorespond": "Offert"},
        {"x_loop": "lena@nordvik.example"},
        {"precedence": "auto_reply"},
        {"subject": "Away: Offert", "precedence": "bulk"},
        {"subject": "Ferie", "x_auto_response_suppress": "All"},
        {"subject": "Re: Offert (Automatic Response)"},
        {"subject": "[nordvik #123] AutoReply: Offert"},
        {"subject": "Out of Office: Offert"},
        {"from": "no-reply@nordvik.example"},
        {"from": "shop.noreply@nordvik.example"},
        {"from": "Nordvik <notifications@nordvik.example>"},
        {"from": "ship-confirm@nordvik.example", "subject": "Your order has shipped"},
        {"content_type": "multipart/report; report-type=disposition-notification"},
        {"content_type": 'multipart/report; report-type="feedback-report"'},
        {"content_type": "application/ms-tnef", "subject": "Read: Offert"},
        {"subject": "Report domain: acme.example Submitter: nordvik.example Report-ID: 1"},
    ],
)
def test_what_a_program_sent_is_automatic(fields):
    assert classify(mail(**fields)) == "automatic"


@pytest.mark.parametrize(
    "prefix",
    [
        "Automatic reply", "Autosvar", "Automatiskt svar", "Automatisk svar", "پاسخ خودکار",
        "Trả lời tự động", "自动回复", "自動回覆", "Automatische Antwort", "Réponse automatique",
        "Respuesta automática", "Risposta automatica", "Automatisch antwoord",
        "Automatyczna odpowiedź", "Автоматический ответ", "Resposta automática",
        "Automaattinen vastaus", "自動応答", "Otomatik yanıt", "자동 회신",
    ],
)  # fmt: skip
def test_an_out_of_office_answer_is_told_by_its_subject_in_many_languages(prefix):
    assert classify(mail(subject=f"{prefix}: Offert 2024-118")) == "automatic"
    assert classify(mail(subject=f"{prefix} ： Offert")) == "automatic"
    assert classify(mail(subject=f"Re: {prefix}: Offert 2024-118")) is None


@pytest.mark.parametrize(
    "fields",
    [
        {"list_id": "<wine.lists.example>"},
        {"list_unsubscribe": "<mailto:leave@nordvik.example>"},
        {"precedence": "list"},
        {"precedence": "bulk"},
        {"feedback_id": "1:2:3:x"},
        {"sender": "owner-wine@lists.example", "x_loop": "lists.example"},
        {"sender": "wine-bounces+karin=acme.example@lists.example"},
        {"sender": "wine-admin@lists.example", "to": "wine@lists.example"},
        {"subject": "Re: [wine] corks", "to": "wine@lists.example"},
        {"x_spam_flag": "YES"},
        {"subject": "*****SPAM***** Offert"},
        {"from": "newsletter@nordvik.example"},
        {"subject": "Nyhetsbrev mars", "from": "Erbjudanden <offers@nordvik.example>"},
        {"subject": "Save up to 84% on gift cards"},
        {"from": '"boss@acme.example" <x123@gmail.com>'},
        {"from": "Lena <lena@gmail.com>", "message_id": "<20260304091200.4FD6F1143D6@gmail.com>"},
        {"subject": "For free!", "message_id": "<77>"},
    ],
)
def test_lists_newsletters_and_mass_mail_are_bulk(fields):
    assert classify(mail(**fields)) == "bulk"


@pytest.mark.parametrize(
    "fields",
    [
        {"content_type": "multipart/report; report-type=delivery-status; boundary=x"},
        {"content_type": "message/delivery-status"},
        {"x_failed_recipients": "per@x.example", "auto_submitted": "auto-replied"},
        {"from": "MAILER-DAEMON@mx.example (Mail Delivery System)", "return_path": "<>"},
        {"from": "MAILER-DAEMON"},
        {"from": "Mail Delivery Subsystem <daemon7@mx.example>"},
        {"from": "post_master@mx.example", "in_reply_to": "<x@y>"},
        {"subject": "Undeliverable: Offert", "from": "Exchange <x@mx.example>"},
        {"subject": "Olevererbart: Offert"},
        {"subject": "Delivery failed", "return_path": "<>"},
        {"subject": "Returned mail: see transcript", "list_id": "<wine.lists.example>"},
    ],
)
def test_reports_about_delivery_are_bounces(fields):
    assert classify(mail(**fields)) == "bounce"


@pytest.mark.parametrize(
    "fields",
    [
        {"content_type": "text/calendar; method=REQUEST"},
        {"content_class": "urn:content-classes:calendarmessage"},
        {"subject": "Invitation: Demo @ Wed Mar 4, 2026 10am (karin@acme.example)"},
        {"subject": "Inbjudan: Demo @ ons 4 mars 2026 10:00 (karin@acme.example)"},
        {"sender": "calendar-notification@google.com", "auto_submitted": "auto-generated"},
    ],
)
def test_invitations_and_their_answers_are_the_calendars(fields):
    assert classify(mail(**fields)) == "calendar"


def test_the_explanation_names_the_header_and_repeats_no_words_of_the_mail():
    found = mail(list_id="<wine-secret.lists.example>", subject="hush")
    sentence = explain("bulk", found)
    assert "List-Id" in sentence
    assert "secret" not in sentence
    assert "hush" not in sentence


def test_weak_signs_are_explained_together():
    found = mail(subject="Away: Offert", x_auto_response_suppress="All")
    sentence = explain("automatic", found)
    assert "Subject" in sentence
    assert "X-Auto-Response-Suppress" in sentence


def test_what_only_the_content_tells_is_explained_so():
    assert "holds" in explain("calendar", mail())


@pytest.mark.parametrize(
    ("text", "attachments", "reason"),
    [
        ("Hej, kan vi ses på tisdag?", (), None),
        ("Please unsubscribe me, Karin.", (), None),
        ("", (Attachment("", "text/calendar", 900),), "calendar"),
        ("", (Attachment("invite.ics", "text/calendar", 900),), "calendar"),
        ("See you there", (Attachment("our-fair.ics", "text/calendar", 900),), None),
        ("", (Attachment("", "message/delivery-status", 90),), "bounce"),
        ("", (Attachment("x.eml", "message/rfc822", 90),), None),
        ("Detta är ett automatiskt meddelande.", (), "automatic"),
        ("View it in your browser. Unsubscribe here.", (), "bulk"),
        (
            "Karin, your message could not be delivered to Per, user unknown. Try my address.",
            (),
            None,
        ),
        ("This message was automatically generated. per@x.example: user unknown", (), "automatic"),
    ],
)
def test_the_content_tells_what_the_header_does_not(text, attachments, reason):
    assert classify_body(mail(), text, attachments) == reason


def test_a_bounce_in_words_alone_is_told_by_its_content():
    text = (
        "Hi. This is the qmail-send program at mx.example.\nI'm afraid I wasn't able to deliver "
        "your message to the following addresses.\n\n<per@x.example>:\nSorry, no mailbox here by "
        "that name: user unknown.\n\n--- Below this line is a copy of the message.\n"
    )
    assert classify_body(mail(), text) == "bounce"


def test_a_raw_message_is_classified_by_its_parts():
    raw = (
        b'Content-Type: multipart/alternative; boundary="x"\r\n\r\n--x\r\n\r\nDemo\r\n--x\r\n'
        b"Content-Type: text/calendar; method=REQUEST\r\n\r\nBEGIN:VCALENDAR\r\n--x--\r\n"
    )
    assert classify_body(mail(), raw) == "calendar"


def test_a_person_s_answer_that_quotes_a_newsletter_stays_a_person_s():
    text = "No thanks.\n> Unsubscribe here\n> View it in your browser\n"
    assert classify_body(mail(), text) is None
    assert classify_body(mail(in_reply_to="<x@y>"), "Unsubscribe, view it in your browser") is None


def test_hostile_subjects_take_no_time_worth_speaking_of():
    for subject in (
        "[" * 900,
        "free " * 190,
        "invitation: " + "@ " * 480,
        "*" * 990,
        "view this " * 90,
    ):
        classify(mail(subject=subject))
        classify_body(mail(), subject * 60)
