import sqlite3
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import create_engine

from crm_sync.core.errors import CursorMoved, SchemaMismatch, StoreUnavailable
from crm_sync.core.keys import Keys
from crm_sync.store import accounts, migrate, tables
from crm_sync.store.engine import insert_many, open_store, rows_in

KEYS = Keys(b"k" * 32)


@pytest.fixture
def url(tmp_path):
    return f"sqlite:///{tmp_path / 'diary.db'}"


@pytest.fixture
def store(url):
    store = open_store(url, KEYS)
    yield store
    store.close()


def test_the_migrations_make_exactly_the_tables_that_the_code_uses(store, tmp_path):
    engine = create_engine(f"sqlite:///{tmp_path / 'diary.db'}")
    with engine.connect() as connection:
        context = MigrationContext.configure(connection)
        differences = compare_metadata(context, tables.metadata)
    engine.dispose()

    assert differences == []


def test_the_newest_revision_is_the_one_the_program_knows():
    config = Config()
    config.set_main_option("script_location", str(Path(migrate.__file__).with_name("migrations")))

    assert ScriptDirectory.from_config(config).get_current_head() == migrate.HEAD


def test_a_newer_database_is_refused_with_both_versions_named(url, store, tmp_path):
    store.close()
    with sqlite3.connect(tmp_path / "diary.db") as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    connection.close()

    with pytest.raises(SchemaMismatch, match=f"9999.*{migrate.HEAD}"):
        open_store(url, KEYS)


def test_an_older_database_is_copied_before_it_is_migrated(url, tmp_path, monkeypatch):
    with monkeypatch.context() as older:
        older.setattr(migrate, "HEAD", "0001")
        open_store(url, KEYS).close()
    open_store(url, KEYS).close()

    copy = tmp_path / f"diary.db.before-{migrate.HEAD}"
    with sqlite3.connect(copy) as connection:
        assert connection.execute("SELECT version_num FROM alembic_version").fetchone() == ("0001",)
    connection.close()
    assert stat.S_IMODE(copy.stat().st_mode) == 0o600


@pytest.mark.parametrize("had_it", [True, False], ids=["with it", "without"])
def test_a_database_of_0002_gets_the_index_that_some_of_them_lack(
    url, tmp_path, monkeypatch, had_it
):
    with monkeypatch.context() as older:
        older.setattr(migrate, "HEAD", "0002")
        open_store(url, KEYS).close()
    with sqlite3.connect(tmp_path / "diary.db") as connection:
        if had_it:
            connection.execute(
                "CREATE INDEX ix_interaction_planned ON interaction (ends_at) "
                "WHERE status = 'planned'"
            )
    connection.close()
    open_store(url, KEYS).close()

    with sqlite3.connect(tmp_path / "diary.db") as connection:
        found = connection.execute(
            "SELECT sql FROM sqlite_master WHERE name = 'ix_interaction_planned'"
        ).fetchall()
    connection.close()
    assert len(found) == 1
    assert "status = 'planned'" in found[0][0]


def test_another_master_secret_is_refused(url, store):
    store.close()
    with pytest.raises(SchemaMismatch, match="another master secret"):
        open_store(url, Keys(b"x" * 32))


def test_nobody_else_can_read_the_files(store, tmp_path):
    with store.write() as tx:
        accounts.declare(tx, "a", "mailbox", "imap", None)
    assert store.lock_daemon()

    modes = {p.name: stat.S_IMODE(p.stat().st_mode) for p in tmp_path.iterdir()}
    assert set(modes.values()) == {0o600}
    assert {"diary.db", "diary.db-wal", "diary.db.lock"} <= set(modes)


def test_a_file_that_is_no_database_is_told_in_a_sentence(tmp_path):
    (tmp_path / "diary.db").write_bytes(b"this is no database" * 100)
    with pytest.raises(StoreUnavailable, match="can't be used"):
        open_store(f"sqlite:///{tmp_path / 'diary.db'}", KEYS)


def test_a_cursor_moves_only_from_where_it_was(store):
    with store.write() as tx:
        account = accounts.declare(tx, "a", "mailbox", "imap", None)
        stream = accounts.stream_id(tx, account.id, "INBOX")
        accounts.move_cursor(tx, stream, None, "one")
    with pytest.raises(CursorMoved), store.write() as tx:
        accounts.move_cursor(tx, stream, None, "two")
    with store.read() as tx:
        assert accounts.stream_of(tx, account.id, "INBOX") == (stream, "one")


def test_a_broken_transaction_leaves_nothing(store):
    with pytest.raises(KeyboardInterrupt), store.write() as tx:
        accounts.declare(tx, "a", "mailbox", "imap", None)
        raise KeyboardInterrupt
    with store.read() as tx:
        assert accounts.all_accounts(tx) == []


def test_a_lock_is_held_against_other_processes_and_goes_with_the_process(store, url):
    code = (
        "import sys\n"
        "from crm_sync.store.engine import open_store\n"
        "from crm_sync.core.keys import Keys\n"
        f"store = open_store({url!r}, Keys(b'k' * 32))\n"
        "print(store.lock_daemon(), store.lock_account(7), flush=True)\n"
        "sys.stdin.read()\n"
    )
    other = subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert other.stdout.readline().split() == ["True", "True"]
    assert not store.lock_daemon()
    assert not store.lock_account(7)
    assert store.lock_account(8)
    other.kill()
    other.communicate()

    assert store.lock_daemon()
    assert store.lock_account(7)


def test_a_lock_is_held_against_other_threads_too(store):
    assert store.lock_account(1)
    taken = []
    thread = threading.Thread(target=lambda: taken.append(store.lock_account(1)))
    thread.start()
    thread.join()
    store.unlock_account(1)

    assert taken == [False]
    assert store.lock_account(1)


def test_many_threads_write_one_after_another(store):
    def write(number):
        with store.write() as tx:
            accounts.declare(tx, f"account {number}", "mailbox", "imap", None)

    threads = [threading.Thread(target=write, args=(n,)) for n in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with store.read() as tx:
        assert len(accounts.all_accounts(tx)) == 20


@pytest.mark.parametrize("count", [0, 1, 3, 8, 9, 65, 512, 513, 700])
def test_a_query_for_any_number_of_values_finds_each_row_once(store, count):
    names = [f"name {n}" for n in range(count)]
    with store.write() as tx:
        insert_many(tx, tables.memo, ("name", "value"), [(name, "x") for name in [*names, "other"]])
        found = rows_in(tx, "SELECT name FROM memo WHERE value = ? AND name IN", names, "x")
        assert sorted(row.name for row in found) == sorted(names)
