"""The text of messages, however badly they are put together."""

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crm_sync.core.records import Attachment
from crm_sync.core.text import content_type, decode_part, html_to_text, read_message


def part(payload: bytes, **about: str) -> str:
    defaults = {"transfer_encoding": "", "charset": "", "media_type": "text/plain"}
    return decode_part(payload, **(defaults | about))


def multipart(kind: str, *parts: str, boundary: str = "b") -> str:
    middle = "".join(f"--{boundary}\r\n{inner}\r\n" for inner in parts)
    head = f"Content-Type: multipart/{kind}; boundary={boundary}\r\n\r\npreamble\r\n"
    return f"{head}{middle}--{boundary}--\r\nepilogue\r\n"


PLAIN = "Content-Type: text/plain\r\n\r\nplain words"
HTML = "Content-Type: text/html\r\n\r\n<p>html words</p>"
PDF = (
    "Content-Type: application/pdf; name=offert.pdf\r\nContent-Transfer-Encoding: base64\r\n"
    "Content-Disposition: attachment\r\n\r\n" + base64.b64encode(b"x" * 10).decode()
)


def test_a_plain_message_is_its_body():
    found = read_message(b"Subject: x\r\n\r\nHej\r\nKarin\r\n")
    assert (found.text, found.attachments, found.defects) == ("Hej\nKarin", (), ())


@pytest.mark.parametrize("order", [(PLAIN, HTML), (HTML, PLAIN)])
def test_plain_text_is_preferred_to_html(order):
    assert read_message(multipart("alternative", *order).encode()).text == "plain words"


def test_html_is_taken_where_the_plain_alternative_is_empty():
    empty = "Content-Type: text/plain\r\n\r\n \r\n"
    assert read_message(multipart("alternative", empty, HTML).encode()).text == "html words"


def test_parts_in_parts_give_text_and_attachments():
    inner = multipart("alternative", PLAIN, HTML, boundary="inner")
    forwarded = "Content-Type: message/rfc822\r\n\r\nSubject: secret\r\n\r\nold words"
    found = read_message(multipart("mixed", inner, PDF, forwarded).encode())
    assert found.text == "plain words"
    assert found.attachments == (
        Attachment("offert.pdf", "application/pdf", 10),
        Attachment("", "message/rfc822", len("Subject: secret\r\n\r\nold words")),
    )


def test_a_text_file_that_is_attached_is_no_part_of_the_text():
    note = (
        'Content-Type: text/plain\r\nContent-Disposition: attachment; filename="a.txt"\r\n\r\nfile'
    )
    found = read_message(multipart("mixed", PLAIN, note).encode())
    assert found.text == "plain words"
    assert found.attachments[0].name == "a.txt"


def test_an_invitation_beside_the_text_is_an_attachment():
    event = "Content-Type: text/calendar; method=REQUEST\r\n\r\nBEGIN:VCALENDAR"
    found = read_message(multipart("alternative", PLAIN, event).encode())
    assert found.text == "plain words"
    assert found.attachments[0].media_type == "text/calendar"


@pytest.mark.parametrize(
    ("field", "name"),
    [
        ("attachment; filename*=utf-8''r%C3%A4kning.pdf", "räkning.pdf"),
        ("attachment; filename*0=off; filename*1=ert.pdf", "offert.pdf"),
        ("attachment; filename*0*=utf-8''r%C3%A4k; filename*1*=ning.pdf", "räkning.pdf"),
        ('attachment; filename="=?utf-8?Q?r=C3=A4kning.pdf?="', "räkning.pdf"),
        ('attachment; filename="../../etc/passwd"', "passwd"),
        (r'attachment; filename="C:\\\\temp\\\\a.doc"', "a.doc"),
        ('attachment; filename="a\r\n b.pdf"', "a b.pdf"),
        ('attachment; filename="a\u202efdp.exe"', "afdp.exe"),
        (f'attachment; filename="{"x" * 400}.pdf"', "x" * 251 + ".pdf"),
        ("attachment; filename=..", ""),
        ("attachment", ""),
        ("attachment; filename*=nonsense'x", "nonsense'x"),
    ],
)
def test_names_of_attachments_are_decoded_and_harmless(field, name):
    raw = f"Content-Type: application/pdf\r\nContent-Disposition: {field}\r\n\r\nx".encode()
    assert [item.name for item in read_message(raw).attachments] == [name]


def test_a_message_nested_a_thousand_times_is_read_to_the_fiftieth_level():
    message = PLAIN
    for level in range(1000):
        message = multipart("mixed", f"\r\nlevel {level}", message, boundary=f"b{level}x")
    found = read_message(message.encode())
    assert found.text.startswith("level 999")
    assert "parts nested more than 50 deep" in found.defects


def test_of_thousands_of_parts_a_thousand_are_read():
    found = read_message(multipart("mixed", *[PDF] * 3000).encode())
    assert len(found.attachments) == 999
    assert found.defects == ("more than 1,000 parts",)


def test_a_multipart_without_end_or_boundary_gives_what_is_there():
    cut = multipart("mixed", PLAIN, "\r\nmore words").replace("--b--", "")
    assert read_message(cut.encode()).text.startswith("plain words\n\nmore words")
    lost = multipart("mixed", PLAIN).replace("boundary=b", "")
    found = read_message(lost.encode())
    assert found.text == "plain words"
    assert found.defects == ("a multipart without its boundary",)


def test_a_boundary_that_begins_like_another_ends_nothing():
    inner = multipart("mixed", PLAIN, "\r\nsecond", boundary="bb")
    found = read_message(multipart("mixed", inner, "\r\nthird", boundary="b").encode())
    assert found.text == "plain words\n\nsecond\n\nthird"
    assert found.defects == ()


def test_text_beyond_the_cap_is_cut_and_said_so():
    found = read_message(multipart("mixed", *["\r\n" + "x" * 600_000] * 2).encode())
    assert len(found.text) == 1024 * 1024
    assert found.defects == ("more than 1 MB of text",)


@given(st.binary(max_size=600))
def test_no_bytes_whatever_raise(raw):
    read_message(raw).text.encode()
    read_message(
        b"Content-Type: multipart/mixed; boundary=b\n\n--b\n" + raw + b"\n--b--"
    ).text.encode()


@pytest.mark.parametrize("kept", range(1, 13))
def test_base64_cut_anywhere_gives_all_whole_bytes(kept):
    whole = base64.b64encode(b"abcdefghi")
    assert part(whole[:kept], transfer_encoding="base64") == "abcdefghi"[: kept * 6 // 8]


@pytest.mark.parametrize(
    "payload",
    [b"SGVq\r\nIGth cmlu", b"SGVqIGthcmlu\n", b"SGVqIGth!cmlu", b"SGVqIGthcmlu==\n-- \nfooter"],
)
def test_base64_with_line_ends_foreign_characters_or_a_footer_is_decoded(payload):
    assert part(payload, transfer_encoding="Base64") == "Hej karin"


def test_an_utf8_character_that_was_cut_is_replaced_and_the_rest_kept():
    payload = base64.b64encode("Hej å".encode())[:-4] + base64.b64encode(b"\xc3")
    assert part(payload, transfer_encoding="base64", charset="utf-8").startswith("Hej")


@pytest.mark.parametrize(
    ("payload", "about", "text"),
    [
        (b"H=E5=\r\n =C3", {"transfer_encoding": "quoted-printable", "charset": "l1"}, "Hå Ã"),
        (b"100% =ZZ", {"transfer_encoding": "quoted-printable"}, "100% =ZZ"),
        ("“å”".encode("cp1252"), {"charset": "iso-8859-1"}, "“å”"),
        ("å".encode(), {"charset": "us-ascii"}, "å"),
        ("å".encode(), {"charset": "x-unknown"}, "å"),
        ("å".encode("cp1252"), {"charset": ""}, "å"),
        ("你好".encode("gb18030"), {"charset": "gb2312"}, "你好"),
        ("שלום".encode("iso8859-8"), {"charset": "iso-8859-8-i"}, "שלום"),
        ("سلام".encode("cp1256"), {"charset": "windows-1256"}, "سلام"),
        (b"a\x00b\r\nc\x1bd", {}, "ab\ncd"),
        (b"plain", {"transfer_encoding": "7-bit"}, "plain"),
        (b"begin 644 x\n#0V%T\n`\nend\n", {"transfer_encoding": "x-uuencode"}, "Cat"),
        (b"+AOU-", {"charset": "utf-7"}, "å"),
        (b"abc", {"charset": "unicode_escape"}, "abc"),
        ("<meta charset=koi8-r>Да".encode("koi8-r"), {"media_type": "text/html"}, "Да"),
        (b"", {}, ""),
    ],
)  # fmt: skip
def test_a_part_is_decoded_whatever_it_claims(payload, about, text):
    assert part(payload, **about) == text


def test_html_becomes_lines_without_scripts_and_styles():
    html = (
        "<html><head><style>p{}</style><title>t</title></head><body><script>x()</script>"
        "<p>Hej&nbsp;Karin,<br>ses vi?</p><table><tr><td>Pris<td>100 kr<tr><td>Antal<td>2</table>"
    )
    lines = [" ".join(line.split()) for line in html_to_text(html).splitlines() if line.strip()]
    assert lines == ["Hej Karin,", "ses vi?", "Pris 100 kr", "Antal 2"]


def test_a_table_bomb_stays_small():
    bomb = "<table><tr><td>" + "x" * 20_000 + "<td>b" + "<tr><td>a<td>b" * 2000 + "</table>"
    assert len(html_to_text(bomb)) < 100_000


@pytest.mark.timeout(10)
@pytest.mark.parametrize(
    "html",
    [
        "<table " * 150_000, "<" * 1_000_000, "&" * 1_000_000, " " * 1_000_000,
        "<table><tr>" + "<td>x" * 200_000, "<!--" * 200_000, "\n" * 1_000_000,
        "<blockquote>" * 5000 + "x<br>" * 90_000, "<b><p>" * 100_000,
    ],
)  # fmt: skip
def test_hostile_html_takes_no_time_worth_speaking_of(html):
    assert len(part(html.encode(), media_type="text/html")) <= 2**20


@pytest.mark.timeout(10)
def test_hostile_fields_of_parts_take_no_time_worth_speaking_of():
    for value in (
        "x" * 60_000,
        "a" * 60_000 + "=",
        ";" * 60_000,
        'a="' * 20_000,
        "a*0*=%" * 10_000,
    ):
        read_message(f"Content-Type: text/plain; {value}\r\n\r\nx".encode() * 20)
    read_message(b"Content-Type: multipart/mixed\r\n\r\n" + (b"--" + b" x" * 90 + b"\n") * 50_000)


def test_deep_html_is_read():
    assert html_to_text("<div>" * 200_000 + "x").strip() == "x"


@pytest.mark.parametrize(
    ("value", "found"),
    [
        ('Text/HTML; Charset="UTF-8"; a=b', ("text/html", {"charset": "UTF-8", "a": "b"})),
        ("text/plain;charset=utf-8;", ("text/plain", {"charset": "utf-8"})),
        (r'multipart/mixed; boundary="a;\"b\""', ("multipart/mixed", {"boundary": 'a;"b"'})),
        ('text/plain; charset="open', ("text/plain", {"charset": "open"})),
        ("text/plain; charset = utf-8 ; charset=x", ("text/plain", {"charset": "utf-8"})),
        ("garbage", ("text/plain", {})),
        ("", ("text/plain", {})),
        ("text/plain charset=utf-8", ("text/plain", {})),
        ("application/pdf; name*=''", ("application/pdf", {"name": ""})),
    ],
)  # fmt: skip
def test_content_types_are_read_tolerantly(value, found):
    assert content_type(value) == found


@given(st.text(max_size=200))
def test_no_content_type_raises(value):
    content_type(value)
    content_type(f"a/b; x*0*={value}; x*1={value}")
