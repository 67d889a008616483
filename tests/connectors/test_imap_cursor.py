"""What we keep of a folder between two polls: UIDs, cursors and hints."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.imap import uids
from connectors.imap.cursor import Cursor, Gap, History
from connectors.imap.hint import hint_of, read_hint
from crm_sync.core.errors import CursorLost
from crm_sync.core.records import Envelope

NOW = datetime(2026, 3, 4, 12, tzinfo=UTC)


@given(st.sets(st.integers(1, 300), max_size=80))
def test_a_set_of_uids_survives_the_wire(numbers):
    if numbers:
        text = uids.write_set(sorted(numbers)).decode()
        assert [u for part in uids.read_set(text) for u in part] == sorted(numbers)


@given(st.sets(st.integers(1, 300), max_size=80), st.integers(1, 300), st.integers(1, 40))
def test_pages_hold_each_uid_from_the_first_on_once(numbers, first, size):
    pages = list(uids.pages(uids.since(uids.ranges(numbers), first), size))
    assert [u for page in pages for u in page] == sorted(n for n in numbers if n >= first)
    assert all(len(page) <= size for page in pages)


def test_500_large_uids_fit_into_a_command():
    assert len(uids.write_set(range(2**32 - 1001, 2**32 - 1, 2))) < 8000


@given(st.sets(st.integers(1, 2**32 - 1), max_size=5), st.integers(0, 2**32), st.booleans())
def test_a_cursor_survives_being_stored(gaps, next_uid, begun):
    cursor = Cursor(7, next_uid)
    cursor.history, cursor.since = (History(9, 2), NOW) if begun else (None, None)
    for uid in gaps:
        cursor.gaps[uid] = Gap.new("silent", NOW)
    assert Cursor.loads(cursor.dumps()) == cursor


@pytest.mark.parametrize(
    "text",
    [
        '{"v":3,"validity":1,"next":1}',
        '{"v":2,"validity":1,"next":1,"history":[9]}',
        '{"v":2,"validity":1,"next":1,"anchors":[[1,2,3]]}',
        '{"v":2,"validity":1,"next":1,"resets":["now"]}',
        '{"v":2,"validity":1,"next":1,"since":7}',
        '{"v":1,"validity":-1,"next":1}',
        '{"v":1,"validity":1,"next":1.5}',
        '{"v":1,"validity":1,"next":1,"gaps":[[1]]}',
        '{"v":1,"validity":1,"next":1,"gaps":[[1,"silent",0,1e400]]}',
        '{"v":1,"validity":1,"next":1,"first":[1,"2026-01-01"]}',
        '{"v":1,"validity":1,"next":1,"first":7}',
        "[" * 10_000,
    ],
)
def test_what_we_never_wrote_is_a_lost_cursor(text):
    with pytest.raises(CursorLost):
        Cursor.loads(text)


def test_a_gap_is_tried_more_and_more_rarely_and_then_given_up():
    gap, now, waits = Gap.new("silent", NOW), NOW, []
    while gap is not None:
        waits.append(gap.due - now)
        now = gap.due
        gap = gap.again(now)
    assert waits == sorted(waits)
    assert waits[0] == timedelta(minutes=1)
    assert waits[-1] == timedelta(days=1)


@pytest.mark.parametrize(
    ("content_type", "plain", "charset"),
    [
        ("", True, ""),
        ('text/plain; charset="utf-8"', True, "utf-8"),
        ("text/html; charset=x y\x00", True, "x"),
        ("multipart/mixed; boundary=x", False, ""),
        ("application/pdf", False, ""),
    ],
)
def test_a_hint_tells_whether_a_message_is_one_text(content_type, plain, charset):
    hint = read_hint(hint_of(Envelope(content_type=content_type, transfer_encoding="base64"), 12))
    assert hint is not None
    assert hint.is_plain == plain
    assert not plain or charset in {hint.charset, "x"}
    assert (hint.transfer_encoding, hint.size) == ("base64", 12)
