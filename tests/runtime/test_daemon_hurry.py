"""Work that is wanted at once: never twice at a time, never forgotten."""

import threading

from crm_sync.runtime.daemon import Daemon


def test_work_wanted_while_it_runs_is_done_exactly_once_more():
    daemon = Daemon(lambda _submit: "", 4)
    begun, go_on = threading.Semaphore(0), threading.Semaphore(0)
    running, most = [], []

    def work() -> None:
        running.append(1)
        most.append(len(running))
        begun.release()
        assert go_on.acquire(timeout=5)
        running.pop()

    daemon.hurry("karin", work)
    assert begun.acquire(timeout=5)
    for _ in range(3):
        daemon.hurry("karin", work)
    go_on.release()
    assert begun.acquire(timeout=5)
    go_on.release()
    assert not begun.acquire(timeout=0.2)
    assert most == [1, 1]


def test_work_that_is_done_can_be_wanted_again_at_once():
    daemon = Daemon(lambda _submit: "", 1)
    for _ in range(3):
        done = threading.Event()
        daemon.hurry("karin", done.set)
        assert done.wait(5)


def test_after_an_error_that_ends_the_daemon_nothing_is_begun():
    daemon = Daemon(lambda _submit: "", 1)

    def failing() -> None:
        raise ZeroDivisionError

    daemon.hurry("karin", failing)
    assert isinstance(daemon._running["karin"].exception(5), ZeroDivisionError)
    again = threading.Event()
    daemon.hurry("karin", again.set)
    assert not again.wait(0.2)
