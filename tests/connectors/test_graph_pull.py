"""What a mailbox at Microsoft 365 brings, whatever its server does meanwhile."""

from datetime import timedelta

import pytest

from crm_sync.core.errors import Refused, Throttled, Unreachable
from crm_sync.core.records import Locator
from crm_sync.testing.source_contract import Ledger, pull
from tests.servers.graph import running
from tests.servers.graph_account import NOW, Account, numbers, poll, stream_of
from tests.servers.graph_http import Reply, problem, throttled

WORDS = "words of the server"


@pytest.fixture
def account():
    with running() as graph:
        account = Account(graph)
        yield account
        account.close()
        assert graph.busiest == 1
        assert {asked.method for asked in graph.asked} <= {"GET"}


def test_a_poll_of_all_folders_is_one_request(account, graph):
    account.deliver(1)
    source = account.source()
    ledgers = {stream.key: Ledger() for stream in source.streams()}
    for stream in source.streams():
        pull(source, stream, ledgers[stream.key])
    before = len(graph.outer)
    streams = source.streams()
    assert graph.outer[before:] == ["POST /$batch"]
    assert [pull(source, s, ledgers[s.key]) for s in streams] == [[]] * len(streams)
    account.deliver(2)
    before = len(graph.outer)
    assert [len(pull(source, s, ledgers[s.key])) for s in source.streams()] == [1, 0, 0]
    assert graph.outer[before:] == ["POST /$batch"] * 2


def test_history_comes_newest_first_and_no_further_back_than_since(account):
    account.deliver(99, NOW - timedelta(days=31))
    for number in range(7):
        account.deliver(number)
    source, ledger = account.source(since="30d"), Ledger()
    pages = poll(source, ledger)
    assert numbers(ledger) == [6, 5, 4, 3, 2, 1, 0]
    assert max(len(page.items) for page in pages) <= 3
    everything = Ledger()
    poll(account.source(since="all"), everything)
    assert numbers(everything) == [6, 5, 4, 3, 2, 1, 0, 99]


@pytest.mark.parametrize("size", [1, 2, 3, 4, 100])
def test_a_second_with_more_mails_than_a_page_brings_each_once(account, size):
    for number in range(11):
        account.deliver(number, NOW - timedelta(hours=1) + timedelta(milliseconds=number))
    account.deliver(11, NOW - timedelta(hours=2))
    ledger = Ledger()
    poll(account.source(page_size=size), ledger)
    assert sorted(numbers(ledger)) == list(range(12))


def test_mails_deleted_between_two_pages_hide_no_other(account, graph):
    keys = [account.deliver(number) for number in range(10)]
    source, ledger = account.source(), Ledger()
    for page in source.pull(stream_of(source), None, ledger.known):
        ledger.store(page)
        for key in [i.key for i in page.items]:
            if key in graph.mails:
                graph.remove(key)
    assert sorted(numbers(ledger)) == list(range(len(keys)))


def test_mails_that_come_during_the_first_pull_come_too(account):
    for number in range(6):
        account.deliver(number)
    source, ledger = account.source(), Ledger()
    fresh = iter(range(100, 200))
    for count, page in enumerate(source.pull(stream_of(source), None, ledger.known)):
        ledger.store(page)
        if count < 5:
            account.deliver(next(fresh), NOW - timedelta(minutes=5))
    poll(source, ledger)
    assert set(numbers(ledger)) == {*range(6), *range(100, next(fresh))}


def test_drafts_are_no_mail_until_they_are_sent(account, graph):
    key = account.deliver(1, folder="inbox", isDraft=True)
    source, ledger = account.source(), Ledger()
    poll(source, ledger)
    assert ledger.items == []
    graph.mails[key].row["isDraft"] = False
    graph.touch(key)
    poll(source, ledger)
    assert numbers(ledger) == [1]


def test_rows_that_repeat_change_order_and_lack_properties_make_whole_items(account, graph):
    source, ledger = account.source(), Ledger()
    poll(source, ledger)
    graph.repeats = graph.reverses = graph.partial_rows = True
    keys = [account.deliver(number) for number in range(3)]
    for key in keys:
        graph.touch(key)
    poll(source, ledger)
    assert set(numbers(ledger)) == {0, 1, 2}
    assert all(item.envelope.message_id and item.arrived_at for item in ledger.items)


def test_a_mail_that_was_there_and_gone_within_a_poll_is_no_error(account, graph):
    source, ledger = account.source(), Ledger()
    poll(source, ledger)
    graph.repeats = True
    graph.remove(account.deliver(1))
    account.deliver(2)
    poll(source, ledger)
    assert numbers(ledger) == [2]


def test_a_moved_mail_keeps_its_key_in_another_folder(account, graph):
    key = account.deliver(1)
    source, inbox, archive = account.source(), Ledger(), Ledger()
    poll(source, inbox)
    poll(source, archive, "Arkiv")
    graph.move(key, "AQMk-archive")
    (page,) = poll(source, inbox)
    assert page.gone == (key,)
    poll(source, archive, "Arkiv")
    assert [item.key for item in archive.items] == [key]
    (body,) = source.read([Locator("AQMk-inbox", key)])
    assert body.text == "text of item 1"


def test_old_mail_marked_read_does_not_come_in_by_the_back_door(account, graph):
    key = account.deliver(1, NOW - timedelta(days=200))
    source, ledger = account.source(), Ledger()
    poll(source, ledger)
    graph.touch(key)
    poll(source, ledger)
    assert ledger.items == []


@pytest.mark.parametrize("restart", [True, False])
def test_a_lost_delta_link_heals_without_doubles_and_without_a_gap(account, graph, restart):
    keys = [account.deliver(number) for number in range(7)]
    source, ledger = account.source(), Ledger()
    poll(source, ledger)
    graph.remove(keys[0])
    account.deliver(7)
    graph.forget_tokens()
    if restart:
        source = account.source()
    pages = poll(source, ledger)
    assert sorted(numbers(ledger)) == list(range(8))
    assert [key for page in pages for key in page.gone] == [keys[0]]
    assert poll(source, ledger) == []


@pytest.mark.parametrize("code", ["resyncRequired", "SyncStateInvalid"])
def test_other_ways_of_saying_that_a_link_is_lost_heal_too(account, graph, code):
    source, ledger = account.source(), Ledger()
    account.deliver(1)
    poll(source, ledger)
    account.deliver(2)

    lost = ledger.cursor.partition("$deltatoken=")[2].partition('"')[0]

    def lose(asked):
        return problem(400, code) if asked.query.get("$deltatoken") == lost else None

    stream = stream_of(source)
    graph.on_request = lose
    source.close()
    pull(account.source(), stream, ledger)
    assert sorted(numbers(ledger)) == [1, 2]


def test_links_that_expire_during_a_round_begin_it_again(account, graph):
    source, ledger = account.source(), Ledger()
    poll(source, ledger)
    for number in range(8):
        account.deliver(number)
    expired = []

    def expire(asked):
        if "$skiptoken" in asked.query and not expired:
            expired.append(asked)
            return problem(410, "SyncStateNotFound")
        return None

    graph.on_request = expire
    poll(source, ledger)
    assert expired
    assert set(numbers(ledger)) == set(range(8))


def test_links_that_always_expire_end_in_a_sentence_and_not_in_a_loop(account, graph):
    source, ledger = account.source(), Ledger()
    poll(source, ledger)
    for number in range(8):
        account.deliver(number)
    graph.links_expire = True
    with pytest.raises(Unreachable) as caught:
        poll(source, ledger)
    assert caught.value.scope == "stream"
    graph.links_expire = False
    poll(source, ledger)
    assert set(numbers(ledger)) == set(range(8))


def test_throttling_names_the_moment_and_loses_nothing(account, graph):
    for number in range(5):
        account.deliver(number)
    source, ledger = account.source(page_size=2), Ledger()
    stream, asked, moments = stream_of(source), [], []

    def some(one):
        asked.append(one)
        return throttled(17) if len(asked) % 2 == 0 else None

    graph.on_request = some
    while len(moments) < 20:
        try:
            pull(source, stream, ledger)
        except Throttled as slow:
            moments.append(slow.retry_at)
        else:
            break
    assert set(moments) == {NOW + timedelta(seconds=17)}
    assert sorted(numbers(ledger)) == list(range(5))


def test_throttling_of_one_folder_in_a_poll_loses_nothing(account, graph):
    source, ledger = account.source(), Ledger()
    poll(source, ledger)
    account.deliver(1)
    graph.on_request = lambda one: throttled(9) if "$deltatoken" in one.query else None
    with pytest.raises(Throttled) as caught:
        source.streams()
    assert caught.value.retry_at == NOW + timedelta(seconds=9)
    graph.on_request = None
    poll(source, ledger)
    assert numbers(ledger) == [1]


def test_texts_come_twenty_in_a_request_and_those_not_throttled_come_first(account, graph):
    for number in range(45):
        account.deliver(number)
    source, ledger = account.source(page_size=100), Ledger()
    stream = stream_of(source)
    pull(source, stream, ledger)
    locators = ledger.locators(stream)
    before = len(graph.outer)
    assert len(list(source.read(locators))) == 45
    assert graph.outer[before:] == ["POST /$batch"] * 3
    graph.on_request = lambda one: throttled() if one.path.endswith("1%3D%3D") else None
    slow = [x.key for x in locators[:20] if x.key.endswith("1==")]
    bodies = source.read(locators)
    got = [next(bodies).locator.key for _ in range(20 - len(slow))]
    assert slow
    assert set(got) == {x.key for x in locators[:20]} - set(slow)
    with pytest.raises(Throttled):
        next(bodies)


def test_html_and_attachments(account):
    files = [{"name": "offert.pdf", "contentType": "application/pdf", "size": 7001}]
    account.deliver(1, attachments=files, body={"contentType": "html", "content": "<b>Hej</b>"})
    source, ledger = account.source(), Ledger()
    stream = stream_of(source)
    pull(source, stream, ledger)
    (body,) = source.read(ledger.locators(stream), items=True)
    assert body.text == "Hej"
    assert [(a.name, a.media_type, a.size) for a in body.attachments] == [
        ("offert.pdf", "application/pdf", 7001)
    ]
    assert body.item == ledger.items[0]


def test_a_quiet_folder_stores_a_newer_link_once_a_day(account):
    account.deliver(1)
    source, ledger = account.source(), Ledger()
    poll(source, ledger)
    account.clock.advance(timedelta(hours=2))
    assert poll(source, ledger) == []
    account.clock.advance(timedelta(days=1))
    (page,) = poll(source, ledger)
    assert page.items == ()
    assert poll(source, ledger) == []


# -- folders ---------------------------------------------------------------------------------


def test_junk_drafts_and_deleted_items_are_left_out_with_all_below_them(account, graph):
    graph.add_folder("AQMk-1", "Kunder", parent="AQMk-inbox")
    graph.add_folder("AQMk-2", "Gammalt", parent="AQMk-deleteditems")
    source = account.source()
    assert {s.name for s in source.streams()} == {"Inkorg", "Inkorg/Kunder", "Skickat", "Arkiv"}


def test_folders_come_go_and_are_renamed_between_two_polls(account, graph):
    source = account.source()
    source.streams()
    graph.add_folder("AQMk-1", "Kunder")
    assert "Kunder" in {s.name for s in source.streams()}
    graph.folders["AQMk-1"]["row"]["displayName"] = "Stamkunder"
    graph.log.append(("folders", "AQMk-1", "put"))
    assert ("AQMk-1", "Stamkunder") in {(s.key, s.name) for s in source.streams()}
    graph.remove_folder("AQMk-1")
    assert "AQMk-1" not in {s.key for s in source.streams()}


def test_a_folder_deleted_after_the_look_ends_its_pull_quietly(account, graph):
    key = graph.add_folder("AQMk-1", "Kunder")
    source, ledger = account.source(), Ledger()
    poll(source, ledger, "Kunder")
    stream = stream_of(source, "Kunder")
    graph.remove_folder(key)
    assert pull(account.source(), stream, ledger) == []


def test_folders_are_named_in_any_language_or_by_their_path(account, graph):
    graph.add_folder("AQMk-1", "Kunder", parent="AQMk-inbox")
    source = account.source(folders=["SentItems", "inkorg/kunder"])
    assert {s.name for s in source.streams()} == {"Skickat", "Inkorg/Kunder"}
    *_, last = account.source(folders=["Nowhere"]).probe()
    assert not last.ok
    assert "Nowhere" in last.problem
    assert "Inkorg" in last.advice


# -- errors ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("reply", "kind", "says"),
    [
        (problem(403, "ErrorAccessDenied"), Refused, "Mail.Read"),
        (problem(404, "MailboxNotEnabledForRESTAPI"), Refused, "username"),
        (problem(500, "InternalServerError"), Unreachable, "500"),
        (problem(503, "ServiceUnavailable", Retry_After="5"), Throttled, "pause"),
        (Reply(200, b"<html>Sign in to the proxy"), Unreachable, "base_url"),
        (Reply(200, b"[" * 100_000), Unreachable, "base_url"),
        (Reply(302, b"", {"Location": "https://elsewhere.example/"}), Unreachable, "302"),
    ],
)
def test_errors_are_of_the_house_and_hold_no_words_of_the_server(account, graph, reply, kind, says):
    source = account.source()
    graph.on_request = lambda _: reply
    with pytest.raises(kind) as caught:
        source.streams()
    assert says in caught.value.sentence()
    assert WORDS not in caught.value.sentence()
    graph.on_request = None
    assert source.streams()


def test_a_link_that_leads_elsewhere_is_never_followed(account, graph):
    source, ledger = account.source(), Ledger()
    stream = stream_of(source)
    lure = {"value": [], "@odata.nextLink": f"https://127.0.0.1:1/v1.0/me?port={graph.port}"}
    graph.on_request = lambda one: Reply(200, lure) if one.path.endswith("/delta") else None
    with pytest.raises(Unreachable) as caught:
        pull(source, stream, ledger)
    assert "makes no sense" in caught.value.sentence()


def test_an_answer_larger_than_we_take_costs_its_mail_only(account, monkeypatch):
    account.deliver(1, body={"contentType": "text", "content": "x" * 300_000})
    account.deliver(2)
    source, ledger = account.source(), Ledger()
    stream = stream_of(source)
    pull(source, stream, ledger)
    monkeypatch.setattr("connectors.graph.transport.LARGEST_ANSWER", 200_000)
    bodies = {b.locator.key: b for b in source.read(ledger.locators(stream))}
    newest, oldest = (bodies[item.key] for item in ledger.items)
    assert newest.text == "text of item 2"
    assert oldest.problem
