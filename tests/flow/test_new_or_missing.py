"""An audit tells what came since the last pull, which the next one brings, from what is missing."""

import pytest

from crm_sync.core.errors import Refused
from crm_sync.flow.status import status
from tests.flow.conftest import MONDAY
from tests.flow.test_audit import (
    DAV,
    DAY,
    HOUR,
    IMAP,
    a_meeting,
    an_office,
    lose,
    problem,
    run_audit,
    stream_of,
)


@pytest.fixture
def office(world):
    return an_office(world)


def test_mail_since_the_last_pull_is_new_and_not_missing(office):
    pulled_at = office.clock.now()
    office.clock.advance(HOUR / 2)
    office.box.deliver(office.mail(subject="new"))
    inbox = stream_of(run_audit(office, heal=False))
    assert (inbox.held, inbox.seen, inbox.new, inbox.missing, inbox.gaps) == (5, 4, 1, 0, [])
    assert (inbox.kept, inbox.complete_until) == (0, pulled_at)
    assert problem(office) is None
    assert office.sync()[0].logged == 1
    assert stream_of(run_audit(office, heal=False)).new == 0


def test_healing_brings_what_is_new_too(office):
    office.clock.advance(HOUR)
    office.box.deliver(office.mail(subject="new"))
    inbox = stream_of(run_audit(office, heal=True))
    assert (inbox.new, inbox.brought, inbox.missing, inbox.kept) == (1, 1, 0, 0)
    assert inbox.complete_until == office.clock.now()
    assert "new" in office.subjects()
    assert office.sync()[0].seen == 0


def test_what_arrived_before_the_last_pull_is_missing_beside_what_is_new(office):
    key = office.box.deliver(office.mail(subject="late"))
    office.box.hide(key)
    office.clock.advance(HOUR)
    office.sync()
    office.box.show(key)
    office.box.deliver(office.mail(subject="new"))
    inbox = stream_of(run_audit(office, heal=False))
    assert (inbox.new, inbox.missing) == (1, 1)
    assert inbox.gaps[0].where == f"INBOX {key}"


def test_a_pull_that_left_a_gap_counts_as_the_last_one_all_the_same(office):
    """Its stream is not complete up to then; what the gap hides must not pass for new."""
    lose(office, "DELETE FROM interaction WHERE subject = 'm1'")
    lose(office, "UPDATE stream SET complete_until = '2026-03-01T00:00:00Z'")
    assert stream_of(run_audit(office, heal=False)).missing == 1


def test_a_pull_of_one_folder_counts_where_another_one_fails(office, monkeypatch):
    pull = office.box.pull

    def without_sent(stream, cursor, known):
        if stream.key == "Sent":
            raise Refused("not now", scope="stream")
        return pull(stream, cursor, known)

    monkeypatch.setattr(office.box, "pull", without_sent)
    key = office.box.deliver(office.mail(subject="late"))
    office.box.hide(key)
    office.clock.advance(HOUR)
    assert office.sync()[0].error is not None
    office.box.show(key)
    office.box.deliver(office.mail(subject="sent late", at=MONDAY + HOUR / 2), "Sent")
    audited = run_audit(office, heal=False)
    assert (stream_of(audited).new, stream_of(audited).missing) == (0, 1)
    assert (stream_of(audited, "Sent").new, stream_of(audited, "Sent").missing) == (1, 0)


def test_a_folder_made_since_the_last_pull_is_new_with_all_that_is_in_it(office):
    office.box.deliver(office.mail(at=MONDAY - DAY), "Projects")
    projects = stream_of(run_audit(office, heal=False), "Projects")
    assert (projects.held, projects.new, projects.missing) == (1, 1, 0)


# -- what status says of a gap ----------------------------------------------------------------


def test_a_gap_that_an_audit_found_is_told_at_once_and_until_it_is_healed(office):
    lose(office, "DELETE FROM interaction WHERE subject = 'm1'")
    assert problem(office) is None
    run_audit(office, heal=False)
    assert not status(office.setup, [IMAP])["healthy"]
    assert "INBOX (1)" in problem(office)
    assert "crm-sync audit --heal" in problem(office)
    run_audit(office, heal=True)
    assert status(office.setup, [IMAP])["healthy"]


def test_what_went_to_quarantine_does_not_make_an_account_unhealthy(office):
    key = office.box.deliver(office.mail(subject="spoilt", at=MONDAY - HOUR))
    office.box.make_unreadable(key)
    lose(office, """UPDATE stream SET cursor = '{"v": 1, "at": [1, 99]}' WHERE key = 'INBOX'""")
    assert stream_of(run_audit(office, heal=False)).missing == 1
    assert "INBOX (1)" in problem(office)
    run_audit(office, heal=True)
    assert problem(office) is None


# -- calendars, which do not tell when a meeting arrived ---------------------------------------


def test_a_meeting_since_the_last_pull_is_new_and_a_lost_one_is_missing(world):
    world.customers("Lena,Nordvik AB,lena@nordvik.example")
    calendar = world.calendar()
    calendar.put("1.ics", a_meeting())
    world.sync()
    calendar.put("2.ics", a_meeting("2@nordvik"))
    (found,) = run_audit(world, DAV, heal=False).streams
    assert (found.held, found.new, found.missing) == (2, 1, 0)
    lose(world, "DELETE FROM interaction")
    (found,) = run_audit(world, DAV, heal=False).streams
    assert (found.new, found.missing, found.gaps[0].where) == (1, 1, "calendar 1.ics")
    assert world.log() == []  # looking at the next pull stored nothing of it
    (pulled,) = world.sync()
    assert pulled.logged + pulled.healed >= 1
    assert [e["uid"] for e in world.log()] == ["2@nordvik"]


def test_without_a_cursor_nobody_can_say_that_a_meeting_is_new(world):
    world.customers("Lena,Nordvik AB,lena@nordvik.example")
    calendar = world.calendar()
    world.sync()
    calendar.put("1.ics", a_meeting())
    for cursor in ("'garbage'", "NULL"):
        lose(world, f"UPDATE stream SET cursor = {cursor}")
        (found,) = run_audit(world, DAV, heal=False).streams
        assert (found.new, found.missing) == (0, 1)
