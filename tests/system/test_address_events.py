"""What `customers` and `timeline` tell of addresses, from a maildir to the admin's screen."""

from datetime import UTC, datetime, timedelta

import pytest

CONFIGURATION = """
[database]
url = "sqlite:///crm-sync.db"
[team]
name = "Acme"
domains = ["acme.example"]
timezone = "Europe/Stockholm"
[[reps]]
email = "karin@acme.example"
[[mailboxes]]
rep = "karin@acme.example"
connector = "maildir"
path = "Maildir"
"""
CUSTOMERS = """name,company,emails
Lena Vik,Nordvik AB,Lena.Vik@nordvik.example
Per Alm,Nordvik AB,per@nordvik.example
Ida Ek,Söderö AB,ida@sodero.example
"""
BOUNCE = """\
Return-Path: <>
From: MAILER-DAEMON@mx.example
To: karin@acme.example
Subject: Undelivered Mail Returned to Sender
Date: {sent}
Message-ID: <1@mx.example>
Content-Type: multipart/report; report-type=delivery-status; boundary=b

--b
Content-Type: message/delivery-status

Reporting-MTA: dns; mx.example

Final-Recipient: rfc822; per@nordvik.example
Action: failed
Status: 5.1.1
--b--
"""
REPLY = """\
From: Lena <lena.vik@nordvik.example>
To: karin@acme.example
Subject: Autosvar: Offert
Date: {sent}
Message-ID: <2@nordvik.example>
Auto-Submitted: auto-replied
Content-Type: text/plain; charset=utf-8

Jag är på semester, åter {back}. Kontakta per@nordvik.example i stället.
"""


@pytest.fixture
def office(installation):
    """Karin's maildir with a bounce and an automatic reply of a moment ago, synced."""
    now = datetime.now(UTC)  # noqa: TID251  # the program under test looks at the real clock
    installation.back = f"{now + timedelta(days=20):%Y-%m-%d}"
    installation.day = f"{now:%Y-%m-%d}"
    for folder in ("cur", "new", "tmp"):
        (installation.folder / "Maildir" / folder).mkdir(parents=True)
    for number, mail in enumerate((BOUNCE, REPLY)):
        text = mail.format(sent=f"{now:%a, %d %b %Y %H:%M:%S} +0000", back=installation.back)
        (installation.folder / "Maildir" / "new" / f"{number}.x.host").write_text(text, "utf-8")
    installation.write(CONFIGURATION)
    (installation.folder / "customers.csv").write_text(CUSTOMERS, encoding="utf-8")
    installation.ok("import", "customers.csv")
    installation.ok("sync")
    return installation


def test_customers_and_timeline_tell_who_is_away_and_whose_mail_bounced(office):
    found = {c["name"]: c for c in office.ok("customers", "--json").lines()}
    lena, per = found["Nordvik AB"]["contacts"]
    (away,), (bounced,) = lena["address_events"], per["address_events"]
    assert found["Söderö AB"]["contacts"][0]["address_events"] == []
    assert {k: away[k] for k in ("address", "kind", "until", "deputy")} == {
        "address": "Lena.Vik@nordvik.example",
        "kind": "absence",
        "until": office.back,
        "deputy": "per@nordvik.example",
    }
    assert (bounced["kind"], bounced["status"]) == ("hard_bounce", "5.1.1")
    assert bounced["at"].startswith(office.day)

    sentences = [
        f"Lena.Vik@nordvik.example is away until {office.back}; per@nordvik.example answers instead",
        f"mail to per@nordvik.example bounced on {office.day} (5.1.1)",
    ]
    for words in (["customers"], ["timeline", "Nordvik AB"]):
        lines = office.ok(*words).out.splitlines()
        assert [s for s in sentences if s not in lines] == [], words
    assert "bounced" not in office.ok("timeline", "Söderö AB").out
    assert office.ok("timeline", "Nordvik AB", "--json").out == ""
