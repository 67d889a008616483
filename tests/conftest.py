"""Servers that many tests share."""

import os
from collections.abc import Iterator

import pytest

from tests.servers.dovecot import MISSING, Dovecot, binary


@pytest.fixture(scope="session")
def dovecot() -> Iterator[Dovecot]:
    """A running Dovecot; a test takes a user of its own in it."""
    if binary() is None:
        if os.environ.get("CI") == "true":
            pytest.fail(MISSING)
        pytest.skip(MISSING)
    server = Dovecot()
    try:
        server.start()
        yield server
    finally:
        server.remove()
