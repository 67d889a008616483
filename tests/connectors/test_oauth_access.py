"""Access tokens stay fresh: one renewal at a time, saved before use, and a no told by its kind."""

import gc
import logging
import threading
import traceback
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest

from connectors.oauth import wire
from connectors.oauth.access import UserTokens
from connectors.oauth.grant import AccessToken, Grant
from connectors.oauth.options import OAuthOptions
from connectors.oauth.provider import provider_of
from crm_sync.core.errors import Refused, Throttled, Unreachable
from crm_sync.ports import Surroundings
from crm_sync.runtime.tokens import StoredTokens
from tests.connectors.oauth_parts import ACCOUNT, MemoryTokens
from tests.servers.oauth_server import CLIENT, SECRET, Fault, OAuthServer

NOW = datetime(2026, 3, 4, 12, tzinfo=UTC)
COMMAND = "crm-sync login karin@acme.example/imap"


@pytest.fixture
def server():
    with OAuthServer() as server:
        yield server


def grant(server, *, minutes=0, **changes):
    """What a sign-in left behind, with an access token that lasts so many minutes more."""
    values = {
        "client_id": CLIENT,
        "refresh_token": server.refresh_token(),
        "access": AccessToken("canary-first-access", NOW + timedelta(minutes=minutes)),
        "renewed_at": NOW - timedelta(hours=1),
    }
    return Grant(**values | changes).dumps()


def tokens_of(server, place, clock, **options):
    provider = provider_of(OAuthOptions(**server.options | options), (), None)
    return UserTokens(provider, Surroundings(ACCOUNT, clock, UTC, place))


# -- renewing ------------------------------------------------------------------------------------


def test_a_token_that_lasts_is_used_without_asking_anybody(server, place, clock):
    place.save(grant(server, minutes=30))
    assert tokens_of(server, place, clock).access().text == "canary-first-access"
    assert server.forms == []


def test_a_token_is_renewed_ten_minutes_before_its_end_and_then_kept(server, place, clock):
    place.save(grant(server, minutes=10))
    tokens = tokens_of(server, place, clock)
    first = tokens.access()
    assert first.text != "canary-first-access"
    assert first.expires_at == NOW + timedelta(hours=1)
    clock.advance(timedelta(minutes=48))
    assert tokens.access() == first
    clock.advance(timedelta(minutes=2))
    assert tokens.access().text != first.text
    assert server.count("refresh_token") == 2


def test_another_process_finds_what_was_renewed(server, place, clock, store):
    place.save(grant(server))
    mine = tokens_of(server, place, clock).access()
    theirs = tokens_of(server, StoredTokens(store, ACCOUNT, clock), clock).access()
    assert theirs == mine
    assert server.count("refresh_token") == 1


def test_threads_that_need_a_token_at_once_make_one_request(server, store, clock):
    StoredTokens(store, ACCOUNT, clock).save(grant(server))
    server.delay = 0.3
    start = threading.Barrier(4)

    def access(_):
        tokens = tokens_of(server, StoredTokens(store, ACCOUNT, clock), clock)
        start.wait(10)
        return tokens.access().text

    with ThreadPoolExecutor(4) as pool:
        assert len(set(pool.map(access, range(4)))) == 1
    assert server.count("refresh_token") == 1


def test_a_rotated_refresh_token_is_the_one_used_next(server, place, clock):
    place.save(grant(server))
    tokens = tokens_of(server, place, clock)
    for _ in range(3):
        tokens.access()
        clock.advance(timedelta(hours=1))
    used = [form["refresh_token"] for form in server.forms]
    assert len(set(used)) == 3


def test_a_refresh_token_that_stays_is_kept(server, place, clock):
    server.rotates = False
    place.save(grant(server))
    tokens = tokens_of(server, place, clock)
    for _ in range(2):
        tokens.access()
        clock.advance(timedelta(hours=1))
    assert len({form["refresh_token"] for form in server.forms}) == 1


def test_a_kill_between_the_answer_and_the_save_costs_one_request_and_no_sign_in(server, clock):
    """What was not saved was not used either, so the provider still takes the token before it."""
    place = MemoryTokens(grant(server))
    place.loses_power = True
    with pytest.raises(KeyboardInterrupt):
        tokens_of(server, place, clock).access()
    place.loses_power = False
    assert tokens_of(server, place, clock).access().text in server.issued
    assert server.count("refresh_token") == 2


def test_what_is_given_out_has_been_saved_before(server, clock):
    place = MemoryTokens(grant(server))
    text = tokens_of(server, place, clock).access().text
    assert Grant.loads(place.text).access.text == text


def test_a_rejected_token_is_renewed_although_its_time_is_not_up(server, place, clock):
    place.save(grant(server, minutes=50))
    tokens = tokens_of(server, place, clock)
    newer = tokens.access(rejected="canary-first-access")
    assert newer.text != "canary-first-access"
    assert tokens.access() == newer


def test_a_brand_new_token_that_is_rejected_is_not_renewed_again(server, place, clock):
    place.save(grant(server))
    tokens = tokens_of(server, place, clock)
    newest = tokens.access()
    for _ in range(5):
        assert tokens.access(rejected=newest.text) == newest
    assert server.count("refresh_token") == 1


def test_a_clock_that_was_set_back_does_not_keep_a_token_for_ever(server, place, clock):
    place.save(grant(server, minutes=60, renewed_at=NOW + timedelta(days=30)))
    assert (
        tokens_of(server, place, clock).access(rejected="canary-first-access").text in server.issued
    )


# -- when the provider says no -------------------------------------------------------------------


@pytest.mark.parametrize(
    "code", ["invalid_grant", "deleted_client", "access_denied", "interaction_required"]
)
def test_a_permission_that_is_gone_is_refused_with_the_very_command(server, place, clock, code):
    place.save(grant(server))
    server.faults = [Fault.error(code)]
    with pytest.raises(Refused) as caught:
        tokens_of(server, place, clock).access()
    assert caught.value.where == ACCOUNT
    assert COMMAND in caught.value.advice


def test_the_command_quotes_a_name_with_blanks(server, store, clock):
    place = StoredTokens(store, "Karin's box", clock)
    provider = provider_of(OAuthOptions(**server.options), (), None)
    with pytest.raises(Refused) as caught:
        UserTokens(provider, Surroundings("Karin's box", clock, UTC, place)).access()
    assert caught.value.advice == "Run: crm-sync login 'Karin'\"'\"'s box'"


def test_a_provider_that_said_withdrawn_is_asked_once_in_a_quarter_of_an_hour(server, place, clock):
    place.save(grant(server))
    server.revoke()
    for _ in range(30):
        with pytest.raises(Refused):
            tokens_of(server, place, clock).access()
        clock.advance(timedelta(minutes=1))
    assert len(server.forms) == 2


def test_a_wrong_client_secret_is_for_the_admin(server, place, clock):
    place.save(grant(server))
    with pytest.raises(Refused) as caught:
        tokens_of(server, place, clock, client_secret="canary-wrong").access()
    assert "client_secret" in caught.value.what
    assert "secret must not have expired" in caught.value.advice
    assert "crm-sync login" not in caught.value.advice


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        (Fault(500, b"oops"), "failed (status 500)"),
        (Fault(502, b"<html>Bad gateway</html>"), "failed (status 502)"),
        (Fault(503, b""), "failed (status 503)"),
        (Fault(200, b"<html>Please sign in to the guest network</html>"), "proxy's page"),
        (Fault(403, b"<html>Blocked</html>"), "proxy's page"),
        (Fault(200, b"[1]"), "proxy's page"),
        (Fault(200, b'{"access_token": "two words"}'), "makes no sense"),
        (Fault(200, b'{"access_token": "a\\u0001auth=Bearer x"}'), "makes no sense"),
        (Fault(200, b'{"access_token": "x", "token_type": "mac"}'), "makes no sense"),
        (Fault(200, b'{"access_token": 7}'), "makes no sense"),
        (Fault(200, b"{" * 100_000), "proxy's page"),
        (Fault(200, b" " * 1_000_000 + b"{}"), "proxy's page"),
        (Fault(302, b"", {"Location": "https://evil.example/token"}), "leads elsewhere"),
        (Fault(307, b"", {"Location": "https://evil.example/token"}), "leads elsewhere"),
        (Fault.error("temporarily_unavailable"), "makes no sense"),
        (Fault.error("invalid_scope"), "does not know the scope"),
    ],
)
def test_what_passes_by_itself_is_tried_again(server, place, clock, fault, words):
    place.save(grant(server))
    server.faults = [fault]
    tokens = tokens_of(server, place, clock)
    with pytest.raises(Unreachable) as caught:
        tokens.access()
    assert words in caught.value.what
    assert "canary" not in caught.value.sentence()
    assert tokens.access().text in server.issued


def test_a_silent_provider_is_tried_again(server, place, clock, monkeypatch):
    monkeypatch.setattr(wire, "SILENCE", 0.2)
    place.save(grant(server))
    server.faults = [Fault(silent=True)]
    tokens = tokens_of(server, place, clock)
    with pytest.raises(Unreachable) as caught:
        tokens.access()
    assert "silent" in caught.value.what
    assert tokens.access().text in server.issued


def test_a_provider_that_is_not_there_is_tried_again(server, place, clock):
    place.save(grant(server))
    tokens = tokens_of(server, place, clock, token_url="http://127.0.0.1:1/token")
    with pytest.raises(Unreachable) as caught:
        tokens.access()
    assert "no connection to 127.0.0.1:1" in caught.value.what


@pytest.mark.parametrize(
    ("fault", "wait"),
    [
        (Fault(429, b"", {"Retry-After": "120"}), timedelta(seconds=120)),
        (Fault(429, b"", {"Retry-After": "999999999999"}), timedelta(hours=24)),
        (
            Fault(503, b"", {"Retry-After": "Wed, 04 Mar 2026 12:30:00 GMT"}),
            timedelta(minutes=30),
        ),
        (Fault(429, b"", {"Retry-After": "soon"}), None),
        (Fault(429), None),
    ],
)
def test_a_provider_that_asks_to_wait_is_waited_for(server, place, clock, fault, wait):
    place.save(grant(server))
    server.faults = [fault]
    with pytest.raises(Throttled) as caught:
        tokens_of(server, place, clock).access()
    assert caught.value.retry_at == (None if wait is None else NOW + wait)


def test_nobody_has_signed_in_yet(server, place, clock):
    with pytest.raises(Refused) as caught:
        tokens_of(server, place, clock).access()
    assert "nobody has signed in yet" in caught.value.what
    assert caught.value.advice == f"Run: {COMMAND}"


@pytest.mark.parametrize("text", ["", "{}", '{"v": 2}', "null", "[]", '{"v": 1, "client": 1}'])
def test_a_grant_of_another_version_asks_for_a_new_sign_in(server, place, clock, text):
    place.save(text)
    with pytest.raises(Refused) as caught:
        tokens_of(server, place, clock).access()
    assert COMMAND in caught.value.advice


def test_another_client_id_asks_for_a_new_sign_in(server, place, clock):
    place.save(grant(server, minutes=30))
    with pytest.raises(Refused) as caught:
        tokens_of(server, place, clock, client_id="another").access()
    assert "another client_id" in caught.value.what


# -- nothing is told -----------------------------------------------------------------------------


def test_no_secret_is_in_logs_errors_tracebacks_or_reprs(server, place, clock, caplog, capfd):
    caplog.set_level(logging.DEBUG)
    logging.getLogger("httpx2").setLevel(logging.DEBUG)
    place.save(grant(server))
    told = []
    faults = [Fault(500), Fault(429), Fault.error("invalid_client"), Fault(302), None]
    for fault in faults:
        server.faults = [fault] if fault else []
        tokens = tokens_of(server, place, clock)
        try:
            token = tokens.access()
            told.append(repr(token) + repr(Grant.loads(place.load())))
        except (Refused, Unreachable) as error:
            told.append("".join(traceback.format_exception(error)) + repr(error))
        told.append(repr(vars(tokens)))
    told += [caplog.text, *capfd.readouterr()]
    assert all(secret not in "".join(told) for secret in ("canary", SECRET, *server.issued))


def test_no_connection_is_left_open(server, place, clock):
    place.save(grant(server))
    tokens_of(server, place, clock).access()
    gc.collect()  # an open socket would warn, and warnings are errors here


# -- early warnings ------------------------------------------------------------------------------


def test_a_sign_in_that_idles_is_warned_of(server, place, clock):
    place.save(grant(server))
    tokens = tokens_of(server, place, clock)
    assert [(f.ok, f.problem) for f in tokens.findings()] == [(True, "")]
    clock.advance(timedelta(days=70))
    (finding,) = tokens.findings()
    assert finding.ok
    assert "70 days ago" in finding.name
    assert COMMAND in finding.advice


@pytest.mark.parametrize(
    ("expires", "ok", "words"),
    [
        ("2026-12-31", True, ""),
        ("2026-03-20", True, "expires in 16 days"),
        ("2026-03-03", False, "has expired"),
    ],
)
def test_a_secret_that_runs_out_is_warned_of(server, place, clock, expires, ok, words):
    place.save(grant(server))
    finding = next(tokens_of(server, place, clock, secret_expires=expires).findings())
    assert finding.ok is ok
    assert words in finding.problem
    assert expires in finding.name


@pytest.mark.parametrize("name", ["refresh_token_expires_in", "refresh_expires_in"])
def test_a_sign_in_of_which_the_provider_tells_the_end_is_warned_of(server, place, clock, name):
    """Google tells it of applications in testing: seven days, however often they are used."""
    place.save(grant(server))
    server.tells[name] = 7 * 86400
    tokens = tokens_of(server, place, clock)
    assert tokens.ends_at() is None
    tokens.access()
    assert tokens.ends_at() == NOW + timedelta(days=7)
    finding = next(tokens.findings())
    assert finding.ok
    assert "until 2026-03-11" in finding.name
    assert COMMAND in finding.advice
    clock.advance(timedelta(days=8))
    assert not next(tokens.findings()).ok


def test_an_end_of_zero_seconds_means_that_there_is_none(server, place, clock):
    place.save(grant(server))
    server.tells["refresh_expires_in"] = 0
    tokens = tokens_of(server, place, clock)
    tokens.access()
    assert tokens.ends_at() is None


def test_without_a_sign_in_there_is_no_end(server, place, clock):
    assert tokens_of(server, place, clock).ends_at() is None
