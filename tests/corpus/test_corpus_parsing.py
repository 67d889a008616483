"""The mail corpus: nothing raises, the quick readers agree with the library, machines are told."""

from collections import Counter, defaultdict

import pytest

from crm_sync.core.classification import classify, classify_body, explain
from crm_sync.core.dates import parse_date, parse_date_by_library
from crm_sync.core.encoded_words import decode_words, decode_words_by_library
from crm_sync.core.errors import Unreadable
from crm_sync.core.headers import parse_envelope, split_fields
from crm_sync.core.mailboxes import parse_addresses, parse_addresses_by_library
from crm_sync.core.text import read_message
from tests.corpus.corpus import corpus, labels, needs_corpus

pytestmark = needs_corpus


@pytest.fixture
def mails() -> dict[str, bytes]:
    return corpus()


@pytest.fixture
def labelled(mails) -> list[tuple[str, str, bytes]]:
    """File, label and bytes of each labelled mail."""
    return [(name, row.label, mails[name]) for name, row in labels().items()]


def test_every_mail_has_an_envelope_or_no_header_at_all(mails):
    unreadable = []
    for name, raw in mails.items():
        try:
            repr(parse_envelope(raw)).encode()
        except Unreadable:
            unreadable.append(name)
    assert len(unreadable) <= 1, unreadable


def test_every_mail_gives_text_that_can_be_stored(mails):
    for raw in mails.values():
        found = read_message(raw)
        assert "\x00" not in found.text
        found.text.encode()
        for item in found.attachments:
            item.name.encode()


def test_the_quick_readers_agree_with_the_library(mails):
    for name, raw in mails.items():
        try:
            fields = split_fields(raw)
        except Unreadable:
            continue
        for field in ("from", "sender", "reply-to", "to", "cc"):
            value = fields.get(field, "")
            assert parse_addresses(value) == parse_addresses_by_library(value), (name, field)
        subject = fields.get("subject", "")
        assert decode_words(subject) == decode_words_by_library(subject), name
        date = fields.get("date", "")
        assert parse_date(date) == parse_date_by_library(date), name


def counts(labelled, *, with_body: bool) -> dict[str, Counter[bool]]:
    """Label -> how many were taken for a person's mail (True) and how many not."""
    found: dict[str, Counter[bool]] = defaultdict(Counter)
    for _, label, raw in labelled:
        envelope = parse_envelope(raw)
        reason = classify(envelope)
        if reason is None and with_body:
            reason = classify_body(envelope, raw)
        found[label][reason is None] += 1
    return found


def passed(count: Counter[bool]) -> float:
    return count[True] / count.total()


def test_headers_alone_tell_machine_mail_from_mail_by_people(labelled):
    found = counts(labelled, with_body=False)
    assert passed(found["human"]) >= 0.97
    for label in ("bounce", "auto-reply", "list"):
        assert passed(found[label]) <= 0.03, label
    assert passed(found["spam-newsletter"]) <= 0.10
    assert passed(found["machine"]) <= 0.10


def test_headers_and_content_together_leave_hardly_any_machine_mail(labelled):
    found = counts(labelled, with_body=True)
    assert passed(found["human"]) >= 0.97
    for label in ("bounce", "auto-reply", "list", "spam-newsletter", "invite"):
        assert passed(found[label]) <= 0.03, label


def test_each_reason_is_explained_in_words_of_our_own(labelled):
    for name, _, raw in labelled:
        envelope = parse_envelope(raw)
        reason = classify(envelope)
        if reason is not None:
            sentence = explain(reason, envelope)
            assert sentence.isascii(), name
            assert "@" not in sentence, name
