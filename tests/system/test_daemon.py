"""The daemon as a process, beside hanging servers, other commands, locks and full disks."""

import re
import signal
import socket
import sqlite3
import sys
import tempfile
import threading
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime
from email.utils import format_datetime
from pathlib import Path

import pytest

from tests.system.conftest import Installation

pytestmark = pytest.mark.dovecot

CUSTOMERS = "name,company,emails\nLena Nord,Nordvik AB,lena@nordvik.example\n"
TEAM = """
[database]
url = "sqlite:///crm-sync.db"
[team]
name = "Acme AB"
domains = ["acme.example"]
[daemon]
poll_interval = "1s"
"""
ACCOUNT = """
[[reps]]
email = "{rep}@acme.example"
[[mailboxes]]
rep = "{rep}@acme.example"
connector = "imap"
host = "127.0.0.1"
port = {port}
security = "none"
username = "{user}"
password = "pass"
"""
SMALL_FILES = (
    "import os, resource, sys;"
    "resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096));"
    "os.execv(sys.argv[1], sys.argv[1:])"
)


def mail(number: int) -> bytes:
    sent = format_datetime(datetime.now(UTC))  # noqa: TID251  # it arrives as it is written
    return (
        f"From: Lena <lena@nordvik.example>\r\nTo: karin@acme.example\r\nDate: {sent}\r\n"
        f"Subject: Order {number}\r\nMessage-ID: <order-{number}@nordvik.example>\r\n\r\nHello\r\n"
    ).encode()


class SilentServer:
    """Accepts connections and never says a word."""

    def __enter__(self):
        self._sock = socket.create_server(("127.0.0.1", 0))
        self.port = self._sock.getsockname()[1]
        return self

    def __exit__(self, *exc):
        self._sock.close()

    def wait_for_a_client(self):
        self._sock.settimeout(30)
        return self._sock.accept()[0]


class ServiceManager:
    """The end of systemd's that a service talks to."""

    def __init__(self):
        self._folder = tempfile.TemporaryDirectory(prefix="notify-")
        self.address = str(Path(self._folder.name) / "socket")
        self._sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._sock.bind(self.address)
        self.said: list[str] = []

    def wait_for(self, word: str, seconds: float = 30) -> None:
        self._sock.settimeout(seconds)
        while word not in self.said:
            self.said += self._sock.recv(4096).decode().split("\n")

    def close(self):
        self._sock.close()
        self._folder.cleanup()


class Daemon:
    """A running `crm-sync run`, and what it logs."""

    def __init__(self, installation: Installation, *words: str):
        self.process = installation.start("run", *words)
        self.log = ""
        self._more = threading.Condition()
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self):
        for line in self.process.stderr:
            with self._more:
                self.log += line
                self._more.notify_all()

    def wait_for(self, pattern: str, seconds: float = 30) -> None:
        with self._more:
            found = self._more.wait_for(lambda: re.search(pattern, self.log), seconds)
        assert found, f"no {pattern} in the log:\n{self.log}"

    def ends(self, seconds: float = 30) -> int:
        """Waits for its end; the exit status."""
        status = self.process.wait(seconds)
        self._reader.join(10)
        return status

    def terminate(self, seconds: float = 10) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.ends(seconds)

    def kill(self) -> None:
        self.process.kill()
        self.ends()
        self.process.stdout.close()
        self.process.stderr.close()


@pytest.fixture(scope="module")
def start():
    """Starts daemons that do not outlive the module."""
    started = []

    def start(installation, *words):
        started.append(Daemon(installation, *words))
        return started[-1]

    yield start
    for daemon in started:
        daemon.kill()


def office(folder: Path, dovecot, user: str, *, silent: SilentServer | None = None):
    """A folder in which one rep's mailbox, with one mail of a customer, is ready to sync."""
    folder.mkdir(exist_ok=True)
    dovecot.add_user(user)
    dovecot.append(user, "INBOX", mail(1))
    made = Installation(folder)
    hanging = ACCOUNT.format(rep="dara", port=silent.port, user="dara") if silent else ""
    made.write(TEAM + hanging + ACCOUNT.format(rep="karin", port=dovecot.port, user=user))
    (folder / "customers.csv").write_text(CUSTOMERS)
    made.ok("import", "customers.csv")
    return made


def subjects(installation) -> list[str]:
    return sorted(entry["subject"] for entry in installation.interactions())


@pytest.fixture(scope="module", autouse=True)
def commands_at_a_locked_database(tmp_path_factory):
    """They wait half a minute before they give up; the other tests run meanwhile."""
    made = Installation(tmp_path_factory.mktemp("locked"))
    made.write(TEAM)
    (made.folder / "customers.csv").write_text(CUSTOMERS)
    made.ok("import", "customers.csv")
    with closing(sqlite3.connect(made.folder / "crm-sync.db")) as other:
        other.execute("BEGIN EXCLUSIVE")
        processes = [made.start("import", "customers.csv"), made.start("run")]
        yield processes
        for process in processes:
            process.kill()
            process.communicate()


@pytest.fixture(scope="module")
def silent():
    with SilentServer() as server:
        yield server


@pytest.fixture(scope="module")
def busy(tmp_path_factory, dovecot, silent, start):
    """A daemon that has pulled a mailbox, while the server of another one says nothing."""
    made = office(tmp_path_factory.mktemp("busy"), dovecot, "daemon-busy", silent=silent)
    daemon = start(made)
    daemon.wait_for("account=karin@acme.example/imap seen=1 logged=1")
    return made, daemon


def test_while_a_server_hangs_the_other_mailbox_is_pulled_again_and_again(busy, dovecot):
    made, daemon = busy
    dovecot.append("daemon-busy", "INBOX", mail(2))
    daemon.wait_for("(?s)(seen=1 logged=1.*){2}")

    assert subjects(made) == ["Order 1", "Order 2"]
    states = {a["name"]: a["state"] for a in made.run("status", "--json").object()["accounts"]}
    assert states == {"dara@acme.example/imap": "new", "karin@acme.example/imap": "ok"}


def test_a_sync_beside_the_daemon_leaves_alone_what_the_daemon_is_pulling(busy):
    made, _ = busy
    result = made.ok("sync", "--account", "dara@acme.example/imap", "--json")

    assert "dara@acme.example/imap is being pulled by another process" in result.err
    assert len(result.err.splitlines()) == 1
    assert result.object()["accounts"][0]["seen"] == 0


def test_a_second_daemon_on_the_same_database_refuses_to_start(busy):
    made, daemon = busy
    result = made.run("run")

    assert result.status == 1
    assert result.err.splitlines()[-1].startswith("crm-sync: ")
    assert "another crm-sync daemon runs on this database" in result.err
    assert daemon.process.poll() is None


def test_sigterm_is_obeyed_within_ten_seconds_while_a_server_hangs(busy, silent):
    _, daemon = busy
    with silent.wait_for_a_client():
        assert daemon.terminate(10) == 0


def test_systemd_hears_when_the_daemon_is_ready_alive_and_stopping(tmp_path, dovecot, start):
    made = office(tmp_path, dovecot, "daemon-systemd")
    manager = ServiceManager()
    daemon = start(replace(made, environ={"NOTIFY_SOCKET": manager.address}))
    manager.wait_for("READY=1")
    ticks_before_ready = manager.said.count("WATCHDOG=1")
    manager.said.clear()
    manager.wait_for("WATCHDOG=1")

    assert ticks_before_ready == 1
    assert "STATUS=1 accounts, red: none" in manager.said
    assert daemon.terminate() == 0
    manager.wait_for("STOPPING=1", 1)
    assert "level=info event=stop" in daemon.log.splitlines()[-1]
    manager.close()


def test_after_a_kill_the_next_daemon_goes_on_where_the_diary_stands(tmp_path, dovecot, start):
    made = office(tmp_path, dovecot, "daemon-kill")
    first = start(made)
    first.wait_for("seen=1 logged=1")
    first.kill()
    dovecot.append("daemon-kill", "INBOX", mail(2))
    second = start(made)
    second.wait_for("seen=1 logged=1")

    assert subjects(made) == ["Order 1", "Order 2"]
    assert second.terminate() == 0


def test_a_diary_that_breaks_ends_the_daemon_with_a_sentence_even_while_a_server_hangs(
    tmp_path, dovecot, start
):
    with SilentServer() as server:
        made = office(tmp_path, dovecot, "daemon-broken", silent=server)
        daemon = start(made)
        with server.wait_for_a_client():
            daemon.wait_for("seen=1 logged=1")
            with closing(sqlite3.connect(made.folder / "crm-sync.db")) as other:
                other.execute("ALTER TABLE account RENAME TO gone")

            assert daemon.ends(30) == 1
    last = daemon.log.splitlines()[-1]
    assert last.startswith("crm-sync: ")
    assert "the database can't be used (no such table: account)" in last
    assert "Traceback" not in daemon.log


def test_a_full_disk_ends_the_daemon_with_a_sentence_and_loses_nothing(tmp_path, dovecot, start):
    made = office(tmp_path, dovecot, "daemon-full")
    daemon = start(replace(made, prefix=(sys.executable, "-c", SMALL_FILES)))

    assert daemon.ends(30) == 1
    assert re.search(r"the database can't be used \(.*(full|disk).*\)", daemon.log), daemon.log
    assert "Traceback" not in daemon.log
    made.ok("sync")
    assert subjects(made) == ["Order 1"]


def test_commands_that_meet_a_locked_database_say_so(commands_at_a_locked_database):
    for process in commands_at_a_locked_database:
        _, said = process.communicate(timeout=60)

        assert process.returncode == 1
        assert "the database can't be used (database is locked)" in said
        assert "Traceback" not in said
