"""Whoever can mend an account is told once, in her language, with the very command to type."""

from dataclasses import replace
from datetime import date, timedelta

import pytest

from connectors.memory.source import MemoryMailbox
from crm_sync.core.errors import Refused
from crm_sync.flow import alarms
from crm_sync.flow.alarms import Ending
from crm_sync.flow.status import status
from tests.core.mails import LANGUAGES
from tests.flow.alarm_parts import (
    ADMIN,
    DANIEL,
    DAY,
    KARIN,
    MINUTE,
    NAME,
    fail,
    mend,
    stop,
    text,
    told,
    told_and_left,
    unreachable,
    with_people,
    withdrawn,
)

# -- an account that stopped ---------------------------------------------------------------------


def test_the_rep_is_told_with_the_command_and_what_waits(world):
    box = world.mailbox()
    world.sync()
    stop(world, box)
    (row,) = told(world)
    assert (row["kind"], row["to"], row["state"]) == ("alarm", KARIN, "queued")
    mail = text(world, row)
    assert f"    crm-sync login {NAME}\n" in mail
    assert "behörigheten" in mail
    assert "Allt fram till mån 2 mars 10:00" in mail
    assert "inget går förlorat" in mail


def test_nobody_is_told_of_what_mends_itself_within_ten_minutes(world):
    box = world.mailbox()
    box.away = withdrawn
    world.sync()
    assert told(world) == []
    world.clock.advance(9 * MINUTE)
    assert told(world) == []
    world.clock.advance(MINUTE)
    assert len(told(world)) == 1


def test_one_failure_is_told_once_however_long_it_lasts(world):
    box = world.mailbox()
    stop(world, box)
    assert len(told(world)) == 1
    for _ in range(20):
        world.clock.advance(timedelta(hours=7))
        world.sync()
        assert told(world) == []
    world.restart()
    assert told(world) == []


def test_when_it_works_again_that_is_told_too_and_the_next_failure_anew(world):
    box = world.mailbox()
    stop(world, box)
    told_and_left(world)
    mend(world, box)
    (row,) = told(world)
    assert "inget saknas" in text(world, row)
    assert told(world) == []
    world.clock.advance(DAY)
    stop(world, box)
    (row,) = told(world)
    assert "crm-sync login" in text(world, row)


def test_a_password_that_is_refused_is_told_with_our_own_sentence_and_a_command_that_tries(world):
    box = world.mailbox()
    advice = 'Check username and password = "secret:…".'
    what = "the server refused the password of karin"
    stop(world, box, lambda: Refused(what, where="imap:993", advice=advice, kind="password"))
    (row,) = told(world)
    mail = text(world, row)
    assert "Servern godtar inte lösenordet." in mail
    assert f"    imap:993: {what}. {advice}\n" in mail
    assert f"    crm-sync sync --account {NAME}\n" in mail
    assert "Inget har lästs ännu" in mail


def test_manager_and_admin_are_told_each_in_their_language(world):
    with_people(world, manager=DANIEL, admin=ADMIN)
    box = world.mailbox()
    stop(world, box)
    rows = told(world)
    assert [row["to"] for row in rows] == [KARIN, DANIEL, ADMIN]
    assert "Sign in again with this command" in text(world, rows[1])
    assert "Logga in igen" in text(world, rows[0])


def test_one_person_in_two_roles_gets_one_mail(world):
    with_people(world, manager=DANIEL, admin=DANIEL)
    box = world.mailbox()
    stop(world, box)
    assert [row["to"] for row in told(world)] == [KARIN, DANIEL]


def test_of_a_team_mailbox_the_admin_is_told_or_else_everybody(world):
    box = world.mailbox(rep=None)
    stop(world, box)
    assert [row["to"] for row in told(world)] == [KARIN, DANIEL]
    mend(world, box)
    told(world)
    world.clock.advance(DAY)
    with_people(world, admin=ADMIN)
    stop(world, box)
    assert [row["to"] for row in told(world)] == [ADMIN]


def test_many_accounts_that_stop_together_are_one_mail_to_the_admin(world):
    with_people(world, admin=ADMIN)
    for number in range(30):
        world.boxes[f"info{number}/imap"] = (MemoryMailbox(), None)
    for box, _ in world.boxes.values():
        box.away = withdrawn
    world.sync()
    world.clock.advance(11 * MINUTE)
    (row,) = told(world)
    assert row["subject"] == "30 accounts can't be read"
    mail = text(world, row)
    assert mail.count("\n    crm-sync login info") == 20
    assert "This command lists 10 more" in mail


def test_an_account_that_is_not_configured_any_more_alarms_nobody(world):
    box = world.mailbox()
    stop(world, box)
    assert told(world, names={"team/imap"}) == []


def test_without_mails_to_reps_nobody_is_told(world):
    box = world.mailbox()
    stop(world, box)
    alarms.plan(world.setup, replace(world.post, to_reps=False), set(world.boxes))
    assert world.outbox() == []


def test_status_shows_the_pause_and_its_reason(world):
    box = world.mailbox()
    stop(world, box)
    (entry,) = status(world.setup, [NAME])["accounts"]
    assert entry["state"] == "paused"
    assert f"crm-sync login {NAME}" in entry["last_error"]


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_language_names_command_and_account(world, language):
    karin, *others = world.setup.reps
    world.setup = replace(world.setup, reps=(replace(karin, language=language), *others))
    box = world.mailbox()
    stop(world, box)
    (row,) = told(world)
    mail = text(world, row)
    assert NAME in row["subject"]
    assert f"crm-sync login {NAME}" in mail


@pytest.mark.parametrize(
    ("language", "label"),
    [
        ("sv", "Detaljer (på engelska):"),
        ("da", "Detaljer (på engelsk):"),
        ("fa", "جزئیات (به انگلیسی):"),
        ("vi", "Chi tiết (bằng tiếng Anh):"),
        ("zh", "详细信息（英文）："),
        ("en", "Details:"),
    ],
)
def test_every_language_says_that_our_own_sentence_is_english(world, language, label):
    karin, *others = world.setup.reps
    world.setup = replace(world.setup, reps=(replace(karin, language=language), *others))
    box = world.mailbox()
    fail(world, box, DAY)
    (row,) = told(world)
    assert NAME in row["subject"]
    mail = text(world, row)
    assert f"{label}\n    " in mail
    assert unreachable().sentence() in mail
    assert f"    crm-sync sync --account {NAME}\n" in mail


# -- what ends soon ------------------------------------------------------------------------------


def test_a_secret_that_ends_is_told_two_weeks_and_three_days_before_and_each_once(world):
    world.mailbox()
    endings = [Ending(NAME, KARIN, "secret", date(2026, 3, 20))]
    days = []
    for _ in range(30):
        days += [world.clock.now().date() for _ in told(world, endings=endings)]
        assert told(world, endings=endings) == []
        world.clock.advance(timedelta(days=1))
    assert days == [date(2026, 3, 6), date(2026, 3, 17)]


def test_a_warning_names_the_day_and_says_what_to_do(world):
    world.mailbox()
    endings = [Ending(NAME, KARIN, "secret", date(2026, 3, 10))]
    (row,) = told(world, endings=endings)
    mail = text(world, row)
    assert "tis 10 mars" in mail
    assert "client_secret" in mail


def test_a_sign_in_that_ends_is_renewed_by_the_command_in_the_mail(world):
    world.mailbox()
    (row,) = told(world, endings=[Ending(NAME, KARIN, "sign_in", date(2026, 3, 4))])
    assert f"crm-sync login {NAME}" in text(world, row)


def test_one_secret_of_many_accounts_is_one_warning_to_the_admin(world):
    with_people(world, admin=ADMIN)
    endings = [Ending(f"info{n}/gmail", None, "secret", date(2026, 3, 10)) for n in range(5)]
    (row,) = told(world, names={"x"}, endings=endings)
    assert row["to"] == ADMIN
    assert "5" in row["subject"]
