"""Archives become history of customers, through the same engine as every mailbox."""

import json

import pytest

from crm_sync.cli import main
from tests.servers.archives import Maildir, Mbox, a_mail

CONFIGURATION = """
[team]
domains = ["acme.example"]
[[reps]]
email = "karin@acme.example"
[[mailboxes]]
rep = "karin@acme.example"
connector = "maildir"
path = "Maildir"
[[mailboxes]]
rep = "karin@acme.example"
connector = "mbox"
path = "Takeout"
"""


@pytest.fixture
def command(tmp_path, monkeypatch, capsys):
    (tmp_path / "crm-sync.toml").write_text(CONFIGURATION)
    monkeypatch.chdir(tmp_path)

    def run(*words):
        with pytest.raises(SystemExit) as ended:
            main([*words, "--json"])
        out = capsys.readouterr()
        assert not ended.value.code, out.err
        return [json.loads(line) for line in out.out.splitlines()]

    return run


def test_archives_are_pulled_and_their_past_is_found_for_customers_added_later(command, tmp_path):
    maildir = Maildir(tmp_path / "Maildir")
    (tmp_path / "Takeout").mkdir()
    mbox = Mbox(tmp_path / "Takeout" / "All mail.mbox")
    for number in range(4):
        maildir.deliver(a_mail(number), f"1772352000.M{number}P1.host")
    for number in range(2, 6):
        mbox.append(a_mail(number, header="X-Gmail-Labels: Inbox\n"))
    (first,) = command("sync")
    assert [(a["name"], a["seen"], a["logged"]) for a in first["accounts"]] == [
        ("karin@acme.example/maildir", 4, 0),
        ("karin@acme.example/mbox", 4, 0),
    ]
    (tmp_path / "customers.csv").write_text("name,emails\nLena,lena@nordvik.example\n")
    command("import", "customers.csv")
    (second,) = command("sync")
    assert sum(a["found"] for a in second["accounts"]) >= 6
    found = command("interactions")
    assert sorted(i["message_id"] for i in found) == [f"<{n}@nordvik.example>" for n in range(6)]
    (third,) = command("sync")
    assert [a["seen"] for a in third["accounts"]] == [0, 0]
