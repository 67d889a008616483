"""The promises of a `Source` on servers that offer less than a full Dovecot, or something else."""

import importlib.util
import uuid
from datetime import UTC, timedelta

import pytest

from connectors.imap import KIND
from connectors.oauth.grant import AccessToken, Grant
from crm_sync.core.keys import Keys
from crm_sync.ports import Surroundings
from crm_sync.runtime.tokens import StoredTokens
from crm_sync.store.engine import open_store
from crm_sync.testing.clock import FixedClock
from tests.contract import test_imap_contract as usual
from tests.servers import pymap
from tests.servers.dovecot import Dovecot, running
from tests.servers.oauth_server import CLIENT, OAuthServer

LIKE_EXCHANGE = """
imap_capability = IMAP4rev1 SASL-IR UIDPLUS MOVE ID UNSELECT CHILDREN IDLE NAMESPACE LITERAL+
"""


class TestLikeExchange(usual.TestImap):
    """No LIST-STATUS, SPECIAL-USE, ESEARCH or CONDSTORE."""

    @pytest.fixture(scope="class")
    @classmethod
    def dovecot(cls):
        yield from running(Dovecot(extra=LIKE_EXCHANGE))


class TestFewConnections(usual.TestImap):
    """Ours, the one that waits for mail, and one for another mail client."""

    @pytest.fixture(scope="class")
    @classmethod
    def dovecot(cls):
        yield from running(Dovecot(connections=3))


class SignedInByToken(usual.TestImap):
    """JWTs that Dovecot checks by itself."""

    auth: str

    @pytest.fixture(scope="class")
    @classmethod
    def dovecot(cls):
        yield from running(OAuthServer.dovecot())

    @pytest.fixture
    def source(self, server, tmp_path):
        clock = FixedClock(usual.NOW)
        store = open_store(f"sqlite:///{tmp_path / 'diary.db'}", Keys(b"k" * 32))
        tokens = StoredTokens(store, "karin/imap", clock)
        with OAuthServer(server.user) as provider:
            access = AccessToken(provider.jwt(), usual.NOW + timedelta(hours=1))
            grant = Grant(CLIENT, provider.refresh_token(), access, usual.NOW)
            tokens.save(grant.dumps())
            options = {
                "host": server.proxy.host,
                "port": server.proxy.port,
                "security": "none",
                "username": server.user,
                "auth": self.auth,
                "page_size": self.page_size,
                **provider.options,
            }
            where = Surroundings("karin/imap", clock, UTC, tokens)
            source = KIND.build(KIND.options(**options), where)
            yield source
            source.close()
        store.close()
        assert server.proxy.only_read(), server.proxy.verbs()
        assert "LOGIN" not in server.proxy.verbs()


class TestXOAuth2(SignedInByToken):
    auth = "xoauth2"


class TestOAuthBearer(SignedInByToken):
    auth = "oauthbearer"


class PymapBackstage(usual.DovecotBackstage):
    """All tests share pymap's only user, each with a folder of its own."""

    def __init__(self, server, proxy):
        self.stream_name = f"Customers {uuid.uuid4().hex[:8]}"
        super().__init__(server, proxy)
        self.user = pymap.USER

    def reset(self):
        self.dovecot.rename_folder(self.user, self.stream_name, "Old")
        with self.dovecot.client(self.user) as client:
            client.create_folder(self.stream_name)
            client.select_folder("Old")
            client.copy(client.search(), self.stream_name)
        self.dovecot.delete_folder(self.user, "Old")


@pytest.mark.skipif(importlib.util.find_spec("pymap") is None, reason="pymap is not installed")
class TestPymap(usual.TestImap):
    """A server by others, with an opinion of its own."""

    @pytest.fixture(scope="class")
    @classmethod
    def dovecot(cls):
        yield from running(pymap.Pymap())

    @pytest.fixture
    def server(self, dovecot, proxy):
        return PymapBackstage(dovecot, proxy)
