"""Tokens at rest: sealed, bound to their account, on disk when `save` returns, one holder at a time."""

import multiprocessing
import sqlite3
import threading
from datetime import UTC, datetime

import pytest

from crm_sync.core.errors import Refused, Unreachable
from crm_sync.core.keys import Keys
from crm_sync.runtime.tokens import StoredTokens
from crm_sync.store.engine import open_store
from crm_sync.testing.clock import FixedClock

CLOCK = FixedClock(datetime(2026, 3, 4, 12, tzinfo=UTC))
KARIN, DANIEL = "karin@acme.example/gmail", "daniel@acme.example/gmail"


def opened(folder, master=b"k" * 32):
    return open_store(f"sqlite:///{folder / 'diary.db'}", Keys(master))


@pytest.fixture
def store(tmp_path):
    store = opened(tmp_path)
    yield store
    store.close()


def test_what_was_saved_last_comes_back(store):
    tokens = StoredTokens(store, KARIN, CLOCK)
    assert tokens.load() is None
    tokens.save("first")
    tokens.save("second \N{SNOWMAN}")
    assert tokens.load() == "second \N{SNOWMAN}"
    assert StoredTokens(store, DANIEL, CLOCK).load() is None


def test_a_copy_of_the_database_tells_nothing(store, tmp_path):
    StoredTokens(store, KARIN, CLOCK).save("canary-refresh-token")
    store.close()
    for file in tmp_path.iterdir():
        assert b"canary" not in file.read_bytes(), file


def test_another_master_secret_opens_nothing_and_says_what_to_do(store):
    StoredTokens(store, KARIN, CLOCK).save("text")
    store.keys = Keys(b"x" * 32)
    with pytest.raises(Refused) as caught:
        StoredTokens(store, KARIN, CLOCK).load()
    assert "another key" in caught.value.what
    assert caught.value.advice == f"Run: crm-sync login {KARIN}"


def test_after_a_change_of_the_master_secret_old_tokens_open_and_new_ones_need_the_new(store):
    old = store.keys.token_key
    StoredTokens(store, KARIN, CLOCK).save("text")
    store.keys = Keys(b"x" * 32)
    both = StoredTokens(store, KARIN, CLOCK, older_keys=[old])
    assert both.load() == "text"
    both.save("text")
    assert StoredTokens(store, KARIN, CLOCK).load() == "text"


def test_a_row_copied_to_another_account_does_not_sign_it_in(store, tmp_path):
    StoredTokens(store, KARIN, CLOCK).save("text")
    with sqlite3.connect(tmp_path / "diary.db") as raw:
        raw.execute("INSERT INTO token SELECT ?, sealed, saved_at FROM token", (DANIEL,))
    raw.close()
    with pytest.raises(Refused):
        StoredTokens(store, DANIEL, CLOCK).load()


def test_a_save_waits_for_the_disk_and_leaves_the_next_write_as_it_was(store):
    """Of SQLite's levels only FULL (2) outlives a power cut; NORMAL (1) is for all else."""
    with store.write(durable=True) as tx:
        assert tx.exec_driver_sql("PRAGMA synchronous").scalar() == 2
    with store.write() as tx:
        assert tx.exec_driver_sql("PRAGMA synchronous").scalar() == 1


def test_threads_hold_the_tokens_one_after_the_other(store):
    inside, most = [], []

    def work():
        with StoredTokens(store, KARIN, CLOCK).lock():
            inside.append(1)
            most.append(len(inside))
            threading.Event().wait(0.02)
            inside.pop()

    threads = [threading.Thread(target=work) for _ in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert most == [1] * 5


def test_accounts_do_not_wait_for_each_other(store):
    karin, daniel = (
        StoredTokens(store, KARIN, CLOCK),
        StoredTokens(store, DANIEL, CLOCK, patience=0),
    )
    with karin.lock(), daniel.lock():
        pass


def test_another_process_keeps_us_waiting_and_its_death_lets_us_in(store, tmp_path):
    context = multiprocessing.get_context("spawn")
    holds, never = context.Event(), context.Event()
    other = context.Process(target=_hold, args=(tmp_path, holds, never))
    other.start()
    assert holds.wait(30)
    impatient = StoredTokens(store, KARIN, CLOCK, patience=0.1)
    with pytest.raises(Unreachable) as caught, impatient.lock():
        pytest.fail("two hold the same tokens")
    assert "another process" in caught.value.what
    other.kill()
    other.join(20)
    with StoredTokens(store, KARIN, CLOCK, patience=5).lock():
        pass


def _hold(folder, holds, never):
    with StoredTokens(opened(folder), KARIN, CLOCK).lock():
        holds.set()
        never.wait(60)
