"""Mails handed over by a sender that signs in with access tokens."""

import json
import socket
from base64 import b64decode, b64encode
from datetime import UTC, datetime

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult
from pydantic import ValidationError

from connectors.smtp import KIND, gmail
from crm_sync.core.errors import Refused, Unreachable, UsageError
from crm_sync.core.records import Address, Draft
from crm_sync.ports import Surroundings
from crm_sync.testing.clock import FixedClock
from tests.connectors.oauth_parts import MemoryTokens, signed_in
from tests.servers.oauth_server import Fault, OAuthServer

NOW = datetime(2026, 3, 4, 12, tzinfo=UTC)
ACCOUNT = "team/smtp"
DRAFT = Draft(
    "<1@acme.example>",
    NOW,
    Address("crm@acme.example"),
    (Address("lena@nordvik.example"),),
    "Hi",
    "text",
    "<p>text</p>",
    "en",
)


class Post:
    """A submission server's hooks: `good` tells which tokens it takes from crm@acme.example."""

    def __init__(self):
        self.good, self.tries, self.taken = set(), [], []
        self.no = "535 5.7.8 Username and Password not accepted"

    async def auth_XOAUTH2(self, server, args):  # noqa: N802  # found by the mechanism's name
        user, token = _read(b64decode(args[1]))
        self.tries.append(token)
        if user == "crm@acme.example" and token in self.good:
            return AuthResult(success=True, handled=True)
        why = b64encode(json.dumps({"status": "400", "schemes": "Bearer"}).encode()).decode()
        await server.push(f"334 {why}")
        assert await server._reader.readline() == b"\r\n"
        await server.push(self.no)
        return AuthResult(success=False, handled=True)

    async def handle_DATA(self, _server, _session, envelope):  # noqa: N802  # aiosmtpd's name
        self.taken.append(envelope.content)
        return "250 2.0.0 OK"


def _read(message):
    fields = dict(part.split("=", 1) for part in message.decode().split("\x01") if part)
    return fields["user"], fields["auth"].removeprefix("Bearer ")


@pytest.fixture
def server():
    with OAuthServer("crm@acme.example") as server:
        yield server


@pytest.fixture
def post():
    post = Post()
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port = sock.getsockname()[1]
    post.controller = Controller(post, hostname="127.0.0.1", port=port, auth_require_tls=False)
    post.controller.start()
    yield post
    post.controller.stop()


def sender_of(server, post, kind=KIND, **options):
    clock = FixedClock(NOW)
    grant = signed_in(server, NOW)
    post.good.add(grant.access.text)
    chosen = server.options | {
        "host": "127.0.0.1",
        "port": post.controller.port,
        "security": "none",
        "username": "crm@acme.example",
    }
    if kind is KIND:
        chosen["auth"] = "xoauth2"
    tokens = MemoryTokens(grant.dumps())
    return kind.build(kind.options(**chosen | options), Surroundings(ACCOUNT, clock, UTC, tokens))


@pytest.mark.parametrize("kind", [KIND, gmail.KIND])
def test_a_mail_is_handed_over_with_a_token(server, post, kind):
    sender = sender_of(server, post, kind)
    receipt = sender.send(DRAFT, lambda: None)
    sender.close()
    assert receipt.answer.startswith("250")
    assert len(post.taken) == 1
    assert len(post.tries) == 1


def takes_new_tokens(server, post):
    make = server.jwt

    def jwt():
        token = make()
        post.good.add(token)
        return token

    server.jwt = jwt


def test_a_token_that_died_early_is_replaced_once_and_the_mail_leaves(server, post):
    sender = sender_of(server, post)
    post.good.clear()
    takes_new_tokens(server, post)
    sender.send(DRAFT, lambda: None)
    sender.close()
    assert len(post.taken) == 1
    assert len(post.tries) == 2


def test_tokens_that_are_never_right_are_tried_twice_and_refused_with_the_command(server, post):
    sender = sender_of(server, post)
    post.good.clear()
    left = []
    with pytest.raises(Refused) as caught:
        sender.send(DRAFT, lambda: left.append(1))
    assert caught.value.scope == "account"
    assert "crm-sync login team/smtp" in caught.value.advice
    assert "eyJ" not in caught.value.sentence()
    assert (len(post.tries), left, post.taken) == (2, [], [])


def test_a_locked_account_is_not_shown_another_token(server, post):
    sender = sender_of(server, post)
    post.good.clear()
    post.no = "535 5.7.8 Account is temporarily locked"
    with pytest.raises(Refused) as caught:
        sender.send(DRAFT, lambda: None)
    assert caught.value.kind == "locked"
    assert len(post.tries) == 1


def test_while_the_provider_is_down_nothing_leaves_and_then_it_does(server, post):
    sender = sender_of(server, post)
    post.good.clear()
    server.faults = [Fault(500)]
    with pytest.raises(Unreachable):
        sender.send(DRAFT, lambda: None)
    assert post.taken == []
    takes_new_tokens(server, post)
    sender.send(DRAFT, lambda: None)
    sender.close()
    assert len(post.taken) == 1


def test_the_probe_signs_in_and_tells_how_old_the_sign_in_is(server, post):
    found = list(sender_of(server, post).probe())
    assert all(finding.ok or finding.name == "encryption" for finding in found)
    assert [f.name for f in found if f.ok] == [
        "signed in, last renewed 0 days ago",
        "connection",
        "sign-in",
    ]


def test_a_server_that_knows_no_tokens_is_told(server, post):
    with pytest.raises(Refused) as caught:
        sender_of(server, post, auth="oauthbearer").send(DRAFT, lambda: None)
    assert "no sign-in by OAUTHBEARER" in caught.value.what


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"auth": "xoauth2", "client_id": "x", "tenant": "t"}, "username is missing"),
        ({"auth": "xoauth2", "username": "u"}, "client_id is missing"),
        ({"auth": "xoauth2", "username": "u", "password": "p"}, "password has no meaning"),
        ({"client_id": "x"}, "client_id has no meaning"),
    ],
)
def test_options_that_do_not_go_together_are_told(options, words):
    with pytest.raises(ValidationError) as caught:
        KIND.options(host="h", **options)
    assert words in str(caught.value)


def test_a_sender_with_a_password_needs_no_sign_in():
    options = KIND.options(host="h", username="u", password="p")
    with pytest.raises(UsageError):
        KIND.login(options, Surroundings(ACCOUNT, FixedClock(NOW), UTC), None)


def test_gmail_needs_little():
    options = gmail.KIND.options(username="crm@acme.example", client_id="x", client_secret="y")
    assert (options.host, options.effective_port) == ("smtp.gmail.com", 587)
