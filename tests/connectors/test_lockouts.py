"""What servers say when the password is not the matter: told apart, and nobody locked out more."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest

from connectors.imap import failures
from connectors.imap.options import ImapOptions
from connectors.imap.wire import ConnectionLost
from connectors.smtp.replies import Reply, complaint
from crm_sync.core.errors import CrmSyncError, Refused, Throttled, Unreachable
from crm_sync.flow import health

NOW = datetime(2026, 3, 4, 12, tzinfo=UTC)
OPTIONS = ImapOptions(host="imap.acme.example", username="karin", password="hunter2-secret")
ACCOUNT = "karin@acme.example/smtp"

LOCKED = [
    "[AUTHENTICATIONFAILED] Account is temporarily locked due to too many failed login attempts",
    "[AUTHENTICATIONFAILED] LOGIN Rate limit hit.",
    "[AUTHENTICATIONFAILED] Too many login failures, please try again later",
    "[ALERT] Too many failed sign-in attempts",
    "[LIMIT] Too many failed logins",
    "[UNAVAILABLE] Too many authentication failures on this connection",
    "[CONTACTADMIN] Your account has been locked for security reasons",
    "Account locked",
    "User is locked out",
    "[AUTHENTICATIONFAILED] Unable to log in: locked account",
    "[AUTHENTICATIONFAILED] Maximum login attempts exceeded",
    "Your IP is temporarily blocked",
]
POLICIES = [
    ("User account disabled", "is disabled at the server"),
    ("[AUTHENTICATIONFAILED] Account karin has been suspended", "is disabled at the server"),
    ("Account locked by the administrator", "is disabled at the server"),
    ("Login blocked by conditional access", "a rule of the provider"),
    ("[AUTHENTICATIONFAILED] blocked by Conditional Access", "a rule of the provider"),
    ("Basic authentication is disabled.", "no password any more"),
    ("[AUTHENTICATIONFAILED] LogonDenied-BasicAuthBlocked", "no password any more"),
    ("[ALERT] Your account is not enabled for IMAP use. Please visit your settings page", "IMAP is switched off"),
    ("[ALERT] Please enable your account for IMAP access.", "IMAP is switched off"),
    ("This mailbox is disabled for IMAP", "IMAP is switched off"),
    ("[AUTHENTICATIONFAILED] IMAP is disabled", "IMAP is switched off"),
    ("[AUTHENTICATIONFAILED] Please log in via your web browser", "with a browser"),
    ("[AUTHENTICATIONFAILED] Application-specific password required", "app password"),
]  # fmt: skip
OF_THE_PASSWORD = [
    "[AUTHENTICATIONFAILED] Authentication failed.",
    "[AUTHENTICATIONFAILED] Invalid credentials (Failure)",
    "[AUTHENTICATIONFAILED] LOGIN invalid credentials or IMAP is disabled",
    "[AUTHENTICATIONFAILED] Authentication failed, try again later",
    "[AUTHENTICATIONFAILED] Password incorrect for user blocked-karin",
]
OTHERWISE = [
    ("[UNAVAILABLE] Too many simultaneous connections", "connections"),
    ("Too many connections, try to login later", "connections"),
    ("[LIMIT] Maximum number of connections from user+IP exceeded", "connections"),
    ("[INUSE] Mailbox is locked by another session", "unavailable"),
    ("Request is throttled. Suggested Backoff Time: 92415 milliseconds", "throttled"),
]


def signing_in(said: str) -> CrmSyncError:
    return failures.signing_in(said.encode(), OPTIONS, NOW)


# -- IMAP ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("said", LOCKED)
def test_a_locked_account_is_told_as_such_and_not_as_a_wrong_password(said):
    told = signing_in(said)
    assert (type(told), told.kind) == (Refused, "locked")
    assert told.what == "the server has locked the account karin for a while"
    assert "Do not sign in elsewhere with an old password" in told.advice
    assert "tried again by itself" in told.advice


@pytest.mark.parametrize(("said", "words"), POLICIES)
def test_a_policy_is_told_even_where_the_server_calls_it_a_failed_sign_in(said, words):
    told = signing_in(said)
    assert (type(told), told.kind) == (Refused, "policy")
    assert words in told.what
    assert told.advice


def test_where_passwords_are_not_taken_any_more_the_option_is_named():
    advice = signing_in("[AUTHENTICATIONFAILED] Basic authentication is disabled.").advice
    assert 'auth = "xoauth2"' in advice
    assert "crm-sync login" in advice


@pytest.mark.parametrize("said", OF_THE_PASSWORD)
def test_what_may_be_the_password_stays_a_matter_of_the_password(said):
    assert signing_in(said).kind == "password"


@pytest.mark.parametrize(("said", "kind"), OTHERWISE)
def test_what_is_about_connections_and_load_is_not_taken_for_a_lock(said, kind):
    assert signing_in(said).kind == kind


def test_a_servers_own_trouble_with_passwords_is_waited_out():
    told = signing_in("[AUTHENTICATIONFAILED] Temporary authentication failure.")
    assert (type(told), told.kind) == (Unreachable, "unavailable")


def test_a_server_may_tell_of_the_lock_when_it_hangs_up():
    error = ConnectionLost("* BYE Too many failed login attempts")
    told = failures.connecting(error, OPTIONS, NOW)
    assert (type(told), told.kind) == (Refused, "locked")


@pytest.mark.parametrize(
    "said", ["Too many invalid IMAP commands", "Too many invalid IMAP commands."]
)
def test_too_many_commands_that_a_server_does_not_know_are_not_too_many_connections(said):
    told = failures.connecting(ConnectionLost(f"* BYE {said}"), OPTIONS, NOW)
    assert (type(told), told.kind) == (Unreachable, "")
    assert "commands" in told.what
    assert not failures.asks_to_wait(said.encode())


@pytest.mark.parametrize(
    ("said", "may_be"),
    [
        (b"[AUTHENTICATIONFAILED] Invalid credentials (Failure)", True),
        (b"AUTHENTICATE failed.", True),
        (b"[AUTHENTICATIONFAILED] Too many login failures", False),
        (b"[AUTHENTICATIONFAILED] blocked by conditional access", False),
    ],
)
def test_no_second_token_is_tried_where_the_token_is_not_the_matter(said, may_be):
    assert failures.rejects_token(said) is may_be


@pytest.mark.parametrize("said", [*LOCKED, *(words for words, _ in POLICIES)])
def test_none_of_the_servers_own_words_are_repeated(said):
    sentence = signing_in(f"{said} \x1b[31m Lena's offer").sentence()
    assert "Lena" not in sentence
    assert "hunter2" not in sentence


def test_a_very_long_answer_costs_no_time():
    for hostile in ("account " + "x" * 200_000, "too many " + "a " * 100_000, "user " * 50_000):
        assert signing_in(hostile).kind in {"sign_in", "connections"}


# -- the mail guide's table of what servers say --------------------------------------------------


@pytest.mark.parametrize(
    ("said", "error", "kind"),
    [
        ("Request is throttled. Suggested Backoff Time: 92415 milliseconds", Throttled, "throttled"),
        ("[OVERQUOTA] Account exceeded command or bandwidth limits.", Throttled, "quota"),
        ("[LIMIT] Maximum number of connections from user+IP exceeded", Unreachable, "connections"),
        ("[UNAVAILABLE] Maximum number of connections exceeded", Unreachable, "connections"),
        ("[UNAVAILABLE] Temporary problem", Unreachable, "unavailable"),
        ("Too many simultaneous connections", Unreachable, "connections"),
        ("LOGIN failed", Refused, "sign_in"),
        ("AUTHENTICATE failed.", Refused, "sign_in"),
        ("[AUTHENTICATIONFAILED] Invalid credentials (Failure)", Refused, "password"),
        ("Web login required", Refused, "policy"),
        ("Please log in via your web browser", Refused, "policy"),
        ("IMAP access is disabled for your domain.", Refused, "policy"),
        ("You are yet to enable IMAP", Refused, "policy"),
    ],
)  # fmt: skip
def test_every_no_to_a_sign_in_that_is_known_of_servers_is_recognised(said, error, kind):
    told = signing_in(said)
    assert (type(told), told.kind) == (error, kind)


@pytest.mark.parametrize(
    ("said", "error", "kind"),
    [
        ("Session expired, please login again", Throttled, "quota"),
        ("Connection closed", Unreachable, "network"),
        ("[UNAVAILABLE] Maximum number of connections exceeded", Unreachable, "connections"),
    ],
)
def test_every_farewell_that_is_known_of_servers_is_recognised(said, error, kind):
    told = failures.connecting(ConnectionLost(f"* BYE {said}"), OPTIONS, NOW)
    assert (type(told), told.kind) == (error, kind)


def test_slow_mode_is_recognised_in_a_yes():
    assert failures.tells_of_slow_mode(b"Success [THROTTLED]")
    assert not failures.tells_of_slow_mode(b"Success")


# -- SMTP ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("code", "said", "kind", "words"),
    [
        (454, "4.7.0 Too many login attempts, please try again later.", "locked", "has locked the account"),
        (535, "5.7.8 Account locked", "locked", "has locked the account"),
        (535, "5.7.139 Authentication unsuccessful, basic authentication is disabled.", "policy", "no password any more"),
        (550, "5.7.30 Basic authentication is not supported for Client Submission.", "policy", "no password any more"),
        (535, "5.7.139 Authentication unsuccessful, SmtpClientAuthentication is disabled for the Tenant.", "policy", "SMTP is switched off"),
        (535, "5.7.139 Authentication unsuccessful, user is locked by your organization's security defaults policy.", "policy", "a rule of the provider"),
        (535, "5.7.139 Authentication unsuccessful, the request did not meet the criteria to be authenticated successfully.", "policy", "a rule of the provider"),
        (535, "5.7.139 Authentication unsuccessful", "policy", "535 5.7.139"),
        (550, "5.7.30 no", "policy", "550 5.7.30"),
        (534, "5.7.9 Application-specific password required.", "policy", "app password"),
        (534, "5.7.14 Please log in via your web browser and then try again.", "policy", "with a browser"),
        (535, "5.7.139 Authentication unsuccessful, the user credentials were incorrect.", "password", "535 5.7.139"),
        (535, "5.7.8 Username and Password not accepted.", "password", "535 5.7.8"),
    ],
)  # fmt: skip
def test_a_no_to_a_senders_sign_in_is_told_apart(code, said, kind, words):
    told = complaint("AUTH", Reply(code, f"{said} Lena's offer"), ACCOUNT)
    assert (type(told), told.kind, told.scope) == (Refused, kind, "account")
    assert words in told.what
    assert told.advice
    assert "Lena" not in told.sentence()


def test_a_senders_wrong_password_is_not_told_as_a_policy():
    said = "5.7.139 Authentication unsuccessful, the user credentials were incorrect."
    assert "Check username and password" in complaint("AUTH", Reply(535, said), ACCOUNT).advice


def test_words_at_other_steps_are_no_matter_of_signing_in():
    told = complaint("RCPT", Reply(550, "5.1.1 account disabled"), ACCOUNT)
    assert (told.kind, told.scope) == ("", "item")


# -- what the daemon does ------------------------------------------------------------------------


def test_a_locked_account_is_left_alone_for_half_an_hour_and_then_longer_and_never_given_up():
    rule = health.back_off(signing_in("Account locked"))
    waits = [rule.wait(tries, 0.0) for tries in range(1, 8)]
    assert waits[0] == timedelta(minutes=30)
    assert all(b >= a for a, b in pairwise(waits))
    assert waits[-1] == timedelta(hours=6)
    assert not any(rule.gives_up(tries) for tries in range(1, 100))


def test_a_daemon_that_is_started_again_does_not_forget_the_lock():
    assert "locked" in health.SIGN_IN_KINDS
