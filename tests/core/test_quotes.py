"""What is new in a reply, what is quoted, what is signature."""

import time
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crm_sync.core.quotes import LONGEST_TEXT, split_reply

QUOTE = "> Hello,\n> shall we meet?\n>\n> Karin"


def new(text: str) -> str:
    return split_reply(text)[0]


@pytest.mark.parametrize(
    "introduction",
    [
        "On Mon, 2 Mar 2026 at 10:22, Karin Ek <karin@acme.example> wrote:",
        "On Monday, March 2, 2026 at 10:22 AM, Karin Ek wrote:",
        "On Mon, 2 Mar 2026 at 10:22, Karin Ek with quite a long name\n<karin@acme.example> wrote:",
        "On Mon, 2 Mar 2026 at 10:22, Karin Ek <karin@acme.example\n> wrote:",
        "Den mån 2 mars 2026 kl 10:22 skrev Karin Ek <karin@acme.example>:",
        "2 mars 2026 kl. 10:22 skrev Karin Ek <karin@acme.example>:",
        "Den man. 2. mar. 2026 kl. 10.22 skrev Karin Ek <karin@acme.example>:",
        "Karin Ek <karin@acme.example> kirjoitti 2.3.2026 klo 10.22:",
        "Am 02.03.2026 um 10:22 schrieb Karin Ek:",
        "Am Mo., 2. März 2026 um 10:22 Uhr schrieb Karin Ek <\nkarin@acme.example>:",
        "Karin Ek <karin@acme.example> schrieb am Mo., 2. März 2026\num 10:22 Uhr:",
        "Le lun. 2 mars 2026 à 10:22, Karin Ek <karin@acme.example> a\nécrit :",
        "El lun, 2 mar 2026 a las 10:22, Karin Ek (<karin@acme.example>) escribió:",
        "Em seg., 2 de mar. de 2026 às 10:22, Karin Ek <karin@acme.example>\nescreveu:",
        "Il giorno lun 2 mar 2026 alle ore 10:22 Karin Ek <karin@acme.example>\nha scritto:",
        "Op ma 2 mrt 2026 om 10:22 schreef Karin Ek <karin@acme.example>:",
        "Op 2 mrt. 2026, om 10:22 heeft Karin Ek <karin@acme.example> het volgende geschreven:",
        "pon., 2 mar 2026 o 10:22 Karin Ek <karin@acme.example> napisał(a):",
        "po 2. 3. 2026 v 10:22 odesílatel Karin Ek <karin@acme.example> napsal:",
        "Karin Ek <karin@acme.example> ezt írta (időpont: 2026. márc. 2., H, 10:22):",
        "пн, 2 мар. 2026 г. в 10:22, Karin Ek <karin@acme.example>:",
        "2 марта 2026 г., в 10:22, Karin Ek <karin@acme.example> написал(а):",
        "Karin Ek <karin@acme.example>, 2 Mar 2026 Pzt, 10:22 tarihinde şunu yazdı:",
        "در تاریخ دوشنبه ۲ مارس ۲۰۲۶ ساعت 10:22 Karin Ek <karin@acme.example> نوشت:",
        "في الاثنين، 2 مارس 2026 في 10:22 ص كتبت Karin Ek <karin@acme.example>:",
        "\u200fבתאריך יום ב׳, 2 במרץ 2026 ב-10:22 מאת Karin Ek \u200f<karin@acme.example>:\u200f",
        "Vào Th 2, 2 thg 3, 2026 vào lúc 10:22 Karin Ek <karin@acme.example> đã viết:",
        "Karin Ek <karin@acme.example> 于2026年3月2日周一 10:22写道：",
        "Karin Ek <karin@acme.example> 於 2026年3月2日 週一 上午10:22寫道：",
        "2026年3月2日(月) 10:22 Karin Ek <karin@acme.example>:",
        "2026년 3월 2일 (월) 오전 10:22, Karin Ek <karin@acme.example>님이 작성:",
    ],
)
@pytest.mark.parametrize("quote", [QUOTE, QUOTE.replace("> ", "").replace(">", "")])
def test_an_answer_stands_above_the_quote_in_any_language(introduction, quote):
    answer = "Ja tack!\n\nTvå gärna.\nLena"
    text = f"{answer}\n\n{introduction}\n\n{quote}\n"
    assert split_reply(text) == (answer, f"{introduction}\n\n{quote}")


def test_the_last_line_of_an_answer_is_no_part_of_the_introduction_below_it():
    text = "See you at 10:30.\nOn Mon, 2 Mar 2026 at 10:22, Karin <k@acme.example> wrote:\n> Ok?\n"
    assert new(text) == "See you at 10:30."


@pytest.mark.parametrize(
    "header",
    [
        "From: Karin Ek <karin@acme.example>\nSent: Monday, March 2, 2026 10:22\nTo: Lena\nSubject: Offer",
        "Från: Karin Ek <karin@acme.example>\nSkickat: den 2 mars 2026 10:22\nTill: Lena\nÄmne: Offert",
        "Fra: Karin Ek\nSendt: 2. marts 2026 10:22\nTil: Lena\nEmne: Tilbud",
        "Von: Karin Ek\nGesendet: Montag, 2. März 2026 10:22\nAn: Lena\nCc: Max\nBetreff: Angebot",
        "De : Karin Ek\nEnvoyé : lundi 2 mars 2026 10:22\nÀ : Lena\nObjet : Offre",
        "De: Karin Ek\nEnviado: lunes, 2 de marzo de 2026 10:22\nPara: Lena\nAsunto: Oferta",
        "Da: Karin Ek\nInviato: lunedì 2 marzo 2026 10:22\nA: Lena\nOggetto: Offerta",
        "Od: Karin Ek\nWysłano: poniedziałek, 2 marca 2026 10:22\nDo: Lena\nTemat: Oferta",
        "От: Karin Ek\nОтправлено: 2 марта 2026 г. 10:22\nКому: Lena\nТема: Предложение",
        "از: Karin Ek\nتاریخ: ۲ مارس ۲۰۲۶\nبه: Lena\nموضوع: پیشنهاد",
        "Từ: Karin Ek\nNgày: 2 tháng 3, 2026\nĐến: Lena\nChủ đề: Báo giá",
        "发件人: Karin Ek\n发送时间: 2026年3月2日 10:22\n收件人: Lena\n主题: 报价",
        "差出人: Karin Ek\n送信日時: 2026年3月2日 10:22\n宛先: Lena\n件名: 見積",
        "보낸 사람: Karin Ek\n보낸 날짜: 2026년 3월 2일\n받는 사람: Lena\n제목: 견적",
        "*From:* Karin Ek\n*Sent:* Monday\n*To:* Lena and\n everybody\n*Subject:* Offer",
        "-----Original Message-----\nFrom: Karin\nSent: Monday\nTo: Lena\nSubject: Offer",
        "-----Ursprungligt meddelande-----",
        "---------- Forwarded message ---------\nFrom: Karin <k@acme.example>\nDate: Mon\nTo: Lena",
    ],
)
def test_an_answer_stands_above_a_header(header):
    assert new(f"Yes please.\n\n________________________________\n{header}\n\nHello Lena\n") == (
        "Yes please."
    )


def test_an_answer_below_the_quote_is_found():
    text = f"On 2 Mar 2026 at 10:22 Karin <k@acme.example> wrote:\n{QUOTE}\n\nYes, on Tuesday.\n"
    assert new(text) == "Yes, on Tuesday."


def test_an_answer_below_the_quote_is_not_lost_for_a_greeting_above_it():
    text = f"Hi Karin,\n\nKarin wrote:\n{QUOTE}\n\nYes, on Tuesday.\n\n-- \nLena\n"
    assert new(text).split("\n") == ["Hi Karin,", "", "", "Yes, on Tuesday."]


def test_questions_answered_one_by_one_stay_with_their_answers():
    text = "My answers:\n\n> Which colour?\n\nRed.\n\n> How many?\n\nTwo."
    assert split_reply(text) == (text, "")


def test_a_quote_at_the_end_goes_even_where_nothing_introduces_it():
    assert split_reply("Done.\n> Please call them.\n") == ("Done.", "> Please call them.")


@pytest.mark.parametrize("delimiter", ["-- ", "--"])
def test_the_signature_is_cut_at_its_delimiter(delimiter):
    text = f"snooze 3d\n{delimiter}\nLena Lund\nNordvik AB"
    assert split_reply(text) == ("snooze 3d", f"{delimiter}\nLena Lund\nNordvik AB")


@pytest.mark.parametrize(
    "line",
    ["Sent from my iPhone", "Skickat från min iPhone", "Von meinem iPad gesendet", "发自我的 iPhone",
     "Envoyé de mon iPhone", "Get Outlook for iOS", "Được gửi từ điện thoại Samsung của tôi"],
)  # fmt: skip
def test_the_line_that_a_telephone_adds_is_cut(line):
    assert (
        new(f"done\n\n{line}\n\nOn 2 Mar 2026 at 10:22 Karin <k@acme.example> wrote:\n> Hi")
        == "done"
    )


def test_a_forwarded_mail_alone_is_the_new_part_without_its_header():
    text = (
        "---------- Forwarded message ---------\nFrom: Max <max@nordvik.example>\nDate: Mon\n"
        "Subject: Drawings\nTo: Lena\n\nHere they are.\n"
    )
    assert new(text) == "Here they are."


@pytest.mark.parametrize(
    "text",
    [
        "Two things came from: Oslo and from: Bergen.\n\nWhich ones?",
        "From: Stockholm\nTo: Malmö\nDate: 2 March\n\nCan you book that?",
        "Last year he wrote:\n\nwe need no more. But now we do.",
        "I sent it from my iPhone to all of them yesterday.",
        "Sent from my desk, which is easier than from my phone.",
        "We met in 2026:\n\nit was good.",
        "a -- b\n---\nc",
        "Price:\n\n  12.50\n\nOk?",
        "",
        "\n\n",
    ],
)
def test_what_only_looks_like_a_quote_stays(text):
    assert split_reply(text) == (text.strip(), "")


@given(st.lists(st.sampled_from([*QUOTE.split("\n"), "", "--", "Ja", "a <b@c> wrote:", "From: x"])))
def test_no_line_is_lost_and_none_comes_twice(lines):
    text = "\n".join(lines)
    first, rest = split_reply(text)
    assert sorted(f"{first}\n{rest}".split()) == sorted(text.split())


@pytest.mark.parametrize(
    "unit",
    [
        "a", "\n", ">", ">\n", ":\n", "<", "<\n", "<a@b> 10:10:\n\n", "a@b wrote ", "From: a@b\n", "--\n",
        "-", "---\n", "On 10:10 <a@\n", "[a", "<a" * 150 + ":\n", "1:1", "sent from " * 30 + "\n",
        "-" * 399 + "x\n", "*_ " * 100 + ":\n", "x\n\n\n\n", "> a\n\n",
    ],
)  # fmt: skip
def test_hostile_text_costs_no_more_than_any_other(unit):
    text = unit * (2 * LONGEST_TEXT // len(unit))
    began = time.process_time()
    split_reply(text)
    assert timedelta(seconds=time.process_time() - began) < timedelta(seconds=2)


def test_what_lies_beyond_64_kb_belongs_to_the_rest():
    first, rest = split_reply("a" * LONGEST_TEXT + "b")
    assert first == "a" * LONGEST_TEXT
    assert rest == "b"
