"""Mailboxes that are read with access tokens, on a Dovecot that checks them by itself."""

import uuid
from datetime import UTC, datetime, timedelta

import pytest
from pydantic import ValidationError

from connectors.imap import KIND
from connectors.imap.options import ImapOptions
from connectors.oauth.grant import AccessToken, Grant
from crm_sync.core.errors import Refused, Unreachable, UsageError
from crm_sync.core.keys import Keys
from crm_sync.ports import Surroundings
from crm_sync.runtime.tokens import StoredTokens
from crm_sync.store.engine import open_store
from crm_sync.testing.clock import FixedClock
from tests.servers.dovecot import MISSING, binary
from tests.servers.oauth_server import CLIENT, OAuthServer
from tests.servers.recording_proxy import RecordingProxy

NOW = datetime(2026, 3, 4, 12, tzinfo=UTC)
ACCOUNT = "karin@acme.example/imap"
MAIL = b"From: Lena <lena@nordvik.example>\r\nSubject: Hi\r\nMessage-ID: <%d@x.example>\r\n\r\ntext\r\n"


@pytest.fixture(scope="module")
def dovecot():
    if binary() is None:
        pytest.skip(MISSING)
    server = OAuthServer.dovecot()
    try:
        server.start()
        yield server
    finally:
        server.remove()


@pytest.fixture
def server():
    with OAuthServer(f"karin-{uuid.uuid4().hex[:8]}@acme.example") as server:
        yield server


@pytest.fixture
def proxy(dovecot):
    with RecordingProxy(dovecot.host, dovecot.port) as proxy:
        yield proxy


@pytest.fixture
def clock():
    return FixedClock(NOW)


@pytest.fixture
def place(tmp_path, clock):
    store = open_store(f"sqlite:///{tmp_path / 'diary.db'}", Keys(b"k" * 32))
    yield StoredTokens(store, ACCOUNT, clock)
    store.close()


@pytest.fixture
def connect(server, proxy, place, clock):
    opened = []

    def build(**options):
        chosen = {
            "host": proxy.host,
            "port": proxy.port,
            "security": "none",
            "username": server.user,
            "auth": "xoauth2",
            "timeouts": {"connect": 5, "read": 10, "answer": 20},
            "since": "all",
        }
        source = KIND.build(
            KIND.options(**chosen | server.options | options),
            Surroundings(ACCOUNT, clock, UTC, place),
        )
        opened.append(source)
        return source

    yield build
    for source in opened:
        source.close()


def signed_in(server, place, *, minutes=60, access=None):
    token = AccessToken(access or server.jwt(), NOW + timedelta(minutes=minutes))
    grant = Grant(CLIENT, server.refresh_token(), token, NOW - timedelta(minutes=10))
    place.save(grant.dumps())
    return token.text


def pulled(source, cursors):
    """The Message-IDs of one pull; `cursors` is carried on."""
    found = []
    for stream in source.streams():
        for page in source.pull(stream, cursors.get(stream.key), dict):
            found += [item.envelope.message_id for item in page.items]
            cursors[stream.key] = page.cursor
    return found


# -- good tokens ---------------------------------------------------------------------------------


@pytest.mark.parametrize("auth", ["xoauth2", "oauthbearer"])
@pytest.mark.parametrize("at_once", [True, False])
def test_a_token_opens_the_mailbox(server, proxy, place, connect, auth, at_once):
    if not at_once:
        proxy.on_answer = lambda line: line.replace(b" SASL-IR", b"") + b"\r\n"
    signed_in(server, place)
    names = [stream.name for stream in connect(auth=auth).streams()]
    assert names == ["INBOX", "All Mail", "Sent"]
    assert proxy.verbs().count("AUTHENTICATE") == 1
    assert b"LOGIN" not in b" ".join(line[:20] for line in proxy.commands)


def test_new_mail_comes_as_it_does_with_a_password(server, dovecot, place, connect):
    dovecot.append(server.user, "INBOX", MAIL % 1)
    signed_in(server, place)
    source, cursors = connect(), {}
    assert pulled(source, cursors) == ["<1@x.example>"]
    dovecot.append(server.user, "INBOX", MAIL % 2)
    assert pulled(source, cursors) == ["<2@x.example>"]


def test_an_old_token_is_renewed_before_it_is_shown_to_the_mail_server(
    server, proxy, place, connect
):
    signed_in(server, place, minutes=5, access="canary-old")
    assert connect().streams()
    assert proxy.verbs().count("AUTHENTICATE") == 1
    assert server.count("refresh_token") == 1


# -- bad tokens ----------------------------------------------------------------------------------


@pytest.mark.parametrize("auth", ["xoauth2", "oauthbearer"])
def test_a_token_that_died_early_is_replaced_once_and_nobody_notices(
    server, proxy, place, connect, auth
):
    server.expired = True
    signed_in(server, place)
    server.expired = False
    assert connect(auth=auth).streams()
    assert proxy.verbs().count("AUTHENTICATE") == 2
    assert server.count("refresh_token") == 1


@pytest.mark.parametrize(
    "wrong",
    [{"signs_with": b"another secret, of somebody else"}, {"token_for": "daniel@acme.example"}],
)
def test_tokens_that_are_never_right_are_tried_twice_and_no_more(
    server, proxy, place, connect, wrong
):
    for name, value in wrong.items():
        setattr(server, name, value)
    signed_in(server, place)
    source = connect()
    with pytest.raises(Refused) as caught:
        source.streams()
    assert caught.value.kind == "consent"
    assert "refused the sign-in of karin-" in caught.value.what
    assert "crm-sync login karin@acme.example/imap" in caught.value.advice
    assert "eyJ" not in caught.value.sentence()
    assert proxy.verbs().count("AUTHENTICATE") == 2
    for _ in range(3):
        with pytest.raises(Refused):
            source.streams()
    assert proxy.verbs().count("AUTHENTICATE") == 5  # one a pull: the newest token is the newest
    assert server.count("refresh_token") == 1


def test_a_withdrawn_consent_is_refused_with_the_command_and_the_mail_server_is_left_alone(
    server, proxy, place, connect
):
    signed_in(server, place, minutes=0)
    server.revoke()
    source = connect()
    for _ in range(5):
        with pytest.raises(Refused) as caught:
            source.streams()
        assert caught.value.kind == "consent"
        assert "crm-sync login karin@acme.example/imap" in caught.value.advice
    assert "AUTHENTICATE" not in proxy.verbs()
    assert len(server.forms) == 1


def test_after_a_new_sign_in_it_catches_up_without_a_gap(server, dovecot, place, connect, clock):
    dovecot.append(server.user, "INBOX", MAIL % 1)
    signed_in(server, place)
    source, cursors = connect(), {}
    assert pulled(source, cursors) == ["<1@x.example>"]
    server.revoke()
    clock.advance(timedelta(hours=2))
    for number in (2, 3):
        dovecot.append(server.user, "INBOX", MAIL % number)
        with pytest.raises(Refused):
            pulled(source, cursors)
    token = AccessToken(server.jwt(), clock.now() + timedelta(hours=1))
    place.save(Grant(CLIENT, server.refresh_token(), token, clock.now()).dumps())
    assert pulled(source, cursors) == ["<2@x.example>", "<3@x.example>"]
    assert pulled(source, cursors) == []


@pytest.mark.parametrize(
    "said",
    [
        b"NO [UNAVAILABLE] Temporary authentication failure.",
        b"NO [LIMIT] Too many connections",
        b"NO [OVERQUOTA] Account exceeded command or bandwidth limits.",
        b"NO IMAP access is disabled for your domain.",
        b"NO [ALERT] Please log in via your web browser",
    ],
)
def test_what_is_not_about_the_token_costs_no_new_one(server, proxy, place, connect, said):
    proxy.on_command = lambda line: (
        line.split()[0] + b" " + said + b"\r\n" if b"AUTHENTICATE" in line else None
    )
    signed_in(server, place)
    with pytest.raises((Refused, Unreachable)) as caught:
        connect().streams()
    assert "crm-sync login" not in caught.value.advice
    assert server.forms == []
    assert proxy.verbs().count("AUTHENTICATE") == 1


def test_a_server_that_knows_no_tokens_is_told(server, proxy, place, connect):
    proxy.on_answer = lambda line: line.replace(b" AUTH=XOAUTH2", b"") + b"\r\n"
    signed_in(server, place)
    with pytest.raises(Refused) as caught:
        connect().streams()
    assert "no sign-in by XOAUTH2" in caught.value.what
    assert server.forms == []


def test_a_challenge_without_end_is_ended(server, proxy, place, connect):
    proxy.on_command = lambda line: b"+ eyJzdGF0dXMiOiI0MDAifQ==\r\n" if b" " not in line else None
    proxy.rewrite = lambda line: line
    proxy.on_answer = lambda line: b"+ \r\n" if b"NO" in line else None
    server.expired = True
    signed_in(server, place)
    with pytest.raises(Unreachable) as caught:
        connect().streams()
    assert "no IMAP" in caught.value.what


@pytest.mark.parametrize("user", ["karin\x01auth=Bearer x", "karin\r\nX1 NOOP"])
def test_a_user_name_slips_nothing_into_the_sign_in(server, proxy, place, connect, user):
    signed_in(server, place)
    with pytest.raises(Refused) as caught:
        connect(username=user).streams()
    assert "control character" in caught.value.what
    assert "AUTHENTICATE" not in proxy.verbs()


# -- the end of a token's hour ---------------------------------------------------------------------


def test_a_session_is_renewed_before_its_hour_ends_and_not_much_earlier(
    server, proxy, place, connect, clock
):
    signed_in(server, place)
    source = connect()
    source.streams()
    clock.advance(timedelta(minutes=53))
    source.streams()
    assert proxy.connections == 1
    clock.advance(timedelta(minutes=3))
    source.streams()
    assert proxy.connections == 2
    assert server.count("refresh_token") == 1
    clock.advance(timedelta(minutes=30))
    source.streams()
    assert proxy.connections == 2


def test_a_session_renewed_in_mid_pull_loses_and_doubles_nothing(
    server, dovecot, proxy, place, connect, clock
):
    for number in range(12):
        dovecot.append(server.user, "INBOX", MAIL % number)
    signed_in(server, place)
    source, found = connect(page_size=2), []
    (stream, *_) = source.streams()
    for page in source.pull(stream, None, dict):
        found += [item.envelope.message_id for item in page.items]
        clock.advance(timedelta(minutes=20))
    assert sorted(found) == sorted(f"<{number}@x.example>" for number in range(12))
    assert proxy.connections > 1
    assert proxy.only_read()


def test_a_server_that_ends_the_session_with_its_token_is_met_with_a_new_one(
    server, dovecot, proxy, place, connect
):
    signed_in(server, place)
    source, cursors = connect(), {}
    pulled(source, cursors)
    dovecot.append(server.user, "INBOX", MAIL % 1)
    said = [b"* BYE Session invalidated - AccessTokenExpired\r\n"]
    proxy.on_command = lambda line: said.pop() if said and b"STATUS" in line else None
    assert pulled(source, cursors) == ["<1@x.example>"]


# -- what is told ---------------------------------------------------------------------------------


def test_the_probe_tells_of_the_sign_in_too(server, place, connect):
    signed_in(server, place)
    found = list(connect().probe())
    assert all(finding.ok for finding in found)
    assert "signed in" in found[0].name


def test_the_probe_says_that_nobody_has_signed_in(place, connect):
    (finding,) = connect().probe()
    assert not finding.ok
    assert "nobody has signed in yet" in finding.problem
    assert finding.advice == "Run: crm-sync login karin@acme.example/imap"


def test_two_accounts_do_not_renew_at_the_same_moment(server, tmp_path, clock):
    from connectors.oauth.access import spread

    minute = timedelta(minutes=1)
    moments = {spread(f"rep{n}@acme.example/imap", minute) for n in range(50)}
    assert len(moments) == 50
    assert max(moments) < minute


# -- options --------------------------------------------------------------------------------------

GOOD = {"host": "h", "username": "u"}


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({}, "password is missing"),
        ({"password": "p", "client_id": "x"}, "client_id has no meaning"),
        ({"auth": "xoauth2"}, "client_id is missing"),
        ({"auth": "xoauth2", "client_id": "x", "tenant": "t", "password": "p"}, "password has no"),
    ],
)
def test_options_that_do_not_go_together_are_told(options, words):
    with pytest.raises(ValidationError) as caught:
        ImapOptions(**GOOD | options)
    assert words in str(caught.value)


def test_a_tenant_that_prefers_imap_needs_no_more_than_its_name():
    options = ImapOptions(**GOOD, auth="xoauth2", client_id="x", tenant="acme.example")
    source = KIND.build(options, Surroundings(ACCOUNT, FixedClock(NOW), UTC))
    source.close()


def test_an_account_with_a_password_needs_no_sign_in():
    options = ImapOptions(**GOOD, password="p")
    with pytest.raises(UsageError) as caught:
        KIND.login(options, Surroundings(ACCOUNT, FixedClock(NOW), UTC), None)
    assert "signs in with its password" in caught.value.what
