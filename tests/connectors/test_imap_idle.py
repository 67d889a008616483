"""Waiting for mail by IDLE: what is news, the dying lines and the odd servers."""

import select
import socket
import ssl
import threading
from contextlib import ExitStack, closing

import pytest
import trustme

from connectors.imap import hearing
from connectors.imap.hearing import PATIENCE, REFRESH
from connectors.imap.session import Selected
from connectors.imap.watching import IdleWatch
from crm_sync.core.errors import Unreachable
from tests.connectors.watch_parts import Peer

OPENED = Selected(b"INBOX", 1, 8, 7)


class Idler(Peer):
    """The server's end of a watch by IDLE."""

    def __init__(self, received=b"", **options):
        super().__init__(
            lambda ours: IdleWatch(ours, received, OPENED, where="imap.example", **options)
        )

    def idle(self) -> "Idler":
        self.hears(b"W1 IDLE\r\n")
        assert not self.say(b"+ idling\r\n")
        assert self.watch.refresh() > 400
        return self


@pytest.fixture
def peer():
    with ExitStack() as peers:
        yield lambda **options: peers.enter_context(closing(Idler(**options)))


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
