"""Servers, and sources on them, that the tests of several modules use."""

import uuid
from contextlib import ExitStack, closing
from datetime import UTC, datetime
from functools import partial

import pytest
import trustme

from connectors.imap import KIND
from crm_sync.core.keys import Keys
from crm_sync.ports import Surroundings
from crm_sync.runtime.tokens import StoredTokens
from crm_sync.store.engine import open_store
from crm_sync.testing.clock import FixedClock
from tests.connectors.oauth_parts import ACCOUNT
from tests.servers.archives import Mbox
from tests.servers.dovecot import PASSWORD, running
from tests.servers.graph import running as running_graph
from tests.servers.graph_account import Account
from tests.servers.oauth_server import OAuthServer
from tests.servers.recording_proxy import RecordingProxy

NOW = datetime(2026, 3, 4, 12, tzinfo=UTC)


@pytest.fixture
def clock():
    return FixedClock(NOW)


# -- IMAP ----------------------------------------------------------------------------------------


@pytest.fixture
def user(dovecot):
    """Somebody with an empty mailbox."""
    name = f"karin-{uuid.uuid4().hex[:8]}"
    dovecot.add_user(name)
    return name


@pytest.fixture
def proxy(dovecot):
    """What stands before Dovecot, and sees that nothing was written."""
    with RecordingProxy(dovecot.host, dovecot.port) as proxy:
        yield proxy
        assert proxy.only_read(), proxy.verbs()


@pytest.fixture
def build_imap(clock):
    """Makes sources of options, and closes them in the end."""
    with ExitStack() as sources:

        def build(*, account="karin/imap", tokens=None, **options):
            where = Surroundings(account, clock, UTC, tokens)
            return sources.enter_context(closing(KIND.build(KIND.options(**options), where)))

        yield build


@pytest.fixture
def connect(proxy, user, build_imap):
    """Makes sources of the user's mailbox behind the proxy; options may say otherwise."""
    return partial(
        build_imap,
        host=proxy.host,
        port=proxy.port,
        security="none",
        username=user,
        password=PASSWORD,
    )


# -- OAuth 2.0 -----------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def dovecot_with_tokens():
    """A Dovecot that takes the tokens of every `provider`, and has an All Mail."""
    yield from running(OAuthServer.dovecot())


@pytest.fixture
def provider():
    """Where one user, known to nobody else, signs in."""
    with OAuthServer(f"karin-{uuid.uuid4().hex[:8]}@acme.example") as provider:
        yield provider


@pytest.fixture
def store(tmp_path):
    store = open_store(f"sqlite:///{tmp_path / 'diary.db'}", Keys(b"k" * 32))
    yield store
    store.close()


@pytest.fixture
def place(store, clock):
    """Where the tokens of `ACCOUNT` are kept."""
    return StoredTokens(store, ACCOUNT, clock)


# -- SMTP ----------------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def authority():
    return trustme.CA()


@pytest.fixture(scope="session")
def certificate(authority):
    return authority.issue_cert("127.0.0.1")


@pytest.fixture
def ca_file(authority, tmp_path):
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    return tmp_path / "ca.pem"


# -- files ---------------------------------------------------------------------------------------


@pytest.fixture
def mbox(tmp_path):
    """An empty mbox file."""
    return Mbox(tmp_path / "Customers.mbox")


# -- Graph ---------------------------------------------------------------------------------------


@pytest.fixture
def account():
    """A mailbox on a server of its own."""
    with running_graph() as graph, closing(Account(graph)) as account:
        yield account


@pytest.fixture
def graph(account):
    return account.graph
