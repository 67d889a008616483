"""The only place where files are opened: for reading, never blocking, leaving no trace."""

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from crm_sync.core.errors import CrmSyncError, Refused, Scope, Unreachable

_FLAGS: Final = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY
_SAID_NO: Final = {errno.EACCES, errno.EPERM}
_NOT_THERE: Final = {errno.ENOENT, errno.ENOTDIR}
_PACKED: Final = frozenset({".7z", ".bz2", ".gz", ".rar", ".tar", ".tgz", ".xz", ".zip", ".zst"})


class NoFile(OSError):  # noqa: N818  # a state of the disk, not an error of ours
    """What is there is no ordinary file: a folder, a link, a pipe or a device."""


@contextmanager
def opened(path: Path) -> Iterator[int]:
    """A descriptor of an ordinary file, for reading.

    Takes no lock, follows no link at the end of `path` and leaves the time of last access alone
    where the system lets us: old programs tell new mail by it. Raises OSError.
    """
    try:
        # Only the owner may do without the time of access.
        descriptor = os.open(path, _FLAGS | os.O_NOATIME)
    except PermissionError:
        descriptor = os.open(path, _FLAGS)
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise NoFile(errno.EINVAL, "no ordinary file")
        yield descriptor
    finally:
        os.close(descriptor)


def read_at(descriptor: int, offset: int, size: int) -> bytes:
    """Up to `size` bytes from `offset` on; fewer only at the end of the file."""
    data = os.pread(descriptor, size, offset)
    while 0 < len(data) < size:
        more = os.pread(descriptor, size - len(data), offset + len(data))
        if not more:
            break
        data += more
    return data


def reason(error: OSError) -> str:
    """Why one message's file can't be read, in words for the quarantine."""
    if isinstance(error, NoFile) or error.errno == errno.ELOOP:
        return "it is no ordinary file"
    if error.errno in _SAID_NO:
        return "we may not read the file"
    return "the disk gives no answer that makes sense"


def packed(where: Path) -> CrmSyncError | None:
    """The error for a packed archive, None for whatever has another name."""
    if where.suffix.lower() not in _PACKED or not where.is_file():
        return None
    place = os.fsencode(where).decode("utf-8", "replace")
    return Refused("it is a packed file", where=place, advice="Unpack it first.")


def failure(error: OSError, where: Path, scope: Scope = "account") -> CrmSyncError:
    """The error of the house for a folder or an archive that can't be read."""
    place = os.fsencode(where).decode("utf-8", "replace")
    if error.errno == errno.ENOTDIR and where.is_file():
        advice = 'Archives that are a file are read by connector = "mbox".'
        file = Refused("it is a file, not a folder", where=place, advice=advice, scope=scope)
        return packed(where) or file
    if error.errno in _NOT_THERE:
        advice = "Check path, and whether the disk is mounted."
        return Refused("it is not there", where=place, advice=advice, scope=scope)
    if error.errno in _SAID_NO:
        advice = "Let the user who runs crm-sync read it."
        return Refused("we may not read it", where=place, advice=advice, scope=scope)
    if isinstance(error, NoFile) or error.errno == errno.ELOOP:
        return Refused("it is no ordinary file", where=place, advice="Check path.", scope=scope)
    return Unreachable("the disk does not answer", where=place, advice="Check it.", scope=scope)
