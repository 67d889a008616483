"""One folder that makes trouble: the account says so, and all its other folders go on (law 11)."""

import signal
import sqlite3
import threading
import time
import uuid
from contextlib import closing
from dataclasses import replace
from datetime import UTC, timedelta

import pytest

from connectors.imap import KIND
from connectors.memory.source import MemoryMailbox
from crm_sync.core.errors import Refused, Throttled, Unreachable
from crm_sync.flow import health, status
from crm_sync.flow.health import Pulled
from crm_sync.ports import Surroundings
from crm_sync.store import accounts
from tests.connectors.imap_parts import a_mail
from tests.flow.conftest import KARIN
from tests.servers.scripted_imap import PASSWORD, USER, ScriptedImap
from tests.system.conftest import Installation

ACCOUNT = f"{KARIN}/imap"
MINUTE = timedelta(minutes=1)


@pytest.fixture
def world(world):
    """A world in which waits are neither spread nor jittered."""
    world.setup = replace(world.setup, chance=lambda: 0.0)
    world.customers("Lena,Nordvik AB,lena@nordvik.example")
    return world


@pytest.fixture
def server():
    with ScriptedImap() as server:
        server.make(b"Sent", b"\\Sent")
        yield server
        assert server.violations == []


@pytest.fixture
def office(world, server):
    """Karin's mailbox, with a folder in her configuration that is not there."""
    options = KIND.options(
        host=server.host,
        port=server.port,
        security="none",
        username=USER,
        password=PASSWORD,
        folders=["INBOX", "Sent", "Gone"],
    )
    source = KIND.build(options, Surroundings(ACCOUNT, world.clock, UTC))
    world.boxes[ACCOUNT] = (source, KARIN)
    yield world
    source.close()


def pulls_of_a_daemon(world, length, each=lambda: None):
    """How often a daemon pulls the account from now on; `each` happens before every round."""
    began, pulls = world.clock.now(), 0
    while world.clock.now() - began < length:
        each()
        with world.store.read() as tx:
            due = accounts.due(tx, world.clock.now())
        if world.account().id in due:
            world.sync()
            pulls += 1
        world.clock.advance(timedelta(seconds=10))
    return pulls


class Troubled(MemoryMailbox):
    """A mailbox in whose folder "Sent" every pull fails."""

    def __init__(self, trouble):
        super().__init__("INBOX", "Sent")
        self.trouble = trouble

    def pull(self, stream, cursor, known):
        if stream.key == "Sent":
            raise self.trouble()
        yield from super().pull(stream, cursor, known)


def of_a_stream(error):
    error.scope = "stream"
    return error


# -- one missing folder --------------------------------------------------------------------------


def test_beside_a_folder_that_is_not_there_the_others_are_pulled_every_minute(office, server):
    office.sync()
    assert 28 <= pulls_of_a_daemon(office, 30 * MINUTE) <= 31
    server.deliver(b"INBOX", a_mail("offer"), office.clock.now())
    pulls_of_a_daemon(office, 2 * MINUTE)
    assert office.subjects() == ["offer"]


def test_the_account_stays_red_with_the_sentence_and_is_not_complete(office, server):
    server.deliver(b"INBOX", a_mail("offer"), office.clock.now())
    (pulled,) = office.sync()
    began = office.account().failing_since
    pulls_of_a_daemon(office, 60 * MINUTE)
    row = office.account()
    assert 'there is no folder "Gone"' in pulled.error
    assert (row.state, row.last_error) == ("refused", pulled.error)
    assert row.failing_since == began
    assert row.complete_until is None
    told = status.status(office.setup, [ACCOUNT])
    assert not told["healthy"]
    assert 'there is no folder "Gone"' in told["accounts"][0]["problem"]
    until = {s["name"]: s["complete_until"] is not None for s in told["accounts"][0]["streams"]}
    assert until == {"INBOX": True, "Sent": True, "Gone": False}


def test_looking_for_it_at_each_poll_costs_nothing(office, server):
    office.sync()
    office.sync()
    server.history.clear()
    assert pulls_of_a_daemon(office, 10 * MINUTE) >= 9
    assert set(server.verbs()) == {"LIST"}
    assert len(server.verbs()) <= 11
    assert server.connections == 1


def test_once_the_folder_is_there_all_is_well(office, server):
    office.sync()
    server.make(b"Gone")
    server.deliver(b"Gone", a_mail("late"), office.clock.now())
    pulls_of_a_daemon(office, 45 * MINUTE)
    row = office.account()
    assert (row.state, row.trouble, row.last_error) == ("ok", "", None)
    assert row.complete_until is not None
    assert office.subjects() == ["late"]


@pytest.mark.parametrize("no", [b"NO [NOPERM] not for you", b"NO it is damaged"])
def test_beside_a_folder_that_cannot_be_opened_the_others_are_pulled_every_minute(
    office, server, no
):
    server.make(b"Gone")
    for name in (b"INBOX", b"Gone", b"Sent"):
        server.deliver(name, a_mail(f"first-{name.decode()}"), office.clock.now())
    server.lies.refuses = lambda line: (
        line.split()[0] + b" " + no + b"\r\n" if b'EXAMINE "Gone"' in line else None
    )
    office.sync()
    assert 28 <= pulls_of_a_daemon(office, 30 * MINUTE) <= 31
    assert office.account().trouble == health.OF_A_STREAM
    assert office.subjects() == ["first-INBOX", "first-Sent"]
    server.lies.refuses = lambda _: None
    pulls_of_a_daemon(office, 2 * MINUTE)
    assert office.subjects() == ["first-Gone", "first-INBOX", "first-Sent"]


# -- how long to wait ----------------------------------------------------------------------------


def test_a_stream_that_is_to_be_left_alone_until_a_time_is_left_alone(world):
    later = world.clock.now() + timedelta(minutes=17)
    box = Troubled(lambda: of_a_stream(Throttled("slowly", retry_at=later)))
    world.boxes[ACCOUNT] = (box, KARIN)
    world.sync()
    assert world.account().next_pull == later
    assert world.account().state == "failing"


def test_trouble_of_the_account_beside_that_of_a_stream_is_waited_out_as_ever(world):
    box = Troubled(lambda: of_a_stream(Refused("no such folder")))
    box.deliver(world.mail())
    world.boxes[ACCOUNT] = (box, KARIN)

    def read(*_, **__):
        raise Refused("not any more", kind="password")

    box.read = read
    world.sync()
    assert world.account().next_pull == world.clock.now() + health.SIGN_IN_PAUSE
    assert not health.is_in_touch(world.account())


def test_hints_are_heeded_while_the_server_answers_and_only_then(world):
    box = Troubled(lambda: of_a_stream(Unreachable("numbers anew")))
    world.boxes[ACCOUNT] = (box, KARIN)
    (pulled,) = world.sync()
    assert pulled.spares_account
    assert health.is_in_touch(world.account())
    box.away = lambda: Refused("no", kind="password")
    (pulled,) = world.sync()
    assert not pulled.spares_account
    assert not health.is_in_touch(world.account())
    assert not Pulled("x", "imap", error="its host answers nobody").spares_account


def test_a_stream_in_trouble_does_not_speak_against_its_host(world):
    box = Troubled(lambda: of_a_stream(Unreachable("numbers anew")))
    world.boxes[ACCOUNT] = (box, KARIN)
    with world.store.write() as tx:
        accounts.declare(tx, ACCOUNT, "mailbox", "memory", KARIN, host="imap.acme.example:993")
    for _ in range(10):
        (pulled,) = world.sync()
        assert "numbers anew" in pulled.error
        world.clock.advance(MINUTE)


# -- the daemon ------------------------------------------------------------------------------------

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
host = "{host}"
port = {port}
security = "none"
username = "{user}"
password = "pass"
folders = ["INBOX", "Gone"]
"""


def until(condition, seconds):
    began, never = time.monotonic(), threading.Event()
    while time.monotonic() - began < seconds:
        if condition():
            return True
        never.wait(0.05)
    return False


@pytest.mark.dovecot
def test_the_daemon_hears_of_mail_at_once_beside_a_folder_that_is_not_there(tmp_path, dovecot):
    user = f"karin-{uuid.uuid4().hex[:8]}"
    dovecot.add_user(user)
    office = Installation(tmp_path)
    office.write(CONFIGURATION.format(host=dovecot.host, port=dovecot.port, user=user))
    (tmp_path / "customers.csv").write_text("name,emails\nLena,lena@nordvik.example\n")
    office.ok("import", "customers.csv")

    def count(table):
        with closing(sqlite3.connect(tmp_path / "crm-sync.db")) as diary:
            return diary.execute(f"SELECT count(*) FROM {table}").fetchone()[0]

    def is_watched():
        dovecot.append(user, "INBOX", b"Subject: is anybody there\r\n\r\n")
        return count("sighting") > 1

    daemon = office.start("run")
    try:
        assert until(is_watched, 30)
        for number in (1, 2):
            dovecot.append(user, "INBOX", a_mail(f"offer-{number}"))
            assert until(lambda wanted=number: count("interaction") == wanted, 10)
    finally:
        daemon.send_signal(signal.SIGTERM)
        _, err = daemon.communicate(timeout=20)
    assert daemon.returncode == 0, err
    assert "there is no folder" in err
