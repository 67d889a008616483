"""What the mails we write say, in six languages, from the templates that ship."""

import re
from dataclasses import replace
from datetime import date, datetime

import pytest

from crm_sync.core.alarm_lines import AlarmLine
from crm_sync.core.rendering import DIGEST_LIMIT
from tests.core.mails import (
    LANGUAGES,
    LINE,
    RENDERER,
    STOCKHOLM,
    Page,
    approval,
    digest,
    greeting,
    mails,
    notice,
)

# Greetings


@pytest.mark.parametrize(
    ("language", "wish"),
    [
        ("sv", "Grattis på födelsedagen, Lena Nordvik!"),
        ("da", "Tillykke med fødselsdagen, Lena Nordvik!"),
        ("fa", "تولدتان مبارک"),
        ("vi", "Chúc mừng sinh nhật"),
        ("zh", "祝您生日快乐"),
        ("en", "Happy birthday, Lena Nordvik!"),
    ],
)
def test_the_greeting_wishes_in_the_contacts_language_and_is_signed(language, wish):
    mail = greeting(language)
    for part in (mail.text, Page(mail.html).shown):
        assert wish in part
        assert "Lena Nordvik" in part
        assert part.index("Karin Ek") < part.index("Acme AB")
    assert wish in mail.subject
    assert mail.language == language


@pytest.mark.parametrize("language", LANGUAGES)
def test_without_a_name_the_greeting_reads_as_if_none_was_meant(language):
    mail = greeting(language, name="  ", rep="")
    for part in (mail.subject, mail.text):
        assert not re.search(r" [,!،，]|[,،，] ?[,!،，]|^[,،，]|\n[,،，]|  ", part)
        assert "None" not in part
    assert "\n\n\n" not in mail.text


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_greeting_tells_neither_age_nor_year_and_how_to_decline_it(language):
    mail = greeting(language)
    assert not re.search(r"\d", mail.text)
    last = mail.text.strip().split("\n\n")[-1]
    word = {
        "sv": "svara",
        "da": "svare",
        "fa": "پاسخ",
        "vi": "trả lời",
        "zh": "回复",
        "en": "reply",
    }
    assert word[language] in last


def test_persian_is_written_with_its_joiners():
    assert "می‌گوییم" in greeting("fa").text
    assert "\u200c" in digest(LINE, LINE, language="fa").text


# Languages


@pytest.mark.parametrize(
    ("asked", "used"),
    [
        ("sv-FI", "sv"),
        ("zh-Hant-TW", "zh"),
        ("ZH_cn", "zh"),
        ("fi", "en"),
        ("", "en"),
        ("../sv", "en"),
    ],
)
def test_an_unknown_language_falls_back_to_its_base_and_then_to_english(asked, used):
    assert greeting(asked).language == used


@pytest.mark.parametrize(
    ("language", "count", "words"),
    [
        ("sv", 1, "Ett mejl väntar"),
        ("sv", 2, "2 mejl väntar"),
        ("da", 1, "Én mail venter"),
        ("da", 2, "2 mails venter"),
        ("en", 1, "One email is waiting"),
        ("en", 2, "2 emails are waiting "),
        ("fa", 2, "۲ ایمیل منتظر"),
        ("vi", 2, "2 email đang chờ"),
        ("zh", 2, "2 封邮件"),
    ],
)
def test_plurals_and_digits_are_those_of_the_language(language, count, words):
    assert words in Page(digest(*[LINE] * count, language=language).html).shown


@pytest.mark.parametrize(
    ("language", "since"),
    [
        ("sv", "tis 10 mars 09:05 (2 arbetsdagar)"),
        ("da", "tirs. 10. mar. 09.05 (2 arbejdsdage)"),
        ("fa", "سه‌شنبه ۱۹ اسفند (۱۰ مارس)، ساعت ۹:۰۵ (۲ روز کاری)"),
        ("vi", "9:05 Th 3, 10 thg 3 (2 ngày làm việc)"),
        ("zh", "3月10日周二 09:05"),
        ("en", "Tue, Mar 10, 09:05 (2 business days)"),
    ],
)
def test_times_are_written_as_the_language_writes_them(language, since):
    assert since in digest(LINE, language=language).text


@pytest.mark.parametrize(
    ("days", "words"),
    [(0, "less than a business day"), (1, "one business day"), (7, "7 business days")],
)
def test_the_time_waited_is_said_in_words(days, words):
    assert words in digest(replace(LINE, days_waited=days), language="en").text


@pytest.mark.parametrize("language", LANGUAGES)
def test_no_sentence_ends_in_two_stops_or_holds_two_spaces(language):
    day = date(2026, 12, 6)  # its month is abbreviated with a stop in Danish and Swedish
    lines = [AlarmLine("a/imap", reason, day=day) for reason in ("ending_secret", "ending_sign_in")]
    for mail in (*mails(language), RENDERER.alarm(language, "ending", lines)):
        assert ".." not in mail.text
        assert not re.search(r"\S  ", mail.text)


# Mails to reps


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_approval_begins_with_the_command_and_shows_the_greeting_whole(language):
    mail = approval(language)
    assert "crm-sync outbox approve 12" in mail.text[:90]
    assert "crm-sync outbox cancel 12" in mail.text
    for part in (mail.text, Page(mail.html).shown):
        assert "Lena Nordvik <lena@nordvik.example>" in part
        assert "Karin Ek <karin@acme.example>" in part
        assert "Europe/Stockholm" in part
        for line in filter(None, [greeting().subject, *greeting().text.splitlines()]):
            assert line in part


def test_a_greeting_that_closes_at_midnight_closes_on_its_own_day():
    assert "tors 12 mars 23:59" in approval().text
    assert (
        "fre 13 mars 06:00"
        in approval(closes_at_local=datetime(2026, 3, 13, 6, tzinfo=STOCKHOLM)).text
    )


def test_the_greeting_inside_an_approval_keeps_its_own_direction():
    mail = approval("sv", greeting=greeting("fa"))
    page = Page(mail.html)
    assert page.all("html") == [{"lang": "sv", "dir": "ltr"}]
    assert [cell["lang"] for cell in page.all("td") if cell.get("dir") == "rtl"] == ["fa"]
    assert "\u2067تولدتان مبارک، " in mail.text


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_digest_lists_the_oldest_first_with_its_commands(language):
    oldest = replace(
        LINE,
        reminder_id=5,
        contact_name="Ida Holm",
        since_local=datetime(2026, 3, 2, 8, 0, tzinfo=STOCKHOLM),
    )
    mail = digest(LINE, oldest, language=language)
    assert "Ida Holm" in mail.text[:90]
    for part in (mail.text, Page(mail.html).shown):
        commands = re.findall(r"crm-sync reminders (?:done \d+|snooze \d+ 3d)", part)
        assert commands == [
            "crm-sync reminders done 5",
            "crm-sync reminders snooze 5 3d",
            "crm-sync reminders done 17",
            "crm-sync reminders snooze 17 3d",
        ]
        for value in ("Offert 2026-118", "Nordvik AB", "lena@nordvik.example", "före påsk?"):
            assert value in part


def test_older_mails_are_counted_in_one_line_and_only_when_there_are_any():
    assert "3 mejl från tiden före" in digest(LINE, older=3).text
    assert "från tiden före" not in digest(LINE).text
    alone = digest(older=3)
    assert alone.text.startswith("3 mejl från tiden före")
    assert "reminders done" not in alone.text


def test_a_long_digest_shows_the_oldest_and_says_how_many_more_there_are():
    lines = [replace(LINE, reminder_id=n, context="x" * 5000) for n in range(DIGEST_LIMIT + 60)]
    mail = digest(*lines)
    assert mail.subject.startswith("100 mejl väntar")
    assert "Och 60 till." in mail.text
    assert mail.text.count("crm-sync reminders done") == DIGEST_LIMIT
    assert len(mail.html.encode()) < 100_000


def test_one_line_of_context_is_shown_cut():
    mail = digest(replace(LINE, context="one\r\n\n  two\x00 " + "long " * 99))
    [context] = [line for line in mail.text.splitlines() if line.startswith("> ")]
    assert context.startswith("> one two long")
    assert context.endswith("…")
    assert len(context) <= 162


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_notice_says_who_has_a_birthday_and_why_no_mail_goes(language):
    refused, unknown = notice(language), notice(language, reason="no_address")
    who = "Lena Nordvik（Nordvik AB）" if language == "zh" else "Lena Nordvik (Nordvik AB)"
    assert who in refused.text[:90]
    assert "Lena Nordvik" in refused.subject
    assert refused.text != unknown.text


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_subject_to_a_rep_fits_sixty_characters(language):
    long = "Bartholomew Featherstonehaugh-Cholmondeley of Wotton-under-Edge " * 3
    for mail in (
        approval(language, contact_name=long, customer_name=long),
        digest(replace(LINE, contact_name=long), language=language),
        digest(LINE, replace(LINE, contact_name=long), language=language),
        notice(language, name=long),
    ):
        assert 0 < len(mail.subject) <= 60


# Hostile values


def test_a_value_is_never_a_template():
    for name in ("{{7*7}}", "{% raw %}", "{# gone #}", "{{ ''.__class__ }}", "{% block subject %}"):
        mail = digest(replace(LINE, contact_name=name, subject=name, context=name))
        assert mail.text.count(name) == 4
        assert name in greeting(name=name).subject


def test_html_in_a_value_is_shown_not_obeyed():
    evil = "<script>alert(1)</script><img src=http://x.example/a.png>"
    for mail in (
        greeting(name=evil, rep=evil),
        digest(replace(LINE, contact_name=evil, subject=evil, context=evil, address=evil)),
        approval(contact_name=evil, address=evil, sender=evil, greeting=greeting(name=evil)),
        notice(name=evil),
    ):
        page = Page(mail.html)
        assert evil in page.shown
        assert not page.all("script")
        assert not page.all("img")


def test_a_value_can_neither_break_the_subject_nor_turn_the_line_around():
    name = "Lena\r\nBcc: x@evil.example\x00\u202egnp.exe"
    mail = greeting(name=name)
    assert mail.subject == "Grattis på födelsedagen, Lena Bcc: x@evil.examplegnp.exe!"
    assert "\u202e" not in mail.text + mail.html


def test_a_name_of_the_other_direction_is_isolated_but_not_in_the_subject():
    mail = greeting("sv", name="سارا احمدی")
    assert "\u2068سارا احمدی\u2069" in mail.text
    assert mail.subject == "Grattis på födelsedagen, سارا احمدی!"
    assert "\u2068" not in greeting("fa", name="سارا احمدی", rep="").text
    assert "\u2068Lena Nordvik\u2069" in greeting("fa").text
