"""Bad servers, wrong passwords and wrong options: each becomes a sentence that helps."""

import base64
import logging
import ssl
import threading
from collections.abc import Iterator
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
import trustme
from pydantic import ValidationError

from connectors.caldav import KIND
from crm_sync.core.errors import ConfigError, CrmSyncError, Refused, Throttled, Unreachable
from tests.servers.calendars import NOW, Account, an_event, running
from tests.servers.fault_http import DigestGuard, FaultyServer, Reply
from tests.servers.radicale import PASSWORD, USER, Radicale

OPTIONS = {"url": "https://dav.acme.example/", "username": "karin", "password": "x"}
XML = {"Content-Type": "text/xml"}
HTML = {"Content-Type": "text/html"}
BOMB = (
    b'<?xml version="1.0"?><!DOCTYPE x [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;">]>'
    b"<x>&b;</x>"
)


@pytest.fixture(scope="module")
def radicale() -> Iterator[Radicale]:
    with running(Radicale()) as server:
        server.make_calendar("work", "Work")
        server.put(f"/{USER}/work/a.ics", an_event("a"))
        yield server


@pytest.fixture
def proxy(radicale) -> Iterator[FaultyServer]:
    with FaultyServer(radicale.host, radicale.port) as proxy:
        yield proxy


def error_of(account: Account) -> CrmSyncError:
    with pytest.raises(CrmSyncError) as error:
        account.poll()
    account.source.close()
    return error.value


@pytest.mark.parametrize(
    ("reply", "kind", "words"),
    [
        (Reply(200, b"<html>Sign in</html>", HTML), Unreachable, "login page"),
        (Reply(207, b"<html>Sign in</html>", XML), Unreachable, "login page"),
        (Reply(207, b"", XML), Unreachable, "login page"),
        (Reply(207, b"<multistatus xmlns='DAV:'><resp", XML), Unreachable, "login page"),
        (Reply(207, b"\xff\xfe\x00garbage", XML), Unreachable, "login page"),
        (Reply(207, BOMB, XML), Unreachable, "login page"),
        (Reply(207, b"<multistatus", XML, cut=True), Unreachable, "connection failed"),
        (Reply(500, b"Traceback: secret"), Unreachable, "status 500"),
        (Reply(503), Unreachable, "out of order"),
        (Reply(403), Refused, "does not allow"),
        (Reply(404), Refused, "no calendar at this address"),
        (Reply(405), Refused, "no calendar at this address"),
        (Reply(401, headers={"WWW-Authenticate": "Negotiate"}), Refused, "no way of signing in"),
        (Reply(302, headers={"Location": "/login"}), CrmSyncError, "redirects|login page"),
    ],
)
def test_each_bad_answer_has_its_sentence(proxy, reply, kind, words):
    proxy.on_request = lambda _: reply
    error = error_of(Account(f"{proxy.url}karin/"))
    assert isinstance(error, kind)
    assert any(word in error.sentence() for word in words.split("|"))
    assert f"127.0.0.1:{proxy.port}" in error.sentence()
    assert "secret" not in error.sentence()


def test_a_silent_server_is_given_up_after_the_time_set(proxy):
    proxy.on_request = lambda _: Reply(silent=True)
    error = error_of(Account(f"{proxy.url}karin/", timeout=1))
    assert isinstance(error, Unreachable)
    assert "silent" in error.sentence()


def test_a_server_that_asks_for_a_pause_is_told_when_to_be_asked_again(proxy):
    proxy.on_request = lambda _: Reply(429, headers={"Retry-After": "120"})
    error = error_of(Account(f"{proxy.url}karin/"))
    assert isinstance(error, Throttled)
    assert error.retry_at == NOW + timedelta(minutes=2)
    proxy.on_request = lambda _: Reply(503, headers={"Retry-After": "99999999"})
    error = error_of(Account(f"{proxy.url}karin/"))
    assert isinstance(error, Throttled)
    assert error.retry_at == NOW + timedelta(hours=24)


def test_a_wrong_password_is_refused_and_never_repeated(radicale):
    error = error_of(Account(radicale.url, password="hunter2"))
    assert isinstance(error, Refused)
    assert "refused user name or password" in error.sentence()
    assert "hunter2" not in error.sentence()


def test_nobody_there_and_no_such_host_are_different(radicale):
    with FaultyServer() as gone:
        url = gone.url
    assert "nobody listens" in error_of(Account(url)).sentence()
    unknown = Account("https://no-such-host.invalid/", timeout=5)
    assert "no such host" in error_of(unknown).sentence()


def test_a_certificate_nobody_vouches_for_is_refused_and_one_of_ours_is_taken(tmp_path):
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(context)

    class Quiet(BaseHTTPRequestHandler):
        def do_PROPFIND(self) -> None:
            self.send_error(404)

        def log_message(self, *_: object) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Quiet)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    url = f"https://localhost:{server.server_address[1]}/dav/"
    try:
        assert "certificate" in error_of(Account(url)).sentence()
        missing = error_of(Account(url, ca_file=tmp_path / "none.pem"))
        assert "can't be read" in missing.sentence()
        trusted = error_of(Account(url, ca_file=tmp_path / "ca.pem"))
        assert "no calendar at this address" in trusted.sentence()
    finally:
        server.shutdown()
        server.server_close()


@pytest.mark.parametrize("auth", ["auto", "digest"])
def test_digest_is_spoken_where_the_server_asks_for_it(proxy, auth):
    word = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
    guard = DigestGuard(USER, PASSWORD, f"Basic {word}")
    proxy.on_request = guard
    account = Account(f"{proxy.url}karin/", auth=auth)
    assert account.news() == (["a"], [])
    assert guard.let_in >= 4
    assert not any("Basic" in r.headers.get("authorization", "") for r in proxy.requests[:1])
    account.source.close()
    assert isinstance(error_of(Account(proxy.url, auth=auth, password="wrong")), Refused)


def test_after_an_error_the_account_works_again(proxy):
    account = Account(f"{proxy.url}karin/")
    proxy.on_request = lambda _: Reply(500)
    with pytest.raises(Unreachable):
        account.poll()
    proxy.on_request = None
    assert account.news() == (["a"], [])
    account.source.close()


def test_a_calendar_that_vanishes_in_a_pull_concerns_only_itself(proxy):
    account = Account(f"{proxy.url}karin/")
    (stream,) = account.source.streams()
    proxy.on_request = lambda _: Reply(404)
    with pytest.raises(Unreachable) as error:
        list(account.source.pull(stream, None, dict))
    assert error.value.scope == "stream"
    account.source.close()


def test_a_home_on_another_host_without_https_is_not_followed(proxy):
    answer = (
        b'<multistatus xmlns="DAV:"><response><href>/</href><propstat><prop>'
        b'<calendar-home-set xmlns="urn:ietf:params:xml:ns:caldav"><href xmlns="DAV:">'
        b"http://127.0.0.2:9/home/</href></calendar-home-set></prop>"
        b"<status>HTTP/1.1 200 OK</status></propstat></response></multistatus>"
    )
    proxy.on_request = lambda _: Reply(207, answer, XML)
    assert "without https" in error_of(Account(proxy.url)).sentence()


def test_what_servers_say_stays_out_of_the_log(proxy, caplog):
    caplog.set_level(logging.INFO)
    proxy.on_request = lambda _: Reply(207, b"<a>secret offer", HTML)
    error_of(Account(f"{proxy.url}karin/"))
    proxy.on_request = None
    account = Account(f"{proxy.url}karin/")
    account.poll()
    account.source.close()
    assert "secret" not in caplog.text
    assert "VEVENT" not in caplog.text


def test_the_probe_names_the_step_that_failed(radicale):
    account = Account(radicale.url, calendars=["Work", "Holidays"])
    findings = {f.name: f for f in account.source.probe()}
    assert findings["sign-in"].ok
    assert findings["calendars: Work"].ok
    assert not findings["calendar Holidays"].ok
    assert "Work" in findings["calendar Holidays"].advice
    account.source.close()
    wrong = Account(radicale.url, password="wrong")
    assert [(f.name, f.ok) for f in wrong.source.probe()] == [("connect", True), ("sign-in", False)]
    wrong.source.close()


def test_configured_calendars_of_which_none_is_there_are_refused(radicale):
    assert "none of the configured" in error_of(Account(radicale.url, calendars=["x"])).sentence()


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("url", "http://dav.acme.example/", "in clear"),
        ("url", "dav.acme.example", "write it like"),
        ("url", "https://karin:pass@dav.acme.example/", "keys of their own"),
        ("since", "2 business days", "write it like"),
        ("since", "20y", "not a length of time"),
        ("ahead", "500 weeks 1", "not a length of time"),
        ("ahead", "5000d", "ten years"),
        ("calendar", "Work", "Extra inputs"),
    ],
)
def test_options_that_cannot_be_meant_are_named(key, value, words):
    with pytest.raises(ValidationError, match=words):
        KIND.options(**{**OPTIONS, key: value})


@pytest.mark.parametrize("url", ["http://localhost:5232/", "http://127.0.0.1/", "http://[::1]:1/"])
def test_plain_http_is_taken_on_this_machine_or_when_allowed(url):
    KIND.options(**{**OPTIONS, "url": url})
    KIND.options(**{**OPTIONS, "url": "http://dav.acme.example/", "allow_http": True})


def test_the_librarys_habit_of_dumping_passwords_stops_the_start(monkeypatch):
    monkeypatch.setenv("PYTHON_CALDAV_COMMDUMP", "1")
    with pytest.raises(ConfigError, match="PYTHON_CALDAV_COMMDUMP"):
        Account("https://dav.acme.example/")
