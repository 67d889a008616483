"""What IMAP servers say, down to the odd and the hostile, read without a server."""

import socket
import threading
from contextlib import suppress
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from imapclient.response_parser import parse_fetch_response

from connectors.imap.bodystructure import read_structure
from connectors.imap.headers import item_of, parse_date, parse_date_tolerantly
from connectors.imap.session import items_of
from connectors.imap.tokens import DEEPEST, Unparsable, tokens
from connectors.imap.wire import (
    KEPT,
    ConnectionLost,
    Forbidden,
    Garbled,
    Stream,
    line,
    quoted,
)
from crm_sync.core.records import MailItem, UnreadableItem

NOW = datetime(2026, 3, 4, 12, tzinfo=UTC)


def heard(data: bytes, *, patience: float = 5) -> Stream:
    ours, theirs = socket.socketpair()
    ours.settimeout(2)
    theirs.sendall(data)
    theirs.close()
    stream = Stream(ours, patience)
    stream.socket = ours
    return stream


@pytest.fixture
def stream():
    opened = []

    def open_(data: bytes, **kwargs: float) -> Stream:
        opened.append(heard(data, **kwargs))
        return opened[-1]

    yield open_
    for each in opened:
        each.socket.close()


# -- the wire ------------------------------------------------------------------------------------


@pytest.mark.parametrize("hostile", [b"a\r\nX1 EXPUNGE", b"a\nb", b"a\rb", b"a\0b"])
def test_no_argument_becomes_a_second_command(hostile):
    with pytest.raises(Forbidden):
        line(b"C1", b"EXAMINE", quoted(hostile))


def test_quotes_in_a_name_stay_in_the_name():
    assert line(b"C1", b"EXAMINE", quoted(b'a" ALL \\')) == b'C1 EXAMINE "a\\" ALL \\\\"\r\n'


def test_a_response_with_literals_comes_in_one_piece(stream):
    reply = stream(b"* 1 FETCH (A {3}\r\nx\r\n B {2+}\r\nyy)\r\n").reply()
    assert reply == (b"* 1 FETCH (A {3}", b"x\r\n", b" B {2+}", b"yy", b")")


def test_of_a_huge_literal_only_the_beginning_is_kept():
    ours, theirs = socket.socketpair()
    ours.settimeout(5)
    size = 3 * KEPT
    sender = threading.Thread(
        target=theirs.sendall, args=(b"* 1 FETCH (A {%d}\r\n" % size + b"x" * size + b")\r\n",)
    )
    sender.start()
    reply = Stream(ours, 5).reply()
    sender.join()
    ours.close()
    theirs.close()
    assert len(reply[1]) == KEPT
    assert reply[2] == b")"


@pytest.mark.parametrize("data", [b"* 1 FETCH (A {4294967295}\r\n", b"* X {999999999999}\r\n"])
def test_a_literal_beyond_all_bounds_ends_the_conversation(stream, data):
    with pytest.raises(Garbled):
        stream(data).reply()


def test_the_end_in_the_middle_of_a_response_is_a_lost_connection(stream):
    with pytest.raises(ConnectionLost):
        stream(b"* 1 FETCH (A {30}\r\nx").reply()


def test_a_server_that_drips_counts_as_silent(stream):
    dripping = stream(b"* OK slow", patience=-1.0)
    with pytest.raises(TimeoutError):
        dripping.reply()


# -- tokens --------------------------------------------------------------------------------------

WELL_FORMED = [
    b'* 1 FETCH (UID 7 INTERNALDATE " 4-Mar-2026 09:12:00 +0100" RFC822.SIZE 12 FLAGS (\\Seen a))',
    b'* 2 FETCH (UID 8 BODYSTRUCTURE ("text" "plain" ("charset" "utf-8") NIL NIL "7bit" 3 1))',
    b'* 3 FETCH (UID 9 X "a \\"b\\" \\\\ c" Y NIL Z (A (B NIL) "c"))',
]


@pytest.mark.parametrize("text", WELL_FORMED)
def test_our_reader_agrees_with_imapclient_on_well_formed_responses(text):
    ours = items_of((text,))
    theirs = parse_fetch_response([text.removeprefix(b"* ").replace(b" FETCH", b"")], False)
    (row,) = theirs.values()
    assert set(ours) - {b"UID"} == set(row) - {b"SEQ"}
    if b"X" in ours:
        assert ours[b"X"] == row[b"X"]


@pytest.mark.parametrize(
    "text", [b"* 1 FETCH (UID 7", b'* 1 FETCH (X "a)', b"* 1 FETCH (UID 7))", b"* 1 FETCH"]
)
def test_what_breaks_the_grammar_is_unparsable_and_nothing_worse(text):
    with pytest.raises(Unparsable):
        items_of((text,))


def test_brackets_without_end_are_unparsable():
    with pytest.raises(Unparsable):
        tokens((b"(" * (DEEPEST + 5),))


@given(st.lists(st.binary(max_size=60), min_size=1, max_size=5))
def test_no_bytes_whatsoever_surprise_the_reader(parts):
    reply = tuple(parts if len(parts) % 2 else parts[:-1])
    item = item_of("1:1", [(b"* 1 FETCH (UID 1 " + reply[0], *reply[1:])], NOW)
    assert item is None or isinstance(item, UnreadableItem | MailItem)


def test_the_first_look_is_read_whatever_order_it_comes_in():
    header = b"From: a@nordvik.example\r\nSubject: x\r\n\r\n"
    usual = (
        b'* 1 FETCH (UID 5 INTERNALDATE " 4-Mar-2026 09:12:00 +0100" RFC822.SIZE 99 '
        b"BODY[HEADER.FIELDS (FROM)] {%d}" % len(header),
        header,
        b")",
    )
    turned = (
        b"* 1 FETCH (BODY[HEADER.FIELDS (FROM)] {%d}" % len(header),
        header,
        b' RFC822.SIZE 99 INTERNALDATE " 4-Mar-2026 09:12:00 +0100" FLAGS () UID 5)',
    )
    first, second = item_of("1:5", [usual], NOW), item_of("1:5", [turned], NOW)
    assert first == second
    assert isinstance(first, MailItem)
    assert first.arrived_at == datetime(2026, 3, 4, 8, 12, tzinfo=UTC)
    assert first.size == 99


def test_flags_that_changed_meanwhile_are_no_message():
    assert item_of("1:5", [(b"* 1 FETCH (UID 5 FLAGS (\\Seen))",)], NOW) is None


def test_a_placeholder_of_exchange_is_unreadable():
    header = (
        b"From: Microsoft Exchange Server <x@acme.example>\r\nSubject: Retrieval using the IMAP4 "
        b"protocol failed for the following message: 2469\r\n\r\n"
    )
    reply = (b"* 1 FETCH (UID 5 RFC822.SIZE 9 BODY[HEADER.FIELDS (X)] {1}", header, b")")
    assert isinstance(item_of("1:5", [reply], NOW), UnreadableItem)


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        (b" 4-Mar-2026 09:12:00 +0000", datetime(2026, 3, 4, 9, 12, tzinfo=UTC)),
        (b"4-MAR-2026 09:12:00 -0530", datetime(2026, 3, 4, 14, 42, tzinfo=UTC)),
        (b"04-Mar-2026 09.12.00 +0100", datetime(2026, 3, 4, 8, 12, tzinfo=UTC)),
        (b"31-Feb-2026 09:12:00 +0100", None),
        (b"01-Jan-0001 00:00:00 +0900", None),
        (b"04-Mar-2026 09:12:00 +9999", None),
        (b"yesterday", None),
    ],
)
def test_dates_of_arrival(text, moment):
    assert parse_date(text) == moment


@given(
    st.from_regex(
        rb"[ 0-3][0-9]-[A-Z][a-z]{2}-20[0-9]{2} [0-2][0-9]:[0-6][0-9]:[0-6][0-9] [+-][0-2][0-9][0-6]0",
        fullmatch=True,
    ),
    st.sampled_from("jan feb mar apr may jun jul aug sep oct nov dec nop".title().split()),
    st.lists(st.tuples(st.integers(0, 25), st.sampled_from(b" -+:.,0129TZa\xb2")), max_size=2),
)
def test_dates_of_arrival_are_the_same_by_the_quick_and_the_tolerant_road(text, month, slips):
    octets = bytearray(text[:3] + month.encode() + text[6:])
    for place, octet in slips:
        octets[place] = octet
    assert parse_date(bytes(octets)) == parse_date_tolerantly(bytes(octets))


# -- structures ----------------------------------------------------------------------------------


def structure(text: bytes):
    return read_structure(
        items_of((b"* 1 FETCH (UID 1 BODYSTRUCTURE " + text + b")",))[b"BODYSTRUCTURE"]
    )


PLAIN = b'("text" "plain" ("charset" "utf-8") NIL NIL "quoted-printable" 400 9 NIL NIL NIL NIL)'
HTML = b'("TEXT" "HTML" ("CHARSET" "utf-8") NIL NIL "base64" 400 2 NIL NIL NIL NIL)'
PDF = (
    b'("application" "pdf" ("name" "offert.pdf") NIL NIL "base64" 7800 NIL '
    b'("attachment" ("filename*" "utf-8\'\'offert%20%C3%A5.pdf")) NIL NIL)'
)


def test_of_alternatives_the_plain_text_is_taken():
    found = structure(b"(" + HTML + PLAIN + b' "alternative" ("boundary" "x") NIL NIL)')
    assert [(p.section, p.media_type) for p in found.texts] == [("2", "text/plain")]


def test_an_empty_plain_alternative_gives_way_to_html():
    empty = PLAIN.replace(b" 400 9 ", b" 0 0 ")
    found = structure(b"(" + empty + HTML + b' "alternative" NIL NIL NIL)')
    assert [p.section for p in found.texts] == ["2"]


def test_a_plain_alternative_that_may_be_blank_brings_html_as_a_stand_in():
    short = PLAIN.replace(b" 400 9 ", b" 6 1 ")
    found = structure(b"(" + short + HTML + b' "alternative" NIL NIL NIL)')
    assert [(p.section, p.unless) for p in found.texts] == [("1", ""), ("2", "1")]


def test_attachments_have_their_decoded_name_and_an_estimated_size():
    found = structure(b"((" + PLAIN + HTML + b' "alternative")' + PDF + b' "mixed")')
    assert [p.section for p in found.texts] == ["1.1"]
    (attachment,) = found.attachments
    assert (attachment.name, attachment.media_type) == ("offert å.pdf", "application/pdf")
    assert attachment.size == 5700


def test_a_forwarded_message_is_an_attachment():
    inner = b'("message" "rfc822" NIL NIL NIL "7bit" 500 ("d" "s" NIL NIL NIL NIL NIL NIL NIL NIL) '
    found = structure(b"(" + PLAIN + inner + PLAIN + b' 9) "mixed")')
    assert [p.section for p in found.texts] == ["1"]
    assert [a.media_type for a in found.attachments] == ["message/rfc822"]


@pytest.mark.parametrize(
    "text", [b"NIL", b"()", b"(NIL NIL)", b'("text" "plain")', b"(" + PLAIN + b'NIL "mixed")']
)
def test_a_broken_structure_is_unparsable_or_read_in_part(text):
    with suppress(Unparsable):
        assert len(structure(text).texts) <= 1


def test_parts_nested_too_deep_are_unparsable():
    with pytest.raises(Unparsable):
        structure(b"(" * 60 + PLAIN + b' "mixed")' * 60)
