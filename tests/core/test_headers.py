"""Header blocks as strangers write them, and the envelopes we make of them."""

import base64
import email.header
import email.parser
import email.utils
from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crm_sync.core.dates import parse_date, parse_date_by_library
from crm_sync.core.encoded_words import decode_words, decode_words_by_library
from crm_sync.core.errors import Unreadable
from crm_sync.core.headers import HEADER_FIELDS, parse_envelope
from crm_sync.core.mailboxes import parse_addresses, parse_addresses_by_library
from crm_sync.core.records import Address

ORDINARY = b"""\
Return-Path: <lena@nordvik.example>
Received: from mx.nordvik.example by imap.acme.example;
\tWed, 4 Mar 2026 10:12:03 +0100
Message-ID: <a1@nordvik.example>
Date: Wed, 4 Mar 2026 10:12:00 +0100
Subject: =?UTF-8?Q?Offert_p=C3=A5_sk=C3=A5p?= och
 leverans
From: "Berg, Lena" <Lena@Nordvik.example>
To: Karin Ek <karin@acme.example>, per@acme.example
Cc: =?UTF-8?B?SsO2cmdlbiBTdHLDtm0=?= <jorgen@nordvik.example>
In-Reply-To: <b3@acme.example>
References: <b1@acme.example>
 <b3@acme.example>
Content-Type: text/plain;
\tcharset=utf-8
Content-Transfer-Encoding: Quoted-Printable
X-Mailer: Postman 3
X-Unknown: ignored

Subject: not a header
"""


def envelope(*lines: str):
    return parse_envelope("\r\n".join([*lines, "", ""]).encode())


@pytest.mark.parametrize("line_end", [b"\n", b"\r\n", b"\r"])
def test_an_ordinary_header_is_read_whatever_ends_its_lines(line_end):
    found = parse_envelope(ORDINARY.replace(b"\n", line_end))
    assert found.message_id == "<a1@nordvik.example>"
    assert found.date == datetime(2026, 3, 4, 9, 12, tzinfo=UTC)
    assert found.subject == "Offert på skåp och leverans"
    assert found.from_ == (Address("Lena@Nordvik.example", "Berg, Lena"),)
    assert found.to == (Address("karin@acme.example", "Karin Ek"), Address("per@acme.example"))
    assert found.cc == (Address("jorgen@nordvik.example", "Jörgen Ström"),)
    assert found.in_reply_to == ("<b3@acme.example>",)
    assert found.references == ("<b1@acme.example>", "<b3@acme.example>")
    assert found.return_path == "lena@nordvik.example"
    assert found.content_type == "text/plain; charset=utf-8"
    assert found.transfer_encoding == "quoted-printable"
    assert found.signs == {"x-mailer": "Postman 3"}


def test_the_server_is_asked_for_each_field_once():
    assert len({name.lower() for name in HEADER_FIELDS}) == len(HEADER_FIELDS)


@pytest.mark.parametrize("block", [b"", b"\r\n\r\n", b"no header at all", b"\r\nbody", b"\0\xff"])
def test_only_a_message_without_any_header_is_unreadable(block):
    with pytest.raises(Unreadable):
        parse_envelope(block)


def test_a_header_of_unknown_fields_only_is_an_empty_envelope():
    assert parse_envelope(b"X-Nothing: at all\r\n\r\n").subject == ""


def test_an_mbox_line_lines_without_colon_and_odd_spacing_are_tolerated():
    found = parse_envelope(
        b"From lena@nordvik.example Wed Mar  4 10:12:00 2026\nno colon here\nSUBJECT : Offer\n"
        b"  continued\nfrom:lena@nordvik.example\n"
    )
    assert found.subject == "Offer continued"
    assert found.from_ == (Address("lena@nordvik.example"),)


def test_of_doubled_fields_the_first_counts_but_all_addressees():
    found = envelope(
        "From: a@x.example", "From: b@x.example", "To: c@x.example", "To: d@x.example",
        "Subject: one", "Subject: two", " more of two", "Message-ID: <1@x>", "Message-ID: <2@x>",
    )  # fmt: skip
    assert [address.address for address in found.from_] == ["a@x.example"]
    assert [address.address for address in found.to] == ["c@x.example", "d@x.example"]
    assert (found.subject, found.message_id) == ("one", "<1@x>")


@pytest.mark.parametrize(
    ("line", "path"),
    [
        ("Return-Path: <>", ""),
        ("Return-Path: < >", ""),
        ("Return-Path: a@b.example", "a@b.example"),
    ],
)
def test_the_null_return_path_is_told_from_none(line, path):
    assert envelope(line).return_path == path
    assert envelope("X: y").return_path is None


def test_a_subject_cannot_smuggle_in_a_header_line():
    encoded = base64.b64encode(b"a\r\nBcc: x@y.example").decode()
    assert envelope(f"Subject: =?utf-8?B?{encoded}?=").subject == "a Bcc: x@y.example"
    assert envelope("Subject: =?UTF-8?Q?=0A=00?=Bcc: x").subject == "Bcc: x"


def test_an_encoded_comma_or_at_sign_does_not_split_a_name():
    found = envelope("From: =?utf-8?Q?Berg=2C_Lena_=3Cx=40y.example=3E?= <lena@nordvik.example>")
    assert found.from_ == (Address("lena@nordvik.example", "Berg, Lena <x@y.example>"),)


@pytest.mark.parametrize(
    ("value", "addresses"),
    [
        ("(c):", []),
        ("a@b.example, ", ["a@b.example"]),
        ("undisclosed-recipients:;", []),
        ("Team: a@x.example, B <b@x.example>;, c@x.example", [f"{n}@x.example" for n in "abc"]),
        ("lena@[192.0.2.1]", ["lena@[192.0.2.1]"]),
        ('"lena berg"@x.example', ['"lena berg"@x.example']),
        ("MAILER-DAEMON", ["MAILER-DAEMON"]),
        ("Lena (home) <lena@x.example> (work)", ["lena@x.example"]),
        ("<@relay.example:lena@x.example>", ["lena@x.example"]),
        (r'"Le\"na, B" <lena@x.example>', ["lena@x.example"]),
        ("<>", []),
        (",,,", []),
    ],
)  # fmt: skip
def test_odd_address_fields_give_the_addresses_they_hold(value, addresses):
    assert [found.address for found in envelope(f"To: {value}").to] == addresses


@pytest.mark.parametrize("value", ["(" * 3000, "(" * 3000 + ")" * 3000 + "a@b.example", "<" * 9000])
def test_deep_nesting_in_an_address_field_is_survived(value):
    parse_envelope(f"From: {value}\r\nSubject: still here\r\n".encode())


@pytest.mark.timeout(10)
@pytest.mark.parametrize("name", HEADER_FIELDS)
def test_hostile_values_take_no_time_worth_speaking_of(name):
    for piece in (
        "=?a?q?",
        "=?a?b?",
        "<",
        '"',
        "(",
        "a@b,",
        "a ",
        "\\",
        "@",
        ":;",
        "a:",
        "[",
        "1 ",
    ):
        parse_envelope(f"{name}: {piece * (60_000 // len(piece))}\r\n".encode())
    parse_envelope(b"To: a\r\n" + b" b\r\n" * 15_000)
    parse_envelope(f"{name}: x\r\n".encode() * 4000)


@pytest.mark.parametrize("fold", [", ", ",\r\n "])
def test_a_huge_field_hides_no_other(fold):
    many = fold.join(f"a{number}@x.example" for number in range(9000))
    read = envelope(f"To: {many}", "Cc: c@x.example", "Subject: Offer", "Message-ID: <1@x.example>")
    assert (read.subject, read.message_id) == ("Offer", "<1@x.example>")
    assert len(read.to) == 1000
    assert [a.address for a in read.cc] == ["c@x.example"]


def test_of_thousands_of_addresses_a_thousand_are_kept():
    many = ", ".join(f"a{number}@x.example" for number in range(2500))
    assert len(envelope(f"To: {many}").to) == 1000


@pytest.mark.parametrize(
    ("value", "moment"),
    [
        ("Wed, 4 Mar 2026 10:12:00 +0100", datetime(2026, 3, 4, 9, 12, tzinfo=UTC)),
        ("4 Mar 26 10:12 EST", datetime(2026, 3, 4, 15, 12, tzinfo=UTC)),
        ("Wed, 04 Mar 2026 10:12:60 GMT", datetime(2026, 3, 4, 10, 12, 59, tzinfo=UTC)),
        ("Wed, 4 Mar 2026 10:12:00 -0000 (UTC)", datetime(2026, 3, 4, 10, 12, tzinfo=UTC)),
        ("2026-03-04T10:12:00+01:00", datetime(2026, 3, 4, 9, 12, tzinfo=UTC)),
        ("Thu, 15 Sep 2011 21.15.03 +0200", datetime(2011, 9, 15, 19, 15, 3, tzinfo=UTC)),
        ("Thu, 1 Jan 1970 00:00:00 +0000", None),
        ("Mon, 3 Jan 100 10:00:00 +0000", None),
        ("Mon, 3 Jan 0001 10:00:00 +2359", None),
        ("Fri, 31 Dec 9999 23:59:59 -2359", None),
        ("Wed, 31 Feb 2026 10:12:00 +0100", None),
        ("2002/09/14 Sat", None),
        ("17 June , 2022", None),
        ("yesterday", None),
        ("", None),
        ("9" * 5000, None),
    ],
)
def test_dates_are_moments_in_utc_or_none(value, moment):
    assert envelope(f"Date: {value}").date == moment


@pytest.mark.parametrize(
    ("field", "subject"),
    [
        ("=?uft-8?Q?=C3=A5?=", "å"),
        ("=?x-no-such-charset?Q?abc?=", "abc"),
        ("=?iso-8859-8-i?B?+ezl7Q==?=", "שלום"),
        ("=?cp-850?Q?=86?=", "å"),
        ("=??Q?abc?=", "abc"),
        ("=?utf-8?Q?caf=C3?= =?utf-8?Q?=A9_au_lait?=", "café au lait"),
        ("=?utf-8?B?Y2Fmw6k?=", "café"),
        ("=?us-ascii?Q?caf=C3=A9?=", "café"),
        ("=?utf-8*sv?Q?hall=C3=A5?=", "hallå"),
        ("=?gb2312?B?xOO6ww==?=", "你好"),
        ("=?utf-8?Q?two words?=", "two words"),
        ("=?utf-8?Q?open", "=?utf-8?Q?open"),
        ("=?punycode?Q?abc?=", "abc"),
    ],
)
def test_encoded_words_are_decoded_even_where_their_charset_is_wrong(field, subject):
    assert envelope(f"Subject: {field}").subject == subject


def test_raw_bytes_in_a_header_are_read_as_utf8_or_the_bodys_charset_or_windows_1252():
    assert parse_envelope("Subject: Hallå".encode()).subject == "Hallå"
    assert parse_envelope(b"Subject: Hall\xe5 \x93x\x94").subject == "Hallå “x”"
    koi = b"Content-Type: text/plain; charset=koi8-r\nSubject: " + "Привет".encode("koi8-r")
    assert parse_envelope(koi).subject == "Привет"
    assert parse_envelope("From: Jörg <j@x.example>".encode("cp1252")).from_[0].name == "Jörg"


@pytest.mark.parametrize(
    ("value", "message_id"),
    [
        ("<[x@microsoft.com]>", "<[x@microsoft.com]>"),
        ("  <a@b>  (comment)", "<a@b>"),
        ("a@b.example", "a@b.example"),
        ("", ""),
        ("<" + "x" * 3000 + "@y>", ("<" + "x" * 3000)[:998]),
    ],
)
def test_message_ids_keep_their_brackets_and_are_never_lost(value, message_id):
    assert envelope(f"Message-ID: {value}", "X: y").message_id == message_id


def test_of_very_many_references_the_first_and_the_last_hundred_are_kept():
    many = " ".join(f"<{number}@x>" for number in range(500))
    found = envelope(f"References: {many}").references
    assert len(found) == 101
    assert (found[0], found[1], found[-1]) == ("<0@x>", "<400@x>", "<499@x>")


def test_a_huge_header_is_read_up_to_its_cap():
    block = b"Subject: first\r\n" + b"X-Filler: y\r\n" * 100_000 + b"From: late@x.example\r\n"
    found = parse_envelope(block)
    assert found.subject == "first"
    assert found.from_ == ()
    assert len(parse_envelope(b"Subject: " + b"x" * 10_000_000).subject) == 998


@given(st.binary(max_size=400))
@settings(max_examples=300)
def test_no_bytes_whatever_do_more_than_be_unreadable(block):
    try:
        found = parse_envelope(b"From: " + block)
    except Unreadable:
        pytest.fail("there was a header")
    repr(found).encode()


ATOM = st.text(alphabet="abcXYZ019!#$%&'*+-/=?^_`{|}~", min_size=1, max_size=8)
MAILBOX = st.builds(
    lambda name, quoted, local, domain: (
        f'"{" ".join(name)}" <{local}@{domain}.example>' if quoted
        else f"{' '.join(name)} <{local}@{domain}.example>" if name else f"{local}@{domain}.example"
    ),
    st.lists(ATOM, max_size=3), st.booleans(), ATOM, ATOM,
)  # fmt: skip
FIELD_TEXT = st.text(alphabet='abc @<>(),:;".\\[]=?', max_size=60)


@given(st.lists(MAILBOX, max_size=5).map(", ".join) | FIELD_TEXT)
@settings(max_examples=400)
def test_addresses_read_the_quick_way_are_those_the_library_reads(value):
    assert parse_addresses(value) == parse_addresses_by_library(value)


@given(
    st.datetimes(min_value=datetime(1980, 1, 1), max_value=datetime(2100, 1, 1)),  # noqa: DTZ001  # the zone is drawn apart
    st.integers(-14 * 60, 14 * 60),
)
def test_dates_read_the_quick_way_are_those_the_library_reads(local, minutes):
    sign, ahead = "-" if minutes < 0 else "+", abs(minutes)
    value = f"{local:%a, %d %b %Y %H:%M:%S} {sign}{ahead // 60:02}{ahead % 60:02}"
    assert parse_date(value) == parse_date_by_library(value)
    expected = email.utils.parsedate_to_datetime(value).astimezone(UTC)
    assert parse_date(value) == (expected if expected.year >= 1990 else None)


@given(st.lists(st.tuples(st.text(min_size=1, max_size=30), st.sampled_from("QBN")), max_size=4))
def test_encoded_words_read_the_quick_way_are_those_the_library_reads(pieces):
    words = []
    for text, encoding in pieces:
        if encoding == "B":
            words.append(f"=?utf-8?B?{base64.b64encode(text.encode()).decode()}?=")
        elif encoding == "Q":
            coded = "".join(f"={octet:02X}" for octet in text.encode())
            words.append(f"=?utf-8?q?{coded}?=")
        else:
            words.append("plain")
    value = " ".join(words)
    assert decode_words(value) == decode_words_by_library(value)
    expected = "".join(map(str, [email.header.make_header(email.header.decode_header(value))]))
    assert decode_words(value) == expected
