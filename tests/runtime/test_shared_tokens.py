"""A sender may use the sign-in of an account until it has one of its own."""

from datetime import UTC, datetime

import pytest

from crm_sync.core.errors import Refused, Unreachable
from crm_sync.core.keys import Keys
from crm_sync.runtime.tokens import StoredTokens
from crm_sync.store.engine import open_store
from crm_sync.testing.clock import FixedClock

CLOCK = FixedClock(datetime(2026, 3, 4, 12, tzinfo=UTC))
MAILBOX, SENDER = "karin@acme.example/gmail", "karin@acme.example/sender"


@pytest.fixture
def store(tmp_path):
    store = open_store(f"sqlite:///{tmp_path / 'diary.db'}", Keys(b"k" * 32))
    yield store
    store.close()


@pytest.fixture
def mailbox(store):
    return StoredTokens(store, MAILBOX, CLOCK, patience=0)


@pytest.fixture
def sender(store):
    return StoredTokens(store, SENDER, CLOCK, formerly=[MAILBOX], patience=0)


def test_what_is_shared_is_renewed_for_both(mailbox, sender):
    mailbox.save("first")
    assert sender.load() == "first"
    with sender.lock():
        sender.save("renewed")
    assert mailbox.load() == sender.load() == "renewed"


def test_a_sign_in_of_its_own_takes_over_and_touches_the_other_no_more(store, mailbox, sender):
    mailbox.save("shared")
    StoredTokens(store, SENDER, CLOCK).save("own")
    assert sender.load() == "own"
    with sender.lock():
        sender.save("own, renewed")
    assert mailbox.load() == "shared"
    assert sender.load() == "own, renewed"


def test_without_any_there_is_none_and_the_first_is_its_own(mailbox, sender):
    assert sender.load() is None
    with sender.lock():
        sender.save("own")
    assert mailbox.load() is None


def test_while_they_share_only_one_renews_at_a_time(mailbox, sender):
    mailbox.save("shared")
    with sender.lock(), pytest.raises(Unreachable), mailbox.lock():
        pytest.fail("two hold the same tokens")
    with mailbox.lock(), pytest.raises(Unreachable), sender.lock():
        pytest.fail("two hold the same tokens")
    with sender.lock():
        pass


def test_nobody_waits_for_the_other_when_each_has_its_own(mailbox, sender, store):
    mailbox.save("hers")
    StoredTokens(store, SENDER, CLOCK).save("own")
    with mailbox.lock(), sender.lock():
        pass


def test_shared_tokens_of_another_key_are_told_with_the_senders_own_command(store, mailbox, sender):
    mailbox.save("text")
    store.keys = Keys(b"x" * 32)
    with pytest.raises(Refused) as caught:
        StoredTokens(store, SENDER, CLOCK, formerly=[MAILBOX]).load()
    assert caught.value.advice == f"Run: crm-sync login {SENDER}"
