"""Mailboxes that are read with access tokens, on a Dovecot that checks them by itself."""

from datetime import UTC, datetime, timedelta
from functools import partial

import pytest
from pydantic import ValidationError

from connectors.imap import KIND
from connectors.imap.options import ImapOptions
from connectors.oauth.grant import AccessToken, Grant
from crm_sync.core.errors import Refused, Unreachable, UsageError
from crm_sync.ports import Surroundings
from crm_sync.testing.clock import FixedClock
from tests.connectors.oauth_parts import ACCOUNT, MAIL, signed_in
from tests.servers.oauth_server import CLIENT

NOW = datetime(2026, 3, 4, 12, tzinfo=UTC)


@pytest.fixture
def dovecot(dovecot_with_tokens):
    return dovecot_with_tokens


@pytest.fixture
def connect(provider, proxy, place, build_imap):
    return partial(
        build_imap,
        account=ACCOUNT,
        tokens=place,
        host=proxy.host,
        port=proxy.port,
        security="none",
        username=provider.user,
        auth="xoauth2",
        timeouts={"connect": 5, "read": 10, "answer": 20},
        since="all",
        **provider.options,
    )


def sign_in(provider, place, **options):
    place.save(signed_in(provider, NOW, **options).dumps())


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
def test_a_token_opens_the_mailbox(provider, proxy, place, connect, auth, at_once):
    if not at_once:
        proxy.on_answer = lambda line: line.replace(b" SASL-IR", b"") + b"\r\n"
    sign_in(provider, place)
    names = [stream.name for stream in connect(auth=auth).streams()]
    assert names == ["INBOX", "All Mail", "Sent"]
    assert proxy.verbs().count("AUTHENTICATE") == 1
    assert b"LOGIN" not in b" ".join(line[:20] for line in proxy.commands)


def test_new_mail_comes_as_it_does_with_a_password(provider, dovecot, place, connect):
    dovecot.append(provider.user, "INBOX", MAIL % 1)
    sign_in(provider, place)
    source, cursors = connect(), {}
    assert pulled(source, cursors) == ["<1@x.example>"]
    dovecot.append(provider.user, "INBOX", MAIL % 2)
    assert pulled(source, cursors) == ["<2@x.example>"]


def test_an_old_token_is_renewed_before_it_is_shown_to_the_mail_server(
    provider, proxy, place, connect
):
    sign_in(provider, place, minutes=5, access="canary-old")
    assert connect().streams()
    assert proxy.verbs().count("AUTHENTICATE") == 1
    assert provider.count("refresh_token") == 1


# -- bad tokens ----------------------------------------------------------------------------------


@pytest.mark.parametrize("auth", ["xoauth2", "oauthbearer"])
def test_a_token_that_died_early_is_replaced_once_and_nobody_notices(
    provider, proxy, place, connect, auth
):
    provider.expired = True
    sign_in(provider, place)
    provider.expired = False
    assert connect(auth=auth).streams()
    assert proxy.verbs().count("AUTHENTICATE") == 2
    assert provider.count("refresh_token") == 1


@pytest.mark.parametrize(
    "wrong",
    [{"signs_with": b"another secret, of somebody else"}, {"token_for": "daniel@acme.example"}],
)
def test_tokens_that_are_never_right_are_tried_twice_and_no_more(
    provider, proxy, place, connect, wrong
):
    for name, value in wrong.items():
        setattr(provider, name, value)
    sign_in(provider, place)
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
    assert provider.count("refresh_token") == 1


def test_a_withdrawn_consent_is_refused_with_the_command_and_the_mail_server_is_left_alone(
    provider, proxy, place, connect
):
    sign_in(provider, place, minutes=0)
    provider.revoke()
    source = connect()
    for _ in range(5):
        with pytest.raises(Refused) as caught:
            source.streams()
        assert caught.value.kind == "consent"
        assert "crm-sync login karin@acme.example/imap" in caught.value.advice
    assert "AUTHENTICATE" not in proxy.verbs()
    assert len(provider.forms) == 1


def test_after_a_new_sign_in_it_catches_up_without_a_gap(provider, dovecot, place, connect, clock):
    dovecot.append(provider.user, "INBOX", MAIL % 1)
    sign_in(provider, place)
    source, cursors = connect(), {}
    assert pulled(source, cursors) == ["<1@x.example>"]
    provider.revoke()
    clock.advance(timedelta(hours=2))
    for number in (2, 3):
        dovecot.append(provider.user, "INBOX", MAIL % number)
        with pytest.raises(Refused):
            pulled(source, cursors)
    token = AccessToken(provider.jwt(), clock.now() + timedelta(hours=1))
    place.save(Grant(CLIENT, provider.refresh_token(), token, clock.now()).dumps())
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
def test_what_is_not_about_the_token_costs_no_new_one(provider, proxy, place, connect, said):
    proxy.on_command = lambda line: (
        line.split()[0] + b" " + said + b"\r\n" if b"AUTHENTICATE" in line else None
    )
    sign_in(provider, place)
    with pytest.raises((Refused, Unreachable)) as caught:
        connect().streams()
    assert "crm-sync login" not in caught.value.advice
    assert provider.forms == []
    assert proxy.verbs().count("AUTHENTICATE") == 1


def test_a_server_that_knows_no_tokens_is_told(provider, proxy, place, connect):
    proxy.on_answer = lambda line: line.replace(b" AUTH=XOAUTH2", b"") + b"\r\n"
    sign_in(provider, place)
    with pytest.raises(Refused) as caught:
        connect().streams()
    assert "no sign-in by XOAUTH2" in caught.value.what
    assert provider.forms == []


def test_a_challenge_without_end_is_ended(provider, proxy, place, connect):
    proxy.on_command = lambda line: b"+ eyJzdGF0dXMiOiI0MDAifQ==\r\n" if b" " not in line else None
    proxy.rewrite = lambda line: line
    proxy.on_answer = lambda line: b"+ \r\n" if b"NO" in line else None
    provider.expired = True
    sign_in(provider, place)
    with pytest.raises(Unreachable) as caught:
        connect().streams()
    assert "no IMAP" in caught.value.what


@pytest.mark.parametrize("user", ["karin\x01auth=Bearer x", "karin\r\nX1 NOOP"])
def test_a_user_name_slips_nothing_into_the_sign_in(provider, proxy, place, connect, user):
    sign_in(provider, place)
    with pytest.raises(Refused) as caught:
        connect(username=user).streams()
    assert "control character" in caught.value.what
    assert "AUTHENTICATE" not in proxy.verbs()


# -- the end of a token's hour ---------------------------------------------------------------------


def test_a_session_is_renewed_before_its_hour_ends_and_not_much_earlier(
    provider, proxy, place, connect, clock
):
    sign_in(provider, place)
    source = connect()
    source.streams()
    clock.advance(timedelta(minutes=53))
    source.streams()
    assert proxy.connections == 1
    clock.advance(timedelta(minutes=3))
    source.streams()
    assert proxy.connections == 2
    assert provider.count("refresh_token") == 1
    clock.advance(timedelta(minutes=30))
    source.streams()
    assert proxy.connections == 2


def test_a_session_renewed_in_mid_pull_loses_and_doubles_nothing(
    provider, dovecot, proxy, place, connect, clock
):
    for number in range(12):
        dovecot.append(provider.user, "INBOX", MAIL % number)
    sign_in(provider, place)
    source, found = connect(page_size=2), []
    (stream, *_) = source.streams()
    for page in source.pull(stream, None, dict):
        found += [item.envelope.message_id for item in page.items]
        clock.advance(timedelta(minutes=20))
    assert sorted(found) == sorted(f"<{number}@x.example>" for number in range(12))
    assert proxy.connections > 1
    assert proxy.only_read()


def test_a_server_that_ends_the_session_with_its_token_is_met_with_a_new_one(
    provider, dovecot, proxy, place, connect
):
    sign_in(provider, place)
    source, cursors = connect(), {}
    pulled(source, cursors)
    dovecot.append(provider.user, "INBOX", MAIL % 1)
    said = [b"* BYE Session invalidated - AccessTokenExpired\r\n"]
    proxy.on_command = lambda line: said.pop() if said and b"STATUS" in line else None
    assert pulled(source, cursors) == ["<1@x.example>"]


# -- what is told ---------------------------------------------------------------------------------


def test_the_probe_tells_of_the_sign_in_too(provider, place, connect):
    sign_in(provider, place)
    found = list(connect().probe())
    assert all(finding.ok for finding in found)
    assert "signed in" in found[0].name


def test_the_probe_says_that_nobody_has_signed_in(place, connect):
    (finding,) = connect().probe()
    assert not finding.ok
    assert "nobody has signed in yet" in finding.problem
    assert finding.advice == "Run: crm-sync login karin@acme.example/imap"


def test_two_accounts_do_not_renew_at_the_same_moment(provider, tmp_path, clock):
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
