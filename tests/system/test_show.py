"""One interaction whole: what a customer wrote anew, and what she quoted only when asked for."""

import json

import pytest

from crm_sync.cli.main import main

CONFIGURATION = """
[team]
name = "Acme AB"
domains = ["acme.example"]
timezone = "Europe/Stockholm"
[[reps]]
email = "karin@acme.example"
[[mailboxes]]
rep = "karin@acme.example"
connector = "maildir"
path = "mail"
since = "all"
"""
REPLY = (
    b"From: Lena Nord <lena@nordvik.example>\r\nTo: karin@acme.example\r\n"
    b"Subject: Re: Offert\r\nMessage-ID: <b2@nordvik.example>\r\n"
    b"Date: Wed, 04 Mar 2026 10:12:00 +0100\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n"
    b"Ja tack, vi tar tio stolar.\x1b[2J\r\n\r\n"
    b"On Tue, 3 Mar 2026 at 09:00, Karin Ek <karin@acme.example> wrote:\r\n"
    b"> Hej Lena,\r\n> vill ni ha stolarna?\r\n"
)


@pytest.fixture
def admin(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CRM_SYNC_CONFIG", "crm-sync.toml")
    for name in ("cur", "new", "tmp"):
        (tmp_path / "mail" / name).mkdir(parents=True)
    (tmp_path / "mail" / "cur" / "1.a.b:2,S").write_bytes(REPLY)
    (tmp_path / "crm-sync.toml").write_text(CONFIGURATION, encoding="utf-8")
    (tmp_path / "customers.csv").write_text(
        "name,company,emails\nLena,Nordvik AB,lena@nordvik.example\n"
    )

    def run(*words):
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            main(words)
        out, err = capsys.readouterr()
        return ended.value.code or 0, out, err

    assert run("import", "customers.csv")[0] == 0
    assert run("sync")[0] == 0
    return run


def test_the_new_part_is_shown_and_the_quoted_one_folded(admin):
    status, out, _ = admin("show", "1")
    assert status == 0
    assert "Ja tack, vi tar tio stolar." in out
    assert "Nordvik AB" in out
    assert "vill ni ha stolarna" not in out
    assert "3 lines of quoted text" in out
    assert "\x1b" not in out


def test_the_whole_text_is_kept_and_shown_on_request(admin):
    status, out, _ = admin("show", "1", "--full")
    assert status == 0
    assert "> vill ni ha stolarna?" in out


def test_machines_get_both_parts(admin):
    status, out, _ = admin("show", "1", "--json")
    found = json.loads(out)
    assert status == 0
    assert found["message_id"] == "<b2@nordvik.example>"
    assert found["new_text"].startswith("Ja tack")
    assert "stolarna?" not in found["new_text"]
    assert "stolarna?" in found["text"]


def test_a_number_that_is_none_is_told(admin):
    status, _, err = admin("show", "9")
    assert status == 2
    assert "there is no interaction 9" in err
