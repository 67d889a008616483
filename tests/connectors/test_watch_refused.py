"""A watch whose sign-in is refused, while the connection that was signed in before lives on."""

from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, timedelta
from itertools import pairwise

import pytest

from connectors.imap import KIND
from crm_sync.core.errors import Refused
from crm_sync.flow import health
from crm_sync.ports import Surroundings
from crm_sync.runtime.watcher import Watcher
from crm_sync.store import accounts
from tests.connectors.oauth_parts import MAIL
from tests.connectors.test_gmail_source import gmail
from tests.flow.conftest import KARIN, World
from tests.servers.scripted_imap import PASSWORD, USER, ScriptedImap

ACCOUNT = f"{KARIN}/imap"
NO = b" NO [AUTHENTICATIONFAILED] no\r\n"


@pytest.fixture
def server():
    with ScriptedImap() as server:
        yield server
        assert server.violations == []


@pytest.fixture
def source(server, build_imap):
    source = build_imap(
        host=server.host, port=server.port, security="none", username=USER, password=PASSWORD
    )
    source.streams()
    return source


def change_password(server):
    """New sign-ins are refused; connections that were signed in stay."""
    server.lies.refuses = lambda line: line.split()[0] + NO if b" LOGIN " in line else None


def sign_ins(server):
    return server.verbs().count("LOGIN")


@contextmanager
def refused():
    with pytest.raises(Refused) as caught:
        yield
    assert caught.value.kind == "password"


def test_the_next_pull_says_it_without_showing_the_password_again(source, server):
    assert source.watch() is not None
    change_password(server)
    assert source.watch() is None
    shown = sign_ins(server)
    with refused():
        source.streams()
    assert sign_ins(server) == shown
    with refused():  # the kept connection is gone: this one asks
        source.streams()
    assert sign_ins(server) == shown + 1


def test_when_the_password_is_taken_again_all_goes_on(source, server):
    source.watch()
    change_password(server)
    source.watch()
    with refused():
        source.streams()
    server.lies.refuses = lambda _: None
    assert [stream.name for stream in source.streams()] == ["INBOX"]
    assert source.watch() is not None


def test_a_server_that_takes_one_connection_is_polled_and_nothing_is_wrong(source, server):
    change_password(server)
    for _ in range(20):
        assert source.watch() is None
        source.streams()
    assert sign_ins(server) == 2
    server.cut()
    server.lies.refuses = lambda _: None
    source.streams()
    assert source.watch() is not None


def test_a_watch_that_cannot_connect_leaves_the_kept_connection_alone(source, server):
    source.watch()
    server.lies.refuses = lambda line: (
        line.split()[0] + b" NO [UNAVAILABLE] later\r\n" if b" LOGIN " in line else None
    )
    assert source.watch() is None
    source.streams()
    assert server.connections == 3


def test_doctor_asks_for_itself(source, server):
    source.watch()
    change_password(server)
    source.watch()
    server.lies.refuses = lambda _: None
    assert all(finding.ok for finding in source.probe())


def test_a_token_is_asked_for_again_because_a_person_may_have_signed_in(
    provider, dovecot_with_tokens, proxy, clock
):
    dovecot_with_tokens.append(provider.user, "All Mail", MAIL % 1)
    source = gmail(provider, proxy, clock)
    source.streams()
    source.watch().close()
    said = b" NO [AUTHENTICATIONFAILED] Invalid credentials\r\n"
    proxy.on_command = lambda line: line.split()[0] + said if b"AUTHENTICATE" in line else None
    assert source.watch() is None
    proxy.on_command = None
    assert [stream.name for stream in source.streams()] == ["All Mail"]
    source.close()


@pytest.fixture
def dovecot(dovecot_with_tokens):
    return dovecot_with_tokens


# -- a day of the daemon -------------------------------------------------------------------------


@pytest.fixture
def office(tmp_path, server):
    world = World(tmp_path)
    world.setup = replace(world.setup, chance=lambda: 0.0)
    options = KIND.options(
        host=server.host, port=server.port, security="none", username=USER, password=PASSWORD
    )
    source = KIND.build(options, Surroundings(ACCOUNT, world.clock, UTC))
    world.boxes[ACCOUNT] = (source, KARIN)
    yield world
    source.close()
    world.store.close()


def a_day_of_the_daemon(office, server):
    """When the password was shown, each time, while the server ends every watch at once."""
    source, _ = office.boxes[ACCOUNT]
    began = office.clock.now()

    def seconds():
        return (office.clock.now() - began).total_seconds()

    watcher, shown = Watcher(lambda _: None, seconds), []
    watcher.start()
    while office.clock.now() - began < timedelta(days=1):
        with office.store.read() as tx:
            due = accounts.due(tx, office.clock.now())
        before = sign_ins(server)
        if office.account().id in due:
            (pulled,) = office.sync()
            if pulled.spares_account and watcher.wants(ACCOUNT):
                watch = source.watch()
                if watch is None:
                    watcher.add(ACCOUNT, None)
        shown += [office.clock.now() - began] * (sign_ins(server) - before)
        office.clock.advance(timedelta(seconds=30))
    watcher.stop()
    return shown


def test_a_changed_password_is_shown_hardly_ever_and_people_are_told_within_minutes(office, server):
    office.sync()
    source, _ = office.boxes[ACCOUNT]
    source.watch()
    changed_at = office.clock.now()
    change_password(server)
    shown = a_day_of_the_daemon(office, server)
    assert len(shown) <= 8
    assert min(b - a for a, b in pairwise(shown)) >= health.SIGN_IN_PAUSE
    row = office.account()
    assert row.state == "paused"
    assert row.trouble == "password"
    assert row.failing_since - changed_at < timedelta(minutes=5)
    assert "the server refused the password of karin" in row.last_error
