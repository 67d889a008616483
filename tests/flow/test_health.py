"""What an account does after a failure: waits that fit the trouble, and nobody locked out by us."""

from dataclasses import replace
from datetime import timedelta
from itertools import pairwise

import pytest

from connectors.memory.source import MemoryMailbox
from crm_sync.core.errors import CrmSyncError, Refused, Throttled, Unreachable
from crm_sync.flow import breaker, health
from crm_sync.flow.pull import pull_account
from crm_sync.store import accounts, hosts, tokens

KARIN = "karin@acme.example"
NAME = f"{KARIN}/imap"
HOST = "imap.acme.example:993"
MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)


@pytest.fixture
def world(world):
    """A world in which waits are neither spread nor jittered: chance always gives a zero."""
    world.setup = replace(world.setup, chance=lambda: 0.0)
    return world


def days_of_a_daemon(world, box, length):
    """The times, from now on, at which a daemon asks for the mailbox."""
    began, asked = world.clock.now(), []
    while world.clock.now() - began < length:
        with world.store.read() as tx:
            due = accounts.due(tx, world.clock.now())
        before = box.requests
        if world.account().id in due:
            world.sync()
        if box.requests > before:
            asked.append(world.clock.now() - began)
        coming = world.account().next_pull or world.clock.now()
        world.clock.move_to(max(coming, world.clock.now() + timedelta(seconds=30)))
    return asked


def no(kind: str) -> CrmSyncError:
    return Refused("the server says no", kind=kind)


# -- back-off ------------------------------------------------------------------------------------


def test_a_refused_password_is_shown_four_times_in_two_hours_and_then_hardly_ever(world):
    box = world.mailbox()
    world.sync()
    box.away = lambda: no("password")
    asked = days_of_a_daemon(world, box, timedelta(days=1))
    assert [round(at / MINUTE) for at in asked[:4]] == [1, 16, 46, 106]
    assert world.account().state == "paused"
    assert [round((b - a) / HOUR) for a, b in pairwise(asked[3:])] == [6, 6, 6]
    assert min(b - a for a, b in pairwise(asked)) >= 15 * MINUTE


def test_a_no_without_a_reason_is_tried_sooner_because_it_may_be_throttling(world):
    box = world.mailbox()
    world.sync()
    box.away = lambda: no("sign_in")
    asked = days_of_a_daemon(world, box, 2 * HOUR)
    assert [round(at / MINUTE) for at in asked] == [1, 2, 7, 37]
    assert world.account().state == "paused"


def test_a_withdrawn_consent_pauses_the_account_at_once(world):
    box = world.mailbox()
    box.away = lambda: Refused("withdrawn", advice=f"Run: crm-sync login {NAME}", kind="consent")
    world.sync()
    row = world.account()
    assert (row.state, row.trouble) == ("paused", "consent")
    assert f"crm-sync login {NAME}" in row.last_error
    assert len(days_of_a_daemon(world, box, timedelta(days=1))) == 3


def test_after_a_sign_in_everything_is_caught_up_without_a_gap(world):
    world.customers("Lena,Nordvik AB,lena@nordvik.example")
    box = world.mailbox()
    box.deliver(world.mail(subject="before"))
    world.sync()
    box.away = lambda: no("consent")
    for number in range(3):
        box.deliver(world.mail(subject=f"meanwhile {number}"))
        days_of_a_daemon(world, box, 8 * HOUR)
    box.away = None
    with world.store.write() as tx:
        tokens.pull_soon(tx, NAME, world.clock.now())
    assert world.account().state == "failing"
    days_of_a_daemon(world, box, MINUTE)
    assert world.account().state == "ok"
    assert world.subjects() == ["before", "meanwhile 0", "meanwhile 1", "meanwhile 2"]


def test_an_account_over_its_quota_is_left_alone_for_an_hour_at_least(world):
    box = world.mailbox()
    world.sync()
    now = world.clock.now
    box.away = lambda: Throttled("too much", retry_at=now() + HOUR, kind="quota")
    asked = days_of_a_daemon(world, box, 5 * HOUR)
    assert min(b - a for a, b in pairwise(asked)) >= HOUR
    assert world.account().state == "failing"


def test_a_stated_wait_is_kept_to_the_second_and_capped_at_a_day(world):
    box = world.mailbox()
    began = world.clock.now()
    box.away = lambda: Throttled("slowly", retry_at=began + timedelta(seconds=92))
    world.sync()
    assert world.account().next_pull == began + timedelta(seconds=92)
    box.away = lambda: Throttled("slowly", retry_at=began + timedelta(days=400))
    world.sync()
    assert world.account().next_pull == began + timedelta(days=1)


@pytest.mark.parametrize(("failures", "most"), [(1, 5), (2, 10), (3, 20), (8, 640), (9, 900)])
def test_an_unreachable_server_is_asked_again_at_any_time_below_a_growing_most(failures, most):
    rule = health.back_off(Unreachable("no answer", kind="network"))
    assert rule.wait(failures, 0.0) == timedelta()
    assert rule.wait(failures, 1.0) == timedelta(seconds=most)
    assert rule.wait(failures, 0.5) == timedelta(seconds=most / 2)


def test_waits_after_a_no_are_never_shortened_by_chance():
    rule = health.back_off(no("password"))
    assert rule.wait(1, 0.0) == 15 * MINUTE
    assert 15 * MINUTE < rule.wait(1, 0.9) < 20 * MINUTE


def test_a_network_failure_in_between_does_not_use_up_tries_of_a_password(world):
    box = world.mailbox()
    for kind in ("password", "network", "password", "network", "password", "network", "password"):
        box.away = lambda kind=kind: (
            Unreachable("no answer", kind=kind) if kind == "network" else no(kind)
        )
        world.sync()
        assert world.account().state == ("failing" if kind == "network" else "refused")


def test_a_good_pull_forgets_all_failures(world):
    box = world.mailbox()
    box.away = lambda: no("password")
    for _ in range(3):
        world.sync()
    box.away = None
    world.sync()
    row = world.account()
    assert (row.state, row.failures, row.trouble, row.last_error) == ("ok", 0, "", None)


# -- what a person changes -----------------------------------------------------------------------


def declared(world, fingerprint):
    with world.store.write() as tx:
        return accounts.declare(
            tx, NAME, "mailbox", "memory", KARIN, host=HOST, fingerprint=fingerprint
        )


def test_a_changed_secret_makes_a_paused_account_due_at_once(world):
    box = world.mailbox()
    declared(world, b"1" * 16)
    box.away = lambda: no("consent")
    pull_account(world.setup, world.account(), box, interval=MINUTE)
    assert declared(world, b"1" * 16).state == "paused"
    row = declared(world, b"2" * 16)
    assert (row.state, row.next_pull, row.failures) == ("failing", None, 0)


def test_a_daemon_that_is_started_again_and_again_does_not_lock_anybody_out(world):
    box = world.mailbox()
    box.away = lambda: no("password")
    for _ in range(4):
        world.sync()
    tries = box.requests
    for _ in range(3 * 60):
        with world.store.write() as tx:
            soon = world.clock.now() + health.SIGN_IN_PAUSE
            accounts.forgive(tx, soon, health.SIGN_IN_KINDS)
        with world.store.read() as tx:
            due = accounts.due(tx, world.clock.now())
        if world.account().id in due:
            world.sync()
        world.clock.advance(MINUTE)
    assert 1 <= box.requests - tries <= 3 * 60 / 15


def test_a_daemon_that_is_started_again_asks_a_server_that_was_down_at_once(world):
    box = world.mailbox()
    box.away = lambda: Unreachable("no answer", kind="network")
    for _ in range(9):
        world.sync()
    with world.store.write() as tx:
        accounts.forgive(tx, world.clock.now() + health.SIGN_IN_PAUSE, health.SIGN_IN_KINDS)
    assert world.account().next_pull is None


def test_a_pull_of_everything_leaves_a_paused_account_alone_and_says_what_to_type(world):
    box = world.mailbox()
    box.away = lambda: no("consent")
    world.sync()
    row = world.account()
    assert health.is_paused(row, world.clock.now())
    assert f"crm-sync sync --account {NAME}" in health.left_alone(row).error
    assert not health.is_paused(row, world.clock.now() + 7 * HOUR)


# -- the breaker of a host -----------------------------------------------------------------------


class Crowd:
    """Many mailboxes of one host, which is up or down."""

    def __init__(self, world, number):
        self.world = world
        self.connects = 0
        self.boxes = {}
        self.down = True
        with world.store.write() as tx:
            for n in range(number):
                row = accounts.declare(tx, f"rep{n}/imap", "mailbox", "memory", None, host=HOST)
                box = MemoryMailbox()
                box.away = self._away
                self.boxes[row.id] = box

    def _away(self):
        return Unreachable("nobody listens there", kind="network", scope="host")

    def round(self):
        """What a daemon does at a tick; how many accounts asked the host for a connection."""
        world = self.world
        with world.store.read() as tx:
            due = accounts.due(tx, world.clock.now())
            rows = accounts.all_accounts(tx) if due else []
        before = sum(box.requests for box in self.boxes.values())
        crowd = breaker.Crowd()
        for row in rows:
            if row.id in due and crowd.admits(row, self.boxes):
                box = self.boxes[row.id]
                box.away = self._away if self.down else None
                pull_account(world.setup, row, box, interval=MINUTE)
        world.clock.advance(timedelta(seconds=5))
        return sum(box.requests for box in self.boxes.values()) - before

    def states(self):
        with self.world.store.read() as tx:
            return [row.state for row in accounts.all_accounts(tx)]


def test_five_hundred_accounts_on_a_dead_host_cost_few_connects(world):
    crowd = Crowd(world, 500)
    assert crowd.round() == 3
    assert set(crowd.states()) == {"failing"}  # those that were not tried say so too
    assert sum(crowd.round() for _ in range(12 * 60)) <= 12


def test_when_the_host_is_back_one_account_finds_out_and_all_follow(world):
    crowd = Crowd(world, 50)
    for _ in range(3):
        crowd.round()
    crowd.down = False
    while (asked := crowd.round()) == 0:
        pass
    assert asked >= 1
    for _ in range(3):
        crowd.round()
    assert set(crowd.states()) == {"ok"}
    with world.store.read() as tx:
        assert hosts.get(tx, HOST) is None


def test_only_one_account_tries_a_host_whose_time_has_come(world):
    crowd = Crowd(world, 10)
    crowd.round()
    world.clock.advance(MINUTE)
    with world.store.read() as tx:
        rows = accounts.all_accounts(tx)
    admitted = [breaker.admit(world.setup, row) for row in rows]
    assert [a.is_the_try for a in admitted] == [True] + [False] * 9
    assert [a.until is None for a in admitted] == [True] + [False] * 9
    world.clock.advance(breaker.TRY + MINUTE)
    assert breaker.admit(world.setup, rows[5]).is_the_try  # the first one died on the way


def test_a_host_that_stays_dead_is_asked_less_and_less(world):
    crowd = Crowd(world, 5)
    asked = [n for n in range(12 * 60) if crowd.round()]
    gaps = [b - a for a, b in pairwise(asked)]
    assert gaps == sorted(gaps)
    assert max(gaps) * 5 <= 15 * 60


def test_one_account_that_can_not_connect_does_not_stop_the_others(world):
    crowd = Crowd(world, 3)
    crowd.down = False
    crowd.round()
    with world.store.read() as tx:
        first, *others = accounts.all_accounts(tx)
    for _ in range(20):
        box = crowd.boxes[first.id]
        box.away = crowd._away
        pull_account(world.setup, world.account(first.name), box, interval=MINUTE)
        world.clock.advance(MINUTE)
        for row in others:
            done = pull_account(
                world.setup, world.account(row.name), crowd.boxes[row.id], interval=MINUTE
            )
            assert done.error is None


def test_a_server_that_says_no_is_there(world):
    crowd = Crowd(world, 4)
    crowd.round()
    with world.store.read() as tx:
        row = accounts.all_accounts(tx)[0]
    world.clock.advance(MINUTE)
    box = crowd.boxes[row.id]
    box.away = lambda: no("password")
    pull_account(world.setup, row, box, interval=MINUTE)
    with world.store.read() as tx:
        assert hosts.get(tx, HOST) is None


def test_an_account_that_waits_with_its_host_says_so_and_a_refused_one_keeps_its_own_reason(world):
    crowd = Crowd(world, 4)
    with world.store.write() as tx:
        last = accounts.all_accounts(tx)[3]
        accounts.failed(
            tx, last.id, at=world.clock.now(), sentence="the server refused the password",
            state="refused", trouble="password", failures=1, next_pull=world.clock.now(),
        )  # fmt: skip
    crowd.round()
    with world.store.read() as tx:
        rows = accounts.all_accounts(tx)
    assert rows[3].last_error == "the server refused the password"
    assert [row.state for row in rows] == ["failing"] * 3 + ["refused"]
    crowd = Crowd(world, 5)
    crowd.round()
    row = world.account("rep4/imap")
    assert row.last_error.startswith(f"{HOST}: the server answers none of its accounts")


def test_at_the_start_accounts_of_a_host_begin_a_few_at_a_time(world):
    with world.store.write() as tx:
        rows = [
            accounts.declare(tx, f"rep{n}/imap", "mailbox", "memory", None, host=HOST)
            for n in range(500)
        ]
        other = accounts.declare(tx, "team/maildir", "mailbox", "memory", None)
    crowd = breaker.Crowd()
    assert sum(crowd.admits(row, ()) for row in rows) == breaker.A_ROUND
    assert crowd.admits(other, ())
    running = replace(rows[499], state="ok")
    assert crowd.admits(running, {running.id})
