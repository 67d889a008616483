"""An audit finds what is missing and brings it once; pulls find by themselves what comes late."""

import sqlite3
from contextlib import closing
from datetime import timedelta

import pytest

from crm_sync.core.errors import Refused, Unreachable
from crm_sync.core.records import Attendee, Body, Occurrence
from crm_sync.flow import audit
from crm_sync.flow.health import Pulled, note_health
from crm_sync.flow.status import status
from crm_sync.store import accounts
from tests.flow.conftest import DANIEL, KARIN, MONDAY

IMAP, DAV = f"{KARIN}/imap", f"{KARIN}/caldav"
HOUR, DAY = timedelta(hours=1), timedelta(days=1)


@pytest.fixture
def office(world):
    return an_office(world)


def an_office(world):
    """Karin's mailbox with three mails of a customer and one of a stranger, all pulled."""
    world.customers("Lena,Nordvik AB,lena@nordvik.example")
    world.box = world.mailbox()
    world.keys_of = {}
    for number in range(3):
        mail = world.mail(subject=f"m{number}", at=MONDAY - HOUR, text=f"text {number}")
        world.keys_of[number] = world.box.deliver(mail)
    world.box.deliver(world.mail("bo@elsewhere.example", at=MONDAY - HOUR))
    world.sync()
    assert world.subjects() == ["m0", "m1", "m2"]
    return world


def run_audit(world, name=IMAP, **options):
    box, _ = world.boxes[name]
    return audit.audit_account(world.setup, world.account(name), box, **options)


def lose(world, statement: str) -> None:
    """What a person with an SQLite shell can do."""
    with closing(sqlite3.connect(world.folder / "diary.db")) as database:
        database.execute("PRAGMA foreign_keys = ON")
        database.execute(statement)
        database.commit()


def stream_of(audited, name="INBOX"):
    return next(stream for stream in audited.streams if stream.name == name)


def problem(world, name=IMAP) -> str | None:
    """What `status` says of an account."""
    (account,) = status(world.setup, [name])["accounts"]
    return account["problem"]


def diary(world):
    """What a user sees of every interaction, ids apart."""
    return sorted(
        (e["subject"], e["message_id"], world.text(e["id"]), tuple(e["reps"])) for e in world.log()
    )


def test_nothing_is_missing_after_a_sync(office):
    audited = run_audit(office, heal=False)
    inbox = stream_of(audited)
    assert (inbox.held, inbox.seen, inbox.missing, inbox.kept) == (4, 4, 0, 0)
    assert inbox.complete_until == office.clock.now()
    assert audited.trouble is None


def test_a_lost_mail_is_listed_by_its_place_and_healed_with_its_text(office):
    before = diary(office)
    lose(office, "DELETE FROM interaction WHERE subject = 'm1'")
    office.clock.advance(HOUR)
    inbox = stream_of(run_audit(office, heal=False))
    assert (inbox.held, inbox.seen, inbox.missing, inbox.healed) == (4, 3, 1, 0)
    (gap,) = inbox.gaps
    assert gap.where == f"INBOX {office.keys_of[1]}"
    assert (gap.arrived_at, gap.healed) == (MONDAY - HOUR, False)
    assert office.subjects() == ["m0", "m2"]
    healed = stream_of(run_audit(office, heal=True))
    assert (healed.missing, healed.healed, healed.complete_until) == (1, 1, office.clock.now())
    assert diary(office) == before


def test_healing_twice_changes_nothing_more(office):
    lose(office, "DELETE FROM interaction")
    lose(office, "DELETE FROM sighting")
    run_audit(office, heal=True)
    before = office.log()
    again = stream_of(run_audit(office, heal=True))
    assert (again.missing, again.healed) == (0, 0)
    assert office.log() == before
    (pulled,) = office.sync()
    assert pulled.seen == 0


def test_a_lost_witness_comes_back_without_another_interaction(office):
    before = office.log()
    lose(office, "DELETE FROM witness")
    inbox = stream_of(run_audit(office, heal=True))
    assert (inbox.missing, inbox.healed) == (4, 4)
    assert office.log() == before
    assert stream_of(run_audit(office, heal=False)).missing == 0


def test_a_lost_cursor_loses_nothing_and_doubles_nothing(office):
    before = diary(office)
    for cursor in ("'garbage'", "NULL"):
        lose(office, f"UPDATE stream SET cursor = {cursor}")
        lose(office, "DELETE FROM interaction WHERE subject = 'm2'")
        run_audit(office, heal=True)
        assert diary(office) == before
        (pulled,) = office.sync()
        assert (pulled.seen, pulled.error) == (0, None)
        assert diary(office) == before


def test_what_a_cursor_was_moved_past_is_found(office):
    office.box.deliver(office.mail(subject="passed over", at=MONDAY - HOUR))
    ahead = '{"v": 1, "at": [1, 99]}'
    lose(office, f"UPDATE stream SET cursor = '{ahead}' WHERE key = 'INBOX'")
    assert office.sync()[0].seen == 0
    assert stream_of(run_audit(office, heal=False)).missing == 1
    run_audit(office, heal=True)
    assert "passed over" in office.subjects()


def test_a_mail_in_quarantine_is_no_gap(office):
    key = office.box.deliver(office.mail(subject="spoilt", at=MONDAY - HOUR))
    office.box.make_unreadable(key)
    office.sync()
    inbox = stream_of(run_audit(office, heal=False))
    assert (inbox.seen, inbox.missing) == (5, 0)


def test_what_cannot_be_read_goes_to_quarantine_as_from_a_page(office):
    key = office.box.deliver(office.mail(subject="spoilt", at=MONDAY - HOUR))
    office.box.make_unreadable(key, reason="no header")
    lose(office, """UPDATE stream SET cursor = '{"v": 1, "at": [1, 99]}' WHERE key = 'INBOX'""")
    inbox = stream_of(run_audit(office, heal=True))
    assert (inbox.missing, inbox.healed, inbox.gaps[0].reason) == (1, 1, "no header")
    assert stream_of(run_audit(office, heal=True)).missing == 0


def test_a_text_that_cannot_be_read_does_not_keep_its_mail_out(office, monkeypatch):
    lose(office, "DELETE FROM interaction WHERE subject = 'm1'")
    read = office.box.read

    def hostile(locators, *, items=False, octets=False):
        for body in read(locators, items=items, octets=octets):
            yield body if octets else Body(body.locator, problem="its text takes too long to read")

    monkeypatch.setattr(office.box, "read", hostile)
    run_audit(office, heal=True)
    assert office.subjects() == ["m0", "m1", "m2"]
    monkeypatch.undo()
    office.clock.advance(HOUR)
    office.sync()
    (found,) = [e for e in office.log() if e["subject"] == "m1"]
    assert office.text(found["id"]) == "text 1"


def test_what_is_gone_from_the_server_stays_and_is_counted(office):
    office.box.remove(office.keys_of[0])
    inbox = stream_of(run_audit(office, heal=True))
    assert (inbox.held, inbox.seen, inbox.missing, inbox.kept) == (3, 3, 0, 1)
    assert "m0" in office.subjects()


def test_what_goes_while_the_audit_looks_is_no_gap(office, monkeypatch):
    lose(office, "DELETE FROM interaction WHERE subject = 'm1'")
    held = office.box.held

    def held_then_removed(stream, since):
        yield from list(held(stream, since))
        if stream.key == "INBOX":
            office.box.remove(office.keys_of[1])

    monkeypatch.setattr(office.box, "held", held_then_removed)
    inbox = stream_of(run_audit(office, heal=False))
    assert (inbox.held, inbox.seen, inbox.missing) == (3, 3, 0)


def test_what_arrived_before_the_first_pulls_reach_is_no_gap(office):
    lose(office, "DELETE FROM witness")
    inbox = stream_of(run_audit(office, heal=False, reach=timedelta(minutes=30)))
    assert (inbox.held, inbox.missing) == (0, 0)
    assert stream_of(run_audit(office, heal=False, reach=2 * HOUR)).missing == 4


# -- accounts and folders in trouble ----------------------------------------------------------


def test_an_account_that_was_never_pulled_is_not_compared(office):
    with office.store.write() as tx:
        accounts.declare(tx, "daniel/imap", "mailbox", "memory", DANIEL)
    audited = audit.audit_account(
        office.setup, office.account("daniel/imap"), office.box, heal=True
    )
    assert "crm-sync sync" in audited.error
    assert audited.streams == []


def test_one_bad_folder_stops_no_other(office, monkeypatch):
    lose(office, "DELETE FROM interaction WHERE subject = 'm1'")
    held = office.box.held

    def refused(stream, since):
        if stream.key == "Sent":
            raise Refused("no SEARCH here", scope="stream")
        return held(stream, since)

    monkeypatch.setattr(office.box, "held", refused)
    audited = run_audit(office, heal=True)
    assert "no SEARCH here" in stream_of(audited, "Sent").error
    assert stream_of(audited).healed == 1


def test_a_server_that_is_away_is_the_accounts_own_trouble(office):
    office.box.away = lambda: Unreachable("no answer")
    assert "no answer" in run_audit(office, heal=True).error


# -- pulls look by themselves ---------------------------------------------------------------


def test_a_mail_that_a_server_hid_is_found_by_itself_within_hours(office):
    office.clock.advance(HOUR)
    key = office.box.deliver(office.mail(subject="late", text="late text"))
    office.box.hide(key)
    office.clock.advance(HOUR)
    office.sync()
    office.box.show(key)
    office.clock.advance(HOUR)
    assert office.sync()[0].missed == 0  # it was looked at a little while ago
    office.clock.advance(audit.EVERY)
    (pulled,) = office.sync()
    assert (pulled.missed, pulled.healed, pulled.seen, pulled.logged) == (1, 1, 1, 1)
    late = next(e for e in office.log() if e["subject"] == "late")
    assert office.text(late["id"]) == "late text"
    assert office.account().complete_until == office.clock.now()
    office.clock.advance(audit.EVERY)
    assert office.sync()[0].missed == 0


def test_ordinary_polls_cost_no_further_request(office):
    def requests_of_a_poll() -> int:
        before = office.box.requests
        office.sync()
        return office.box.requests - before

    polls = []
    for _ in range(int(audit.EVERY / HOUR)):
        office.clock.advance(HOUR)
        polls.append(requests_of_a_poll())
    assert polls == [1, 1, 1, 1, 1, 3]


def test_what_the_server_does_not_hand_out_keeps_completeness_where_it_is(office, monkeypatch):
    """A gap that can't be healed turns the status red at once, and says why."""
    proved = office.account().complete_until
    assert problem(office) is None
    ghost = "1:77"
    held = office.box.held

    def with_ghost(stream, since):
        yield from held(stream, since)
        if stream.key == "INBOX":
            yield [ghost]

    read = office.box.read

    def ghostly(locators, **options):
        for body in read(locators, **options):
            if body.locator.key == ghost:
                yield Body(body.locator, problem="the server does not hand it out")
            else:
                yield body

    monkeypatch.setattr(office.box, "held", with_ghost)
    monkeypatch.setattr(office.box, "read", ghostly)
    for _ in range(6):
        office.clock.advance(audit.EVERY)
        (pulled,) = office.sync()
        assert pulled.error is None
        assert "INBOX (1); `crm-sync audit --heal`" in problem(office)
    assert office.account().complete_until < proved + audit.EVERY
    report = status(office.setup, [IMAP])
    (account,) = report["accounts"]
    assert not report["healthy"]
    assert account["state"] == "ok"
    assert "INBOX (1)" in account["problem"]
    folders = {s["name"]: s["complete_until"] for s in account["streams"]}
    assert folders["INBOX"] < folders["Sent"]
    monkeypatch.undo()
    office.clock.advance(HOUR)
    office.sync()
    assert office.account().complete_until == office.clock.now()
    assert status(office.setup, [IMAP])["healthy"]


def test_where_something_was_missing_the_whole_stream_is_compared_again(office):
    """An audit found an old gap and nobody healed it: the next pulls do."""
    office.clock.advance(30 * DAY)
    office.sync()
    lose(office, "DELETE FROM interaction WHERE subject = 'm1'")
    office.clock.advance(audit.EVERY)
    assert office.sync()[0].missed == 0  # only the last days were compared
    assert stream_of(run_audit(office, heal=False)).missing == 1
    office.clock.advance(audit.SOONER)
    assert office.sync()[0].healed == 1
    assert office.subjects() == ["m0", "m1", "m2"]


def test_a_folder_that_is_gone_does_not_hold_the_account_back(office):
    office.box.remove_folder("Sent")
    office.clock.advance(2 * DAY)
    office.sync()
    assert office.account().complete_until == office.clock.now()
    (account,) = status(office.setup, [IMAP])["accounts"]
    assert [s["name"] for s in account["streams"]] == ["INBOX"]


def test_a_pull_with_more_to_come_leaves_a_new_account_new(world):
    box = world.mailbox()
    with world.store.write() as tx:
        row = accounts.declare(tx, IMAP, "mailbox", "memory", KARIN)
    streams = list(box.streams())
    pulled = Pulled(IMAP, "memory", unfinished=True, listed=streams, complete=streams)
    note_health(world.setup, row, pulled, world.clock.now(), HOUR)
    assert (world.account().state, world.account().complete_until) == ("new", None)
    (account,) = status(world.setup, [IMAP])["accounts"]
    assert account["problem"] == "not everything has been pulled yet"
    world.sync()
    assert world.account().state == "ok"
    assert world.account().complete_until == world.clock.now()


# -- calendars, and accounts under other names ------------------------------------------------


def a_meeting(uid: str = "1@nordvik") -> Occurrence:
    lena, karin = Attendee("lena@nordvik.example", "Lena"), Attendee(KARIN, "Karin")
    begin = MONDAY + DAY
    return Occurrence(uid, None, begin, begin + HOUR, "Demo", karin, (lena, karin))


def test_a_lost_meeting_is_healed(world):
    world.customers("Lena,Nordvik AB,lena@nordvik.example")
    calendar = world.calendar()
    calendar.put("1.ics", a_meeting())
    calendar.put("2.ics", a_meeting("2@nordvik"))
    world.sync()
    lose(world, "DELETE FROM interaction WHERE uid = '1@nordvik'")
    (found,) = run_audit(world, DAV, heal=False).streams
    assert (found.held, found.missing, found.gaps[0].where) == (2, 1, "calendar 1.ics")
    assert found.gaps[0].arrived_at is None
    run_audit(world, DAV, heal=True)
    assert sorted(e["uid"] for e in world.log()) == ["1@nordvik", "2@nordvik"]
    assert run_audit(world, DAV, heal=True).open == 0


@pytest.mark.parametrize("name", ["renamed/imap", f"{DANIEL}/imap"], ids=["account", "rep"])
def test_another_name_for_the_same_mailbox_doubles_nothing_and_keeps_its_history(office, name):
    before = [(e["id"], e["subject"]) for e in office.log()]
    rep = DANIEL if name.startswith(DANIEL) else KARIN
    del office.boxes[IMAP]
    office.boxes[name] = (office.box, rep)
    (pulled,) = office.sync()
    assert pulled.error is None
    assert [(e["id"], e["subject"]) for e in office.log()] == before
    assert office.account(IMAP).first_complete_at is not None
    office.box.deliver(office.mail(subject="next"))
    office.sync()
    assert office.subjects() == ["m0", "m1", "m2", "next"]


def test_an_account_taken_out_of_the_configuration_keeps_its_history(office):
    before = office.log()
    office.boxes.clear()
    office.restart()
    assert office.log() == before
