"""After a server has come to its senses nothing of its lies is left in the diary.

The scripted server plays each mishap alone; `test_imap_machine.py` plays them all at once.
"""

from datetime import UTC, timedelta

import pytest

from connectors.imap import KIND
from crm_sync.ports import Surroundings
from crm_sync.store import diary
from tests.flow.conftest import KARIN
from tests.servers.scripted_imap import PASSWORD, USER, ScriptedImap
from tests.servers.scripted_mailbox import Lies

ACCOUNT = f"{KARIN}/imap"
HOURS_LATER = (2, 20, 120, 480, 1800, 1800)
"""Minutes between the pulls after all has come to its senses."""


@pytest.fixture
def server():
    with ScriptedImap() as server:
        server.make(b"Archive")
        yield server
        assert server.violations == []


@pytest.fixture
def office(world, server):
    world.customers("Lena,Nordvik AB,lena@nordvik.example")
    options = KIND.options(
        host=server.host, port=server.port, security="none", username=USER, password=PASSWORD
    )
    source = KIND.build(options, Surroundings(ACCOUNT, world.clock, UTC))
    world.boxes[ACCOUNT] = (source, KARIN)
    yield world
    source.close()


def a_mail(subject, *, message_id=True):
    given = f"Message-ID: <{subject}@x.example>\r\n" if message_id else ""
    return (
        f"From: lena@nordvik.example\r\nTo: {KARIN}\r\nDate: Mon, 2 Mar 2026 08:30:00 +0000\r\n"
        f"Subject: {subject}\r\n{given}\r\ntext {subject}\r\n"
    ).encode()


def deliver(office, server, subject, **options):
    return server.deliver(b"INBOX", a_mail(subject, **options), office.clock.now())


def pull(office, *minutes):
    for wait in minutes:
        office.clock.advance(timedelta(minutes=wait))
        (pulled,) = office.sync()
    return pulled


def heal(office, server):
    server.lies = Lies()
    assert pull(office, *HOURS_LATER).error is None


def diary_of(office):
    return sorted((entry["subject"], office.text(entry["id"])) for entry in office.log())


def move(server, source, target):
    folder = server.folders[source]
    uid = max(folder.messages)
    server.folders[target].add(folder.messages.pop(uid))


def no_bodies(line):
    """NO to every FETCH that asks for more than a header."""
    if b" UID FETCH " in line and b"HEADER" not in line:
        return line.split()[0] + b" NO Server error\r\n"
    return None


def test_a_mail_without_message_id_that_moves_is_one(office, server):
    deliver(office, server, "one", message_id=False)
    pull(office, 2)
    move(server, b"INBOX", b"Archive")
    pull(office, 2)
    assert diary_of(office) == [("one", "text one")]


def test_a_mail_without_message_id_that_moves_and_comes_back_is_one(office, server):
    deliver(office, server, "one", message_id=False)
    pull(office, 2)
    move(server, b"INBOX", b"Archive")
    pull(office, 2)
    move(server, b"Archive", b"INBOX")
    pull(office, 2)
    assert diary_of(office) == [("one", "text one")]


def test_two_mails_alike_without_message_id_are_two_while_both_are_there(office, server):
    deliver(office, server, "one", message_id=False)
    pull(office, 2)
    deliver(office, server, "one", message_id=False)
    pull(office, 2)
    assert [subject for subject, _ in diary_of(office)] == ["one", "one"]


def test_a_scan_is_not_taken_for_one_that_was_deleted_minutes_ago(office, server):
    scan = a_mail("scan", message_id=False).replace(
        b"Date: Mon, 2 Mar 2026 08:30:00 +0000\r\n", b""
    )
    uid = server.deliver(b"INBOX", scan, office.clock.now())
    pull(office, 2)
    del server.folders[b"INBOX"].messages[uid]
    server.deliver(b"INBOX", scan, office.clock.now())
    pull(office, 2)
    assert [subject for subject, _ in diary_of(office)] == ["scan", "scan"]


def test_the_server_is_asked_what_it_holds_only_for_mails_alike(office, server):
    pull(office, 2)
    server.history.clear()
    for subject in ("one", "two"):
        deliver(office, server, subject, message_id=False)
        pull(office, 2)
    assert not any(b"SINCE" in line for line in server.history)
    deliver(office, server, "two", message_id=False)
    pull(office, 2)
    assert sum(b"SINCE" in line for line in server.history) == 1


def test_a_text_that_is_refused_for_a_few_minutes_comes_later(office, server):
    deliver(office, server, "one")
    server.lies.refuses = no_bodies
    pull(office, 2, 2, 2)
    heal(office, server)
    assert diary_of(office) == [("one", "text one")]


def test_a_text_that_is_refused_for_a_quarter_of_an_hour_comes_later(office, server):
    deliver(office, server, "one")
    server.lies.refuses = no_bodies
    pull(office, *[2] * 7)
    heal(office, server)
    assert diary_of(office) == [("one", "text one")]


def test_a_mail_that_comes_after_all_leaves_the_quarantine(office, server):
    uid = deliver(office, server, "one")
    deliver(office, server, "two")
    server.folders[b"INBOX"].messages[uid].poison = "NO"
    pull(office, 2)
    server.folders[b"INBOX"].messages[uid].poison = ""
    heal(office, server)
    assert diary_of(office) == [("one", "text one"), ("two", "text two")]
    with office.store.read() as tx:
        assert diary.quarantined(tx) == []


def test_while_uidvalidity_flaps_no_text_is_lost(office, server):
    server.lies.uidvalidity = "flapping"
    for number in range(9):
        deliver(office, server, f"m{number}")
        pull(office, 2)
    heal(office, server)
    assert diary_of(office) == [(f"m{n}", f"text m{n}") for n in range(9)]


def test_a_text_that_came_empty_once_is_asked_for_again(office, server):
    deliver(office, server, "one")
    server.lies.empty = True
    pull(office, 2)
    heal(office, server)
    assert diary_of(office) == [("one", "text one")]


def test_a_mail_without_any_text_is_no_riddle(office, server):
    raw = a_mail("one").partition(b"\r\n\r\n")[0] + b"\r\n\r\n"
    server.deliver(b"INBOX", raw, office.clock.now())
    pull(office, 2)
    assert diary_of(office) == [("one", None)]
    with office.store.read() as tx:
        assert tx.exec_driver_sql("SELECT count(*) FROM wanted").scalar_one() == 0


def test_while_uidvalidity_flaps_every_mail_is_logged_once(office, server):
    server.lies.uidvalidity = "flapping"
    for number in range(9):
        deliver(office, server, f"m{number}")
        pull(office, 2)
    heal(office, server)
    assert office.subjects() == [f"m{n}" for n in range(9)]
