"""A greeting that came back: what `outbox` says of it."""

from datetime import UTC, datetime, timedelta

CONFIGURATION = """
[database]
url = "sqlite:///crm-sync.db"
[team]
name = "Acme"
domains = ["acme.example"]
timezone = "{zone}"
[[reps]]
email = "karin@acme.example"
[[mailboxes]]
rep = "karin@acme.example"
connector = "maildir"
path = "Maildir"
[sender]
connector = "smtp"
host = "127.0.0.1"
port = {port}
security = "none"
from = "Acme <crm@acme.example>"
[[greetings]]
occasion = "birthday"
send_at = "00:00"
customers = "auto"
"""
BOUNCE = """\
Return-Path: <>
From: MAILER-DAEMON@mx.example
To: crm@acme.example
Subject: Undelivered Mail Returned to Sender
Date: {sent}
Message-ID: <1@mx.example>
Content-Type: multipart/report; report-type=delivery-status; boundary=b

--b
Content-Type: message/delivery-status

Reporting-MTA: dns; mx.example

Final-Recipient: rfc822; lena@nordvik.example
Action: failed
Status: 5.1.1
--b
Content-Type: text/rfc822-headers

Message-ID: {about}
--b--
"""


def test_the_outbox_says_that_a_sent_greeting_bounced_and_when(installation, smtp):
    now = datetime.now(UTC)  # noqa: TID251  # the program under test looks at the real clock
    ahead = 12 - now.hour  # it is noon there: no day ends meanwhile
    birthday = f"--{now + timedelta(hours=ahead):%m-%d}"
    for folder in ("cur", "new", "tmp"):
        (installation.folder / "Maildir" / folder).mkdir(parents=True)
    zone = f"Etc/GMT{-ahead:+d}" if ahead else "Etc/GMT"
    installation.write(CONFIGURATION.format(zone=zone, port=smtp.port))
    columns = "name,company,emails,birthday,greeting_basis,owner\n"
    lena = f"Lena Vik,Nordvik AB,lena@nordvik.example,{birthday},consent,karin@acme.example\n"
    (installation.folder / "c.csv").write_text(columns + lena)
    installation.ok("import", "c.csv")
    installation.ok("run", "--once")
    (row,) = installation.ok("outbox", "--json").lines()
    assert (row["state"], row["bounced"]) == ("sent", None)
    assert "bounced" not in installation.ok("outbox").out

    bounce = BOUNCE.format(sent=f"{now:%a, %d %b %Y %H:%M:%S} +0000", about=row["message_id"])
    (installation.folder / "Maildir" / "new" / "1.x.host").write_text(bounce, "utf-8")
    installation.ok("sync")
    (row,) = installation.ok("outbox", "--json").lines()
    assert (row["state"], row["bounced"]) == ("sent", f"{now:%Y-%m-%d}")
    assert "sent, bounced" in " ".join(installation.ok("outbox").out.split())
