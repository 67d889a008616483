"""The key of all keys: a secret of the admin's, or a file of ours beside the database."""

import os
import secrets as random
from contextlib import suppress
from pathlib import Path

from crm_sync.core.errors import ConfigError, Problem
from crm_sync.settings.model import Settings
from crm_sync.settings.secrets import SecretUnavailable, read_secret_file

MASTER = "master"
"""The name of the secret from which all keys are derived."""

_KEY_BYTES = 32


def master_secret(settings: Settings) -> bytes | None:
    """The key of all keys: `secret:master`, else the file beside the database, else None.

    Writes nothing. Raises `ConfigError` when there is one that can't be used.
    """
    try:
        named = settings.secrets.find(MASTER)
        if named is not None:
            return named.encode()
        return read_secret_file(master_key_file(settings)).encode()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except SecretUnavailable as error:
        raise ConfigError([Problem("secret:master", error.problem, error.advice)]) from None


def ensure_master_key(settings: Settings) -> bytes:
    """The key of all keys; a new one is written where there is none (mode 0600).

    Of two processes that start together both get the same key. Raises `ConfigError` when the
    file can't be written.
    """
    found = master_secret(settings)
    if found is not None:
        return found
    key_file = master_key_file(settings)
    try:
        key_file.parent.mkdir(parents=True, exist_ok=True)
        _write_new_key(key_file)
    except OSError as error:
        problem = f"can't be written: {error.strerror}"
        raise ConfigError([Problem(str(key_file), problem, "Is the folder ours?")]) from None
    written = master_secret(settings)
    assert written is not None
    return written


def master_key_file(settings: Settings) -> Path:
    """Where the key lies when no secret `master` is given."""
    return settings.database.path.with_name("master.key")


def _write_new_key(key_file: Path) -> None:
    """Writes a key whole or not at all, and never over another."""
    draft = key_file.with_name(f".{key_file.name}.{random.token_hex(8)}")
    handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(handle, "w", encoding="ascii") as file:
            file.write(random.token_urlsafe(_KEY_BYTES) + "\n")
            file.flush()
            os.fsync(file.fileno())
        # another process may have been first: its key counts
        with suppress(FileExistsError):
            os.link(draft, key_file)
    finally:
        draft.unlink()
    folder = os.open(key_file.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
