"""What becomes of the properties Graph gives, true ones and hostile ones."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.graph.cursor import Cursor
from connectors.graph.messages import attachments_of, item_of, key_of, text_of
from crm_sync.core.errors import CursorLost
from crm_sync.core.records import Address, MailItem, UnreadableItem

AT = "2026-03-01T08:30:00Z"

NAMES = st.sampled_from(
    [
        "id", "receivedDateTime", "sentDateTime", "isDraft", "internetMessageId", "subject", "from",
        "sender", "replyTo", "toRecipients", "internetMessageHeaders", "body", "attachments",
        "singleValueExtendedProperties", "emailAddress", "address", "name", "value", "content",
        "contentType", "size",
    ]
)  # fmt: skip
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=30) | st.just(AT),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(NAMES, inner, max_size=6),
    max_leaves=30,
)


@given(st.dictionaries(NAMES, JSON, max_size=10))
def test_no_row_of_any_kind_raises_or_brings_what_may_not_be_stored(row):
    item = item_of(row, key_of(row))
    texts = [text_of(row).replace("\n", " ").replace("\t", " ")]
    texts += [part.name + part.media_type for part in attachments_of(row)]
    if isinstance(item, MailItem):
        envelope = item.envelope
        texts += [envelope.subject, envelope.message_id]
        texts += [a.address + a.name for a in (*envelope.from_, *envelope.to, *envelope.reply_to)]
    for text in texts:
        text.encode()
        assert not set("\r\n\0") & set(text)


def test_a_copy_in_sent_items_has_its_thread_although_it_has_no_header():
    person = {"emailAddress": {"address": "lena@nordvik.example", "name": "Lena, Åsa"}}
    row = {
        "receivedDateTime": AT,
        "sentDateTime": "2026-03-01T08:29:58Z",
        "internetMessageId": "<2@acme.example>",
        "subject": "SV: Offert",
        "from": {"emailAddress": {"address": "karin@acme.example", "name": "karin@acme.example"}},
        "toRecipients": [person],
        "singleValueExtendedProperties": [
            {"id": "String 0x1042", "value": "<1@nordvik.example>"},
            {"id": "String 0x1039", "value": "<0@nordvik.example>\r\n <1@nordvik.example>"},
            {"id": "Integer 0xe08", "value": "4711"},
        ],
    }
    item = item_of(row, "k")
    assert isinstance(item, MailItem)
    envelope = item.envelope
    assert envelope.in_reply_to == ("<1@nordvik.example>",)
    assert envelope.references == ("<0@nordvik.example>", "<1@nordvik.example>")
    assert envelope.to == (Address("lena@nordvik.example", "Lena, Åsa"),)
    assert envelope.from_ == (Address("karin@acme.example"),)
    assert envelope.date is not None
    assert (envelope.date.second, item.arrived_at.second, item.size) == (58, 0, 4711)


def test_the_header_as_sent_is_believed_before_what_exchange_made_of_it():
    fields = {
        "From": "=?utf-8?q?=C3=85sa?= <asa@nordvik.example>",
        "To": "karin@acme.example",
        "Subject": "=?utf-8?b?T2ZmZXJ0?=",
        "Date": "Sun, 1 Mar 2026 09:30:00 +0100",
        "Auto-Submitted": "auto-replied",
        "Return-Path": "<>",
        "Content-Type": "multipart/report; report-type=delivery-status",
        "X-Evil": "a\r\nBcc: all@acme.example",
        "List-Id": "a\r\nTo: hidden@acme.example",
    }
    row = {
        "receivedDateTime": AT,
        "internetMessageId": "<1@nordvik.example>",
        "subject": "changed",
        "internetMessageHeaders": [{"name": n, "value": v} for n, v in fields.items()],
    }
    item = item_of(row, "k")
    assert isinstance(item, MailItem)
    assert item.envelope.from_ == (Address("asa@nordvik.example", "Åsa"),)
    assert item.envelope.to == (Address("karin@acme.example"),)
    assert item.envelope.subject == "Offert"
    assert item.envelope.return_path == ""
    assert item.envelope.signs["auto-submitted"] == "auto-replied"
    assert item.envelope.content_type.startswith("multipart/report")


@pytest.mark.parametrize("row", [{"receivedDateTime": AT}, {"subject": "no date", "id": "k"}])
def test_what_can_not_be_a_mail_is_unreadable(row):
    assert isinstance(item_of(row, "k"), UnreadableItem)


@pytest.mark.parametrize("key", ["", "a\nb", "å", "x" * 1001, None, 7, ["id"]])
def test_what_can_not_be_an_id_is_none(key):
    assert key_of({"id": key}) == ""


def test_a_cursor_comes_back_as_it_was():
    cursor = Cursor(
        "history", "https://g.example/l", got=7, since=-5, below=9, passed=2, seen=("a",)
    )
    assert Cursor.loads(cursor.dumps()) == cursor


@pytest.mark.parametrize(
    "change",
    [
        '"phase":"other"', '"link":7', '"got":"x"', '"since":"x"', '"below":[1]', '"passed":true',
        '"seen":7', '"other":1', '"link":""', '"got":99999999999999',
    ],
)  # fmt: skip
def test_a_cursor_of_another_shape_is_lost(change):
    cursor = Cursor("live", "https://g.example/l", got=7)
    with pytest.raises(CursorLost):
        Cursor.loads(f"{cursor.dumps()[:-1]},{change}}}")
