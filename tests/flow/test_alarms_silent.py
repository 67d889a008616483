"""A silent account is told of after a day, and one that comes and goes not each time."""

from itertools import pairwise

from crm_sync.core.errors import Throttled
from crm_sync.flow import dispatch
from crm_sync.store import accounts
from crm_sync.store.engine import set_memo
from tests.flow.alarm_parts import (
    ADMIN,
    DANIEL,
    DAY,
    HOUR,
    KARIN,
    MINUTE,
    NAME,
    break_down,
    fail,
    leave,
    mend,
    stop,
    text,
    told,
    told_and_left,
    with_people,
    withdrawn,
)

# -- an account that is silent -------------------------------------------------------------------


def test_a_server_that_is_away_for_less_than_a_day_alarms_nobody(world):
    box = world.mailbox()
    world.sync()
    fail(world, box, DAY - MINUTE)
    assert told(world) == []
    mend(world, box)
    assert told(world) == []


def test_after_a_day_without_a_good_pull_the_rep_is_told_what_is_wrong_and_what_waits(world):
    box = world.mailbox()
    world.sync()
    world.clock.advance(HOUR)
    fail(world, box, DAY - HOUR)
    (row,) = told(world)
    assert (row["to"], row["subject"]) == (KARIN, f"Läsningen misslyckas: {NAME}")
    assert row["reason"] == f"{NAME} could not be read for a day"
    mail = text(world, row)
    assert "Servern går inte att nå." in mail
    assert (
        "    imap:993: no answer from the server within 30 seconds. Check host and port.\n" in mail
    )
    assert f"    crm-sync sync --account {NAME}\n" in mail
    assert "Allt fram till mån 2 mars 10:00" in mail
    assert "inget går förlorat" in mail


def test_of_an_account_that_never_had_a_good_pull_the_day_begins_with_its_failure(world):
    box = world.mailbox()
    fail(world, box, DAY - MINUTE)
    assert told(world) == []
    world.clock.advance(MINUTE)
    world.sync()
    (row,) = told(world)
    assert "Inget har lästs ännu" in text(world, row)


def test_of_what_was_read_but_never_proved_complete_no_moment_is_named(world):
    box = world.mailbox()
    world.sync()
    with world.store.write() as tx:
        tx.exec_driver_sql("UPDATE account SET complete_until = NULL")
    fail(world, box, DAY)
    (row,) = told(world)
    mail = text(world, row)
    assert "Det som kommer under tiden ligger kvar på servern" in mail
    assert "Inget har lästs" not in mail


def test_a_silence_is_told_once_however_long_it_lasts(world):
    box = world.mailbox()
    fail(world, box, DAY)
    assert len(told_and_left(world)) == 1
    for _ in range(20):
        world.clock.advance(7 * HOUR)
        world.sync()
        assert told(world) == []


def test_manager_and_admin_are_told_of_a_silence_too_and_of_its_end(world):
    with_people(world, manager=DANIEL, admin=ADMIN)
    box = world.mailbox()
    fail(world, box, DAY)
    assert [row["to"] for row in told_and_left(world)] == [KARIN, DANIEL, ADMIN]
    mend(world, box)
    rows = told(world)
    assert [row["to"] for row in rows] == [KARIN, DANIEL, ADMIN]
    assert rows[1]["subject"] == f"Works again: {NAME}"
    assert told(world) == []


def test_of_a_silent_team_mailbox_the_admin_is_told(world):
    with_people(world, admin=ADMIN)
    fail(world, world.mailbox(rep=None), DAY)
    assert [row["to"] for row in told(world)] == [ADMIN]


def test_a_server_that_asks_for_patience_all_day_is_told_without_a_command_that_bothers_it(world):
    def busy():
        return Throttled("the server asks us to wait", where="imap:993")

    box = world.mailbox()
    world.sync()
    fail(world, box, DAY, busy)
    (row,) = told(world)
    mail = text(world, row)
    assert "Servern begränsar hur mycket som får läsas" in mail
    assert "crm-sync sync" not in mail


def test_a_program_that_was_off_tries_before_it_says_that_an_account_is_silent(world):
    box = world.mailbox()
    world.sync()
    fail(world, box, HOUR)
    world.clock.advance(3 * DAY)
    assert told(world) == []
    with world.store.write() as tx:
        accounts.forgive(tx, world.clock.now(), ())
    assert told(world) == []
    world.sync()
    assert len(told(world)) == 1


def test_what_fails_in_the_first_minutes_after_a_long_pause_is_not_told_at_once(world):
    box = world.mailbox()
    world.sync()
    world.clock.advance(3 * DAY)
    fail(world, box, 9 * MINUTE)
    assert told(world) == []
    world.clock.advance(MINUTE)
    assert len(told(world)) == 1


def test_accounts_that_fall_silent_within_minutes_are_one_mail(world):
    with_people(world, admin=ADMIN)
    for number in range(5):
        break_down(world, f"info{number}/imap")
        world.clock.advance(5 * MINUTE)
    world.clock.advance(DAY - 25 * MINUTE)
    world.sync()
    assert told(world) == []
    world.clock.advance(20 * MINUTE)
    world.sync()
    (row,) = told(world)
    assert row["subject"] == "Reading fails for 5 accounts"


def test_no_silent_account_waits_more_than_an_hour_for_others(world):
    with_people(world, admin=ADMIN)
    for name in ("first/imap", "second/imap", "third/imap"):
        break_down(world, name)
        world.clock.advance(50 * MINUTE)
    world.clock.advance(DAY - 100 * MINUTE)
    world.sync()
    assert told(world) == []
    world.clock.advance(10 * MINUTE)
    world.sync()
    assert [row["subject"] for row in told(world)] == ["Reading fails: first/imap"]
    world.clock.advance(40 * MINUTE)
    world.sync()
    assert [row["subject"] for row in told(world)] == ["Reading fails for 2 accounts"]


def test_a_silent_account_that_is_then_refused_is_told_again_as_a_person_must_act(world):
    box = world.mailbox()
    fail(world, box, DAY)
    assert len(told_and_left(world)) == 1
    stop(world, box)
    (row,) = told_and_left(world)
    assert row["subject"] == f"Kan inte läsas: {NAME}"
    mend(world, box)
    assert [row["subject"] for row in told(world)] == [f"Fungerar igen: {NAME}"]


def test_an_account_that_has_stopped_is_not_told_again_as_silent(world):
    box = world.mailbox()
    stop(world, box)
    assert len(told_and_left(world)) == 1
    fail(world, box, 2 * DAY)
    assert told(world) == []


# -- an account that comes and goes --------------------------------------------------------------


def test_an_account_that_comes_and_goes_is_told_once_a_day(world):
    box = world.mailbox()
    world.sync()
    alarms_at, clear_at = [], []
    for _ in range(3 * 24):
        stop(world, box)
        alarms_at += [world.clock.now() for _ in told_and_left(world)]
        world.clock.advance(19 * MINUTE)
        mend(world, box)
        clear_at += [world.clock.now() for _ in told_and_left(world)]
        world.clock.advance(30 * MINUTE)
    assert len(alarms_at) == len(clear_at) == 3
    assert all(after - before >= DAY for before, after in pairwise(alarms_at))


def test_a_second_failure_that_outlasts_the_damping_is_told_then(world):
    box = world.mailbox()
    stop(world, box)
    told_and_left(world)
    mend(world, box)
    told_and_left(world)
    stop(world, box)
    assert told(world) == []
    world.clock.advance(DAY - 12 * MINUTE)
    assert told(world) == []
    world.clock.advance(MINUTE)
    (row,) = told(world)
    assert row["subject"] == f"Kan inte läsas: {NAME}"


def test_a_new_failure_is_told_although_nobody_noticed_that_the_first_one_ended(world):
    box = world.mailbox()
    stop(world, box)
    told_and_left(world)
    mend(world, box)
    world.clock.advance(DAY)
    stop(world, box)
    assert [row["subject"] for row in told(world)] == [f"Kan inte läsas: {NAME}"]


def test_the_end_of_a_failure_that_nobody_was_told_of_is_not_told(world):
    box = world.mailbox()
    stop(world, box)
    told_and_left(world)
    mend(world, box)
    assert len(told_and_left(world)) == 1
    stop(world, box)
    mend(world, box)
    assert told(world) == []


def test_an_alarm_that_has_not_left_when_all_is_well_never_leaves(world):
    box = world.mailbox()
    stop(world, box)
    (alarm,) = told(world)
    mend(world, box)
    assert told(world) == []
    leave(world)
    assert world.sender.delivered == []
    (row,) = world.outbox()
    assert (row["id"], row["state"], row["error"]) == (alarm["id"], "skipped", "it works again")


def test_an_alarm_about_two_accounts_leaves_before_one_of_them_is_said_to_work(world):
    first, second = world.mailbox(), world.calendar()
    first.away = second.away = withdrawn
    world.sync()
    world.clock.advance(11 * MINUTE)
    (alarm,) = told(world)
    mend(world, first)
    assert told(world) == []
    assert "2 konton" in alarm["subject"]
    leave(world)
    (row,) = told(world)
    assert row["subject"] == f"Fungerar igen: {NAME}"
    assert told(world) == []


def test_only_those_whom_an_alarm_has_reached_are_told_that_it_works(world):
    with_people(world, admin=ADMIN)
    box = world.mailbox()
    stop(world, box)
    to_karin, _ = told(world)
    dispatch.cancel(world.setup, to_karin["id"])
    leave(world)
    mend(world, box)
    assert [row["to"] for row in told(world)] == [ADMIN]


def test_what_an_older_version_remembered_does_not_tell_a_failure_twice(world):
    box = world.mailbox()
    stop(world, box)
    assert len(told_and_left(world)) == 1
    with world.store.write() as tx:
        since = world.account().failing_since
        set_memo(tx, "alarms", f'{{"{world.account().id}": "{since:%Y-%m-%dT%H:%M:%SZ}"}}')
    assert told(world) == []
    mend(world, box)
    assert [row["subject"] for row in told(world)] == [f"Fungerar igen: {NAME}"]
