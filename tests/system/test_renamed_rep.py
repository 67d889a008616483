"""A rep gets another address: told from outside, nothing she had is lost or somebody else's."""

import uuid
from datetime import UTC, datetime, timedelta

import pytest

pytestmark = pytest.mark.dovecot

KARIN, NEW, DANIEL = "karin@acme.example", "karin.ek@acme.example", "daniel@acme.example"
MAIL = (
    b"From: Lena <lena@nordvik.example>\r\nTo: %b\r\nSubject: Offer\r\n"
    b"Message-ID: <%b@nordvik.example>\r\n\r\ntext\r\n"
)
CONFIGURATION = """
[team]
name = "Acme AB"
domains = ["acme.example"]
timezone = "{zone}"

[[reps]]
email = "daniel@acme.example"
name = "Daniel Berg"

[[reps]]
email = "{email}"
name = "Karin Ek"
aliases = {aliases}

[[mailboxes]]
rep = "{email}"
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

[[greetings]]
occasion = "birthday"
send_at = "00:00"
customers = "ask"
"""


@pytest.fixture
def configure(installation, dovecot, smtp):
    """Writes the configuration with an address for Karin; it is noon, so that no day ends."""
    now = datetime.now(UTC)  # noqa: TID251  # the command's own clock
    ahead = 12 - now.hour
    user = f"karin-{uuid.uuid4().hex[:8]}"
    dovecot.add_user(user)
    today = (now + timedelta(hours=ahead)).date()
    (installation.folder / "c.csv").write_text(
        "name,company,emails,birthday,greeting_basis,owner\n"
        f"Lena Vik,Nordvik AB,lena@nordvik.example,--{today:%m-%d},,{KARIN}\n"
    )

    def configure(email, *aliases):
        installation.user = user
        installation.write(
            CONFIGURATION.format(
                zone=f"Etc/GMT{-ahead:+d}" if ahead else "Etc/GMT",
                email=email,
                aliases=list(aliases),
                imap=dovecot.port,
                smtp=smtp.port,
                user=user,
            )
        )
        return installation

    return configure


def test_a_renamed_rep_keeps_her_customers_her_history_and_her_place_in_the_mailbox(
    configure, dovecot, smtp
):
    office = configure(KARIN)
    dovecot.append(office.user, "INBOX", MAIL % (KARIN.encode(), b"1"))
    office.ok("import", "c.csv")
    office.ok("sync")

    office = configure(NEW, KARIN)
    dovecot.append(office.user, "INBOX", MAIL % (NEW.encode(), b"2"))
    (pulled,) = office.ok("sync", "--json").object()["accounts"]
    assert (pulled["name"], pulled["seen"]) == (f"{NEW}/imap", 1)
    assert [entry["reps"] for entry in office.interactions()] == [[NEW], [NEW]]
    for rep in (NEW, KARIN):
        assert len(office.ok("interactions", "--rep", rep, "--json").lines()) == 2
    assert office.ok("interactions", "--rep", DANIEL, "--json").lines() == []
    assert len(office.ok("timeline", "Nordvik AB", "--json").lines()) == 2
    assert office.ok("show", "1", "--json").object()["reps"] == [NEW]
    (customer,) = office.ok("customers", "--json").lines()
    assert customer["owner"] == NEW

    office.ok("run", "--once")
    ((_, to, data),) = smtp.messages
    assert to == [NEW]
    assert b"approve" in data
    kinds = {row["kind"]: row for row in office.ok("outbox", "--json").lines()}
    assert kinds["greeting"]["state"] == "waiting_approval"
    office.ok("outbox", "approve", str(kinds["greeting"]["id"]))
    office.ok("run", "--once")
    _, to, data = smtp.messages[-1]
    assert to == ["lena@nordvik.example"]
    assert f"Reply-To: {NEW}".encode() in data
    assert b"Daniel" not in data


def test_under_another_user_name_the_mailbox_is_read_from_the_start_and_all_stays_one(
    configure, dovecot
):
    office = configure(KARIN)
    dovecot.append(office.user, "INBOX", MAIL % (KARIN.encode(), b"1"))
    office.ok("import", "c.csv")
    office.ok("sync")
    old, new = office.user, f"{office.user}-ek"
    dovecot.add_user(new)
    for number in (b"1", b"2"):
        dovecot.append(new, "INBOX", MAIL % (KARIN.encode(), number))

    office = configure(NEW, KARIN)
    file = office.folder / "crm-sync.toml"
    file.write_text(file.read_text().replace(f'"{old}"', f'"{new}"'))
    (pulled,) = office.ok("sync", "--json").object()["accounts"]
    assert pulled["seen"] == 2
    assert [entry["reps"] for entry in office.interactions()] == [[NEW], [NEW]]
