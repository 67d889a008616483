"""X-GM-MSGID: a mail is found again by Gmail's own number, and never taken for two."""

from datetime import UTC, datetime, timedelta

import pytest

from connectors.imap import KIND
from crm_sync.core.records import Locator
from crm_sync.flow import audit
from crm_sync.ports import Surroundings
from crm_sync.testing.source_contract import Ledger, pull
from tests.flow.conftest import DANIEL, KARIN, World
from tests.servers.scripted_imap import FULL, PASSWORD, USER, ScriptedImap
from tests.servers.scripted_mailbox import Lies, Message

NOW = datetime(2026, 3, 4, 12, tzinfo=UTC)
ALL = b"[Gmail]/All Mail"
STREAM = ALL.decode()
BIGGEST = 2**64 - 1


def a_server(capabilities=FULL | {"X-GM-EXT-1"}):
    server = ScriptedImap(capabilities)
    server.make(ALL, b"\\All")
    return server


@pytest.fixture
def server():
    with a_server() as server:
        yield server
        assert server.violations == []


@pytest.fixture
def connect(clock):
    """Connects to a mailbox; closes it in the end."""
    opened = []

    def build(server, clock=clock, **options):
        options = KIND.options(
            host=server.host, port=server.port, security="none", username=USER,
            password=PASSWORD, folders=[STREAM], since="all", **options,
        )  # fmt: skip
        opened.append(KIND.build(options, Surroundings("karin/imap", clock, UTC)))
        return opened[-1]

    yield build
    for source in opened:
        source.close()


def a_mail(subject, *, message_id=True, extra=""):
    given = f"Message-ID: <{subject}@x.example>\r\n" if message_id else ""
    return (
        f"From: lena@nordvik.example\r\nTo: {KARIN}\r\nDate: Mon, 2 Mar 2026 08:30:00 +0000\r\n"
        f"Subject: {subject}\r\n{given}{extra}\r\ntext {subject}\r\n"
    ).encode()


def deliver(server, *subjects, at=NOW, **options):
    return [server.deliver(ALL, a_mail(subject, **options), at) for subject in subjects]


def locators(source):
    """What the diary would keep of all mails that are there now."""
    ledger = Ledger()
    (stream,) = source.streams()
    pull(source, stream, ledger)
    return [Locator(stream.key, item.key, item.hint) for item in ledger.items]


def texts(source, places, **options):
    found = {body.locator: body for body in source.read(places, **options)}
    return [None if found[at].gone else found[at].text for at in places]


def searches(server):
    return [line for line in server.history if b"SEARCH" in line and b"X-GM" in line]


# -- a mail is found again -----------------------------------------------------------------------


def test_after_a_folder_was_numbered_anew_texts_are_found_by_gmails_number(server, connect):
    deliver(server, "one", "two", "three")
    server.folders[ALL].messages[2].number = BIGGEST
    source = connect(server)
    places = locators(source)
    # Another order: were a UID of old believed, a text would be another mail's.
    box = server.folders[ALL]
    box.messages = dict(zip((1, 2, 3), reversed(box.messages.values()), strict=True))
    box.uidvalidity = server.new_validity()
    assert texts(source, places) == ["text one", "text two", "text three"]
    (search,) = searches(server)
    assert b"X-GM-MSGID %d" % BIGGEST in search


def test_a_mail_that_left_and_came_back_under_another_number_is_found(server, connect):
    deliver(server, "one", "two")
    source = connect(server)
    places = locators(source)
    box = server.folders[ALL]
    box.add(box.messages.pop(1))
    assert texts(source, places) == ["text one", "text two"]


def test_a_mail_with_parts_is_found_too(server, connect):
    parts = 'MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary="b"\r\n'
    raw = a_mail("one", extra=parts).partition(b"\r\n\r\n")[0]
    raw += b"\r\n\r\n--b\r\nContent-Type: text/plain\r\n\r\nin parts\r\n--b--\r\n"
    server.deliver(ALL, raw, NOW)
    source = connect(server)
    places = locators(source)
    server.folders[ALL].renumber(server.new_validity())
    assert texts(source, places) == ["in parts"]


def test_what_is_found_again_comes_with_the_key_it_has_now(server, connect):
    deliver(server, "gone", "one")
    source = connect(server)
    places = locators(source)[1:]
    del server.folders[ALL].messages[1]
    server.folders[ALL].renumber(server.new_validity())
    (body,) = source.read(places, items=True)
    assert body.locator == places[0]
    assert body.item.key == f"{server.folders[ALL].uidvalidity}:1"
    assert body.item.hint == places[0].hint
    (again,) = source.read([Locator(STREAM, body.item.key)], items=True)
    assert again.item == body.item


def test_what_was_deleted_is_gone_and_so_is_what_was_in_a_folder_that_is_gone(server, connect):
    deliver(server, "one", "two")
    source = connect(server)
    places = locators(source)
    box = server.folders[ALL]
    del box.messages[1]
    box.renumber(server.new_validity())
    assert texts(source, places) == [None, "text two"]
    del server.folders[ALL]
    server.cut()
    assert texts(source, places) == [None, None]


def test_each_place_is_answered_once_however_often_and_under_whatever_key_it_is_asked(
    server, connect
):
    deliver(server, "one", "two")
    source = connect(server)
    places = locators(source)
    server.folders[ALL].renumber(server.new_validity())
    now = [Locator(STREAM, f"{server.folders[ALL].uidvalidity}:{uid}") for uid in (1, 2, 3)]
    asked = [*places, *now, places[0], Locator(STREAM, "garbage", places[1].hint)]
    bodies = list(source.read(asked))
    assert len(bodies) == len(asked)
    assert {b.locator for b in bodies} == set(asked)
    assert {b.locator.key for b in bodies if b.gone} == {now[2].key}


def test_many_are_looked_for_with_few_commands(server, connect):
    deliver(server, *(f"m{n}" for n in range(50)))
    source = connect(server)
    places = locators(source)
    server.folders[ALL].renumber(server.new_validity())
    assert texts(source, places) == [f"text m{n}" for n in range(50)]
    assert len(searches(server)) == 3
    assert all(len(line) < 1000 for line in searches(server))


# -- what may be sent, and what may be believed ----------------------------------------------------


@pytest.mark.parametrize(
    "word",
    [
        "1)",
        "ALL",
        "1 OR ALL",
        "1\r\nC9 LOGOUT",
        "-1",
        "0",
        "1.5",
        str(2**64),
        "9" * 4000,
        "１",
        "*",
    ],
)
def test_only_a_number_of_gmails_is_ever_sent(server, connect, word):
    deliver(server, "one")
    source = connect(server)
    (place,) = locators(source)
    hint = place.hint.rpartition(" ")[0] + f" {word}"
    assert texts(source, [Locator(STREAM, "1:1", hint)]) == [None]
    assert searches(server) == []


def test_a_mail_can_not_give_itself_a_number(server, connect):
    deliver(server, "one", extra="X-GM-MSGID: 7\r\n")
    source = connect(server)
    (place,) = locators(source)
    number = server.folders[ALL].messages[1].number
    assert place.hint.split(" ")[-1] == str(number)


def test_other_servers_are_not_asked(connect):
    with a_server() as gmail, a_server(FULL) as other:
        deliver(gmail, "one")
        (place,) = locators(connect(gmail))
        source = connect(other)
        deliver(other, "two")
        (plain,) = locators(source)
        other.folders[ALL].renumber(other.new_validity())
        assert texts(source, [place]) == [None]
        assert len(plain.hint.split(" ")) == 5
        assert not any(b"X-GM" in line for line in other.history)
        assert other.violations == []


@pytest.mark.parametrize("said", [b"BAD unknown", b"NO what is that"])
def test_a_server_that_announces_it_and_does_not_know_it_stops_nothing(server, connect, said):
    deliver(server, "one", "two")
    source = connect(server)
    places = locators(source)
    server.folders[ALL].renumber(server.new_validity())
    server.lies.refuses = lambda line: (
        b"%b %b\r\n" % (line.split()[0], said) if b"SEARCH" in line and b"X-GM" in line else None
    )
    here = Locator(STREAM, f"{server.folders[ALL].uidvalidity}:2")
    assert texts(source, [*places, here]) == [None, None, "text two"]


def test_a_search_that_finds_others_gives_no_mail_another_ones_text(server, connect):
    deliver(server, *(f"m{n}" for n in range(6)))
    source = connect(server)
    places = locators(source)
    box = server.folders[ALL]
    del box.messages[1]
    box.renumber(server.new_validity())
    server.lies.refuses = lambda line: (
        b'* ESEARCH (TAG "%b") UID ALL 1:4000000000\r\n%b OK done\r\n' % ((line.split()[0],) * 2)
        if b"SEARCH" in line and b"X-GM" in line
        else None
    )
    assert texts(source, places[:1]) == [None]
    assert texts(source, places) == [None, *(f"text m{n}" for n in range(1, 6))]
    doubted = [line for line in server.history if b"(UID X-GM-MSGID)" in line]
    assert doubted
    assert all(len(line) < 60 for line in doubted)


# -- one mail is one -------------------------------------------------------------------------------


@pytest.fixture
def office(server, connect, tmp_path):
    """Karin's diary, of a mailbox at Gmail."""
    world = World(tmp_path)
    world.customers("Lena,Nordvik AB,lena@nordvik.example")
    world.boxes[f"{KARIN}/imap"] = (connect(server, world.clock), KARIN)
    yield world
    world.store.close()


def sync(office):
    office.clock.advance(timedelta(minutes=2))
    pulled = office.sync()
    assert [p.error for p in pulled] == [None] * len(pulled)


def show_again(server, uid):
    """The same message under one more UID."""
    server.folders[ALL].add(server.folders[ALL].messages[uid])


def logged(office):
    return [entry["subject"] for entry in office.log()]


@pytest.mark.parametrize("message_id", [True, False])
def test_two_uids_of_one_message_on_a_page_are_one_mail(office, server, message_id):
    (uid,) = deliver(server, "one", at=office.clock.now(), message_id=message_id)
    show_again(server, uid)
    sync(office)
    assert logged(office) == ["one"]


@pytest.mark.parametrize("message_id", [True, False])
def test_two_uids_of_one_message_in_a_folder_are_one_mail_on_whatever_page(
    office, server, message_id
):
    (uid,) = deliver(server, "one", at=office.clock.now(), message_id=message_id)
    sync(office)
    show_again(server, uid)
    sync(office)
    assert logged(office) == ["one"]


@pytest.mark.parametrize("pages", [1, 2])
def test_two_messages_alike_without_message_id_are_two(office, server, pages):
    for _ in range(pages):
        deliver(server, *["scan"] * (2 // pages), at=office.clock.now(), message_id=False)
        sync(office)
    assert logged(office) == ["scan", "scan"]


def test_of_two_messages_alike_the_second_one_shown_again_is_none_more(office, server):
    uids = deliver(server, "scan", "scan", at=office.clock.now(), message_id=False)
    sync(office)
    for uid in uids:
        show_again(server, uid)
        sync(office)
    assert logged(office) == ["scan", "scan"]


def test_two_messages_alike_are_two_after_renumbering(office, server):
    deliver(server, "scan", "scan", at=office.clock.now(), message_id=False)
    sync(office)
    server.folders[ALL].renumber(server.new_validity())
    sync(office)
    assert logged(office) == ["scan", "scan"]


def test_an_audit_that_heals_makes_no_second_mail_of_it(office, server):
    (uid,) = deliver(server, "one", at=office.clock.now(), message_id=False)
    sync(office)
    # Below UIDNEXT, so that no pull sees it.
    box = server.folders[ALL]
    box.messages[3], box.uidnext = box.messages[uid], 4
    deliver(server, "two", at=office.clock.now())
    sync(office)
    box.messages[2] = box.messages[uid]
    source, _ = office.boxes[f"{KARIN}/imap"]
    audited = audit.audit_account(office.setup, office.account(), source, heal=True)
    assert audited.streams[0].healed == 1
    assert sorted(logged(office)) == ["one", "two"]


def test_one_mail_without_message_id_in_two_mailboxes_is_one_with_both_reps(
    office, server, connect
):
    with a_server() as daniels:
        office.boxes[f"{DANIEL}/imap"] = (connect(daniels, office.clock), DANIEL)
        for box in (server, daniels):
            deliver(box, "one", at=office.clock.now(), message_id=False)
        sync(office)
        (entry,) = office.log()
        assert set(entry["reps"]) == {KARIN, DANIEL}


def test_a_text_that_could_not_be_read_is_found_at_once_after_renumbering(office, server):
    deliver(server, "one", at=office.clock.now())
    server.lies.refuses = lambda line: (
        line.split()[0] + b" NO Server error\r\n"
        if b" UID FETCH " in line and b"HEADER" not in line
        else None
    )
    sync(office)
    server.lies = Lies()
    box = server.folders[ALL]
    box.messages = {1: Message(a_mail("other"), office.clock.now()), 2: box.messages[1]}
    box.uidvalidity, box.uidnext = server.new_validity(), 3
    sync(office)
    found = {entry["subject"]: office.text(entry["id"]) for entry in office.log()}
    assert found == {"one": "text one", "other": "text other"}
