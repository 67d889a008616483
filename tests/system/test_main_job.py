"""The whole road on Dovecot, Radicale and an SMTP server, told from outside."""

import random
import re

import pytest

from crm_sync.demo import truth
from tests.servers.recording_proxy import RecordingProxy
from tests.system.conftest import toml_for

pytestmark = pytest.mark.dovecot


def test_the_diary_equals_the_truth_and_a_second_sync_finds_nothing_new(office, team):
    imported = office.ok("import", "customers.csv", "--json").object()
    assert (imported["created"], imported["rejected"]) == (len(team.contacts), [])
    first = office.ok("sync", "--json").object()["accounts"]
    second = office.ok("sync", "--json").object()["accounts"]

    assert truth.compare(office.interactions(), team.truth) == []
    for account in first:
        parts = ("logged", "unmatched", "ignored", "errors")
        assert account["seen"] == sum(account[part] for part in parts)
        assert account["error"] is None
    assert all(account["seen"] == 0 for account in second)


def test_importing_twice_changes_nothing_and_a_later_customer_brings_her_past(office, team):
    office.ok("import", "customers.csv")
    office.ok("sync")
    again = office.ok("import", "customers.csv", "--json").object()
    assert (again["created"], again["updated"]) == (0, 0)
    office.ok("import", "later.csv")
    found = sum(a["found"] for a in office.ok("sync", "--json").object()["accounts"])

    assert found > 0
    assert truth.compare(office.interactions(), [*team.truth, *team.truth_later]) == []


def test_after_ten_kills_at_random_moments_the_diary_still_equals_the_truth(office, team):
    seed = random.SystemRandom().randrange(10**6)
    print(f"seed {seed}")
    chance = random.Random(seed)
    office.ok("import", "customers.csv")
    for _ in range(10):
        office.start_and_kill(chance.uniform(0.6, 3.0), "run", "--once")
    office.ok("sync")

    assert truth.compare(office.interactions(), team.truth) == []


def test_mailboxes_are_only_read(office, dovecot, mailboxes, calendars, smtp):
    before = {u: {f: dovecot.flags(u, f) for f in ("INBOX", "Sent")} for u in mailboxes.values()}
    with RecordingProxy(dovecot.host, dovecot.port) as proxy:
        office.write(toml_for(dovecot, mailboxes, calendars, smtp, port=proxy.port))
        office.ok("import", "customers.csv")
        office.ok("sync")

        assert proxy.only_read()
        assert "EXAMINE" in proxy.verbs()
        assert "SELECT" not in proxy.verbs()
    after = {u: {f: dovecot.flags(u, f) for f in ("INBOX", "Sent")} for u in mailboxes.values()}
    assert before == after


def test_of_private_mail_nothing_is_in_any_file_until_its_sender_is_imported(office, team):
    office.ok("import", "customers.csv")
    office.ok("sync")
    files = [p for p in office.folder.iterdir() if p.suffix not in (".csv", ".toml")]
    data = b"".join(p.read_bytes() for p in files if p.is_file())
    held = [w for w in team.private_words if w.encode() in data]

    assert len(team.private_words) > 20
    assert held == []
    sender = next(w for w in team.private_words if re.fullmatch(r"[^@\s]+@[^@\s]+", w))
    (office.folder / "private.csv").write_text(f"name,emails\nSomebody,{sender}\n")
    office.ok("import", "private.csv")
    office.ok("sync")
    found = office.ok("timeline", sender, "--json").lines()
    assert sender in {address for entry in found for address in entry["contacts"]}


def test_a_customer_writes_nobody_answers_and_the_rep_is_reminded(
    office, team, dovecot, mailboxes, smtp, calendars
):
    more = (
        '[sending]\ndigest_at = "00:00"\n[[reminders]]\nkind = "unanswered"\nafter = "1 second"\n'
    )
    hours = 'working_hours = "Mon-Sun 00:00-24:00"\n[[reps]]'
    text = toml_for(dovecot, mailboxes, calendars, smtp, more=more)
    office.write(text.replace('country = "SE"\n', "").replace("[[reps]]", hours, 1))
    office.ok("import", "customers.csv")
    office.ok("sync")
    # The server's clock says when a mail arrives; a second later the next turn is due.
    raw = team.waiting[0].raw
    user = team.waiting[0].user
    dovecot.append(mailboxes[user], "INBOX", raw)
    office.ok("run", "--once")
    open_ones = office.ok("reminders", "--json").lines()
    office.ok("run", "--once")
    digests = [m for m in smtp.messages if b"crm-sync reminders done" in decoded(m[2])]

    assert len(open_ones) == 1
    assert len(digests) == 1
    assert open_ones[0]["rep"] in digests[0][1]


def decoded(raw: bytes) -> bytes:
    from email import message_from_bytes

    parts = message_from_bytes(raw).walk()
    return b"".join(p.get_payload(decode=True) or b"" for p in parts if not p.is_multipart())


def test_one_bad_account_is_red_alone_and_the_others_go_on(
    office, dovecot, mailboxes, calendars, smtp
):
    text = toml_for(dovecot, mailboxes, calendars, smtp)
    office.write(text.replace('password = "pass"', 'password = "wrong"', 1))
    office.ok("import", "customers.csv")
    result = office.run("sync", "--json")

    accounts = result.object()["accounts"]
    assert result.status == 1
    assert "Traceback" not in result.err
    assert [bool(a["error"]) for a in accounts].count(True) == 1
    assert "password" in accounts[0]["error"]
    assert all(a["seen"] for a in accounts[1:] if a["name"] != "team/imap")
    status = office.run("status", "--json")
    states = {a["name"]: a["state"] for a in status.object()["accounts"]}
    assert status.status == 1
    assert status.object()["healthy"] is False
    assert states.pop(accounts[0]["name"]) == "refused"
    assert set(states.values()) == {"ok"}


def test_doctor_finds_everything_well_after_a_sync(office):
    office.ok("import", "customers.csv")
    office.ok("sync")
    findings = office.ok("doctor", "--json").lines()

    assert {f["name"] for f in findings} >= {"clock", "database", "disk"}
    assert all(set(f) == {"name", "ok", "problem", "advice"} for f in findings)
    assert [f for f in findings if not f["ok"]] == []


def test_json_has_the_contracts_shape(office):
    office.ok("import", "customers.csv")
    office.ok("sync")
    entry = office.interactions()[0]
    expected = (
        "id kind direction occurred_at ends_at all_day subject customers contacts reps message_id uid "
        "recurrence_id thread status attachments"
    )
    assert set(entry) == set(expected.split())
    status = office.ok("status", "--json").object()
    assert set(status) == {"healthy", "accounts", "outbox", "schema", "version"}
    customer = office.ok("customers", "--json").lines()[0]
    assert set(customer) == {"id", "name", "owner", "contacts", "domains", "last_interaction"}
    items = office.ok("explain", entry["message_id"] or entry["uid"], "--json").object()["items"]
    assert items[0]["outcome"] == "logged"
