"""First syncs of several accounts use several processes, and each process only ever costs itself."""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest

from crm_sync.app import App, read_settings
from crm_sync.core.customer_files import parse_customers
from crm_sync.flow import intake
from crm_sync.runtime import workers
from crm_sync.runtime.workers import Workers
from crm_sync.store import accounts

HEAD = """
[team]
name = "Acme AB"
domains = ["acme.example"]
timezone = "Europe/Stockholm"
"""
ARCHIVE = """
[[mailboxes]]
name = "{name}"
connector = "maildir"
path = "{name}"
since = "all"
"""
SILENT = """
[[mailboxes]]
name = "silent"
connector = "imap"
host = "127.0.0.1"
port = {port}
security = "none"
username = "info@acme.example"
password = "pass"
"""
MAILS = 30


@pytest.fixture
def program(tmp_path):
    """The program with archives of two team mailboxes, and room for one worker."""
    for name in ("north", "south"):
        for folder in ("cur", "new", "tmp"):
            (tmp_path / name / folder).mkdir(parents=True)
        for number in range(MAILS):
            raw = (
                f"From: anna@customer.example\r\nTo: {name}@acme.example\r\nSubject: {number}\r\n"
                f"Message-ID: <{name}-{number}@customer.example>\r\n"
                "Date: Sun, 01 Mar 2026 10:00:00 +0000\r\n\r\nHello\r\n"
            )
            file = tmp_path / name / "cur" / f"17723600{number:02}.M1P1.host:2,S"
            file.write_bytes(raw.encode())
    (tmp_path / "crm-sync.toml").write_text(
        HEAD + ARCHIVE.format(name="north") + ARCHIVE.format(name="south")
    )
    found = opened(tmp_path)
    yield found
    found.close()


def opened(folder) -> App:
    app = App(read_settings(folder / "crm-sync.toml"))
    app._workers = Workers(app.settings.path, 1)
    customers = b"name,emails\nAnna,anna@customer.example\n"
    intake.take_in(app.setup, parse_customers(customers, ".csv"))
    return app


@pytest.fixture
def silence():
    """The port of a server that takes connections and never says anything."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server


def rows(app):
    with app.store.read() as tx:
        return {row.name: row for row in accounts.all_accounts(tx)}


def started(monkeypatch) -> list[subprocess.Popen]:
    """The workers that are started from now on."""
    found = []

    class Recorded(subprocess.Popen):
        def __init__(self, *words, **named):
            super().__init__(*words, **named)
            found.append(self)

    monkeypatch.setattr(workers.subprocess, "Popen", Recorded)
    return found


def first_pull(app, name, progress=lambda *_: None):
    ((_, row),) = app.declared([name])
    return app._workers.pull(app.setup, row, timedelta(minutes=5), progress)


def test_of_two_first_syncs_one_has_a_process_of_its_own(program, monkeypatch):
    processes = started(monkeypatch)
    told = []
    pulled = program.pull((), lambda *what: told.append(what))
    mine = [p for p in processes if "crm_sync.cli.worker" in p.args]
    assert len(mine) == 1
    assert [(p.name, p.seen, p.logged, p.error) for p in pulled] == [
        ("north", MAILS, MAILS, None),
        ("south", MAILS, MAILS, None),
    ]
    assert {what[0] for what in told} == {"north", "south"}, "each tells how far it is"
    assert {row.state for row in rows(program).values()} == {"ok"}
    assert [p.seen for p in program.pull()] == [0, 0]
    assert len([p for p in processes if "crm_sync.cli.worker" in p.args]) == 1, "polls need none"


def test_a_single_first_sync_needs_no_process(program, monkeypatch):
    processes = started(monkeypatch)
    (pulled,) = program.pull(["north"])
    assert pulled.seen == MAILS
    assert [p for p in processes if "crm_sync.cli.worker" in p.args] == []


def test_no_secret_is_in_the_words_that_start_a_worker(program, monkeypatch):
    processes = started(monkeypatch)
    assert first_pull(program, "north").seen == MAILS
    assert processes[0].args[1:] == ["-P", "-m", "crm_sync.cli.worker"]


def test_a_worker_that_dies_fails_its_account_with_a_sentence_and_no_other(program, monkeypatch):
    monkeypatch.setattr(workers, "_COMMAND", ("-c", "import os; os._exit(3)"))
    by_state = {}
    for pulled in program.pull():
        by_state[rows(program)[pulled.name].state] = pulled
    assert by_state["ok"].seen == MAILS
    assert "ended early" in by_state["failing"].error
    monkeypatch.undo()
    assert sum(p.seen for p in program.pull()) == MAILS
    assert {row.state for row in rows(program).values()} == {"ok"}


def silent_account(folder, silence) -> App:
    (folder / "crm-sync.toml").write_text(HEAD + SILENT.format(port=silence.getsockname()[1]))
    (folder / "crm-sync.toml").chmod(0o600)
    return opened(folder)


def test_a_worker_that_hangs_is_ended_when_the_program_is_to_stop(tmp_path, silence, monkeypatch):
    app = silent_account(tmp_path, silence)
    processes = started(monkeypatch)
    asked = threading.Event()
    app._workers.stopping = asked.is_set
    with ThreadPoolExecutor(1) as pool:
        work = pool.submit(first_pull, app, "silent")
        silence.settimeout(60)
        connection, _ = silence.accept()
        asked.set()
        work.result(10)
        connection.close()
    assert processes[0].poll() is not None
    assert rows(app)["silent"].state == "new", "to be stopped is no failure"
    app.close()


def test_a_worker_killed_in_the_middle_is_noticed_at_once(tmp_path, silence, monkeypatch):
    app = silent_account(tmp_path, silence)
    processes = started(monkeypatch)
    with ThreadPoolExecutor(1) as pool:
        work = pool.submit(first_pull, app, "silent")
        silence.settimeout(60)
        connection, _ = silence.accept()
        os.kill(processes[0].pid, signal.SIGKILL)
        assert "ended early" in work.result(10).error
        connection.close()
    assert rows(app)["silent"].state == "failing"
    app.close()


def test_a_worker_ends_with_whoever_started_it(tmp_path, silence):
    app = silent_account(tmp_path, silence)
    app.declared()
    app.close()
    request = {"config": str(app.settings.path), "account": "silent", "quiet": True}
    with subprocess.Popen(
        [sys.executable, "-m", "crm_sync.cli.worker"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as worker:
        worker.stdin.write(json.dumps(request).encode() + b"\n")
        worker.stdin.flush()
        silence.settimeout(60)
        connection, _ = silence.accept()
        os.kill(worker.pid, signal.SIGINT)  # Ctrl-C reaches it too; its parent decides
        with pytest.raises(subprocess.TimeoutExpired):
            worker.wait(0.5)
        worker.stdin.close()
        assert worker.wait(5) == 1
        connection.close()
