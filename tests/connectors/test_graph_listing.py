"""What a Microsoft 365 mailbox says it holds, and messages as they were sent."""

from datetime import timedelta

import pytest

from connectors.graph import listing
from crm_sync.core.errors import Throttled
from crm_sync.core.records import MOST_OCTETS, Locator
from crm_sync.testing.source_contract import Ledger
from tests.servers.graph_account import NOW, poll, stream_of
from tests.servers.graph_http import throttled


def held(source, since=None):
    return [key for batch in source.held(stream_of(source), since) for key in batch]


def test_what_is_held_is_what_was_pulled_whatever_the_size_of_a_page(account, monkeypatch):
    monkeypatch.setattr(listing, "_PAGE", 3)
    keys = [account.deliver(number) for number in range(10)]
    account.graph.remove(keys.pop(4))
    source, ledger = account.source(), Ledger()
    poll(source, ledger)
    assert sorted(held(source)) == sorted(keys) == sorted(i.key for i in ledger.items)


def test_what_arrived_before_is_left_out_and_so_is_what_the_first_pull_leaves_out(account):
    old = account.deliver(1, NOW - timedelta(days=31))
    young = account.deliver(2, NOW - timedelta(days=4))
    new = account.deliver(3, NOW - timedelta(days=1))
    source = account.source(since="30d")
    assert sorted(held(source)) == sorted([young, new])
    assert held(source, NOW - timedelta(days=3)) == [new]
    assert sorted(held(account.source(since="all"))) == sorted([old, young, new])


def test_drafts_and_a_folder_that_is_gone_hold_nothing(account):
    key = account.deliver(1)
    account.graph.mails[key].row["isDraft"] = True
    source = account.source()
    assert held(source) == []
    stream = stream_of(source)
    account.graph.remove_folder(stream.key)
    assert list(source.held(stream, None)) == []


def test_a_message_comes_as_it_was_sent_and_is_cut(account):
    small, large, gone = (account.deliver(number) for number in range(3))
    account.graph.mails[small].row["mime"] = b"Subject: =?utf-8?q?a?=\r\n\r\ntext\r\n"
    account.graph.mails[large].row["mime"] = b"x" * (MOST_OCTETS + 1)
    account.graph.remove(gone)
    source = account.source()
    stream = stream_of(source)
    bodies = list(source.read([Locator(stream.key, k) for k in (small, large, gone)], octets=True))
    assert bodies[0].octets == b"Subject: =?utf-8?q?a?=\r\n\r\ntext\r\n"
    assert bodies[1].octets == b"x" * MOST_OCTETS
    assert bodies[2].gone
    assert not any(body.text for body in bodies)


def test_throttling_stops_reading_with_the_moment_to_go_on(account):
    key = account.deliver(1)
    source = account.source()
    stream = stream_of(source)
    account.graph.on_request = lambda asked: (
        throttled(17) if asked.path.endswith("$value") else None
    )
    with pytest.raises(Throttled) as caught:
        list(source.read([Locator(stream.key, key)], octets=True))
    assert caught.value.retry_at == NOW + timedelta(seconds=17)
