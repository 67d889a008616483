"""Waiting for mail by IDLE: the races, the dying lines and the odd servers."""

import select
import socket
import ssl
import threading
import uuid
from datetime import UTC, datetime

import pytest
import trustme

from connectors.imap import KIND, hearing, notifying
from connectors.imap.hearing import PATIENCE, REFRESH
from connectors.imap.session import Selected
from connectors.imap.watching import IdleWatch
from crm_sync.core.errors import Unreachable
from crm_sync.ports import Surroundings, Watchable
from crm_sync.testing.clock import FixedClock
from tests.servers.dovecot import PASSWORD, Dovecot
from tests.servers.recording_proxy import RecordingProxy

NOW = datetime(2026, 3, 4, 12, tzinfo=UTC)
OPENED = Selected(b"INBOX", 1, 8, 7)


class Peer:
    """The server's end of a watch."""

    def __init__(self, **options):
        ours, self.sock = socket.socketpair()
        self.sock.settimeout(5)
        self.heard = b""
        received = options.pop("received", b"")
        self.watch = IdleWatch(ours, received, OPENED, where="imap.example", **options)

    def say(self, data: bytes) -> bool:
        self.sock.sendall(data)
        return self.watch.ready()

    def hears(self, line: bytes) -> None:
        while not self.heard.endswith(b"\r\n"):
            self.heard += self.sock.recv(1000)
        assert self.heard == line
        self.heard = b""

    def idle(self) -> "Peer":
        self.hears(b"W1 IDLE\r\n")
        assert not self.say(b"+ idling\r\n")
        assert self.watch.refresh() > 400
        return self


@pytest.fixture
def peer():
    peers = []

    def build(**options):
        peers.append(Peer(**options))
        return peers[-1]

    yield build
    for each in peers:
        each.watch.close()
        each.sock.close()


# -- what is told, in whatever pieces ------------------------------------------------------------


def test_news_in_the_same_segment_as_the_plus_are_heard(peer):
    assert peer().say(b"+ idling\r\n* 8 EXISTS\r\n")


def test_news_that_came_with_the_answer_to_examine_are_heard_at_the_first_look(peer):
    assert peer(received=b"* 8 EXISTS\r\n").watch.ready()


def test_a_line_before_the_plus_is_no_harm(peer):
    it = peer()
    assert not it.say(b"* OK Still here\r\n")
    assert it.say(b"* 8 EXISTS\r\n+ idling\r\n")
    assert it.watch.refresh() > 400


def test_lines_in_pieces_are_put_together(peer):
    it = peer()
    told = [it.say(bytes([b])) for b in b"+ idling\r\n* 8 EXISTS\r\n* 9 exists\r\n"]
    assert told.count(True) == 2


def test_only_more_messages_than_before_are_news(peer):
    it = peer().idle()
    assert not it.say(b"* 7 EXISTS\r\n* 1 RECENT\r\n* 3 FETCH (FLAGS (\\Seen))\r\n")
    assert not it.say(b"* 2 EXPUNGE\r\n* 6 EXISTS\r\n")
    assert it.say(b"* 7 EXISTS\r\n")


def test_a_deletion_and_a_delivery_between_two_looks_are_news(peer):
    it = peer().idle()
    assert it.say(b"* 2 EXPUNGE\r\n* 7 EXISTS\r\n")


def test_what_came_between_the_poll_and_the_watch_is_news_once(peer):
    it = peer(missed=True)
    assert [it.watch.ready(), it.watch.ready()] == [True, False]


# -- dying lines -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "before", [b"", b"+ idling\r\n", b"+ idling\r\n* 8 EXISTS\r\n", b"* 8 EXI"]
)
def test_a_peer_that_closed_is_noticed_at_once_and_not_taken_for_silence(peer, before):
    it = peer()
    it.hears(b"W1 IDLE\r\n")
    it.sock.sendall(before)
    it.sock.close()
    for _ in range(2):
        with pytest.raises(Unreachable, match="closed"):
            it.watch.ready()


@pytest.mark.parametrize("stage", ["asked", "idle", "ending"])
def test_a_good_bye_at_any_time_ends_the_watch(peer, stage):
    it = peer()
    if stage != "asked":
        it.idle()
    if stage == "ending":
        it.watch.refresh()
    with pytest.raises(Unreachable, match="good-bye"):
        it.say(b"* BYE Server shutting down\r\n")


def test_a_refresh_begins_idle_anew_and_hears_what_comes_meanwhile(peer):
    it = peer().idle()
    assert it.watch.refresh() == PATIENCE
    it.hears(b"DONE\r\n")
    assert it.say(b"* 8 EXISTS\r\nW1 OK Idle completed\r\n")
    it.hears(b"W2 IDLE\r\n")
    assert it.say(b"* 9 EXISTS\r\n+ idling\r\n")
    assert 0.8 * (REFRESH - PATIENCE) <= it.watch.refresh() <= REFRESH - PATIENCE
    assert it.watch.refresh() == PATIENCE
    it.hears(b"DONE\r\n")


def test_nine_minutes_are_enough_for_every_server_and_router():
    assert REFRESH <= 9 * 60


@pytest.mark.parametrize(
    "answer", [b"", b"* 7 EXISTS\r\n", b"W1 OK Idle completed\r\n", b"W1 OK Idl"]
)
def test_a_server_that_does_not_answer_a_refresh_is_given_up(peer, answer):
    it = peer().idle()
    it.watch.refresh()
    it.say(answer)
    with pytest.raises(Unreachable, match="no sign of life"):
        it.watch.refresh()


def test_a_server_that_never_lets_us_idle_is_given_up(peer):
    it = peer()
    with pytest.raises(Unreachable, match="no sign of life"):
        it.watch.refresh()


@pytest.mark.parametrize("answer", [b"W1 BAD Unknown command\r\n", b"W1 NO Not now\r\n"])
def test_a_server_that_refuses_idle_is_given_up(peer, answer):
    with pytest.raises(Unreachable, match="does not let us wait"):
        peer().say(answer)


def test_a_server_that_ends_idle_by_itself_is_asked_again_but_not_for_ever(peer):
    it = peer().idle()
    assert not it.say(b"W1 OK Idle ended\r\n")
    it.hears(b"W2 IDLE\r\n")
    it.say(b"+ idling\r\n")
    with pytest.raises(Unreachable, match="ends every wait"):
        it.say(b"W2 OK Idle ended\r\n")


def test_answers_to_other_tags_mean_nothing(peer):
    it = peer().idle()
    assert not it.say(
        b"W7 BAD x\r\nC1 NO x\r\nDONE BAD x\r\n\r\n\x00\xff\r\n* 99999999999999 EXISTS\r\n"
    )


def test_a_line_without_end_and_a_flood_end_the_watch(peer):
    with pytest.raises(Unreachable, match="without end"):
        peer().say(b"x" * 9000)
    it = peer().idle()
    with pytest.raises(Unreachable, match="more than anybody asked for"):
        for _ in range(100):
            it.say(b"* OK Still here\r\n" * 2000)


def test_a_session_whose_token_ends_is_ended_before(peer):
    over = False
    it = peer(is_over=lambda: over).idle()
    over = True
    with pytest.raises(Unreachable, match="as long as it may"):
        it.watch.refresh()


def test_closing_twice_is_no_harm(peer):
    it = peer()
    it.watch.close()
    it.watch.close()
    with pytest.raises(Unreachable):
        it.watch.ready()


def test_what_tls_has_decrypted_already_is_heard_though_nothing_is_readable(monkeypatch):
    monkeypatch.setattr(hearing, "_CHUNK", 10)
    monkeypatch.setattr(hearing, "_AT_ONCE", 10)
    authority = trustme.CA()
    server, client = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ssl.create_default_context()
    authority.issue_cert("localhost").configure_cert(server)
    authority.configure_trust(client)
    ours, theirs = socket.socketpair()
    made = []
    thread = threading.Thread(
        target=lambda: made.append(server.wrap_socket(theirs, server_side=True))
    )
    thread.start()
    secure = client.wrap_socket(ours, server_hostname="localhost")
    thread.join(5)
    (peer,) = made
    watch = IdleWatch(secure, b"", OPENED, where="imap.example")
    assert peer.recv(100) == b"W1 IDLE\r\n"
    peer.sendall(b"+ idling\r\n" + b"* OK Still here\r\n" * 50 + b"* 8 EXISTS\r\n")
    assert select.select([watch], [], [], 5)[0]
    assert watch.ready()
    assert not select.select([watch], [], [], 0)[0]
    peer.close()
    assert select.select([watch], [], [], 5)[0]
    with pytest.raises(Unreachable):
        watch.ready()
    watch.close()


# -- on Dovecot --------------------------------------------------------------------------------


def a_mail(number: int) -> bytes:
    return f"From: lena@nordvik.example\r\nSubject: m{number}\r\n\r\ntext {number}\r\n".encode()


@pytest.fixture
def user(dovecot):
    name = f"karin-{uuid.uuid4().hex[:8]}"
    dovecot.add_user(name)
    return name


@pytest.fixture
def proxy(dovecot):
    with RecordingProxy(dovecot.host, dovecot.port) as proxy:
        yield proxy
        assert proxy.only_read(), proxy.verbs()


@pytest.fixture
def connect(user):
    opened = []

    def build(server, **more):
        options = {"host": server.host, "port": server.port, "security": "none"} | more
        options = KIND.options(username=user, password=PASSWORD, **options)
        opened.append(KIND.build(options, Surroundings("karin/imap", FixedClock(NOW), UTC)))
        opened[-1].streams()
        return opened[-1]

    yield build
    for source in opened:
        source.close()


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


def test_new_mail_is_told_within_a_second_or_two_over_tls(dovecot, user, connect):
    source = connect(
        dovecot, host="localhost", port=dovecot.tls_port, security="tls", ca_file=dovecot.ca_file
    )
    assert isinstance(source, Watchable)
    watch = source.watch()
    assert not watch.ready()
    for number in (1, 2):
        dovecot.append(user, "INBOX", a_mail(number))
        assert hears_of_mail(watch, 3)
    assert not hears_of_mail(watch, 0.2)


def test_mail_that_came_between_the_poll_and_the_watch_is_told_at_once(
    dovecot, user, connect, proxy, way
):
    source = connect(proxy)
    dovecot.append(user, "INBOX", a_mail(1))
    watch = source.watch()
    assert [watch.ready(), watch.ready()] == [True, False]
    pause = threading.Event()  # the proxy hears of it a moment later
    assert any(way in proxy.verbs() or pause.wait(0.01) for _ in range(500))


def test_a_watch_lives_through_refreshes(dovecot, user, connect, proxy, way):
    watch = connect(proxy).watch()
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
        dovecot.append(user, "INBOX", a_mail(number))
        assert hears_of_mail(watch)


def test_deletions_are_no_news(dovecot, user, connect, proxy, way):
    uids = [dovecot.append(user, "INBOX", a_mail(n)) for n in range(3)]
    watch = connect(proxy).watch()
    assert not watch.ready()
    dovecot.expunge(user, "INBOX", uids[:2])
    assert not hears_of_mail(watch, 1.5)
    dovecot.append(user, "INBOX", a_mail(9))
    assert hears_of_mail(watch)
    assert way in proxy.verbs()


def test_notify_tells_of_mail_in_every_folder_that_is_pulled_whatever_its_name(
    dovecot, user, connect, proxy
):
    names = ["Förfrågningar", "مشتریان", "R&D", 'a "quoted" name', "Sent"]
    dovecot.add_user(user, names)
    watch = connect(proxy).watch()
    assert not watch.ready()
    for name in names:
        dovecot.append(user, name, a_mail(1))
        assert hears_of_mail(watch), name
        assert not hears_of_mail(watch, 0.2), name
    dovecot.append(user, "Junk", a_mail(1))
    assert not hears_of_mail(watch, 1.5)


def test_mail_in_any_folder_between_the_poll_and_the_watch_is_told_at_once(dovecot, user, connect):
    dovecot.add_user(user, ["Förfrågningar"])
    source = connect(dovecot)
    dovecot.append(user, "Förfrågningar", a_mail(1))
    assert source.watch().ready()


@pytest.mark.parametrize("no", [b"BAD Unknown command", b"NO [BADEVENT] Not these"])
def test_where_notify_is_refused_idle_does_it(dovecot, user, connect, proxy, no):
    proxy.on_command = lambda line: (
        line.split()[0] + b" " + no + b"\r\n" if b" NOTIFY " in line else None
    )
    source = connect(proxy)
    watch = source.watch()
    watch.ready()
    dovecot.append(user, "INBOX", a_mail(1))
    assert hears_of_mail(watch)
    assert proxy.verbs()[-1] == "IDLE"


def test_too_many_folders_to_name_in_one_command_leave_it_to_idle(
    connect, proxy, monkeypatch, dovecot, user
):
    monkeypatch.setattr(notifying, "_LONGEST_COMMAND", 10)
    source = connect(proxy)
    watch = source.watch()
    watch.ready()
    dovecot.append(user, "INBOX", a_mail(1))
    assert hears_of_mail(watch)
    assert "NOTIFY" not in proxy.verbs()


def test_where_notify_passes_over_the_inbox_idle_does_it(dovecot, user, connect, proxy):
    proxy.on_answer = lambda line: b"" if b"STATUS INBOX (MESSAGES 0 UIDNEXT" in line else None
    source = connect(proxy)
    watch = source.watch()
    watch.ready()
    proxy.on_answer = None
    dovecot.append(user, "INBOX", a_mail(1))
    assert hears_of_mail(watch)
    assert "IDLE" in proxy.verbs()


def test_an_account_never_has_more_than_two_connections(proxy, connect, way):
    source = connect(proxy)
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


def test_a_server_without_idle_is_not_bothered_with_a_second_connection(proxy, connect):
    proxy.on_answer = lambda line: line.replace(b" IDLE", b"").replace(b" NOTIFY", b"") + b"\r\n"
    source = connect(proxy)
    assert source.watch() is None
    assert proxy.connections == 1


def test_where_no_second_connection_is_allowed_polls_go_on(user):
    server = Dovecot(connections=1)
    try:
        server.start()
        options = KIND.options(
            host=server.host, port=server.port, security="none", username=user, password=PASSWORD
        )
        source = KIND.build(options, Surroundings("karin/imap", FixedClock(NOW), UTC))
        source.streams()
        assert source.watch() is None
        assert "INBOX" in [s.name for s in source.streams()]
        source.close()
    finally:
        server.remove()


def test_a_server_that_is_away_gives_no_watch_and_no_error(proxy, connect):
    source = connect(proxy)
    proxy.refuse()
    assert source.watch() is None


def test_only_what_is_pulled_is_watched(dovecot, user, connect, proxy):
    watch = connect(dovecot, folders=["\\Sent"]).watch()
    dovecot.append(user, "INBOX", a_mail(1))
    assert not hears_of_mail(watch, 1.5)
    dovecot.append(user, "Sent", a_mail(1))
    assert hears_of_mail(watch)
    proxy.on_answer = lambda line: line.replace(b" NOTIFY", b"") + b"\r\n"
    assert connect(proxy, folders=["\\Sent"]).watch() is None


def test_a_cut_line_ends_the_watch_and_the_next_one_works(proxy, user, dovecot, connect, way):
    source = connect(proxy)
    watch = source.watch()
    watch.ready()
    proxy.cut()
    with pytest.raises(Unreachable):
        hears_of_mail(watch)
    source.streams()
    watch = source.watch()
    assert not watch.ready()
    dovecot.append(user, "INBOX", a_mail(1))
    assert hears_of_mail(watch)
    assert way in proxy.verbs()
