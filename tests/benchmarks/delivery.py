"""From delivery to interaction: the daemon as a process, Dovecot over TLS, IDLE or NOTIFY.

A delivered mail is timed until its row is in the diary. The peer is a bare loop that waits by IDLE
on a connection of its own and fetches the header: what the server alone takes.

python -m tests.benchmarks.delivery [--mails 60]
"""

import argparse
import os
import random
import signal
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Self

from imapclient import IMAPClient

from tests.benchmarks import mails
from tests.servers.dovecot import PASSWORD, Dovecot

_CONFIGURATION = """
[team]
name = "Acme AB"
domains = ["{domain}"]

[[reps]]
email = "{rep}"

[[mailboxes]]
rep = "{rep}"
connector = "imap"
host = "localhost"
port = {port}
ca_file = "{ca_file}"
username = "karin"
password = "{password}"
"""
_MAIL = (
    "From: {sender}\r\nTo: {rep}\r\nSubject: Delivery {n}\r\nMessage-ID: <d{n}@live.example>\r\n\r\n"
    "When will it be there?\r\n"
)
_GLANCE = threading.Event()


def main() -> int:
    """Prints median and 95th percentile beside the bare loop's."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--mails", type=int, default=60)
    options = parser.parse_args()
    server = Dovecot()
    try:
        server.start()
        with tempfile.TemporaryDirectory(prefix="delivery-") as folder:
            ours, bare = measure(server, Path(folder), options.mails)
    finally:
        server.remove()
    print(f"{'delivery to interaction':28} {'ours':>8} {'bare IDLE loop':>15}   target")
    for name, of, target in (("median", statistics.median, "-"), ("p95", _p95, "≤ 0.9 s")):
        print(f"  {name:26} {of(ours):6.2f} s {of(bare):13.2f} s   {target}")
    return 0


def measure(server: Dovecot, folder: Path, count: int) -> tuple[list[float], list[float]]:
    """Seconds for each of `count` mails: ours, and the bare loop's on the same deliveries."""
    config = folder / "crm-sync.toml"
    config.write_text(
        _CONFIGURATION.format(
            domain=mails.OURS, rep=mails.REP, port=server.tls_port, ca_file=server.ca_file,
            password=PASSWORD,
        )
    )  # fmt: skip
    config.chmod(0o600)
    (folder / "customers.csv").write_text(mails.customers_csv())
    command = [sys.executable, "-m", "crm_sync"]
    environ = {**os.environ, "CRM_SYNC_CONFIG": str(config)}
    for words in (("import", str(folder / "customers.csv")), ("sync",)):
        subprocess.run([*command, *words], env=environ, check=True, stdout=subprocess.DEVNULL)
    daemon = subprocess.Popen([*command, "run"], env=environ, stderr=subprocess.DEVNULL)
    try:
        _deliver(server, folder / "crm-sync.db", ["first"])  # by a poll, which begins the waiting
        _GLANCE.wait(3)
        return _deliver(server, folder / "crm-sync.db", range(count))
    finally:
        daemon.send_signal(signal.SIGTERM)
        daemon.wait(15)


def _deliver(
    server: Dovecot, diary: Path, names: Iterable[object]
) -> tuple[list[float], list[float]]:
    ours: list[float] = []
    bare: list[float] = []
    sender = mails.customers_csv().splitlines()[1].split(",")[2]
    for number in names:
        with _Waiting(server) as waiting:
            began = time.monotonic()
            mail = _MAIL.format(sender=sender, rep=mails.REP, n=number)
            server.append("karin", "INBOX", mail.encode())
            ours.append(_until_logged(diary, f"<d{number}@live.example>") - began)
            bare.append(waiting.done() - began)
        _GLANCE.wait(random.uniform(0.2, 1.5))  # not in step with any interval
    return ours, bare


class _Waiting:
    """The bare loop: one IDLE, one FETCH of a header."""

    def __init__(self, server: Dovecot) -> None:
        self._client = IMAPClient("127.0.0.1", server.port, ssl=False)
        self._at = 0.0
        self._thread = threading.Thread(target=self._wait)

    def __enter__(self) -> Self:
        self._client.login("karin", PASSWORD)
        self._client.select_folder("INBOX", readonly=True)
        self._client.idle()
        self._thread.start()
        return self

    def _wait(self) -> None:
        self._client.idle_check(timeout=10)
        self._client.idle_done()
        self._client.fetch(self._client.search(["UID", "*"]), ["BODY.PEEK[HEADER]"])
        self._at = time.monotonic()

    def done(self) -> float:
        """When the header was there."""
        self._thread.join()
        return self._at

    def __exit__(self, *_: object) -> None:
        self._thread.join()
        self._client.logout()


def _until_logged(diary: Path, message_id: str) -> float:
    deadline = time.monotonic() + 90
    query = "SELECT 1 FROM interaction WHERE message_id = ?"
    with sqlite3.connect(f"file:{diary}?mode=ro", uri=True) as connection:
        while time.monotonic() < deadline:
            if connection.execute(query, (message_id,)).fetchone():
                return time.monotonic()
            _GLANCE.wait(0.01)
    raise TimeoutError(message_id)


def _p95(values: list[float]) -> float:
    return statistics.quantiles(values, n=20)[-1]


if __name__ == "__main__":
    sys.exit(main())
