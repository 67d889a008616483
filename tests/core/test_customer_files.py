"""Customers from files: what is understood, what is rejected, and by which line."""

from datetime import date

import pytest

from crm_sync.core.customer_files import MOST_BYTES, parse_customers
from crm_sync.core.errors import UsageError
from crm_sync.core.occasions import YearlyDay


def _csv(text):
    return parse_customers(text.encode(), ".csv")


def _vcf(*lines):
    return parse_customers("\r\n".join(lines).encode(), ".vcf")


def _card(*lines, version="4.0"):
    return _vcf("BEGIN:VCARD", f"VERSION:{version}", *lines, "END:VCARD")


def _only(file):
    assert file.rejected == ()
    (row,) = file.rows
    return row


def _reason(file):
    assert file.rows == ()
    (rejected,) = file.rejected
    return rejected.reason


# CSV


def test_every_column_of_a_row_is_understood():
    row = _only(
        _csv(
            "name,company,emails,domains,phones,address,website,owner,language,timezone,country,"
            "birthday,customer_since,last_purchase,greeting_basis,source,tags,preferred_channel,"
            "notes,Shoe size\n"
            "Lena Öst,Nordvik AB,lena@nordvik.example|Lena.Ost@nordvik.example,"
            "NORDVIK.example|@nordvik.test,+46 8 1|+46 8 2,"
            '"Storgatan 1\n111 22 Stockholm",https://nordvik.example,karin@acme.example,sv_SE,'
            "Europe/Stockholm,se,1982-08-03,2019-04-30,2026-01-15,Consent,fair 2019,"
            "vip|nordic,phone,likes tea,38\n"
        )
    )

    assert row.line == 2
    assert row.name == "Lena Öst"
    assert row.company == "Nordvik AB"
    assert row.emails == ("lena@nordvik.example", "Lena.Ost@nordvik.example")
    assert row.domains == ("nordvik.example", "nordvik.test")
    assert row.phones == ("+46 8 1", "+46 8 2")
    assert row.address == "Storgatan 1\n111 22 Stockholm"
    assert row.owner == "karin@acme.example"
    assert (row.language, row.timezone, row.country) == ("sv-SE", "Europe/Stockholm", "SE")
    assert row.birthday == YearlyDay("gregorian", 1982, 8, 3)
    assert row.customer_since == date(2019, 4, 30)
    assert row.last_purchase == date(2026, 1, 15)
    assert row.greeting_basis == "consent"
    assert row.tags == ("vip", "nordic")
    assert row.preferred_channel == "phone"
    assert row.notes == "likes tea"
    assert dict(row.custom) == {"Shoe size": "38"}


def test_missing_columns_and_empty_cells_say_nothing():
    row = _only(_csv("name,emails,notes,shoe size\nLena,  , ,\n"))

    assert (row.name, row.emails, row.notes, row.company) == ("Lena", None, None, None)
    assert dict(row.custom) == {}


@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_the_separator_is_found_by_the_header(separator):
    text = "Name;EMAILS;notes\nLena;lena@nordvik.example;a\n".replace(";", separator)

    assert _only(_csv(text)).emails == ("lena@nordvik.example",)


@pytest.mark.parametrize("before", ["\ufeff", "sep=;\r\n", "\ufeffsep=;\r\n"])
def test_what_spreadsheets_put_before_the_header_is_no_hindrance(before):
    file = _csv(before + "name;emails\r\nLena, Ms;lena@nordvik.example\r\n")

    assert _only(file).name == "Lena, Ms"


def test_cells_of_several_lines_keep_the_line_numbers_right():
    file = _csv('name,notes\n"A","one\ntwo\r\nthree"\n\n,,\nB,b\n,nobody\n')

    assert [(row.line, row.name) for row in file.rows] == [(2, "A"), (7, "B")]
    assert file.rows[0].notes == "one\ntwo\nthree"
    assert [rejected.line for rejected in file.rejected] == [8]


def test_form_feeds_and_line_separators_end_no_line():
    file = _csv("name,notes\nA,x\x0cy\u2028z\x85w\nB,\n")

    assert [row.line for row in file.rows] == [2, 3]


@pytest.mark.parametrize(
    ("cells", "reason"),
    [
        ({"company": "Nordvik"}, "needs a name or an email address"),
        ({"emails": "lena"}, 'emails: not an address "lena"'),
        (
            {"emails": "a@nordvik.example, b@nordvik.example"},
            'emails: not an address "a@nordvik.example, b@nordvik.example"',
        ),
        ({"name": "A", "owner": "Karin"}, 'owner: not an address "Karin"'),
        ({"name": "A", "domains": "nordvik"}, 'domains: not a domain "nordvik"'),
        (
            {"name": "A", "birthday": "1990-02-30"},
            'birthday: there is no day "1990-02-30" in the gregorian calendar',
        ),
        (
            {"name": "A", "customer_since": "2019-02-30"},
            'customer_since: not a date "2019-02-30", write it like 2019-04-30',
        ),
        (
            {"name": "A", "last_purchase": "20190430"},
            'last_purchase: not a date "20190430", write it like 2019-04-30',
        ),
        (
            {"name": "A", "greeting_basis": "yes"},
            (
                'greeting_basis: not a greeting basis "yes", '
                "write one of consent, soft_opt_in, b2b, none"
            ),
        ),
        (
            {"name": "A", "timezone": "Stockholm"},
            'timezone: not a time zone "Stockholm", write it like Europe/Stockholm',
        ),
        (
            {"name": "A", "timezone": "../../etc/passwd"},
            'timezone: not a time zone "../../etc/passwd", write it like Europe/Stockholm',
        ),
        (
            {"name": "A", "language": "Swedish"},
            'language: not a language tag "Swedish", write it like sv or pt-BR',
        ),
        (
            {"name": "A", "country": "Sweden"},
            'country: not a country code "Sweden", write two letters like SE',
        ),
        ({"name": "A\0B"}, "name: holds a NUL character"),
        ({"name": "A", "notes": "x" * 10_001}, "notes: longer than 10,000 characters"),
        ({"name": "A", "tags": "|" * 200}, "tags: more than 100 values"),
        (
            {"emails": "lena", "country": "Sweden"},
            (
                'emails: not an address "lena"; '
                'country: not a country code "Sweden", write two letters like SE'
            ),
        ),
    ],
)
def test_a_row_is_rejected_with_its_reason(cells, reason):
    names = ["name", "emails", *(name for name in cells if name not in {"name", "emails"})]
    row = ",".join(f'"{cells.get(name, "")}"' for name in names)

    assert _reason(_csv(f"{','.join(names)}\n{row}\n")) == reason


def test_addresses_from_real_mail_are_taken_leniently_and_once():
    row = _only(_csv("emails\nanna_b@intern.local|ANNA_B@intern.local| |x@bücher.example\n"))

    assert row.emails == ("anna_b@intern.local", "x@bücher.example")


@pytest.mark.parametrize(
    ("written", "birthday"),
    [
        ("--02-29", YearlyDay("gregorian", None, 2, 29)),
        ("persian:1361-05-12", YearlyDay("persian", 1361, 5, 12)),
    ],
)
def test_birthdays_without_a_year_and_of_other_calendars_are_kept_as_they_are(written, birthday):
    assert _only(_csv(f"name,birthday\nA,{written}\n")).birthday == birthday


def test_a_row_with_too_many_cells_is_rejected_and_empty_ones_are_no_harm():
    file = _csv("name,emails\nA,,\nEk, Karin,karin@x.example\nB\n")

    assert [row.name for row in file.rows] == ["A", "B"]
    assert [(r.line, r.reason) for r in file.rejected] == [
        (3, "has 3 cells where the header has 2")
    ]


def test_an_open_quote_costs_its_own_row_only():
    text = 'name,notes\nA,"never closed\n' + "".join(f"B{n},\n" for n in range(20_000))

    file = _csv(text)

    assert [r.line for r in file.rejected] == [2]
    assert "quotation mark" in file.rejected[0].reason
    assert len(file.rows) == 20_000
    assert file.rows[-1].line == 20_002


def test_text_behind_a_closing_quote_costs_its_own_row_only():
    file = _csv('name,notes\nA,"x" y\n"Karin ""Kaj"" Ek", "spaced, too"\n')

    assert [r.line for r in file.rejected] == [2]
    assert (file.rows[0].name, file.rows[0].notes) == ('Karin "Kaj" Ek', "spaced, too")


def test_thousands_of_open_quotes_are_rejected_in_good_time():
    file = _csv("name,notes\n" + 'A,"x"y\n"\n' * 50_000)

    assert not file.rows
    assert len(file.rejected) > 100


def test_controls_and_disguises_are_taken_out_of_cells():
    row = _only(_csv("name,notes\nA\x1b[31m\u202eB,c\x07d\n"))

    assert (row.name, row.notes) == ("A[31mB", "cd")


def test_a_column_that_is_nearly_known_is_warned_of():
    file = _csv("name,email,,zip\nA,x@y.example,,1\n")

    assert file.warnings == (
        'the column "email" is kept as a custom field; did you mean "emails"?',
        "a column without a name is left out",
    )
    assert dict(file.rows[0].custom) == {"email": "x@y.example", "zip": "1"}


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        (b"", "the file is empty"),
        (b"\n \n", "the file is empty"),
        (b"Lena,lena@nordvik.example\n", "the file has no header row with a column name or emails"),
        (b"\xef\xbb\xbf\n", "the file has no header row"),
        (b"name,Emails,emails\n", "the header names a column twice: emails"),
        ("name\nÅsa\n".encode("latin-1"), "the file is not UTF-8 text: line 2 holds something"),
        ("name\nÅsa\n".encode("utf-16"), "the file is not UTF-8 text: line 1 holds something"),
        ("name\nAsa\n".encode("utf-16-le"), "the file is not UTF-8 text, it may be UTF-16"),
        (b"x" * (MOST_BYTES + 1), "the file is larger than 50 MB or a million lines"),
        (b"name\n" * 2_000_001, "the file is larger than 50 MB or a million lines"),
    ],
)
def test_a_file_that_cant_be_taken_is_refused_in_a_sentence(data, sentence):
    with pytest.raises(UsageError) as raised:
        parse_customers(data, ".csv")

    assert raised.value.what.startswith(sentence)


def test_another_kind_of_file_is_refused():
    with pytest.raises(UsageError, match=r'"\.xlsx" is no kind of file that can be imported'):
        parse_customers(b"PK", ".xlsx")


def test_a_header_alone_is_a_file_without_customers():
    assert _csv("name,emails\n").rows == ()


# vCard


def test_every_property_of_a_card_is_understood():
    row = _only(
        _card(
            "FN:Lena Öst",
            "N:Öst;Lena;Maria;;",
            "ORG:Nordvik\\; Söner AB;Sales",
            "item1.EMAIL;TYPE=work;PREF=1:lena@nordvik.example",
            "EMAIL;TYPE=INTERNET,HOME:mailto:lena@home.example",
            'TEL;VALUE=uri;TYPE="voice,home":tel:+46-8-1',
            "TEL;CELL:+46 8 2",
            "BDAY:19820803",
            "ADR;TYPE=home:;;Storgatan 1\\, 2 tr;Stockholm;;111 22;Sweden",
            "URL:https://nordvik.example",
            "NOTE:likes tea\\, not\\ncoffee\\\\, see",
            "  below",
            "CATEGORIES:vip,nor\\,dic",
            "LANG;PREF=1:sv",
            "TZ:Europe/Stockholm",
            "X-SHOE-SIZE:38",
            "PHOTO:data:image/jpeg;base64," + "A" * 200_000,
        )
    )

    assert row.line == 1
    assert row.name == "Lena Öst"
    assert row.company == "Nordvik; Söner AB"
    assert row.emails == ("lena@nordvik.example", "lena@home.example")
    assert row.phones == ("+46-8-1", "+46 8 2")
    assert row.birthday == YearlyDay("gregorian", 1982, 8, 3)
    assert row.address == "Storgatan 1, 2 tr\n111 22 Stockholm\nSweden"
    assert row.website == "https://nordvik.example"
    assert row.notes == "likes tea, not\ncoffee\\, see below"
    assert row.tags == ("vip", "nor,dic")
    assert (row.language, row.timezone) == ("sv", "Europe/Stockholm")
    assert dict(row.custom) == {}


@pytest.mark.parametrize(
    ("line", "birthday"),
    [
        ("BDAY:1982-08-03", YearlyDay("gregorian", 1982, 8, 3)),
        ("BDAY;VALUE=date:--0803", YearlyDay("gregorian", None, 8, 3)),
        ("BDAY:--08-03", YearlyDay("gregorian", None, 8, 3)),
        ("BDAY:1982-08-03T00:00:00Z", YearlyDay("gregorian", 1982, 8, 3)),
        ("BDAY;X-APPLE-OMIT-YEAR=1604:1604-02-29", YearlyDay("gregorian", None, 2, 29)),
    ],
)
def test_birthdays_of_all_forms_are_read(line, birthday):
    assert _only(_card("FN:A", line)).birthday == birthday


@pytest.mark.parametrize("line", ["BDAY:1982", "BDAY:1982-08", "BDAY;VALUE=text:in spring"])
def test_a_birthday_without_a_day_is_left_out_with_a_warning(line):
    file = _card("FN:A", line)

    assert _only(file).birthday is None
    assert file.warnings == ("line 1: the birthday has no month and day and is left out",)


def test_a_time_zone_that_is_an_offset_is_left_out_with_a_warning():
    file = _card("FN:A", "TZ:+0100", version="3.0")

    assert _only(file).timezone is None
    assert file.warnings == ("line 1: the time zone is no name of a zone and is left out",)


def test_a_name_is_put_together_where_the_formatted_one_is_missing():
    assert _only(_card("FN:", "N:Ek;Karin;Maria;Dr.;")).name == "Karin Maria Ek"


def test_a_broken_card_is_rejected_by_its_line_and_the_others_go_on():
    file = _vcf(
        "BEGIN:VCARD", "FN:A", "END:VCARD",
        "begin:vcard", "FN:B", "this is no property", "end:vcard",
        "BEGIN:VCARD", "FN:never closed",
        "BEGIN:VCARD", "FN:C", "BDAY:19820230", "END:VCARD",
        "BEGIN:VCARD", "ORG:Nordvik", "END:VCARD",
        "BEGIN:VCARD", "VERSION:2.1", "FN;ENCODING=QUOTED-PRINTABLE:=C5sa", "END:VCARD",
        "BEGIN:VCARD", "FN:D", "END:VCARD",
        "BEGIN:VCARD", "FN:cut off",
    )  # fmt: skip

    assert [(row.line, row.name) for row in file.rows] == [(1, "A"), (21, "D")]
    assert [(r.line, r.reason) for r in file.rejected] == [
        (4, 'the line "this is no property" is no property of a vCard'),
        (8, "the card has no END:VCARD"),
        (10, 'birthday: there is no day "1982-02-30" in the gregorian calendar'),
        (14, "needs a name or an email address"),
        (17, "the card is of version 2.1, export it as 3.0 or 4.0"),
        (24, "the card has no END:VCARD"),
    ]


def test_hostile_cards_are_read_in_good_time():
    lines = [
        "N;a=" + "," * 50_000 + '"',
        "N" + ";a" * 30_000,
        "N:" + "\\" * 50_001,
        *[" " + "x" * 70] * 1_000,
    ]

    for line in lines:
        _card("FN:A", line)
    huge = _vcf("BEGIN:VCARD", "FN:A", "PHOTO:", *[" " + "A" * 70] * 100_000, "END:VCARD")

    assert _only(huge).name == "A"
    assert "longer than 100,000" in _reason(_card("FN:A", "NOTE:" + "x" * 100_001))


def test_a_file_without_cards_is_refused():
    with pytest.raises(UsageError, match="the file holds no vCard"):
        parse_customers(b"name,emails\n", ".VCF")
