"""Greetings by a rep's own sender, their copy in Sent, and drafts: told from outside."""

import uuid
from datetime import UTC, datetime, timedelta

import pytest

pytestmark = pytest.mark.dovecot

KARIN = "karin@acme.example"
CONFIGURATION = """
[team]
name = "Acme AB"
domains = ["acme.example"]
timezone = "{zone}"

[[reps]]
email = "karin@acme.example"
name = "Karin Ek"

[[mailboxes]]
rep = "karin@acme.example"
connector = "imap"
host = "127.0.0.1"
port = {imap}
security = "none"
username = "{user}"
password = "pass"

[sender]
connector = "smtp"
host = "127.0.0.1"
port = {smtp}
security = "none"
from = "Acme <crm@acme.example>"

[[senders]]
rep = "karin@acme.example"
connector = "smtp"
host = "127.0.0.1"
port = {smtp}
security = "none"
filing = "karin@acme.example/imap"

[[greetings]]
occasion = "birthday"
send_at = "00:00"
customers = "{customers}"
"""


@pytest.fixture
def office(installation, dovecot, smtp):
    """Karin, and Lena, whose birthday it is; it is noon, so that no day ends meanwhile."""
    now = datetime.now(UTC)  # noqa: TID251  # the command's own clock
    ahead = 12 - now.hour
    today = (now + timedelta(hours=ahead)).date()
    installation.user = f"karin-{uuid.uuid4().hex[:8]}"
    dovecot.add_user(installation.user)

    def make(customers):
        installation.write(
            CONFIGURATION.format(
                zone=f"Etc/GMT{-ahead:+d}" if ahead else "Etc/GMT",
                imap=dovecot.port,
                smtp=smtp.port,
                user=installation.user,
                customers=customers,
            )
        )
        (installation.folder / "c.csv").write_text(
            "name,company,emails,birthday,greeting_basis,owner\n"
            f"Lena Vik,Nordvik AB,lena@nordvik.example,--{today:%m-%d},consent,{KARIN}\n"
        )
        installation.ok("import", "c.csv")
        return installation

    return make


def test_a_greeting_leaves_by_the_owners_sender_and_lies_in_her_sent_folder(office, dovecot, smtp):
    office = office("auto")
    for _ in range(3):
        office.ok("run", "--once")

    ((sender, to, _),) = smtp.messages
    assert (sender, to) == (KARIN, ["lena@nordvik.example"])
    assert len(dovecot.uids(office.user, "Sent")) == 1
    (row,) = office.ok("outbox", "--json").lines()
    assert (row["state"], row["from"], row["via"], row["filed"]) == ("sent", KARIN, KARIN, True)
    # Her own Sent folder is read, too: the copy is no second interaction.
    assert [entry["kind"] for entry in office.interactions()] == ["greeting"]


def test_a_draft_lies_in_the_owners_drafts_and_nothing_leaves(office, dovecot, smtp):
    office = office("draft")
    (planned,) = office.ok("due", "--on", _today(office), "--json").lines()
    assert (planned["action"], planned["from"]) == ("draft", KARIN)
    for _ in range(3):
        office.ok("run", "--once")

    assert smtp.messages == []
    assert len(dovecot.uids(office.user, "Drafts")) == 1
    (row,) = office.ok("outbox", "--json").lines()
    assert (row["action"], row["state"]) == ("draft", "drafted")
    assert office.interactions() == []


def test_check_has_nothing_to_say_and_doctor_tries_the_reps_sender(office, smtp):
    office = office("draft")
    findings = office.ok("check", "--json").lines()
    assert not [f for f in findings if "sender" in f["name"] or "draft" in (f["problem"] or "")]
    tried = office.run("doctor", "--json").lines()
    assert [f["ok"] for f in tried if f["name"].startswith(f"sender of {KARIN}")] == [True]


def _today(office):
    text = (office.folder / "c.csv").read_text()
    month, day = text.split(",--")[1][:5].split("-")
    year = datetime.now(UTC).year  # noqa: TID251  # the command's own clock
    return f"{year}-{month}-{day}"
