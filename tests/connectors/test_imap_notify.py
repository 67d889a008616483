"""Waiting for mail by NOTIFY: what is news, and the dangers that IDLE has too."""

from contextlib import ExitStack, closing

import pytest

from connectors.imap.folders import Status
from connectors.imap.hearing import PATIENCE, REFRESH
from connectors.imap.notifying import NotifyWatch
from crm_sync.core.errors import Unreachable
from tests.connectors.watch_parts import Peer


class Notifier(Peer):
    """The server's end of a watch by NOTIFY."""

    def __init__(self, received=b"", **options):
        told = {b"INBOX": Status(7, 8), b"Sent": Status(9, 3)}
        super().__init__(
            lambda ours: NotifyWatch(ours, received, told, where="imap.example", **options)
        )


@pytest.fixture
def notifier():
    with ExitStack() as notifiers:
        yield lambda **options: notifiers.enter_context(closing(Notifier(**options)))


def test_only_a_higher_number_is_news_in_whatever_pieces_and_words_it_comes(notifier):
    it = notifier()
    same = b"* STATUS INBOX (MESSAGES 6 UIDNEXT 8 UNSEEN 1)\r\n"
    new = (
        b"* STATUS {5}\r\nINBOX (MESSAGES 7 UIDNEXT 9)\r\n* status Sent (UIDNEXT 4 MESSAGES 1)\r\n"
    )
    told = [it.say(bytes([b])) for b in same + new + new + b"* 3 EXISTS\r\n* OK Still here\r\n"]
    assert told.count(True) == 2


@pytest.mark.parametrize(
    "line",
    [
        b"* STATUS INBOX (UIDNEXT 8 UIDVALIDITY 99)\r\n",
        b"* STATUS INBOX (MESSAGES 9)\r\n",
        b"* STATUS Elsewhere (UIDNEXT 1)\r\n",
    ],
)
def test_what_may_be_new_mail_is_news(notifier, line):
    assert notifier().say(line)


def test_news_that_came_with_the_answer_to_notify_are_heard_at_the_first_look(notifier):
    assert notifier(received=b"* STATUS INBOX (UIDNEXT 9)\r\n").watch.ready()
    it = notifier(missed=True)
    assert [it.watch.ready(), it.watch.ready()] == [True, False]


@pytest.mark.parametrize("before", [b"", b"* STATUS INBOX (UIDNEXT 9)\r\n", b"* STATUS {50}\r\nIN"])
def test_a_notifier_that_closed_is_noticed_at_once(notifier, before):
    it = notifier()
    it.sock.sendall(before)
    it.sock.close()
    for _ in range(2):
        with pytest.raises(Unreachable, match="closed"):
            it.watch.ready()


@pytest.mark.parametrize(
    ("line", "what"),
    [
        (b"* BYE Server shutting down\r\n", "good-bye"),
        (b"* OK [NOTIFICATIONOVERFLOW] Too much\r\n", "tells nothing any more"),
        (b"* STATUS {900000}\r\n" + b"x" * 9000, "without end"),
    ],
)
def test_a_server_that_stops_telling_ends_the_watch(notifier, line, what):
    with pytest.raises(Unreachable, match=what):
        notifier().say(line)


def test_a_flood_of_folders_ends_the_watch(notifier):
    it = notifier()
    with pytest.raises(Unreachable, match="more than anybody asked for"):
        for first in range(0, 2000, 100):
            names = range(first, first + 100)
            it.say(b"".join(b"* STATUS f%d (UIDNEXT 1)\r\n" % n for n in names))


def test_a_notifier_proves_that_it_is_alive(notifier):
    it = notifier()
    assert it.watch.refresh() > 400
    assert it.watch.refresh() == PATIENCE
    it.hears(b"W1 NOOP\r\n")
    assert it.say(b"* STATUS INBOX (UIDNEXT 9)\r\nW1 OK done\r\n")
    assert 0.8 * (REFRESH - PATIENCE) <= it.watch.refresh() <= REFRESH - PATIENCE


@pytest.mark.parametrize(
    "answer", [b"", b"* STATUS INBOX (UIDNEXT 9)\r\n", b"W9 OK x\r\n", b"W1 O"]
)
def test_a_notifier_without_a_sign_of_life_is_given_up(notifier, answer):
    it = notifier()
    it.watch.refresh()
    it.watch.refresh()
    it.say(answer)
    with pytest.raises(Unreachable, match="no sign of life"):
        it.watch.refresh()


def test_a_notifier_whose_token_ends_is_ended_before(notifier):
    with pytest.raises(Unreachable, match="as long as it may"):
        notifier(is_over=lambda: True).watch.refresh()


def test_broken_status_lines_are_passed_over(notifier):
    assert not notifier().say(
        b"* STATUS\r\n* STATUS INBOX\r\n* STATUS INBOX ((\r\n* STATUS () 7\r\n"
    )
