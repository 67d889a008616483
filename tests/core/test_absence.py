"""Until when somebody is away and who answers instead, as automatic replies say it."""

import time
from datetime import date

import pytest

from crm_sync.core import absence_phrases
from crm_sync.core.absence import Absence, plain, read_absence

SENT = date(2026, 8, 3)


def reply(text, subject="Automatic reply", author="Lena Ek <lena@nordvik.example>", extra=""):
    lines = [f"From: {author}", "To: karin@acme.example", f"Subject: {subject}"]
    lines += ["Auto-Submitted: auto-replied", "Content-Type: text/plain; charset=utf-8"]
    lines += ["Content-Transfer-Encoding: 8bit"] + ([extra] if extra else [])
    return ("\r\n".join(lines) + "\r\n\r\n" + text).encode()


def said(text, on=SENT, **header):
    found = read_absence(reply(text, **header), on)
    return None if found is None else (found.until and found.until.isoformat(), found.deputy)


SENTENCES = {
    "en": [
        ("I am out of the office until 14 August.", "2026-08-15"),
        ("I am away and will be back on Monday, August 17th.", "2026-08-17"),
        ("I'm on leave from 3 to 14 August 2026 and read no mail.", "2026-08-15"),
        ("On vacation Aug 3-14.", "2026-08-15"),
        ("I will not be back in the office until 17 August.", "2026-08-17"),
        ("Out of office through 8/14/2026.", "2026-08-15"),
        ("I return to the office on 2026-08-17 after my holiday.", "2026-08-17"),
        ("I am away this week and back on Thursday.", "2026-08-06"),
        ("On holiday. Back on the 12th.", "2026-08-12"),
    ],
    "de": [
        ("Ich bin bis einschließlich 14.08.2026 nicht im Büro.", "2026-08-15"),
        ("Ab dem 17. August bin ich wieder für Sie da, derzeit im Urlaub.", "2026-08-17"),
        ("Ich bin vom 3. bis 14. August im Urlaub.", "2026-08-15"),
        ("Ich bin im Urlaub und am 17.8. wieder erreichbar.", "2026-08-17"),
        ("Vom 03.08.-14.08. bin ich abwesend.", "2026-08-15"),
        ("Ich bin vom 3. August an im Urlaub und wieder da am 17. August.", "2026-08-17"),
    ],
    "nl": [
        ("Ik ben afwezig t/m 14 augustus.", "2026-08-15"),
        ("Ik ben met vakantie en vanaf 17 augustus weer bereikbaar.", "2026-08-17"),
        ("Afwezig tot en met 14-08-2026.", "2026-08-15"),
    ],
    "sv": [
        ("Jag är på semester till och med 14 augusti.", "2026-08-15"),
        ("Jag är ledig och åter på kontoret måndag den 17 augusti.", "2026-08-17"),
        ("Semester 3-14 augusti.", "2026-08-15"),
        ("Jag är borta, tillbaka 17/8.", "2026-08-17"),
        ("Jag har semester t.o.m. 14/8.", "2026-08-15"),
    ],
    "da": [
        ("Jeg holder ferie til og med d. 14. august.", "2026-08-15"),
        ("Jeg er på ferie og tilbage på kontoret den 17. august.", "2026-08-17"),
        ("Jeg holder ferie fra den 3. august til den 14. august.", "2026-08-15"),
    ],
    "nb": [
        ("Jeg er på ferie frem til 14. august.", "2026-08-15"),
        ("Jeg har ferie og er tilbake 17. august 2026.", "2026-08-17"),
    ],
    "fi": [
        ("Olen lomalla 14.8. asti.", "2026-08-15"),
        ("Olen lomalla 3.–14.8.2026.", "2026-08-15"),
        ("Olen lomalla ja palaan töihin 17. elokuuta.", "2026-08-17"),
    ],
    "fr": [
        ("Je suis absente jusqu'au 14 août inclus.", "2026-08-15"),
        ("Je suis en congés, de retour le lundi 17 août.", "2026-08-17"),
        ("En congés du 3 au 14 août 2026.", "2026-08-15"),
        ("Absent ; je reviens le 1er septembre.", "2026-09-01"),
        ("Je serai absent jusqu’au 05/09.", "2026-09-06"),
    ],
    "es": [
        ("Estaré fuera de la oficina hasta el 14 de agosto.", "2026-08-15"),
        ("Estoy de vacaciones del 3 al 14 de agosto de 2026.", "2026-08-15"),
        ("Estoy de vacaciones y vuelvo el lunes 17 de agosto.", "2026-08-17"),
    ],
    "it": [
        ("Sono in ferie fino al 14 agosto.", "2026-08-15"),
        ("Sono assente dal 3 al 14 agosto.", "2026-08-15"),
        ("Sono in ferie, rientrerò in ufficio il 17/08/2026.", "2026-08-17"),
    ],
    "pt": [
        ("Estou de férias até 14 de agosto.", "2026-08-15"),
        ("Estou de férias de 3 a 14 de agosto.", "2026-08-15"),
        ("Estarei ausente do dia 3 ao dia 14/08/2026.", "2026-08-15"),
        ("Estou ausente e regresso no dia 17 de agosto.", "2026-08-17"),
    ],
    "pl": [
        ("Jestem na urlopie do 14 sierpnia.", "2026-08-15"),
        ("Jestem na urlopie od 3 do 14 sierpnia 2026 r.", "2026-08-15"),
        ("Jestem nieobecna, wracam 17.08.2026.", "2026-08-17"),
    ],
    "cs": [
        ("Mám dovolenou do 14. srpna.", "2026-08-15"),
        ("Jsem na dovolené a vrátím se 17. 8. 2026.", "2026-08-17"),
    ],
    "ru": [
        ("Я в отпуске до 14 августа.", "2026-08-15"),
        ("Нахожусь в отпуске с 3 по 14 августа включительно.", "2026-08-15"),
        ("Я в отпуске, вернусь 17 августа 2026 г.", "2026-08-17"),
        ("Буду отсутствовать с 03.08.2026 по 14.08.2026.", "2026-08-15"),
    ],
    "uk": [
        ("Я у відпустці до 14 серпня.", "2026-08-15"),
        ("Я у відпустці, повернуся 17 серпня.", "2026-08-17"),
    ],
    "tr": [
        ("14 Ağustos tarihine kadar izindeyim.", "2026-08-15"),
        ("İzindeyim, 17 Ağustos'ta ofise döneceğim.", "2026-08-17"),
        ("3-14 Ağustos 2026 tarihleri arasında tatildeyim.", "2026-08-15"),
    ],
    "hu": [
        ("Szabadságon vagyok augusztus 14-ig.", "2026-08-15"),
        ("Szabadságon vagyok, augusztus 17-től újra elérhető leszek.", "2026-08-17"),
    ],
    "ro": [("Sunt în concediu până pe 14 august.", "2026-08-15")],
    "el": [("Είμαι σε άδεια έως 14 Αυγούστου.", "2026-08-15")],
    "fa": [
        ("تا ۲۵ مرداد در مرخصی هستم.", "2026-08-17"),
        ("از ۱۲ مرداد تا ۲۵ مرداد ۱۴۰۵ در مرخصی هستم.", "2026-08-17"),
        ("در مرخصی هستم و ۲۶ مرداد باز می‌گردم.", "2026-08-17"),
        ("در مرخصی هستم تا تاریخ ۱۴۰۵/۰۵/۲۵", "2026-08-17"),
    ],
    "ar": [
        ("أنا في إجازة حتى 14 أغسطس.", "2026-08-15"),
        ("أنا في إجازة وسأعود إلى المكتب يوم ١٧ أغسطس ٢٠٢٦", "2026-08-17"),
        ("أنا في إجازة من 3 آب إلى 14 آب.", "2026-08-15"),
    ],
    "vi": [
        ("Tôi nghỉ phép đến hết ngày 14/8.", "2026-08-15"),
        ("Tôi nghỉ phép từ ngày 3/8 đến ngày 14/8/2026.", "2026-08-15"),
        ("Tôi đang nghỉ phép và trở lại làm việc vào ngày 17 tháng 8.", "2026-08-17"),
    ],
    "id": [("Saya sedang cuti sampai dengan 14 Agustus 2026.", "2026-08-15")],
    "zh": [
        ("我正在休假,8月17日恢复工作。", "2026-08-17"),
        ("本人于2026年8月3日至8月14日休假。", "2026-08-15"),
        ("我在8月14日之前不在办公室。", "2026-08-15"),
        ("我正在出差,将于8月17日返回办公室。", "2026-08-17"),
        ("休假中,8月3日-14日。", "2026-08-15"),
    ],
    "ja": [
        ("8月14日まで休暇をいただいております。", "2026-08-15"),
        ("8月3日から8月14日まで不在です。", "2026-08-15"),
        ("休暇中です。8月17日より出社いたします。", "2026-08-17"),
        ("夏季休業期間:2026年8月8日(土)~8月16日(日)", "2026-08-17"),
    ],
    "ko": [
        ("8월 14일까지 휴가입니다.", "2026-08-15"),
        ("휴가 중이며 8월 17일에 복귀합니다.", "2026-08-17"),
        ("2026년 8월 3일부터 8월 14일까지 부재중입니다.", "2026-08-15"),
    ],
}
CASES = [(lang, *pair) for lang, pairs in SENTENCES.items() for pair in pairs]


@pytest.mark.parametrize(("language", "sentence", "until"), CASES)
def test_the_first_day_back_is_understood_in_each_language(language, sentence, until):
    assert said(sentence) == (until, "")


DEPUTIES = {
    "en": "I am away. In urgent cases contact my colleague Per: per@nordvik.example.",
    "de": "Ich bin im Urlaub. Meine Vertretung ist Per Alm (per@nordvik.example).",
    "nl": "Ik ben afwezig. Neem contact op met per@nordvik.example.",
    "sv": "Jag är på semester. Kontakta min vikarie, per@nordvik.example, om det brådskar.",
    "da": "Jeg holder ferie. Henvendelse kan ske til per@nordvik.example.",
    "nb": "Jeg har ferie. Kontakt per@nordvik.example ved behov.",
    "fi": "Olen lomalla. Sijaisenani toimii Per Alm, per@nordvik.example.",
    "fr": "Je suis absente. Merci de contacter mon collègue <per@nordvik.example>.",
    "es": "Estoy de vacaciones. Póngase en contacto con per@nordvik.example.",
    "it": "Sono in ferie. Per urgenze rivolgersi a per@nordvik.example.",
    "pt": "Estou de férias. Em caso de urgência escreva para per@nordvik.example.",
    "pl": "Jestem na urlopie. Zastępuje mnie Per Alm, per@nordvik.example.",
    "cs": "Mám dovolenou. Obraťte se na per@nordvik.example.",
    "ru": "Я в отпуске. По срочным вопросам обращайтесь к per@nordvik.example.",
    "uk": "Я у відпустці. Звертайтеся до per@nordvik.example.",
    "tr": "İzindeyim. Acil durumlarda per@nordvik.example adresine ulaşabilirsiniz.",
    "fa": "در مرخصی هستم. لطفاً با همکارم تماس بگیرید: per@nordvik.example",
    "ar": "أنا في إجازة. يرجى التواصل مع زميلي per@nordvik.example",
    "vi": "Tôi nghỉ phép. Vui lòng liên hệ per@nordvik.example.",
    "zh": "我正在休假。如有急事请联系 per@nordvik.example。",
    "ja": "休暇中です。お急ぎの方は per@nordvik.example までご連絡ください。",
    "ko": "휴가 중입니다. 급한 용무는 per@nordvik.example 로 연락 바랍니다.",
}


@pytest.mark.parametrize("language", DEPUTIES)
def test_whoever_answers_instead_is_found(language):
    assert said(DEPUTIES[language]) == (None, "per@nordvik.example")


def test_neither_the_author_nor_we_nor_a_passing_address_is_the_deputy():
    text = "I am on vacation. Contact lena@nordvik.example or karin@acme.example later."
    assert said(text) == (None, "")
    assert said("I am on vacation.\nNordvik AB, info@nordvik.example") == (None, "")


def test_a_reply_names_its_author_end_and_deputy_together():
    raw = reply(
        "Hello,\n\nI am out of the office until Friday,\n14 August 2026. For anything urgent\n"
        "please write to Per@Nordvik.Example.\n\n-- \nLena\n\n> Offer valid until 30 August 2026"
    )
    until = date(2026, 8, 15)
    assert read_absence(raw, SENT) == Absence("lena@nordvik.example", until, "per@nordvik.example")


def test_a_day_without_a_year_is_the_next_such_day():
    assert said("Jag är ledig till 2 januari.", on=date(2026, 12, 20)) == ("2027-01-03", "")
    assert said("Out of office until 3 August.", on=SENT) == ("2026-08-04", "")


def test_an_end_that_has_just_passed_is_no_end():
    assert said("I am out of the office until 1 August.") == (None, "")
    assert said("I am out of the office until 1 August 2026.") == (None, "")


def test_a_slash_in_english_is_read_only_when_one_reading_is_left():
    assert said("Out of office until 08/09/2026.") == (None, ""), "9 August or 8 September"
    assert said("Out of office until 12/08/2026.") == ("2026-08-13", ""), "December is far"
    assert said("Out of office until 05/08/2026.") == ("2026-08-06", ""), "May is over"


def test_days_there_are_not_are_left_out():
    assert said("I am out of the office until 31 February.") == (None, "")
    assert said("Ich bin im Urlaub bis 45.13.2026.") == (None, "")
    assert said("تا ۳۱ مهر ۱۴۰۵ در مرخصی هستم") == (None, "")


def test_a_date_for_something_else_is_no_end():
    assert said("I am on vacation. The fair on 20 August takes place.") == (None, "")
    assert said("I am away from 10 August.") == (None, "")
    assert said("I am away. Our office moved in 2019. Room 4.12.") == (None, "")


def test_the_subject_tells_it_where_the_text_does_not():
    assert said("I read no mail.", subject="Out of office until 14 August") == ("2026-08-15", "")


def test_our_own_subject_in_the_reply_is_not_listened_to():
    subject = "Automatic reply: Back on 20 August, away until 30 August"
    assert said("I am away.", subject=subject) == (None, "")


def test_a_receipt_for_a_ticket_is_no_absence():
    assert said("Thank you for your message. We answer within 24 hours.") is None
    assert said("Your ticket 4711 was received; the offer ends on 20 August.") is None


def test_html_is_read_as_text():
    raw = reply("<p>I am out of the office until<br><b>14&nbsp;August</b>.</p>").replace(
        b"text/plain", b"text/html"
    )
    found = read_absence(raw, SENT)
    assert found is not None
    assert found.until == date(2026, 8, 15)


@pytest.mark.parametrize(
    "raw", [b"", b"\0\xff", b"From: \r\n\r\nI am away", reply("I am away", author="nobody")]
)
def test_what_has_no_author_says_nothing(raw):
    assert read_absence(raw, SENT) is None


HOSTILE = {
    "many dates": "until 14 August " * 20000,
    "digits": "1" * 200000,
    "dots": "1.1." * 50000,
    "cues": "bis einschließlich zum mit inkl. " * 9000,
    "persian cues": "تا تاریخ روز پایان آخر " * 9000,
    "at-signs": "a@" * 100000,
    "addresses": "contact a@b.c " * 15000,
    "one word": "a" * 200000,
    "blanks": " \n" * 100000,
    "not": "not back until " * 15000 + "14 August",
    "months": "august " * 30000,
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_hostile_text_costs_little(kind):
    began = time.perf_counter()
    read_absence(reply(f"I am away. {HOSTILE[kind]}"), SENT)
    assert time.perf_counter() - began < 2


def test_phrases_are_written_as_texts_are_searched():
    for name, text in vars(absence_phrases).items():
        if name.isupper():
            assert text == text.lower(), name
            assert all(plain(word) for word in text.split()), name
