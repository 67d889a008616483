"""First syncs of several accounts use several processes, and each process only ever costs itself."""

import os
import select
import signal
import socket
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path

import pytest

from crm_sync.app import App, read_settings
from crm_sync.core.customer_files import parse_customers
from crm_sync.flow import intake
from crm_sync.runtime.fork_server import ForkServer
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


# Tests before may have left threads behind; the program itself forks before it has any.
pytestmark = pytest.mark.filterwarnings("ignore:.*use of fork:DeprecationWarning")


@pytest.fixture(autouse=True)
def two_cores(monkeypatch):
    """Room for one worker."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1})


@pytest.fixture
def program(tmp_path):
    """The program with archives of two team mailboxes."""
    for name in ("north", "south"):
        archive(tmp_path, name)
    found = opened(tmp_path)
    yield found
    found.close()


def archive(folder, name) -> None:
    """A maildir of a team mailbox, and its table in the configuration."""
    for part in ("cur", "new", "tmp"):
        (folder / name / part).mkdir(parents=True)
    for number in range(MAILS):
        raw = (
            f"From: anna@customer.example\r\nTo: {name}@acme.example\r\nSubject: {number}\r\n"
            f"Message-ID: <{name}-{number}@customer.example>\r\n"
            "Date: Sun, 01 Mar 2026 10:00:00 +0000\r\n\r\nHello\r\n"
        )
        file = folder / name / "cur" / f"17723600{number:02}.M1P1.host:2,S"
        file.write_bytes(raw.encode())
    config = folder / "crm-sync.toml"
    written = config.read_text() if config.exists() else HEAD
    config.write_text(written + ARCHIVE.format(name=name))
    config.chmod(0o600)


def opened(folder) -> App:
    app = App(read_settings(folder / "crm-sync.toml"), pulls=True)
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


@pytest.fixture
def starts(monkeypatch) -> list[ForkServer]:
    """The servers that were asked for a worker, each time."""
    found: list[ForkServer] = []
    start = ForkServer.start

    def recorded(self):
        found.append(self)
        return start(self)

    monkeypatch.setattr(ForkServer, "start", recorded)
    return found


def children(pid: int) -> list[int]:
    return [int(c) for c in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def has_none(server: ForkServer) -> bool:
    """Whether its workers end: the kernel closes their pipes a moment before they are gone."""
    moment = threading.Event()
    return any(not children(server._pid) or moment.wait(0.01) for _ in range(1000))


def worker_of(server: ForkServer) -> int:
    (pid,) = children(server._pid)
    return pid


def first_pull(app, name, progress=lambda *_: None):
    ((_, row),) = app.declared([name])
    return app._workers.pull(app.setup, row, timedelta(minutes=5), progress)


def test_of_two_first_syncs_one_has_a_process_of_its_own(program, starts):
    told = []
    pulled = program.pull((), lambda *what: told.append(what))
    assert len(starts) == 1
    assert [(p.name, p.seen, p.logged, p.error) for p in pulled] == [
        ("north", MAILS, MAILS, None),
        ("south", MAILS, MAILS, None),
    ]
    assert {what[0] for what in told} == {"north", "south"}, "each tells how far it is"
    assert {row.state for row in rows(program).values()} == {"ok"}
    assert [p.seen for p in program.pull()] == [0, 0]
    assert len(starts) == 1, "polls need none"


def test_when_all_first_syncs_are_done_no_process_is_kept_ready(program):
    ready = program._workers._server._pid
    program.pull()
    assert ready in children(os.getpid())
    program.pull()
    assert ready not in children(os.getpid())


def test_a_single_first_sync_needs_no_process(program, starts):
    (pulled,) = program.pull(["north"])
    assert pulled.seen == MAILS
    assert starts == []


def test_a_worker_loads_no_module_again(program, starts):
    assert first_pull(program, "north").seen == MAILS
    assert Path(f"/proc/{starts[0]._pid}/exe").readlink() == Path(sys.executable).resolve()
    assert Path(f"/proc/{starts[0]._pid}/cmdline").read_bytes() == (
        Path("/proc/self/cmdline").read_bytes()
    ), "a copy: with no words of its own, there is no secret among them"


def test_a_worker_that_dies_fails_its_account_with_a_sentence_and_no_other(tmp_path, monkeypatch):
    monkeypatch.setattr("crm_sync.app.pull_apart", lambda *_: os._exit(3))
    for name in ("north", "south"):
        archive(tmp_path, name)
    app = opened(tmp_path)
    by_state = {rows(app)[p.name].state: p for p in app.pull()}
    assert by_state["ok"].seen == MAILS
    assert "ended early" in by_state["failing"].error
    app.close()
    monkeypatch.undo()
    app = opened(tmp_path)
    assert sum(p.seen for p in app.pull()) == MAILS
    assert {row.state for row in rows(app).values()} == {"ok"}
    app.close()


def test_a_worker_whose_account_fails_says_so_and_ends(tmp_path, starts):
    archive(tmp_path, "north")
    config = tmp_path / "crm-sync.toml"
    with socket.create_server(("127.0.0.1", 0)) as taken:
        config.write_text(config.read_text() + SILENT.format(port=taken.getsockname()[1]))
    app = opened(tmp_path)
    pulled = first_pull(app, "silent")
    assert "nobody listens there" in pulled.error
    assert has_none(starts[0])
    app.close()


def test_without_room_for_another_process_all_is_pulled_in_this_one(tmp_path, monkeypatch, starts):
    def full():
        raise BlockingIOError(11, "Resource temporarily unavailable")

    for name in ("north", "south"):
        archive(tmp_path, name)
    monkeypatch.setattr(os, "fork", full)
    app = opened(tmp_path)
    assert [p.seen for p in app.pull()] == [MAILS, MAILS]
    assert starts == []
    app.close()


def test_when_the_fork_server_was_killed_all_is_pulled_in_this_process(program, starts):
    server = program._workers._server
    os.kill(server._pid, signal.SIGKILL)
    os.waitid(os.P_PID, server._pid, os.WEXITED | os.WNOWAIT)
    assert [(p.seen, p.error) for p in program.pull()] == [(MAILS, None), (MAILS, None)]
    assert starts, "it was asked, and could not"


@pytest.fixture
def silent(tmp_path, silence):
    """The program with an archive, and a mailbox on a server that never says anything."""
    archive(tmp_path, "north")
    config = tmp_path / "crm-sync.toml"
    config.write_text(config.read_text() + SILENT.format(port=silence.getsockname()[1]))
    app = opened(tmp_path)
    yield app
    app.close()


def test_a_worker_that_hangs_is_ended_when_the_program_is_to_stop(silent, silence, starts):
    asked = threading.Event()
    silent._workers.stopping = asked.is_set
    with ThreadPoolExecutor(1) as pool:
        work = pool.submit(first_pull, silent, "silent")
        silence.settimeout(60)
        connection, _ = silence.accept()
        asked.set()
        work.result(10)
        connection.close()
    assert has_none(starts[0])
    assert rows(silent)["silent"].state == "new", "to be stopped is no failure"


def test_a_worker_killed_in_the_middle_is_noticed_at_once(silent, silence, starts):
    with ThreadPoolExecutor(1) as pool:
        work = pool.submit(first_pull, silent, "silent")
        silence.settimeout(60)
        connection, _ = silence.accept()
        os.kill(worker_of(starts[0]), signal.SIGKILL)
        assert "ended early" in work.result(10).error
        connection.close()
    assert rows(silent)["silent"].state == "failing"


def test_workers_leave_ctrl_c_to_whoever_started_them_and_end_with_it(silent, silence):
    silent.declared()
    server = silent._workers._server
    ask, tell = server.start()
    with ask, tell:
        ask.write(b'{"account": "silent", "quiet": true}\n')
        silence.settimeout(60)
        connection, _ = silence.accept()
        worker = worker_of(server)
        for process in (server._pid, worker):
            os.kill(process, signal.SIGINT)
        select.select([tell], [], [], 0.5)
        assert children(server._pid) == [worker]
        ask.close()
        assert tell.read() == b""
        connection.close()
