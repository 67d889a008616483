"""The daemon sees new mail within a second or two, whatever the interval of its polls."""

import signal
import sqlite3
import threading
import time
import uuid
from contextlib import closing

import pytest

pytestmark = pytest.mark.dovecot

CONFIGURATION = """
[team]
domains = ["acme.example"]
[daemon]
poll_interval = "1h"
[[reps]]
email = "karin@acme.example"
[[mailboxes]]
rep = "karin@acme.example"
connector = "imap"
host = "localhost"
port = {port}
ca_file = "{ca_file}"
username = "{user}"
password = "pass"
"""


def a_mail(number: int) -> bytes:
    return (
        f"From: Lena <lena@nordvik.example>\r\nTo: karin@acme.example\r\nSubject: m{number}\r\n"
        f"Message-ID: <{number}@nordvik.example>\r\n\r\nHello\r\n"
    ).encode()


def until(condition, seconds: float) -> float | None:
    """How long it took until the condition held."""
    began, never = time.monotonic(), threading.Event()
    while time.monotonic() - began < seconds:
        if condition():
            return time.monotonic() - began
        never.wait(0.02)
    return None


def test_mail_is_an_interaction_soon_after_its_delivery_and_the_daemon_stops_at_once(
    installation, dovecot
):
    user = f"karin-{uuid.uuid4().hex[:8]}"
    dovecot.add_user(user)
    installation.write(
        CONFIGURATION.format(port=dovecot.tls_port, ca_file=dovecot.ca_file, user=user)
    )
    (installation.folder / "customers.csv").write_text("name,emails\nLena,lena@nordvik.example\n")
    installation.ok("import", "customers.csv")
    database = installation.folder / "crm-sync.db"

    def logged() -> int:
        with closing(sqlite3.connect(database)) as diary:
            (count,) = diary.execute("SELECT count(*) FROM interaction").fetchone()
        return count

    def watched() -> bool:
        with dovecot.client(user) as client:
            client.append("INBOX", b"Subject: is anybody there\r\n\r\n")
        with closing(sqlite3.connect(database)) as diary:
            (count,) = diary.execute("SELECT count(*) FROM sighting").fetchone()
        return count > 1

    process = installation.start("run")
    try:
        assert until(watched, 20) is not None
        for number in range(1, 4):
            dovecot.append(user, "INBOX", a_mail(number))
            took = until(lambda wanted=number: logged() == wanted, 10)
            assert took is not None
            print(f"delivery to interaction: {took:.2f} s")
            assert took < 4  # half a second is Dovecot's own; the machine may be busy
    finally:
        began = time.monotonic()
        process.send_signal(signal.SIGTERM)
        _, err = process.communicate(timeout=20)
    assert process.returncode == 0, err
    assert time.monotonic() - began < 5
    assert "Traceback" not in err
