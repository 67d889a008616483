"""Migrations by Alembic, shipped in the package and run when the diary is opened."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine

from crm_sync.core.errors import SchemaMismatch


def upgrade(engine: Engine, path: Path) -> str | None:
    """Brings the schema up to date; returns the version it came from, None when nothing was done.

    An older database is copied beside itself first. A newer one raises `SchemaMismatch` with both
    versions named.
    """
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).with_name("migrations")))
    scripts = ScriptDirectory.from_config(config)
    head = scripts.get_current_head()
    with engine.connect() as connection:
        current = MigrationContext.configure(connection).get_current_revision()
        connection.rollback()
        if current == head:
            return None
        known = {script.revision for script in scripts.walk_revisions()}
        if current is not None and current not in known:
            raise SchemaMismatch(
                f"the database has schema {current}, this program knows schema {head} at most",
                where=str(path),
                advice="Install the newer version of crm-sync, or restore an older backup.",
            )
        if current is not None:
            _copy(path, path.with_name(f"{path.name}.before-{head}"))
        with _one_transaction(connection):
            config.attributes["connection"] = connection
            command.upgrade(config, "head")
        return current or "empty"


def schema_version(connection: Connection) -> str:
    """The revision the database is at."""
    return MigrationContext.configure(connection).get_current_revision() or "none"


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
    with closing(sqlite3.connect(source)) as old, closing(sqlite3.connect(target)) as new:
        old.backup(new)
