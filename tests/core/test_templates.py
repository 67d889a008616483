"""How mails are built: their HTML part, and templates of an administrator's own."""

import re
from datetime import date

import pytest

from crm_sync.core.errors import ConfigError
from crm_sync.core.rendering import Renderer
from tests.core.mails import LANGUAGES, LINE, RENDERER, TEMPLATES, Page, digest, greeting, mails

# The HTML part


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_mail_is_one_narrow_column_with_language_direction_and_one_heading(language):
    direction = "rtl" if language == "fa" else "ltr"
    for mail in mails(language):
        page = Page(mail.html)
        assert page.all("html") == [{"lang": language, "dir": direction}]
        assert page.all("td")[0]["dir"] == direction
        assert len(page.all("h1")) == 1
        assert {"name": "color-scheme", "content": "light dark"} in page.all("meta")
        assert all(table["role"] == "presentation" for table in page.all("table"))
        assert page.all("table")[1]["style"] == "width:100%;max-width:600px;"
        assert len(mail.html) < 100_000


@pytest.mark.parametrize("language", LANGUAGES)
def test_nothing_is_loaded_linked_or_tracked(language):
    for mail in mails(language):
        assert not {tag for tag, _ in Page(mail.html).tags} & {"img", "a", "link", "script", "svg"}
        assert not re.search(r"https?:|url\(|@import|src=", mail.html)


@pytest.mark.parametrize("language", LANGUAGES)
def test_both_parts_say_the_same(language):
    for mail in mails(language):
        shown = " ".join(Page(mail.html).shown.split())
        for line in mail.text.splitlines():
            text = re.sub(r"^\s*(?:> |[\d۰-۹]+\. |-+$)?", "", line)
            assert " ".join(text.translate(dict.fromkeys(range(0x2066, 0x206A))).split()) in (
                shown.translate(dict.fromkeys(range(0x2066, 0x206A)))
            )


def test_commands_and_addresses_run_left_to_right_in_persian():
    html = digest(LINE, language="fa").html
    assert re.search(
        r'<td class="code" align="left" dir="ltr"[^>]*>crm-sync reminders done 17<', html
    )
    assert '<bdi dir="ltr">lena@nordvik.example</bdi>' in html


def test_text_stands_out_from_its_background_by_day_and_by_night():
    css, page = re.search(
        r"(@media.*?)</style>(.*)", digest(LINE, older=1).html, re.DOTALL
    ).groups()
    for source in (css, page):
        colours = set(re.findall(r"(?<![-\w])color: ?#(\w{6})", source))
        backgrounds = set(re.findall(r"background: ?#(\w{6})", source))
        assert len(colours) >= 3
        assert len(backgrounds) >= 2
        assert min(contrast(c, b) for c in colours for b in backgrounds) >= 4.5


def contrast(one, other):
    """Contrast ratio of two colours (WCAG 2.2, 1.4.3)."""
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


def luminance(colour):
    shares = [int(colour[n : n + 2], 16) / 255 for n in (0, 2, 4)]
    linear = [s / 12.92 if s <= 0.04045 else ((s + 0.055) / 1.055) ** 2.4 for s in shares]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


# Templates of the administrator's own


def test_the_templates_that_ship_are_without_fault():
    assert RENDERER.check() == ()
    assert RENDERER.occasions == {"birthday"}
    present = {path for path in TEMPLATES if path.count("/") == 1}
    kinds = ("greeting_birthday", "alarm", "approval", "digest", "notice")
    assert present == {f"{language}/{kind}.txt" for language in LANGUAGES for kind in kinds}


@pytest.mark.parametrize(
    ("source", "problem"),
    [
        ("{% block subject %}Hi{% endblock %}", 'the passage "heading" is missing'),
        ("{% block subject %}", "it is no template"),
        (
            TEMPLATES["sv/greeting_birthday.txt"].replace("contact_name", "name"),
            "'name' is undefined",
        ),
        ("{% block subject %}{{ 1/0 }}{% endblock %}", "division by zero"),
        ("{% block subject %}{{ ''.__class__ }}{% endblock %}", "unsafe"),
    ],
)
def test_a_template_with_a_fault_is_named_with_its_reason(source, problem):
    renderer = Renderer({**TEMPLATES, "sv/greeting_birthday.txt": source})
    with pytest.raises(ConfigError, match=re.escape(problem)):
        greeting(renderer=renderer)
    [found] = renderer.check()
    assert found.key == "template sv/greeting_birthday.txt"
    assert problem in found.sentence()


def test_a_missing_english_template_is_found():
    without = {path: text for path, text in TEMPLATES.items() if path != "en/digest.txt"}
    [found] = Renderer(without).check()
    assert found.sentence().startswith("template en/digest.txt: it is missing.")


def test_a_language_of_ones_own_may_bring_only_what_differs():
    own = {
        "sv-FI/greeting_birthday.txt": TEMPLATES["sv/greeting_birthday.txt"].replace(
            "Vi ", "Vi i Åbo "
        )
    }
    renderer = Renderer(TEMPLATES | own)
    assert renderer.check() == ()
    assert "Vi i Åbo hoppas" in greeting("sv-FI", renderer=renderer).text
    assert "Vi hoppas" in greeting("sv", renderer=renderer).text


def test_a_new_language_gets_its_own_plural_forms():
    wording = TEMPLATES["en/digest.txt"].replace(
        "{% block heading %}", "{% block heading %}{{ count|plural }} "
    )
    renderer = Renderer(TEMPLATES | {"pl/digest.txt": wording})
    mail = renderer.digest(
        "pl",
        rep_name="",
        day=date(2026, 3, 12),
        lines=[LINE] * 3,
        older=0,
        team_name="A",
        zone_name="UTC",
    )
    assert "few 3 emails" in mail.html


def test_an_occasion_without_a_template_is_refused_by_name():
    with pytest.raises(ConfigError, match=r"en/greeting_wedding\.txt"):
        RENDERER.greeting("sv", "wedding", contact_name="", rep_name="", team_name="")
