import sys
import threading
from datetime import UTC, datetime

import pytest

from crm_sync.store import directory as dirmod

KARIN, DANIEL = "karin@acme.example", "daniel@acme.example"
LENA = "Lena Vik,Nordvik AB,lena@nordvik.example"


def utc(day, hour=9, minute=0):
    return datetime(2026, 3, day, hour, minute, tzinfo=UTC)


@pytest.mark.parametrize("outage", [False, True])
def test_older_line(world, outage):
    from crm_sync.core.errors import Unreachable

    world.customers(LENA)
    box = world.mailbox()
    box.deliver(world.mail(at=utc(1), subject="old"))
    world.sync()
    world.clock.move_to(utc(3, 10))
    box.deliver(world.mail(subject="new"))
    world.sync()
    real = world.sender.send
    if outage:
        world.clock.move_to(utc(6, 9))

        def down(*a, **k):
            raise Unreachable("down")

        world.sender.send = down
        world.turn()
        world.sender.send = real
    world.clock.move_to(utc(9, 9))
    world.turn()
    text = world.sender.delivered[-1].draft.text
    older = [line for line in text.splitlines() if "före" in line]
    print(outage, older)
    assert older


def test_directory_cache_gives_this_transactions_directory(world):
    cache = world.setup.directory
    world.customers(LENA)
    stale = world.store.read()
    old = stale.__enter__()
    dirmod.memo(old, "directory version")
    # another process imports
    from tests.flow.conftest import World

    other = World(world.folder)
    other.customers("Bo,Bo AB,bo@bo.example")
    other.store.close()
    state = {"done": False}

    def local(frame, event, arg):
        if event == "line" and not state["done"] and frame.f_lineno == ret:
            state["done"] = True
            sys.settrace(None)
            t = threading.Thread(target=lambda: cache.load(old))
            t.start()
            t.join()
        return local

    import inspect

    src, start = inspect.getsourcelines(type(cache).load)
    ret = start + next(i for i, line in enumerate(src) if line.strip().startswith("return"))

    def tr(frame, event, arg):
        return local if frame.f_code is type(cache).load.__code__ else None

    with world.store.write() as tx:
        sys.settrace(tr)
        try:
            got = cache.load(tx)
        finally:
            sys.settrace(None)
        now = int(dirmod.memo(tx, "directory version"))
    stale.__exit__(None, None, None)
    assert state["done"]
    assert got.version == now


def test_cursor_lost_twice_is_no_complete_pull(world):
    from crm_sync.core.errors import CursorLost

    box = world.mailbox()

    def lost(*a):
        raise CursorLost("again")
        yield

    box.pull = lost
    (p,) = world.sync()
    assert p.error is not None or world.account().complete_until is None


def test_throttled_for_years(world):
    from crm_sync.core.errors import Throttled
    from crm_sync.store import accounts

    box = world.mailbox()
    box.fail_next(lambda: Throttled("slow", retry_at=datetime(2099, 1, 1, tzinfo=UTC)))
    world.sync()
    world.clock.move_to(utc(3))
    with world.store.read() as tx:
        assert accounts.due(tx, world.clock.now())


def test_unexpected_error_in_pull_is_the_accounts_own(world):
    box = world.mailbox()
    world.mailbox(DANIEL)

    def bad():
        raise ValueError("bug in a library")

    box.streams = bad
    world.sync()
    assert world.account().state == "failing"


def test_a_problem_while_recalling_is_tried_again(world):
    box = world.mailbox()
    key = box.deliver(world.mail())
    world.sync()
    world.customers(LENA)
    box.make_unreadable(key)
    world.sync()  # e.g. NO [UNAVAILABLE] this once
    box.make_unreadable(key, reason="")
    world.sync()
    assert world.subjects() == ["Offert"]
