"""Quick roads for what is usual lead to where the thorough ones lead, which serve as oracles."""

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from crm_sync.core import classification, glance, phrases
from crm_sync.core.clean import clean_text, clean_text_thoroughly
from crm_sync.core.errors import Unreadable
from crm_sync.core.headers import split_fields, split_fields_tolerantly
from crm_sync.core.records import Address, Envelope

_ADDRESSES = st.sampled_from(
    [
        Address("lena@nordvik.example", "Lena Berg"),
        Address("Lena@Nordvik.example"),
        Address("lena.berg@gmail.com", "Lena"),
        Address("no-reply@nordvik.example"),
        Address("newsletter@shop.example", "Shop"),
        Address("MAILER-DAEMON"),
        Address("postmaster@nordvik.example", "Mail Delivery System"),
        Address("wine-owner@lists.example"),
        Address("wine@lists.example"),
        Address("calendar-notification@google.com"),
        Address("alerts@nordvik.example", "promo@gmail.com"),
        Address("offers@cheap.top", "Special Offer"),
        Address("bounce+7@nordvik.example"),
        Address("", "nobody"),
    ]
)
_SUBJECTS = st.one_of(
    st.sampled_from(
        [
            "", "Order 117", "Re: Order 9", "SV: Fråga", "ORDER NOW PLEASE", "URGENT!!",
            "50 % off, 70 % off", "Delivery delayed", "Undeliverable: order 7", "Autosvar: hej",
            "Out of office: hej", "Frånvaro", "[wine] new order", "Read: order", "[SPAM] pills",
            "Invitation: lunch @ Fri 6 Mar 12:00", "Nyhetsbrev mars", "Your order 12 has shipped",
            "Report domain: a.example Submitter: b.example", "*** SPAM *** hi", "re[2]: order",
        ]
    ),
    st.text("aZ2 7:!@[](){}%åé不在", max_size=14),
)  # fmt: skip
_SIGNS = st.dictionaries(
    st.sampled_from(
        ["x-mailer", "user-agent", "precedence", "list-id", "auto-submitted", "errors-to", "x-loop"]
    ),
    st.sampled_from(["Example Mail 16.0", "PHPMailer 6", "bulk", "list", "no", "auto-replied", ""]),
    max_size=2,
)
_ENVELOPES = st.builds(
    Envelope,
    message_id=st.sampled_from(
        ["", "<a1@nordvik.example>", "<no-at-sign>", "<20260304101112.4F3A2B1C@mx.example>",
         "<a1@gmail.com>", "<a1@hotmail.com>"]
    ),
    in_reply_to=st.sampled_from([(), (), ("<b@acme.example>",)]),
    references=st.sampled_from([(), (), ("<b@acme.example>",)]),
    from_=st.lists(_ADDRESSES, min_size=0, max_size=2).map(tuple),
    sender=st.lists(_ADDRESSES, max_size=1).map(tuple),
    reply_to=st.lists(_ADDRESSES, max_size=1).map(tuple),
    to=st.lists(_ADDRESSES, max_size=6).map(tuple),
    cc=st.lists(_ADDRESSES, max_size=1).map(tuple),
    return_path=st.sampled_from(
        [None, "", "lena@nordvik.example", "no-reply@nordvik.example", "bounces@nordvik.example"]
    ),
    subject=_SUBJECTS,
    content_type=st.sampled_from(
        ["", "text/plain; charset=utf-8", "TEXT/HTML", "multipart/alternative; boundary=x",
         "multipart/report; report-type=delivery-status", "text/calendar; method=REQUEST",
         "application/zip; name=a"]
    ),
    transfer_encoding=st.sampled_from(["", "7bit", "base64", "nonsense"]),
    signs=_SIGNS,
)  # fmt: skip
_ONE_PERSON = Envelope(
    message_id="<a1@nordvik.example>",
    from_=(Address("lena@nordvik.example", "Lena Berg"),),
    to=(Address("karin@acme.example"),),
    return_path="lena@nordvik.example",
    subject="Order 117",
    content_type="text/plain; charset=utf-8",
    transfer_encoding="7bit",
    signs={"x-mailer": "Example Mail 16.0"},
)


@settings(max_examples=1500, deadline=None)
@given(_ENVELOPES)
def test_a_glance_tells_the_same_as_a_close_look(envelope):
    assert glance.classify(envelope) == classification.classify(envelope)


@settings(max_examples=600, deadline=None)
@given(st.data())
def test_a_glance_tells_the_same_where_one_thing_is_unlike_a_persons_mail(data):
    field = data.draw(st.sampled_from(sorted(Envelope.__dataclass_fields__)))
    values = {name: getattr(_ONE_PERSON, name) for name in Envelope.__dataclass_fields__}
    values[field] = getattr(data.draw(_ENVELOPES), field)
    envelope = Envelope(**values)

    assert glance.classify(envelope) == classification.classify(envelope)


def test_mail_of_a_person_takes_the_quick_road(monkeypatch):
    monkeypatch.setattr(classification, "classify", lambda _: "was asked")

    assert glance.classify(_ONE_PERSON) is None


_PIECES = st.lists(
    st.sampled_from(
        [
            b"From: lena@nordvik.example", b"from : lena@nordvik.example", b"To: a@b.example",
            b"TO: c@d.example", b"Subject: hej", b"Subject", b"Subject:\tR\xc3\xa4kning", b"X: y",
            b"Date: Wed, 4 Mar 2026 10:12:00 +0100", b" folded", b"\tfolded", b" \t twice", b" ",
            b"no colon here", b": no name", b"", b"References: <a@b>\r\n <c@d>", b"\x00: \x7f",
            b"Subject: a\xa0b", b"Message-ID:  <a@b.example>  ", b"Cc: x@y.example",
        ]
    ),
    max_size=8,
)  # fmt: skip


def _split(road, block):
    try:
        return road(block)
    except Unreadable as error:
        return error.what


@example([b"From: lena@nordvik.example", b"Subject", b" folded"], b"\r\n", 0)
@settings(max_examples=1500, deadline=None)
@given(_PIECES, st.sampled_from([b"\r\n", b"\n", b"\r"]), st.integers(0, 3))
def test_header_blocks_split_alike_on_both_roads(pieces, end, ends):
    block = end.join(pieces) + end * ends

    assert _split(split_fields, block) == _split(split_fields_tolerantly, block)


@settings(max_examples=800, deadline=None)
@given(
    st.one_of(
        st.text(max_size=40),
        st.text("ab \t\r\n\v\x00\x85\xa0å\u200c\u202e\u2028\ufeff\U0001f600\ud800", max_size=30),
    ),
    st.integers(1, 40),
)
def test_texts_are_cleaned_alike_on_both_roads(text, limit):
    assert clean_text(text, limit) == clean_text_thoroughly(text, limit)


@pytest.mark.parametrize("told", ["FAILED", "SAYS_AUTOMATIC", "MASS_MAIL"])
@settings(max_examples=300, deadline=None)
@given(st.data())
def test_whatever_a_phrase_matches_holds_one_of_its_necessary_words(told, data):
    lines = getattr(phrases, told)

    text = data.draw(st.from_regex(phrases.anywhere(lines), fullmatch=True))

    assert any(word in text for word in phrases.necessary(lines))


def test_a_phrase_without_a_necessary_word_is_refused():
    with pytest.raises(ValueError, match="must be there"):
        phrases.necessary("hello\n[a-z]? ?x?")
