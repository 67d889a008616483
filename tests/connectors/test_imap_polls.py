"""Polls: one round trip and a few bytes where nothing moved, by whatever a server knows."""

from datetime import UTC, datetime

import pytest

from crm_sync.testing.source_contract import Ledger, pull
from tests.connectors.imap_parts import a_mail, inbox_of, subjects

NOW = datetime(2026, 3, 4, 12, tzinfo=UTC)


def test_an_idle_poll_of_all_folders_costs_one_round_trip(dovecot, user, connect, proxy):
    dovecot.add_user(user, [f"Folder {n}" for n in range(10)])
    dovecot.append(user, "INBOX", a_mail("one"), NOW)
    source = connect()
    ledgers = {s.key: Ledger() for s in source.streams()}
    for stream in source.streams():
        pull(source, stream, ledgers[stream.key])
    for _ in range(2):
        proxy.forget()
        pages = [p for s in source.streams() for p in pull(source, s, ledgers[s.key])]
        assert pages == []
        assert proxy.round_trips == 1
    assert proxy.verbs() == ["LIST"]
    assert proxy.connections == 1


def test_without_list_status_an_idle_poll_still_costs_one_round_trip(dovecot, user, connect, proxy):
    proxy.on_answer = lambda line: (
        line.replace(b" LIST-STATUS", b"").replace(b" SPECIAL-USE", b"").replace(b" ESEARCH", b"")
        + b"\r\n"
    )
    dovecot.append(user, "INBOX", a_mail("one"), NOW)
    source, ledger = connect(), Ledger()
    assert [s.name for s in source.streams()] == ["INBOX", "Sent"]
    pull(source, inbox_of(source), ledger)
    assert subjects(ledger.items) == ["one"]
    source.streams()
    proxy.forget()
    assert pull(source, inbox_of(source), ledger) == []
    assert proxy.round_trips == 1
    assert set(proxy.verbs()) == {"STATUS"}


def three_folders(source):
    """A source that knows its three folders and has pulled them."""
    ledgers = {s.key: Ledger() for s in source.streams()}
    for stream in source.streams():
        pull(source, stream, ledgers[stream.key])
    assert len(ledgers) == 3
    return ledgers


def test_an_idle_poll_of_three_folders_stays_below_450_bytes(dovecot, user, connect, proxy):
    dovecot.add_user(user, ["Archive"])
    for folder in ("INBOX", "Sent", "Archive"):
        dovecot.append(user, folder, a_mail(folder), NOW)
    source = connect()
    ledgers = three_folders(source)
    source.streams()
    proxy.forget()
    assert [p for s in source.streams() for p in pull(source, s, ledgers[s.key])] == []
    assert proxy.round_trips == 1
    assert proxy.bytes_from_client + proxy.bytes_from_server < 450


def listings(proxy):
    return sum(b'LIST "" "*"' in line for line in proxy.commands)


def test_all_folders_are_listed_at_first_and_every_twentieth_time(dovecot, user, connect, proxy):
    source = connect()
    assert len(source.streams()) == 2
    dovecot.add_user(user, ["Customers"])
    looks = [len(source.streams()) for _ in range(40)]
    assert looks[:19] == [2] * 19
    assert looks[19] == 3
    assert listings(proxy) == 3
    assert proxy.verbs().count("LIST") == 1 + 40  # one command a look


def test_a_folder_that_disappears_makes_all_be_listed_at_once(dovecot, user, connect, proxy):
    dovecot.add_user(user, ["Customers"])
    source = connect()
    source.streams()
    dovecot.rename_folder(user, "Customers", "Clients")
    assert [s.name for s in source.streams()] == ["INBOX", "Clients", "Sent"]
    source.streams()
    assert listings(proxy) == 2


def test_a_new_connection_begins_with_all_folders(dovecot, user, connect, proxy):
    source = connect()
    source.streams()
    proxy.cut()
    dovecot.add_user(user, ["Customers"])
    assert len(source.streams()) == 3


def refusing(pattern: bytes, answer: bytes):
    def say(line: bytes) -> bytes | None:
        if b" LIST " in line and pattern in line:
            return line.split()[0] + b" " + answer + b"\r\n"
        return None

    return say


@pytest.mark.parametrize(
    ("pattern", "ways"),
    [
        (b"no such command", ['"*" RETURN (SPECIAL-USE STATUS', '("INBOX" "Sent")']),
        (b'LIST "" (', ['"*" RETURN (SPECIAL-USE STATUS', '("INBOX" "Sent")', '"*" RETURN (SP']),
        (b"STATUS (", ["(SPECIAL-USE STATUS", '"*" RETURN (SPECIAL-USE)', "nothing more"]),
        (b" RETURN (", ["(SPECIAL-USE STATUS", '"*" RETURN (SPECIAL-USE)', '"*"', "nothing more"]),
    ],
)
@pytest.mark.parametrize("no", [b"BAD Unknown", b"NO Not so"])
def test_what_a_server_does_not_know_is_tried_once(
    dovecot, user, connect, proxy, pattern, ways, no
):
    dovecot.append(user, "INBOX", a_mail("one"), NOW)
    proxy.on_command = refusing(pattern, no)
    source, ledger = connect(), Ledger()
    for _ in range(3):
        names = [s.name for s in source.streams()]
        assert names == ["INBOX", "Sent"]
        pull(source, inbox_of(source), ledger)
    assert subjects(ledger.items) == ["one"]
    looks = [line.decode() for line in proxy.commands if b" LIST " in line]
    for look, way in zip(looks, ways, strict=False):
        assert way in look
    proxy.forget()
    assert pull(source, inbox_of(source), ledger) == []
    assert proxy.round_trips == 1


def test_a_server_that_knows_a_folder_by_name_only_in_a_listing_is_listed(
    dovecot, user, connect, proxy
):
    """It leaves a folder out when it is asked for it."""
    asked = [False]

    def note(line: bytes) -> None:
        asked[0] = b'LIST "" (' in line

    proxy.on_command = note
    proxy.on_answer = lambda line: b"" if asked[0] and b" Sent " in line + b" " else None
    source = connect()
    for _ in range(4):
        assert [s.name for s in source.streams()] == ["INBOX", "Sent"]
    assert [b'LIST "" (' in line for line in proxy.commands if b" LIST " in line] == [
        *(False, True, False, False, False),
    ]


def test_folder_names_full_of_wildcards_are_only_themselves(dovecot, user, connect, proxy):
    names = ["a*", "a%b", "ab", "abc"]
    for name in names:
        dovecot.append(user, name, a_mail("one"), NOW)
    source = connect(folders=names[:2])
    for _ in range(3):
        assert [s.name for s in source.streams()] == sorted(names[:2])
    for stream in source.streams():
        ledger = Ledger()
        pull(source, stream, ledger)
        assert subjects(ledger.items) == ["one"]
        assert pull(source, stream, ledger) == []
