"""The database: opening, transactions, locks between processes, migrations.

SQLite runs in WAL mode with one writer; every write transaction begins IMMEDIATE, so that a lock
is waited for and never discovered half-way.
"""

import fcntl
import sqlite3
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from hashlib import blake2b
from pathlib import Path
from time import monotonic
from typing import Any

from sqlalchemy import Connection, Engine, Table, create_engine, event, select
from sqlalchemy.engine import make_url
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from crm_sync.core.errors import SchemaMismatch, StoreUnavailable
from crm_sync.core.keys import Keys
from crm_sync.store import migrate, tables

_PRAGMAS = (
    "journal_mode=WAL",
    "synchronous=NORMAL",
    "busy_timeout=30000",
    "foreign_keys=ON",
    "temp_store=MEMORY",
    "cache_size=-4096",
    # A page of messages changes leaves all over the indexes: they are copied home once for many.
    "wal_autocheckpoint=4000",
    "journal_size_limit=16777216",
    # Freed pages are overwritten: what `erase` removes is gone from the file too.
    "secure_delete=ON",
)

# Bytes of the lock file, one a purpose; accounts come after them by their id.
_DAEMON, _DISPATCH, _MIGRATION, _ACCOUNTS = 0, 1, 2, 100
# Tokens may belong to a sender, which has no id: its name picks one of 2^32 bytes far above.
_TOKENS, _TOKEN_BYTES = 2**40, 2**32
_TRY_AGAIN = 0.05
_SIZES = (1, 8, 64, 512)
_BATCH = _SIZES[-1]


class Store:
    """An open diary: transactions and locks. Queries live in the modules beside this one."""

    def __init__(self, engine: Engine, path: Path, keys: Keys) -> None:
        self.keys = keys
        self.path = path
        self._engine = engine
        self._locks = _Locks(path.with_name(path.name + ".lock"))
        # SQLite lets one writer in; threads queue here in turn instead of polling its file lock.
        self._writer = threading.Lock()
        self._never = threading.Event()

    @contextmanager
    def write(self, *, durable: bool = False) -> Iterator[Connection]:
        """A write transaction: committed at the end, rolled back by any exception.

        A `durable` one is on the disk when it ends and outlives a power cut; others may be undone
        by one, as if they had not been begun.
        """
        with self._writer, self._guarded(), self._engine.connect() as connection:
            if durable:
                connection.exec_driver_sql("PRAGMA synchronous=FULL")
            connection.exec_driver_sql("BEGIN IMMEDIATE")
            try:
                yield connection
            except BaseException:
                connection.rollback()
                raise
            connection.commit()
            if durable:
                # After an error it stays so for this connection, which only costs time.
                connection.exec_driver_sql("PRAGMA synchronous=NORMAL")

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """A consistent view of the diary."""
        with self._guarded(), self._engine.connect() as connection:
            connection.exec_driver_sql("BEGIN")
            try:
                yield connection
            finally:
                connection.rollback()

    @contextmanager
    def _guarded(self) -> Iterator[None]:
        try:
            yield
        except (DBAPIError, sqlite3.Error) as error:
            raise unavailable(error, self.path) from error

    def lock_daemon(self) -> bool:
        """Takes the place of the one daemon; False when another process has it."""
        return self._locks.take(_DAEMON)

    def lock_dispatch(self) -> bool:
        """Takes the right to send; False when another process is sending."""
        return self._locks.take(_DISPATCH)

    def unlock_dispatch(self) -> None:
        """Gives the right to send back."""
        self._locks.release(_DISPATCH)

    def lock_account(self, account_id: int) -> bool:
        """Takes an account for one pull; False when it is being pulled elsewhere."""
        return self._locks.take(_ACCOUNTS + account_id)

    def unlock_account(self, account_id: int) -> None:
        """Gives the account back."""
        self._locks.release(_ACCOUNTS + account_id)

    def lock_token(self, account: str, seconds: float) -> bool:
        """Takes the tokens of an account, against threads and processes; False after `seconds`."""
        byte, until = _token_byte(account), monotonic() + seconds
        while not self._locks.take(byte):
            if monotonic() > until:
                return False
            self._never.wait(_TRY_AGAIN)
        return True

    def unlock_token(self, account: str) -> None:
        """Gives the tokens back."""
        self._locks.release(_token_byte(account))

    def close(self) -> None:
        """Closes all connections; locks go with the process or here."""
        self._engine.dispose()
        self._locks.close()


def _token_byte(account: str) -> int:
    digest = blake2b(account.encode(), digest_size=8).digest()
    return _TOKENS + int.from_bytes(digest, "big") % _TOKEN_BYTES


def open_store(url: str, keys: Keys) -> Store:
    """Opens the diary, making or migrating it as needed.

    `url` is an SQLAlchemy URL with an absolute path. Raises `StoreUnavailable` when it can't be
    opened and `SchemaMismatch` when it belongs to a newer version or to another master secret.
    """
    path = Path(make_url(url).database or "")
    engine = _engine(url)
    store = Store(engine, path, keys)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        # The file holds customers' words: nobody else may read it; WAL and copies take its mode.
        path.touch(mode=0o600)
        with _migration_lock(store):
            migrate.upgrade(engine, path)
            _check_keys(store)
    except (SQLAlchemyError, sqlite3.Error, OSError) as error:
        store.close()
        raise unavailable(error, path) from error
    except SchemaMismatch:
        store.close()
        raise
    return store


def unavailable(error: Exception, path: Path) -> StoreUnavailable:
    """The sentence for a database error: what failed, never with the values of a statement."""
    cause = getattr(error, "orig", None) or error
    text = str(cause) if isinstance(cause, sqlite3.Error | OSError) else type(cause).__name__
    return StoreUnavailable(
        f"the database can't be used ({text})",
        where=str(path),
        advice="Check that the disk has room and that the file is ours to write; nothing was lost.",
    )


def _engine(url: str) -> Engine:
    engine = create_engine(
        url,
        connect_args={"timeout": 30, "check_same_thread": False, "cached_statements": 40},
        hide_parameters=True,
    )

    @event.listens_for(engine, "connect")
    def _configure(raw: Any, _record: object) -> None:
        raw.isolation_level = None  # the driver must not begin transactions of its own
        for pragma in _PRAGMAS:
            raw.execute(f"PRAGMA {pragma}")

    return engine


@contextmanager
def _migration_lock(store: Store) -> Iterator[None]:
    store._locks.wait(_MIGRATION)  # noqa: SLF001  # the same module's own class
    try:
        yield
    finally:
        store._locks.release(_MIGRATION)  # noqa: SLF001  # likewise


def _check_keys(store: Store) -> None:
    with store.write() as tx:
        known = memo(tx, "key_id")
        if known is None:
            set_memo(tx, "key_id", store.keys.key_id)
        elif known != store.keys.key_id:
            raise SchemaMismatch(
                "the database was made with another master secret",
                where=str(store.path),
                advice="Give secret:master (or master.key) its old value; hashes can't be remade.",
            )


class _Locks:
    """POSIX record locks on the bytes of one file: the kernel frees them when a process dies.

    They do not exclude threads of one process, so a set of held bytes does.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: Any = None
        self._held: set[int] = set()
        self._guard = threading.Lock()

    def take(self, byte: int) -> bool:
        with self._guard:
            if byte in self._held:
                return False
            try:
                fcntl.lockf(self._open(), fcntl.LOCK_EX | fcntl.LOCK_NB, 1, byte)
            except BlockingIOError:
                return False
            self._held.add(byte)
            return True

    def wait(self, byte: int) -> None:
        fcntl.lockf(self._open(), fcntl.LOCK_EX, 1, byte)
        self._held.add(byte)

    def release(self, byte: int) -> None:
        with self._guard:
            if byte in self._held:
                self._held.discard(byte)
                fcntl.lockf(self._open(), fcntl.LOCK_UN, 1, byte)

    def close(self) -> None:
        with suppress(OSError):
            if self._file is not None:
                self._file.close()
                self._file = None

    def _open(self) -> Any:
        if self._file is None:
            self._path.touch(mode=0o600)
            self._file = self._path.open("ab")
        return self._file


def text_time(moment: datetime | None) -> str | None:
    """An aware time as the diary stores it: ISO 8601, UTC, whole seconds."""
    if moment is None:
        return None
    if moment.tzinfo is not UTC:
        moment = moment.astimezone(UTC)
    return f"{moment.isoformat('T', 'seconds')[:19]}Z"


def read_time(text: str | None) -> datetime | None:
    """Undoes `text_time`."""
    return None if text is None else datetime.fromisoformat(text)


def memo(tx: Connection, name: str) -> str | None:
    """A remembered value."""
    return tx.execute(
        select(tables.memo.c.value).where(tables.memo.c.name == name)
    ).scalar_one_or_none()


def set_memo(tx: Connection, name: str, value: str) -> None:
    """Remembers a value."""
    changed = tx.execute(tables.memo.update().where(tables.memo.c.name == name).values(value=value))
    if changed.rowcount == 0:
        tx.execute(tables.memo.insert().values(name=name, value=value))


def next_ids(tx: Connection, table: Table, count: int) -> int:
    """The first of `count` ids set aside; ids are never used again, even after an erasure."""
    row = tx.exec_driver_sql(
        "INSERT INTO memo (name, value) VALUES (?, ?) ON CONFLICT (name) "
        "DO UPDATE SET value = CAST(value AS INTEGER) + excluded.value RETURNING value",
        (f"ids of {table.name}", str(count)),
    ).one()
    return int(row[0]) - count + 1


def rows_in(tx: Connection, query: str, values: Sequence[object], *before: object) -> Iterator[Any]:
    """Rows of a query of ours that ends in IN, asked in batches, around the cost of building it.

    `before` are the values of its earlier marks.
    """
    for at in range(0, len(values), _BATCH):
        part = values[at : at + _BATCH]
        # Each number of marks is a statement that the driver prepares and keeps: a few sizes do.
        size = next(size for size in _SIZES if size >= len(part))
        marks = ", ".join("?" * size)
        filling = [part[-1]] * (size - len(part))
        yield from tx.exec_driver_sql(f"{query} ({marks})", (*before, *part, *filling))


def insert_many(tx: Connection, table: Table, columns: Sequence[str], rows: list[Any]) -> None:
    """Inserts rows of tuples in one statement, around the ORM-sized cost per row."""
    if not rows:
        return
    names = ", ".join(f'"{name}"' for name in columns)
    marks = ", ".join("?" * len(columns))
    tx.exec_driver_sql(f"INSERT INTO {table.name} ({names}) VALUES ({marks})", rows)  # noqa: S608  # names are our own columns
