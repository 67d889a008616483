"""What nobody foresaw, as an error of the house."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import PurePath
from traceback import extract_tb

from crm_sync.core.errors import CrmSyncError, Unreachable


@contextmanager
def only_ours(where: str) -> Iterator[None]:
    """Lets errors of the house through, and makes one of whatever else a connector raises."""
    try:
        yield
    except CrmSyncError:
        raise
    except Exception as error:  # a fault of a connector's is its account's own trouble
        raise fault(where, error) from error


def fault(where: str, error: Exception) -> Unreachable:
    """A bug met in the account `where`, by kind and place: its words may be a stranger's."""
    frame = extract_tb(error.__traceback__)[-1]
    place = f"{PurePath(frame.filename).name}:{frame.lineno}"
    return Unreachable(
        f"something went wrong inside crm-sync ({type(error).__name__} at {place})",
        where=where,
        advice="Please report this line; the account is tried again.",
    )
