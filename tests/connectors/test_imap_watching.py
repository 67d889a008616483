"""Waiting for mail on Dovecot: told by NOTIFY or IDLE, never in the way of a poll."""

import select
import threading

import pytest

from connectors.imap import notifying
from connectors.imap.hearing import PATIENCE
from crm_sync.core.errors import Unreachable
from crm_sync.ports import Watchable
from tests.connectors.imap_parts import numbered_mail
from tests.servers.dovecot import Dovecot


@pytest.fixture
def polled(connect):
    """Makes sources that have looked at a server once: what they saw is what they wait for."""

    def build(server, **options):
        source = connect(**{"host": server.host, "port": server.port} | options)
        source.streams()
        return source

    return build


def hears_of_mail(watch, seconds=5.0):
    while select.select([watch], [], [], seconds)[0]:
        if watch.ready():
            return True
    return False


@pytest.fixture(params=["NOTIFY", "IDLE"])
def way(request, proxy):
    """How a watch over the proxy is told of mail."""
    if request.param == "IDLE":
        proxy.on_answer = lambda line: line.replace(b" NOTIFY", b"") + b"\r\n"
    return request.param


def test_new_mail_is_told_within_a_second_or_two_over_tls(dovecot, user, polled):
    source = polled(
        dovecot, host="localhost", port=dovecot.tls_port, security="tls", ca_file=dovecot.ca_file
    )
    assert isinstance(source, Watchable)
    watch = source.watch()
    assert not watch.ready()
    for number in (1, 2):
        dovecot.append(user, "INBOX", numbered_mail(number))
        assert hears_of_mail(watch, 3)
    assert not hears_of_mail(watch, 0.2)


def test_mail_that_came_between_the_poll_and_the_watch_is_told_at_once(
    dovecot, user, polled, proxy, way
):
    source = polled(proxy)
    dovecot.append(user, "INBOX", numbered_mail(1))
    watch = source.watch()
    assert [watch.ready(), watch.ready()] == [True, False]
    pause = threading.Event()  # the proxy hears of it a moment later
    assert any(way in proxy.verbs() or pause.wait(0.01) for _ in range(500))


def test_a_watch_lives_through_refreshes(dovecot, user, polled, proxy, way):
    watch = polled(proxy).watch()
    watch.ready()
    for number in (1, 2):
        if way == "IDLE":
            select.select([watch], [], [], 5)
            watch.ready()
        while watch.refresh() != PATIENCE:
            pass
        for _ in range(2 if way == "IDLE" else 1):  # the answer, and the plus
            assert select.select([watch], [], [], 5)[0]
            watch.ready()
        dovecot.append(user, "INBOX", numbered_mail(number))
        assert hears_of_mail(watch)


def test_deletions_are_no_news(dovecot, user, polled, proxy, way):
    uids = [dovecot.append(user, "INBOX", numbered_mail(n)) for n in range(3)]
    watch = polled(proxy).watch()
    assert not watch.ready()
    dovecot.expunge(user, "INBOX", uids[:2])
    assert not hears_of_mail(watch, 1.5)
    dovecot.append(user, "INBOX", numbered_mail(9))
    assert hears_of_mail(watch)
    assert way in proxy.verbs()


def test_notify_tells_of_mail_in_every_folder_that_is_pulled_whatever_its_name(
    dovecot, user, polled, proxy
):
    names = ["Förfrågningar", "مشتریان", "R&D", 'a "quoted" name', "Sent"]
    dovecot.add_user(user, names)
    watch = polled(proxy).watch()
    assert not watch.ready()
    for name in names:
        dovecot.append(user, name, numbered_mail(1))
        assert hears_of_mail(watch), name
        assert not hears_of_mail(watch, 0.2), name
    dovecot.append(user, "Junk", numbered_mail(1))
    assert not hears_of_mail(watch, 1.5)


def test_mail_in_any_folder_between_the_poll_and_the_watch_is_told_at_once(dovecot, user, polled):
    dovecot.add_user(user, ["Förfrågningar"])
    source = polled(dovecot)
    dovecot.append(user, "Förfrågningar", numbered_mail(1))
    assert source.watch().ready()


@pytest.mark.parametrize("no", [b"BAD Unknown command", b"NO [BADEVENT] Not these"])
def test_where_notify_is_refused_idle_does_it(dovecot, user, polled, proxy, no):
    proxy.on_command = lambda line: (
        line.split()[0] + b" " + no + b"\r\n" if b" NOTIFY " in line else None
    )
    source = polled(proxy)
    watch = source.watch()
    watch.ready()
    dovecot.append(user, "INBOX", numbered_mail(1))
    assert hears_of_mail(watch)
    assert proxy.verbs()[-1] == "IDLE"


def test_too_many_folders_to_name_in_one_command_leave_it_to_idle(
    polled, proxy, monkeypatch, dovecot, user
):
    monkeypatch.setattr(notifying, "_LONGEST_COMMAND", 10)
    source = polled(proxy)
    watch = source.watch()
    watch.ready()
    dovecot.append(user, "INBOX", numbered_mail(1))
    assert hears_of_mail(watch)
    assert "NOTIFY" not in proxy.verbs()


def test_where_notify_passes_over_the_inbox_idle_does_it(dovecot, user, polled, proxy):
    proxy.on_answer = lambda line: b"" if b"STATUS INBOX (MESSAGES 0 UIDNEXT" in line else None
    source = polled(proxy)
    watch = source.watch()
    watch.ready()
    proxy.on_answer = None
    dovecot.append(user, "INBOX", numbered_mail(1))
    assert hears_of_mail(watch)
    assert "IDLE" in proxy.verbs()


def test_an_account_never_has_more_than_two_connections(proxy, polled, way):
    source = polled(proxy)
    first = source.watch()
    for _ in range(3):
        watch = source.watch()
    assert proxy.connections == 5
    with pytest.raises(Unreachable):
        first.ready()
    source.streams()
    assert proxy.connections == 5
    assert not watch.ready()
    assert way in proxy.verbs()


def test_a_server_without_idle_is_not_bothered_with_a_second_connection(proxy, polled):
    proxy.on_answer = lambda line: line.replace(b" IDLE", b"").replace(b" NOTIFY", b"") + b"\r\n"
    source = polled(proxy)
    assert source.watch() is None
    assert proxy.connections == 1


def test_where_no_second_connection_is_allowed_polls_go_on(polled):
    server = Dovecot(connections=1)
    try:
        server.start()
        source = polled(server)
        assert source.watch() is None
        assert "INBOX" in [s.name for s in source.streams()]
        source.close()
    finally:
        server.remove()


def test_a_server_that_is_away_gives_no_watch_and_no_error(proxy, polled):
    source = polled(proxy)
    proxy.refuse()
    assert source.watch() is None


def test_only_what_is_pulled_is_watched(dovecot, user, polled, proxy):
    watch = polled(dovecot, folders=["\\Sent"]).watch()
    dovecot.append(user, "INBOX", numbered_mail(1))
    assert not hears_of_mail(watch, 1.5)
    dovecot.append(user, "Sent", numbered_mail(1))
    assert hears_of_mail(watch)
    proxy.on_answer = lambda line: line.replace(b" NOTIFY", b"") + b"\r\n"
    assert polled(proxy, folders=["\\Sent"]).watch() is None


def test_a_cut_line_ends_the_watch_and_the_next_one_works(proxy, user, dovecot, polled, way):
    source = polled(proxy)
    watch = source.watch()
    watch.ready()
    proxy.cut()
    with pytest.raises(Unreachable):
        hears_of_mail(watch)
    source.streams()
    watch = source.watch()
    assert not watch.ready()
    dovecot.append(user, "INBOX", numbered_mail(1))
    assert hears_of_mail(watch)
    assert way in proxy.verbs()
