"""Gmail shows the newest messages only, when a user has chosen a "folder size limit" for IMAP."""

from datetime import UTC, timedelta

import pytest

from connectors.imap.gmail import KIND
from crm_sync.flow import status
from crm_sync.ports import Surroundings
from tests.connectors.imap_parts import a_mail
from tests.flow.conftest import KARIN
from tests.servers.scripted_imap import PASSWORD, USER, ScriptedImap

ACCOUNT = f"{KARIN}/gmail"
ALL = b"[Gmail]/All Mail"


@pytest.fixture
def server():
    with ScriptedImap() as server:
        server.make(ALL, b"\\All")
        yield server
        assert server.violations == []


def a_source(world, server):
    options = KIND.options(
        host=server.host,
        port=server.port,
        security="none",
        username=USER,
        auth="password",
        password=PASSWORD,
        since="all",
    )
    return KIND.build(options, Surroundings(ACCOUNT, world.clock, UTC))


@pytest.fixture
def office(world, server):
    """All Mail holds exactly a thousand messages, and all of them have been pulled."""
    world.customers("Lena,Nordvik AB,lena@nordvik.example")
    for number in range(1000):
        raw = b"From: news@else.example\r\nMessage-ID: <%d@else.example>\r\n\r\nx\r\n" % number
        server.deliver(ALL, raw, world.clock.now())
    world.boxes[ACCOUNT] = (a_source(world, server), KARIN)
    world.sync()
    yield world
    world.boxes[ACCOUNT][0].close()


def arrive(office, server, subject, *, limit=True):
    """A new mail; with a limit the oldest one is hidden for it."""
    messages = server.folders[ALL].messages
    server.deliver(ALL, a_mail(subject).replace(b"\n", b"\r\n"), office.clock.now())
    if limit:
        del messages[min(messages)]


def pull(office):
    office.clock.advance(timedelta(minutes=1))
    (pulled,) = office.sync()
    return pulled


def problem(office):
    return status.status(office.setup, [ACCOUNT])["accounts"][0]["problem"]


def test_a_thousand_mails_by_chance_are_no_limit(office, server):
    assert office.account(ACCOUNT).state == "ok"
    assert problem(office) is None
    arrive(office, server, "next", limit=False)
    for _ in range(3):
        assert pull(office).error is None
    assert problem(office) is None


def test_a_limit_is_told_as_soon_as_a_mail_that_was_seen_is_hidden(office, server):
    arrive(office, server, "offer")
    pulled = pull(office)
    assert "All Mail shows exactly 1000 messages, which looks like a limit" in pulled.error
    assert "Do not limit the number of messages" in problem(office)
    assert office.account(ACCOUNT).state == "refused"
    assert office.subjects() == ["offer"]


def test_it_stays_told_new_mail_goes_on_and_completeness_does_not(office, server):
    arrive(office, server, "one")
    pull(office)
    until = office.account(ACCOUNT).complete_until
    for number in range(3):
        assert pull(office).error  # nothing has moved
        arrive(office, server, f"more{number}")
        assert pull(office).error
    assert office.subjects() == ["more0", "more1", "more2", "one"]
    assert office.account(ACCOUNT).complete_until == until


def test_it_is_told_again_after_a_restart(office, server):
    arrive(office, server, "one")
    pull(office)
    office.boxes[ACCOUNT][0].close()
    office.boxes[ACCOUNT] = (a_source(office, server), KARIN)
    assert "looks like a limit" in pull(office).error


def test_once_the_limit_is_taken_away_all_is_well(office, server):
    hidden = dict(list(server.folders[ALL].messages.items())[:1])
    arrive(office, server, "one")
    assert pull(office).error
    server.folders[ALL].messages |= hidden
    errors = [pull(office).error for _ in range(21)]  # a complete listing comes now and then
    assert errors[-1] is None
    assert problem(office) is None


def test_looking_costs_nothing_while_nothing_moves(office, server):
    arrive(office, server, "one")
    pull(office)
    pull(office)
    server.history.clear()
    for _ in range(5):
        assert pull(office).error
    assert server.verbs() in (["LIST"] * 5, ["UNSELECT"] + ["LIST"] * 5)
