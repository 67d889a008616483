"""A provider's daily share of traffic: history waits for the next day, news never."""

from datetime import UTC, datetime, timedelta

import pytest

from crm_sync.core.records import Page
from crm_sync.flow.traffic import NEW_TEXTS, Traffic
from crm_sync.store import accounts, traffic

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
HISTORY = Page((), "cursor", more=True, history=True)


class Meter:
    """A source that counts, and brings nothing."""

    daily_octets: int | None = 1000
    left_history_out = False

    def __init__(self):
        self.wanted = True
        self.came = 0

    def octets(self):
        return self.came

    def want_history(self, *, wanted):
        self.wanted = wanted


@pytest.fixture
def account(world):
    world.clock.move_to(NOON)
    with world.store.write() as tx:
        return accounts.declare(tx, "karin", "mailbox", "gmail", None)


@pytest.fixture
def meter():
    return Meter()


def noted(world, account, day=NOON):
    with world.store.read() as tx:
        return traffic.received(tx, account.id, day.date())


def stored(world, share):
    with world.store.write() as tx:
        share.note(tx)


def test_history_stops_when_the_share_is_used_up_and_every_stream_hears_of_it(
    world, account, meter
):
    share = Traffic(world.setup, account, meter)
    meter.came = 999
    assert not share.stops(HISTORY)
    assert not share.history_waits()
    meter.came = 1000
    assert share.stops(HISTORY)
    assert not meter.wanted
    assert share.history_waits()
    assert not share.history_waits()
    meter.left_history_out = True
    assert share.history_waits()


@pytest.mark.parametrize("page", [Page((), "cursor", more=True), Page((), "cursor", history=True)])
def test_news_and_the_end_of_history_are_never_stopped(world, account, meter, page):
    share = Traffic(world.setup, account, meter)
    meter.came = 5000
    assert not share.stops(page)
    assert meter.wanted


def test_what_was_received_is_noted_with_its_pages_and_counts_in_the_next_pull(
    world, account, meter
):
    share = Traffic(world.setup, account, meter)
    for meter.came in (300, 600):
        stored(world, share)
        assert noted(world, account) == meter.came
    meter.came += 500
    again = Traffic(world.setup, account, meter)
    assert not again.exhausted()
    meter.came += 400
    assert again.exhausted()
    stored(world, again)
    assert noted(world, account) == 1000
    Traffic(world.setup, account, meter)
    assert not meter.wanted


def test_a_page_that_was_not_stored_after_all_is_counted_once(world, account, meter):
    share = Traffic(world.setup, account, meter)
    meter.came = 300
    with pytest.raises(RuntimeError), world.store.write() as tx:
        share.note(tx)
        raise RuntimeError
    assert noted(world, account) == 0
    meter.came = 400
    stored(world, share)
    assert noted(world, account) == 400


def test_at_midnight_utc_the_share_is_whole_again_even_in_the_middle_of_a_pull(
    world, account, meter
):
    share = Traffic(world.setup, account, meter)
    meter.came = 2000
    stored(world, share)
    assert share.exhausted()
    world.clock.advance(timedelta(hours=12))
    assert not share.exhausted()
    meter.came += 7
    stored(world, share)
    assert noted(world, account, NOON + timedelta(days=1)) == 7
    assert noted(world, account) == 0
    Traffic(world.setup, account, meter)
    assert meter.wanted


def test_texts_of_old_mails_wait_too(world, account, meter):
    share = Traffic(world.setup, account, meter)
    assert share.texts_since() is None
    meter.came = 1000
    assert share.texts_since() == NOON - NEW_TEXTS


def test_what_no_page_brought_is_noted_in_the_end_but_an_idle_poll_writes_nothing(
    world, account, meter
):
    share = Traffic(world.setup, account, meter)
    meter.came = 400
    share.finish()
    assert noted(world, account) == 0
    meter.came = 100_000
    share.finish()
    assert noted(world, account) == 100_000


def test_a_source_without_a_budget_is_neither_counted_nor_stopped(world, account, meter):
    meter.daily_octets = None
    for source in (meter, world.mailbox()):
        share = Traffic(world.setup, account, source)
        meter.came = 10**9
        assert not share.exhausted()
        assert not share.stops(HISTORY)
        assert not share.history_waits()
        assert share.texts_since() is None
        stored(world, share)
        share.finish()
    assert noted(world, account) == 0
