"""Migrations, shipped in the package and run when the diary is opened.

Alembic does them; it is imported only when there is something to do.
"""

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from sqlalchemy import Connection, Engine, inspect, select

from crm_sync.core.errors import SchemaMismatch
from crm_sync.store.tables import alembic_version

HEAD = "0003"
"""The schema that this program knows; revisions are numbered as they come."""


def upgrade(engine: Engine, path: Path) -> str | None:
    """Brings the schema up to date; returns the version it came from, None when nothing was done.

    An older database is copied beside itself first. A newer one raises `SchemaMismatch` with both
    versions named.
    """
    with engine.connect() as connection:
        current = schema_version(connection)
        connection.rollback()
        if current == HEAD:
            return None
        if current is not None and not (current.isdecimal() and current < HEAD):
            raise SchemaMismatch(
                f"the database has schema {current}, this program knows schema {HEAD} at most",
                where=str(path),
                advice="Install the newer version of crm-sync, or restore an older backup.",
            )
        if current is not None:
            _copy(path, path.with_name(f"{path.name}.before-{HEAD}"))
        _run(connection)
        return current or "empty"


def schema_version(connection: Connection) -> str | None:
    """The revision the database is at, None for an empty one."""
    if not inspect(connection).has_table(alembic_version.name):
        return None
    return connection.execute(select(alembic_version.c.version_num)).scalar_one_or_none()


def _run(connection: Connection) -> None:
    from alembic import command  # noqa: PLC0415  # half a second that most starts need not spend
    from alembic.config import Config  # noqa: PLC0415  # likewise

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).with_name("migrations")))
    config.attributes["connection"] = connection
    with _one_transaction(connection):
        command.upgrade(config, HEAD)


@contextmanager
def _one_transaction(connection: Connection) -> Iterator[None]:
    connection.exec_driver_sql("BEGIN IMMEDIATE")
    try:
        yield
    except BaseException:
        connection.rollback()
        raise
    connection.commit()


def _copy(source: Path, target: Path) -> None:
    """A consistent copy by SQLite's own backup, whoever else writes."""
    target.touch(mode=0o600)
    with closing(sqlite3.connect(source)) as old, closing(sqlite3.connect(target)) as new:
        old.backup(new)
