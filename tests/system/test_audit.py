"""`audit` as an admin types it, on a real mailbox and a real calendar that lost something."""

import fcntl
import sqlite3
import uuid
from contextlib import closing
from datetime import UTC, datetime, timedelta

import pytest

from tests.servers.calendars import an_event
from tests.servers.dovecot import PASSWORD
from tests.servers.radicale import Radicale

pytestmark = pytest.mark.dovecot

CONFIGURATION = """
[database]
url = "sqlite:///crm-sync.db"
[team]
domains = ["acme.example"]
[[reps]]
email = "karin@acme.example"
[[mailboxes]]
rep = "karin@acme.example"
connector = "imap"
host = "127.0.0.1"
port = {port}
security = "none"
username = "{user}"
password = "pass"
since = "30d"
[[calendars]]
rep = "karin@acme.example"
connector = "caldav"
url = "{calendar}"
username = "karin"
password = "pass"
"""
NOW = datetime.now(UTC).replace(microsecond=0)  # noqa: TID251  # servers know no other time
IMAP, DAV = "karin@acme.example/imap", "karin@acme.example/caldav"


def a_mail(number: int) -> bytes:
    return (
        f"From: Lena <lena@nordvik.example>\r\nTo: karin@acme.example\r\nSubject: offer {number}\r\n"
        f"Message-ID: <{number}@nordvik.example>\r\n\r\nHello {number}\r\n"
    ).encode()


@pytest.fixture(scope="module")
def radicale():
    server = Radicale()
    try:
        server.start()
        yield server
    finally:
        server.remove()


@pytest.fixture
def office(installation, dovecot, radicale):
    """Three mails and a meeting, synced; one mail is older than the first pull's reach."""
    user = f"karin-{uuid.uuid4().hex[:8]}"
    dovecot.add_user(user)
    for number in range(3):
        dovecot.append(user, "INBOX", a_mail(number), NOW - timedelta(hours=2))
    dovecot.append(user, "INBOX", a_mail(99), NOW - timedelta(days=60))
    path = radicale.make_calendar(f"c{uuid.uuid4().hex[:8]}")
    start = f"DTSTART:{NOW + timedelta(days=1):%Y%m%dT%H%M%SZ}"
    attendee = "ATTENDEE:mailto:lena@nordvik.example\nORGANIZER:mailto:karin@acme.example"
    radicale.put(f"{path}demo.ics", an_event("Demo", attendee, start=start))
    url = f"{radicale.url.rstrip('/')}{path}"
    installation.write(CONFIGURATION.format(port=dovecot.port, user=user, calendar=url))
    installation.user = user
    (installation.folder / "customers.csv").write_text("name,emails\nLena,lena@nordvik.example\n")
    installation.ok("import", "customers.csv")
    installation.ok("sync")
    assert subjects(installation) == ["Demo", "offer 0", "offer 1", "offer 2"]
    return installation


def subjects(installation) -> list[str]:
    return sorted(entry["subject"] for entry in installation.interactions())


def diary(installation) -> list[dict]:
    """All that a user sees of it, numbers apart: what is stored anew gets a new one."""
    entries = [
        {k: v for k, v in e.items() if k not in ("id", "thread")}
        for e in installation.interactions()
    ]
    return sorted(entries, key=lambda e: e["subject"])


def lose(installation, *statements: str) -> None:
    with closing(sqlite3.connect(installation.folder / "crm-sync.db")) as database:
        database.execute("PRAGMA foreign_keys = ON")
        for statement in statements:
            database.execute(statement)
        database.commit()


def streams(result) -> dict[tuple[str, str], dict]:
    return {(a["name"], s["name"]): s for a in result.object()["accounts"] for s in a["streams"]}


def test_what_was_lost_is_listed_and_then_healed_exactly_once(office, dovecot):
    clean = office.ok("audit", "--json")
    inbox = streams(clean)[IMAP, "INBOX"]
    assert (inbox["held"], inbox["seen"], inbox["missing"], inbox["gaps"]) == (3, 3, 0, [])
    assert inbox["complete_until"].endswith("Z")
    before = diary(office)

    lose(office, "DELETE FROM interaction WHERE subject IN ('offer 1', 'Demo')")
    found = office.run("audit", "--json")
    assert found.status == 1
    assert found.err == "2 items are missing; `crm-sync audit --heal` brings them\n"
    assert "offer" not in found.out
    (gap,) = streams(found)[IMAP, "INBOX"]["gaps"]
    assert gap["where"].startswith("INBOX ")
    assert gap["where"].endswith(":2")
    assert gap["arrived_at"] == f"{NOW - timedelta(hours=2):%Y-%m-%dT%H:%M:%SZ}"
    calendar = next(s for (account, _), s in streams(found).items() if account == DAV)
    assert (calendar["missing"], len(calendar["gaps"])) == (1, 1)
    assert subjects(office) == ["offer 0", "offer 2"]

    healed = office.ok("audit", "--heal", "--json")
    assert healed.err == ""
    assert sum(s["healed"] for s in streams(healed).values()) == 2
    assert diary(office) == before
    again = office.ok("audit", "--heal", "--json")
    assert sum(s["missing"] for s in streams(again).values()) == 0
    assert diary(office) == before
    assert office.ok("sync", "--json").object()["accounts"][0]["seen"] == 0


def test_mail_since_the_last_sync_is_new_and_a_gap_makes_status_red_at_once(office, dovecot):
    dovecot.append(office.user, "INBOX", a_mail(7), datetime.now(UTC))  # noqa: TID251  # servers know no other time
    found = office.ok("audit", "--json")
    inbox = streams(found)[IMAP, "INBOX"]
    assert (inbox["held"], inbox["new"], inbox["missing"], inbox["gaps"]) == (4, 1, 0, [])
    shown = office.ok("audit")
    assert "1 item is new since the last pull; the next one brings it." in shown.out
    assert shown.err == ""
    office.ok("status")

    lose(office, "DELETE FROM interaction WHERE subject = 'offer 1'")
    result = office.run("audit")
    assert (result.status, "1 item is missing" in result.err) == (1, True)
    red = office.run("status")
    assert (red.status, red.err) == (1, f"not healthy: {IMAP}\n")
    (sentence,) = [line for line in red.out.splitlines() if "crm-sync audit --heal" in line]
    assert "INBOX (1)" in sentence
    assert office.run("status", "--json").object()["healthy"] is False
    office.ok("audit", "--heal")
    office.ok("status")
    assert subjects(office) == ["Demo", "offer 0", "offer 1", "offer 2", "offer 7"]


def test_lost_cursors_and_witnesses_double_nothing(office):
    before = diary(office)
    lose(office, "UPDATE stream SET cursor = 'garbage'", "DELETE FROM witness")
    office.ok("audit", "--heal")
    assert diary(office) == before
    synced = office.ok("sync", "--json").object()["accounts"]
    assert [(one["seen"], one["error"]) for one in synced] == [(0, None), (0, None)]
    assert diary(office) == before


def test_a_person_reads_a_table_and_what_is_missing(office):
    lose(office, "DELETE FROM interaction WHERE subject = 'offer 1'")
    result = office.run("audit", "--account", IMAP)
    assert result.status == 1
    assert "complete up to" in result.out
    assert "missing: INBOX" in result.out
    assert DAV not in result.out
    assert office.ok("audit", "--heal", "--account", IMAP).err == ""


def test_status_says_how_far_each_folder_is_complete(office):
    (mailbox, calendar) = office.ok("status", "--json").object()["accounts"]
    folders = {s["name"]: s["complete_until"] for s in mailbox["streams"]}
    assert {"INBOX", "Sent"} <= folders.keys()
    assert mailbox["complete_until"] == min(folders.values())
    assert [s["complete_until"] for s in calendar["streams"]] == [calendar["complete_until"]]


def test_an_account_that_is_being_pulled_is_skipped_with_a_sentence(office):
    with closing(sqlite3.connect(office.folder / "crm-sync.db")) as database:
        ((number,),) = database.execute("SELECT id FROM account WHERE name = ?", (IMAP,))
    with (office.folder / "crm-sync.db.lock").open("ab") as lock:
        fcntl.lockf(lock, fcntl.LOCK_EX, 1, 100 + number)
        result = office.ok("audit", "--json")
    assert "being pulled by another process" in result.err
    mailbox, calendar = result.object()["accounts"]
    assert (mailbox["streams"], calendar["error"]) == ([], None)


def test_a_server_that_is_away_is_one_line_and_status_1(office, dovecot):
    (office.folder / "crm-sync.toml").write_text(
        (office.folder / "crm-sync.toml").read_text().replace(f"port = {dovecot.port}", "port = 1")
    )
    result = office.run("audit", "--json")
    assert result.status == 1
    assert result.err.count("\n") == 1
    assert result.object()["accounts"][0]["error"]
    assert result.object()["accounts"][1]["error"] is None
    assert PASSWORD not in result.err


def test_an_unknown_account_is_wrong_usage(office):
    result = office.run("audit", "--account", "nobody")
    assert result.status == 2
    assert "there is no account 'nobody'" in result.err


def test_before_the_first_sync_there_is_nothing_to_compare(installation, dovecot, radicale):
    installation.write(
        CONFIGURATION.format(port=dovecot.port, user="new", calendar=radicale.url + "karin/")
    )
    result = installation.run("audit", "--account", IMAP)
    assert result.status == 1
    assert (
        result.err == f"{IMAP}: it has not been pulled completely yet; `crm-sync sync` does that\n"
    )


def test_a_rep_who_is_renamed_and_an_account_that_is_removed_keep_their_history(office):
    numbers = [(entry["id"], entry["subject"]) for entry in office.interactions()]
    path = office.folder / "crm-sync.toml"
    text = path.read_text().replace("karin@acme.example", "karin.berg@acme.example")
    renamed = 'email = "karin.berg@acme.example"\naliases = ["karin@acme.example"]'
    path.write_text(text.replace('email = "karin.berg@acme.example"', renamed))
    synced = office.ok("sync", "--json").object()["accounts"]
    assert [one["name"] for one in synced] == [
        "karin.berg@acme.example/imap",
        "karin.berg@acme.example/caldav",
    ]
    assert [(entry["id"], entry["subject"]) for entry in office.interactions()] == numbers
    path.write_text(path.read_text().partition("[[mailboxes]]")[0])
    office.ok("status")
    assert [(entry["id"], entry["subject"]) for entry in office.interactions()] == numbers
