"""The demo's servers, asked by ordinary clients."""

import smtplib
import sys
from datetime import UTC, datetime, timedelta

import pytest
from caldav import DAVClient
from imapclient import IMAPClient
from imapclient.exceptions import LoginError

from crm_sync.core.errors import UsageError
from crm_sync.demo.run import run_demo
from crm_sync.demo.servers import HOST, DemoServers
from crm_sync.demo.team import build
from crm_sync.testing.clock import FixedClock

NOW = datetime(2026, 3, 4, 22, 30, 15, tzinfo=UTC)
TEAM = build(NOW)
MAILBOXES = {rep.email: rep.user for rep in TEAM.reps} | {"crm@acme.example": "crm"}


@pytest.fixture(scope="module")
def servers(tmp_path_factory):
    directory = tmp_path_factory.mktemp("demo")
    clock = FixedClock(NOW)
    with DemoServers(directory / "dav", directory / "out", MAILBOXES, "demo", clock) as running:
        running.directory = directory
        TEAM.seed_imap(running.append)
        TEAM.seed_caldav(running.put)
        yield running


def sign_in(servers, user):
    client = IMAPClient(HOST, port=servers.imap_port, ssl=False)
    client.normalise_times = False
    client.login(user, "demo")
    return client


def test_a_mail_program_finds_each_mail_unchanged_and_with_its_date_of_arrival(servers):
    found = []
    for rep in TEAM.reps:
        with sign_in(servers, rep.user) as client:
            for folder in ("INBOX", "Sent"):
                client.select_folder(folder, readonly=True)
                fetched = client.fetch(client.search(), ["INTERNALDATE", "BODY.PEEK[]"])
                found += [
                    (rep.user, folder, item[b"BODY[]"], item[b"INTERNALDATE"])
                    for item in fetched.values()
                ]
    placed = [(mail.user, mail.folder, mail.raw, mail.arrived_at) for mail in TEAM.mails]
    assert sorted(found) == sorted(placed)


def test_a_wrong_password_opens_nothing(servers):
    client = IMAPClient(HOST, port=servers.imap_port, ssl=False)
    try:
        with pytest.raises(LoginError):
            client.login("karin", "guess")
    finally:
        client.shutdown()


def test_a_calendar_program_finds_each_meeting_in_its_owners_calendar(servers):
    for rep in TEAM.reps:
        url = servers.caldav_url(rep.user)
        with DAVClient(url=url, username=rep.user, password="demo") as client:
            calendars = client.principal().calendars()
            found = {event.icalendar_component["UID"] for c in calendars for event in c.events()}
        wanted = {e.href.removesuffix(".ics") for e in TEAM.events if e.user == rep.user}
        assert {str(uid).partition("@")[0] for uid in found} == wanted


def test_what_is_sent_to_a_rep_lies_in_the_inbox_and_what_is_sent_to_a_customer_becomes_a_file(
    servers,
):
    raw = b"From: crm@acme.example\r\nMessage-ID: <both@acme.example>\r\n\r\nHi\r\n"
    with smtplib.SMTP(HOST, servers.smtp_port) as client:
        client.sendmail("crm@acme.example", ["Dara@acme.example", "emily@harbourpine.example"], raw)
    with sign_in(servers, "dara") as client:
        client.select_folder("INBOX", readonly=True)
        (found,) = client.search(["HEADER", "Message-ID", "<both@acme.example>"])
        assert client.fetch([found], ["INTERNALDATE"])[found][b"INTERNALDATE"] == NOW
    assert [p.read_bytes() for p in (servers.directory / "out").glob("*.eml")] == [raw]


def test_the_waiting_mail_arrives_when_it_is_delivered(servers):
    later = NOW + timedelta(minutes=3)
    TEAM.deliver_waiting(servers.append, later)
    with sign_in(servers, "dara") as client:
        client.select_folder("INBOX", readonly=True)
        found = client.search(["SUBJECT", "Twelve more chairs"])
        (item,) = client.fetch(found, ["INTERNALDATE"]).values()
        assert item[b"INTERNALDATE"] == later


def test_a_directory_of_somebody_else_is_left_alone(tmp_path):
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(UsageError, match="was not made by the demo"):
        run_demo(tmp_path, keep=False, clock=FixedClock(NOW))
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


def test_without_the_extra_a_sentence_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.delitem(sys.modules, "crm_sync.demo.servers")
    monkeypatch.setitem(sys.modules, "aiosmtpd.smtp", None)
    with pytest.raises(UsageError, match=r"pip install 'crm-sync\[demo\]'"):
        run_demo(tmp_path / "new", keep=False, clock=FixedClock(NOW))
    assert not (tmp_path / "new").exists()
