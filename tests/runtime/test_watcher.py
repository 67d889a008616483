"""One thread for all watched accounts; one account's trouble is its own."""

import queue
import socket
import threading

import pytest

from connectors.imap.session import Selected
from connectors.imap.watching import IdleWatch
from crm_sync.core.errors import Unreachable
from crm_sync.runtime import watcher as watchers
from crm_sync.runtime.watcher import Watcher

OPENED = Selected(b"INBOX", 1, 8, 7)


class Clock:
    """Seconds that pass when a test says so."""

    def __init__(self) -> None:
        self.seconds = 1000.0

    def __call__(self) -> float:
        return self.seconds


class Line:
    """A watch over a real socket, and what was asked of it."""

    def __init__(self, ready=None, refresh=None) -> None:
        self.sock, self.peer = socket.socketpair()
        self.sock.setblocking(False)
        self.closed = threading.Event()
        self.refreshed = threading.Event()
        self._ready, self._refresh = ready, refresh

    def fileno(self) -> int:
        return self.sock.fileno()

    def ready(self) -> bool:
        if self._ready is not None:
            return self._ready()
        try:
            data = self.sock.recv(1000)
        except BlockingIOError:
            return False
        if not data:
            raise Unreachable("the server closed the connection")
        return b"news" in data

    def refresh(self) -> float:
        self.refreshed.set()
        return self._refresh() if self._refresh is not None else 500.0

    def close(self) -> None:
        self.closed.set()
        self.sock.close()
        self.peer.close()


@pytest.fixture
def hints():
    return queue.Queue()


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def watcher(hints, clock):
    watcher = Watcher(hints.put, clock)
    watcher.start()
    yield watcher
    watcher.stop()


def heard(hints, seconds=5.0):
    try:
        return hints.get(timeout=seconds)
    except queue.Empty:
        return None


def raising(error):
    def work():
        raise error

    return work


def test_fifty_idling_connections_share_one_thread(watcher, hints):
    before = set(threading.enumerate())
    peers = []
    for number in range(50):
        ours, peer = socket.socketpair()
        peer.sendall(b"+ idling\r\n")
        watcher.add(f"rep{number}", IdleWatch(ours, b"", OPENED, where="imap.example"))
        peers.append(peer)
    for number in (0, 49, 17):
        peers[number].sendall(b"* 8 EXISTS\r\n")
        assert heard(hints) == f"rep{number}"
    assert set(threading.enumerate()) <= before
    assert len(watcher) == 50
    assert heard(hints, 0.1) is None
    for peer in peers:
        peer.close()


def test_what_was_missed_before_is_heard_at_once(watcher, hints):
    answers = iter([True])
    watcher.add("karin", Line(ready=lambda: next(answers, False)))
    assert heard(hints) == "karin"


def test_a_line_that_dies_is_closed_hinted_once_and_makes_no_noise(watcher, hints, clock):
    line = Line()
    watcher.add("karin", line)
    line.peer.shutdown(socket.SHUT_WR)
    assert heard(hints) == "karin"
    assert line.closed.wait(5)
    assert heard(hints, 0.2) is None
    assert len(watcher) == 0
    assert not watcher.wants("karin")
    clock.seconds += 61
    assert watcher.wants("karin")


def test_an_account_that_cannot_be_watched_is_asked_ever_more_rarely(watcher, clock):
    waits = []
    for _ in range(12):
        watcher.add("karin", None)
        wait = 0
        while not watcher.wants("karin"):
            clock.seconds += 10
            wait += 10
        waits.append(wait)
    assert 30 <= waits[0] <= 70
    assert max(waits) <= 3610
    assert min(waits[8:]) >= 1800


def test_a_line_that_lived_long_may_be_replaced_at_once(watcher, hints, clock):
    line = Line()
    watcher.add("karin", line)
    line.peer.sendall(b"news")
    assert heard(hints) == "karin"
    assert not watcher.wants("karin")
    clock.seconds += watchers.SHORT_LIFE + 1
    line.peer.shutdown(socket.SHUT_WR)
    assert heard(hints) == "karin"
    assert watcher.wants("karin")


@pytest.mark.parametrize("error", [Unreachable("away"), ZeroDivisionError(), OSError(9, "bad")])
def test_trouble_of_one_line_does_not_stop_the_others(watcher, hints, error):
    good, bad = Line(), Line(ready=raising(error))
    watcher.add("good", good)
    watcher.add("bad", bad)
    assert heard(hints) == "bad"
    assert bad.closed.wait(5)
    good.peer.sendall(b"news")
    assert heard(hints) == "good"


def test_a_hint_that_fails_does_not_end_the_thread(clock):
    hints = queue.Queue()

    def failing(name):
        hints.put(name)
        raise RuntimeError

    watcher = Watcher(failing, clock)
    watcher.start()
    line = Line()
    watcher.add("karin", line)
    for _ in range(2):
        line.peer.sendall(b"news")
        assert heard(hints) == "karin"
    watcher.stop()


def test_lines_are_refreshed_and_given_up_when_they_do_not_answer(watcher, hints, monkeypatch):
    monkeypatch.setattr(watchers, "FIRST_REFRESH", 0.0)
    good, dead = Line(), Line(refresh=raising(Unreachable("no sign of life")))
    watcher.add("good", good)
    watcher.add("dead", dead)
    assert good.refreshed.wait(5)
    assert heard(hints) == "dead"
    assert dead.closed.wait(5)
    assert not good.closed.is_set()


def test_a_due_refresh_of_a_line_that_was_replaced_does_not_meet_the_new_one(watcher, hints, clock):
    old = Line()
    watcher.add("karin", old)
    clock.seconds += watchers.SHORT_LIFE + 1
    old.peer.shutdown(socket.SHUT_WR)
    assert heard(hints) == "karin"
    keep = socket.socket()  # takes the old descriptor, so that the new line has another
    new = Line()
    watcher.add("karin", new)
    new.peer.sendall(b"news")
    assert heard(hints) == "karin"
    clock.seconds += 1
    new.peer.sendall(b"news")
    assert heard(hints) == "karin"
    assert not new.refreshed.is_set()
    keep.close()


def test_stopping_closes_all_lines_and_takes_no_more(hints, clock):
    watcher = Watcher(hints.put, clock)
    watcher.start()
    lines = [Line() for _ in range(3)]
    for number, line in enumerate(lines):
        watcher.add(f"rep{number}", line)
    watcher.stop()
    assert all(line.closed.wait(5) for line in lines)
    assert not watcher.wants("karin")
    late = Line()
    watcher.add("karin", late)
    assert late.closed.is_set()
    watcher.stop()
    assert [t for t in threading.enumerate() if t.name == "watch" and t.is_alive()] == []
