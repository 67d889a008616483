"""Why a mailbox can't be read, as sentences that say what to do; never with a secret in them."""

import socket
from datetime import UTC, datetime, timedelta

import pytest
from pydantic import ValidationError

from connectors.imap import failures
from connectors.imap.options import ImapOptions
from connectors.imap.wire import ConnectionLost, Garbled
from crm_sync.core.errors import Refused, Throttled, Unreachable

NOW = datetime(2026, 3, 4, 12, tzinfo=UTC)
OPTIONS = ImapOptions(host="imap.acme.example", username="karin", password="hunter2-secret")


# -- what servers say at the sign-in -------------------------------------------------------------


@pytest.mark.parametrize(
    ("said", "error", "kind", "words"),
    [
        (b"[AUTHENTICATIONFAILED] Authentication failed.", Refused, "password", "refused the password of karin"),
        (b"[AUTHENTICATIONFAILED] Invalid credentials (Failure)", Refused, "password", "password of karin"),
        (b"[AUTHENTICATIONFAILED] LOGIN invalid credentials or IMAP is disabled", Refused, "password", "password of karin"),
        (b"[AUTHENTICATIONFAILED] Too many tries, try again later", Refused, "locked", "locked the account karin"),
        (b"LOGIN failed.", Refused, "sign_in", "refused the password of karin"),
        (b"AUTHENTICATE failed.", Refused, "sign_in", "refused the password of karin"),
        (b"[EXPIRED] your password", Refused, "password", "has expired"),
        (b"[ALERT] Application-specific password required", Refused, "policy", "app password"),
        (b"[WEBALERT x] Web login required.", Refused, "policy", "browser"),
        (b"[ALERT] Please log in via your web browser", Refused, "policy", "browser"),
        (b"IMAP access is disabled for your domain.", Refused, "policy", "IMAP is switched off"),
        (b"[ALERT] You are yet to enable IMAP for your account.", Refused, "policy", "IMAP is switched off"),
        (b"[AUTHORIZATIONFAILED] no", Refused, "permission", "may not use this mailbox"),
        (b"[PRIVACYREQUIRED] no", Refused, "settings", "only over TLS"),
        (b"[UNAVAILABLE] User is over quota of connections", Unreachable, "unavailable", "not available"),
        (b"[UNAVAILABLE] Too many simultaneous connections", Unreachable, "connections", "too many"),
        (b"[LIMIT] Maximum number of connections from user+IP", Unreachable, "connections", "too many connections"),
        (b"[ALERT] Too many simultaneous connections. (Failure)", Unreachable, "connections", "too many"),
        (b"[CONTACTADMIN] no", Unreachable, "unavailable", "fault of its own"),
        (b"Server Unavailable. 15", Unreachable, "unavailable", "not available"),
        (b"[OVERQUOTA] Account exceeded bandwidth limits.", Throttled, "quota", "share of traffic"),
        (b"Request is throttled. Suggested Backoff Time: 92415 milliseconds", Throttled, "throttled", "a pause"),
    ],
)  # fmt: skip
def test_a_no_at_the_sign_in_is_told_apart(said, error, kind, words):
    told = failures.signing_in(said, OPTIONS, NOW)
    assert (type(told), told.kind) == (error, kind)
    assert words in told.what
    assert told.where == "imap.acme.example:993"
    assert told.advice
    assert "hunter2" not in told.sentence()


@pytest.mark.parametrize(
    ("said", "error", "kind", "wait"),
    [
        (b"Request is throttled. Suggested Backoff Time: 92415 milliseconds", Throttled, "throttled", 92.415),
        (b"Suggested Backoff Time: 999999999 milliseconds", Throttled, "throttled", 86400),
        (b"[OVERQUOTA] Account exceeded command or bandwidth limits.", Throttled, "quota", 3600),
        (b"[THROTTLED] slow", Throttled, "throttled", None),
        (b"[LIMIT] too much of something", Unreachable, "connections", None),
        (b"[SERVERBUG] no", Unreachable, "unavailable", None),
        (b"User is authenticated but not connected.", Unreachable, "policy", None),
        (b"[NOPERM] no", Refused, "permission", None),
        (b"whatever", Unreachable, "", None),
    ],
)  # fmt: skip
def test_a_no_to_a_command_is_told_apart(said, error, kind, wait):
    told = failures.answer(said, "EXAMINE", "imap.acme.example:993", NOW)
    assert (type(told), told.kind) == (error, kind)
    if wait is not None:
        assert isinstance(told, Throttled)
        assert told.retry_at == NOW + timedelta(seconds=wait)


@pytest.mark.parametrize(
    ("broken", "error", "kind", "scope"),
    [
        (ConnectionLost("Session expired, please login again"), Throttled, "quota", "account"),
        (ConnectionLost("[UNAVAILABLE] Too many connections"), Unreachable, "connections", "account"),
        (ConnectionLost("Session invalidated - AccessTokenExpired"), Unreachable, "network", "account"),
        (ConnectionLost("Connection closed"), Unreachable, "network", "account"),
        (ConnectionResetError("reset"), Unreachable, "network", "host"),
        (ConnectionRefusedError("no"), Unreachable, "network", "host"),
        (socket.gaierror("no such name"), Unreachable, "network", "host"),
        (TimeoutError(), Unreachable, "network", "host"),
        (Garbled("x"), Unreachable, "network", "account"),
    ],
)  # fmt: skip
def test_a_connection_that_fails_tells_whether_it_is_the_host_or_the_account(
    broken, error, kind, scope
):
    told = failures.connecting(broken, OPTIONS, NOW)
    assert (type(told), told.kind, told.scope) == (error, kind, scope)


def test_a_refused_token_is_a_matter_of_consent_and_not_of_a_password():
    options = ImapOptions(
        host="imap.acme.example", username="karin", auth="xoauth2", client_id="x", tenant="t"
    )
    remedy = "Sign in as the address in username: crm-sync login karin@acme.example/imap"
    told = failures.signing_in(b"[AUTHENTICATIONFAILED] no", options, NOW, remedy)
    assert (told.kind, told.advice) == ("consent", remedy)
    assert failures.signing_in(b"AUTHENTICATE failed.", options, NOW, remedy).kind == "sign_in"


def test_what_a_server_says_is_never_repeated():
    error = failures.answer(b"NO \x1b[31m<script>Lena's offer</script>", "FETCH", "x:1", NOW)
    assert "Lena" not in error.sentence()


# -- options -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "wrong",
    [
        {"hots": "x"},
        {"since": "90 parsecs"},
        {"since": "2 business days"},
        {"port": 0},
        {"port": 70000},
        {"security": "ssl"},
        {"host": "imaps://x"},
        {"username": ""},
        {"timeouts": {"connect": 0}},
    ],
)
def test_wrong_options_are_told(wrong):
    with pytest.raises(ValidationError):
        ImapOptions(**{"host": "h", "username": "u", "password": "p", **wrong})


def test_options_have_sensible_defaults():
    assert (OPTIONS.effective_port, OPTIONS.reach) == (993, timedelta(days=90))
    clear = OPTIONS.model_copy(update={"security": "starttls", "since": "all"})
    assert (clear.effective_port, clear.reach) == (143, None)
    assert "hunter2" not in repr(OPTIONS)
