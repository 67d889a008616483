"""What the demo prints where there is no terminal."""

import io
from email.message import EmailMessage

import pytest
from rich.console import Console

from crm_sync.core.errors import UsageError
from crm_sync.demo.run import run_demo
from crm_sync.demo.screen import Screen


@pytest.fixture
def printed():
    """A screen that is no terminal; calling it gives what was printed."""
    file = io.StringIO()
    screen = Screen(Console(file=file, highlight=False))
    screen.text = file.getvalue
    return screen


def test_what_looks_like_markup_or_control_codes_is_shown_as_text(printed):
    printed.table(["subject"], [["[red]offer[/red] \x1b]0;title\x07"]])
    printed.command(["explain", "<a[1]@b.example>"])
    assert "[red]offer[/red]" in printed.text()
    assert "$ crm-sync explain '<a[1]@b.example>'" in printed.text()
    assert "\x1b" not in printed.text()


def test_a_mail_is_shown_by_its_fields_and_plain_text(printed):
    mail = EmailMessage()
    mail["From"], mail["To"], mail["Subject"] = "Ek <a@b.example>", "c@d.example", "Grattis, Åsa!"
    mail.set_content("Ha en fin dag.")
    mail.add_alternative("<p>Ha en fin dag.</p>", subtype="html")
    printed.mail(mail)
    assert printed.text().splitlines() == [
        "From: Ek <a@b.example>",
        "To: c@d.example",
        "Subject: Grattis, Åsa!",
        "",
        "Ha en fin dag.",
    ]


def test_a_file_in_the_place_of_the_directory_is_left_alone(tmp_path, printed):
    (tmp_path / "demo").write_text("not yours")
    with pytest.raises(UsageError):
        run_demo(tmp_path / "demo", keep=False, screen=printed)
    assert (tmp_path / "demo").read_text() == "not yours"
