"""Until when somebody is away, where the language puts the word for it after the date."""

import pytest

from tests.core.test_absence import said

SENTENCES = [
    "Kiitos viestistäsi. Olen lomalla 14.8.2026 asti. Palaan asiaan sen jälkeen.",
    "Olen lomalla 14.8.2026 saakka. Sijaiseni auttaa.",
    "Olen lomalla 14. elokuuta asti. Kiitos.",
    "Olen lomalla perjantaihin 14.8. asti. Kiitos.",
    "Olen poissa 14.8.2026 klo 16 asti.",
    "Olen poissa 14.8.2026 klo 16.00 saakka. Kiitos.",
    "Jag är borta till 14.8.2026 kl. 16.30.",
    "Szabadságon vagyok 2026.08.14-ig. Köszönöm.",
    "Szabadságon vagyok augusztus 14-éig. Köszönöm.",
    "Szabadságon vagyok 2026. augusztus 14. napjáig. Köszönöm.",
    "Szabadságon vagyok augusztus 14-e végéig.",
    "14 Ağustos 2026'ya kadar izindeyim. Teşekkürler.",
    "14.08.2026 tarihine kadar. İzindeyim.",
    "İzindeyim, 14 Ağustos Cuma gününe kadar. Teşekkürler.",
    "14 Ağustos saat 18:00'e kadar izindeyim.",
    "2026年8月14日(金)まで休暇をいただいております。よろしくお願いします。",
    "2026/8/14まで不在です。",
    "8月14日 18:00まで不在にしております。",
    "2026년 8월 14일(금)까지 휴가입니다. 감사합니다.",
    "2026.08.14까지 휴가입니다. 감사합니다.",
    "8월 14일 18시까지 부재중입니다.",
]


@pytest.mark.parametrize("sentence", SENTENCES)
def test_a_date_before_its_word_is_the_last_day_away(sentence):
    assert said(sentence) == ("2026-08-15", "")


@pytest.mark.parametrize(
    "sentence",
    [
        "Ich bin im Urlaub. Am 17. August bin ich zurück. Vielen Dank.",
        "İzindeyim. 17 Ağustos'ta ofise döneceğim. Teşekkürler.",
        "Ik ben op vakantie. Op 17 augustus ben ik terug. Groeten.",
    ],
)
def test_the_last_word_of_a_sentence_counts_though_another_sentence_follows(sentence):
    assert said(sentence) == ("2026-08-17", "")


@pytest.mark.parametrize(
    ("sentence", "until"),
    [
        ("Olen poissa perjantaihin asti. Kiitos.", "2026-08-08"),
        ("Olen poissa keskiviikkoon asti.", "2026-08-06"),
    ],
)
def test_a_weekday_in_finnish_may_stand_before_its_word(sentence, until):
    assert said(sentence) == (until, "")


def test_a_word_of_the_next_sentence_says_nothing_about_a_date():
    text = "Olen lomalla. Messut ovat 14.8.2026 Turussa. Perjantaina asti kaikki on kiinni."
    assert said(text)[0] != "2026-08-15"
