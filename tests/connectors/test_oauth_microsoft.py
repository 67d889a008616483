"""Microsoft 365 over IMAP and SMTP: each asks for its own right alone, and a no is told apart."""

import socket
from datetime import UTC, datetime
from urllib.parse import parse_qs, urlsplit

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult

from connectors import imap, smtp
from crm_sync.core.errors import Refused
from crm_sync.ports import Surroundings
from crm_sync.testing.clock import FixedClock
from tests.connectors.oauth_parts import MemoryTokens, signed_in
from tests.connectors.smtp_parts import DRAFT
from tests.servers.oauth_server import OAuthServer

NOW = datetime(2026, 3, 4, 12, tzinfo=UTC)
ACCOUNT = {
    "username": "karin@acme.example",
    "auth": "xoauth2",
    "tenant": "acme.example",
    "client_id": "6f1c0a52-0000-0000-0000-000000000000",
}


class Seen(Exception):  # noqa: N818  # the person has seen enough
    pass


class Reader:
    """A person who reads the address to sign in at, and goes away."""

    wants_code = False

    def __init__(self):
        self.address = ""

    def show(self, text):
        self.address = next((w for w in text.split() if w.startswith("https://")), "")
        if self.address:
            raise Seen

    def line(self, seconds):
        raise Seen


@pytest.mark.parametrize(
    ("kind", "host", "right"),
    [
        (imap.KIND, "outlook.office365.com", "https://outlook.office.com/IMAP.AccessAsUser.All"),
        (smtp.KIND, "smtp.office365.com", "https://outlook.office.com/SMTP.Send"),
    ],
)
def test_a_mailbox_asks_to_read_and_a_sender_to_send_and_neither_for_more(kind, host, right):
    person = Reader()
    where = Surroundings("karin", FixedClock(NOW), UTC, MemoryTokens())
    with pytest.raises(Seen):
        kind.login(kind.options(host=host, **ACCOUNT), where, person)
    address = urlsplit(person.address)
    assert address.hostname == "login.microsoftonline.com"
    assert address.path == "/acme.example/oauth2/v2.0/authorize"
    (scope,) = parse_qs(address.query)["scope"]
    assert sorted(scope.split()) == sorted([right, "offline_access"])


@pytest.fixture
def provider():
    with OAuthServer("karin@acme.example") as provider:
        yield provider


class Post:
    """A submission server that answers each token with `answer`."""

    answer = ""

    async def auth_XOAUTH2(self, server, _):  # noqa: N802  # found by the mechanism's name
        await server.push(self.answer)
        return AuthResult(success=False, handled=True)


@pytest.fixture
def post():
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port = sock.getsockname()[1]
    post = Post()
    controller = Controller(post, hostname="127.0.0.1", port=port, auth_require_tls=False)
    controller.start()
    post.port = port
    yield post
    controller.stop()


@pytest.mark.parametrize(
    ("answer", "what", "is_signed_in_again"),
    [
        (
            "535 5.7.139 Authentication unsuccessful, SmtpClientAuthentication is disabled",
            "SMTP is switched off",
            False,
        ),
        ("535 5.7.3 Authentication unsuccessful", "the server refuses AUTH: 535 5.7.3", True),
    ],
)
def test_smtp_that_is_switched_off_is_no_matter_of_signing_in_again(
    provider, post, answer, what, is_signed_in_again
):
    post.answer = answer
    door = {"host": "127.0.0.1", "port": post.port, "security": "none"}
    options = smtp.KIND.options(**ACCOUNT | provider.options | door)
    tokens = MemoryTokens(signed_in(provider, NOW).dumps())
    sender = smtp.KIND.build(options, Surroundings("karin", FixedClock(NOW), UTC, tokens))
    with pytest.raises(Refused) as caught:
        sender.send(DRAFT, lambda: pytest.fail("nothing may be sent"))
    sender.close()
    assert caught.value.what.startswith(what)
    assert ("crm-sync login karin" in caught.value.advice) is is_signed_in_again
