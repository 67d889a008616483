"""Mbox files that programs change while we look and in between, and what that may cost."""

import os
import tracemalloc
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crm_sync.core.errors import Refused
from crm_sync.core.records import Locator
from crm_sync.testing.source_contract import Ledger, pull
from tests.connectors.mbox_parts import ARRIVED, build, poll, pulled, subjects
from tests.servers.archives import Mbox, a_mail, opened_below


@pytest.fixture
def path(mbox):
    return mbox.path


# -- a file that changes -----------------------------------------------------------------------


def test_of_a_file_that_grew_only_the_new_part_is_read(path, mbox, monkeypatch):
    for number in range(50):
        mbox.append(a_mail(number, text="x" * 50_000))
    source, ledger = build(path), Ledger()
    poll(source, ledger)
    old_size = path.stat().st_size
    ledger.items.clear()
    mbox.append(a_mail(77))
    offsets = []
    plain = os.pread
    monkeypatch.setattr(
        "connectors.files.opening.os.pread",
        lambda fd, size, at: offsets.append(at) or plain(fd, size, at),
    )
    poll(source, ledger)
    assert subjects(ledger.items) == ["item 77"]
    assert min(offsets) > old_size - 60_000


def test_an_idle_poll_opens_no_file(path, mbox):
    mbox.append(a_mail(1))
    source, ledger = build(path), Ledger()
    opened_below(path)
    poll(source, ledger)
    os.utime(path)
    assert poll(source, ledger) == []
    before = len(opened_below(path))
    assert poll(source, ledger) == []
    assert opened_below(path)[before:] == []
    assert before


@pytest.mark.parametrize("gone", [0, 3, 6])
def test_after_compacting_all_comes_again_with_a_reset(path, mbox, gone):
    source, ledger = build(path, page_size=3), Ledger()
    for number in range(7):
        mbox.append(a_mail(number))
    poll(source, ledger)
    ledger.items.clear()
    del mbox.mails[gone]
    mbox.rewrite()
    pages = poll(source, ledger)
    assert [p.reset for p in pages] == [True] + [False] * (len(pages) - 1)
    assert subjects(ledger.items) == [f"item {n}" for n in range(7) if n != gone]
    assert poll(source, ledger) == []


def test_a_file_that_was_emptied_is_empty_and_begins_anew(path, mbox):
    source, ledger = build(path), Ledger()
    mbox.append(a_mail(1))
    poll(source, ledger)
    path.write_bytes(b"")
    (page,) = poll(source, ledger)
    assert (page.reset, page.items) == (True, ())
    assert poll(source, ledger) == []
    ledger.items.clear()
    mbox.append(a_mail(2))
    poll(source, ledger)
    assert subjects(ledger.items) == ["item 2"]


def test_notes_that_mail_programs_write_into_a_message_do_not_make_it_another(path, mbox):
    mbox.append(a_mail(1, header="X-Mozilla-Status: 0000\nX-Mozilla-Keys: \n"))
    mbox.append(a_mail(2, header="X-Mozilla-Status: 0000\nStatus: O \n"))
    source, ledger = build(path), Ledger()
    poll(source, ledger)
    raw = path.read_bytes()
    path.write_bytes(raw.replace(b"Status: 0000", b"Status: 0001").replace(b"O \n", b"RO\n"))
    assert path.stat().st_size == len(raw)
    assert poll(build(path), ledger) == []
    bodies = list(source.read(ledger.locators(source.streams()[0])))
    assert ["text of item" in b.text for b in bodies] == [True, True]


def test_messages_are_read_where_they_are_now(path, mbox):
    for number in range(5):
        mbox.append(a_mail(number))
    source, ledger = build(path), Ledger()
    poll(source, ledger)
    del mbox.mails[1]
    mbox.rewrite()
    (stream,) = source.streams()
    bodies = {b.locator.key: b for b in source.read(ledger.locators(stream), items=True)}
    found = [bodies[i.key] for i in ledger.items]
    assert [b.gone for b in found] == [False, True, False, False, False]
    assert [b.text for b in found if not b.gone] == [f"text of item {n}" for n in (0, 2, 3, 4)]
    assert [b.item for b in found if not b.gone] == [
        i for n, i in enumerate(ledger.items) if n != 1
    ]


@pytest.mark.parametrize(
    "key", ["", "0", "0:", ":x", "-1:x", "999999999999:x", "1" * 40 + ":x", "²:x"]
)
def test_a_key_that_never_was_is_gone(path, mbox, key):
    mbox.append(a_mail(1))
    source = build(path)
    (stream,) = source.streams()
    (body,) = source.read([Locator(stream.key, key)])
    assert body.gone


@given(st.lists(st.integers(1, 120), max_size=30), st.integers(1, 4))
@settings(max_examples=60, deadline=None)
def test_a_file_that_is_being_written_loses_and_doubles_nothing(tmp_path_factory, steps, page_size):
    """Whatever part of a delivery a pull comes upon."""
    folder = tmp_path_factory.mktemp("mbox")
    whole = Mbox(folder / "whole")
    for number in range(6):
        whole.append(a_mail(number))
    raw, growing = whole.path.read_bytes(), folder / "growing.mbox"
    ledger, at = Ledger(), 0
    for step in [*steps, len(raw)]:
        at = min(at + step, len(raw))
        growing.write_bytes(raw[:at])
        if not raw[:at].startswith(b"From lena@nordvik.example Sun Mar  1 08:30:00 2026\n"):
            continue
        os.utime(growing, (ARRIVED.timestamp(), ARRIVED.timestamp()))
        source = build(growing, now=ARRIVED + timedelta(seconds=1), page_size=page_size)
        assert not any(p.reset for p in poll(source, ledger))
    assert subjects(ledger.items) == [f"item {n}" for n in range(6)]


def test_half_a_header_is_taken_as_it_is_once_nobody_writes_any_more(path):
    path.write_bytes(b"From - Sun Mar  1 08:30:00 2026\nSubject: item 1\nTo: kar")
    written = datetime.fromtimestamp(path.stat().st_mtime, UTC)
    assert pulled(path, now=written + timedelta(seconds=5)) == []
    assert subjects(pulled(path, now=written + timedelta(minutes=5))) == ["item 1"]


def test_since_holds_for_what_lay_there_at_first(path, mbox):
    old = b"From lena@nordvik.example Mon Mar  1 08:30:00 2021"
    source, ledger = (
        build(path, now=ARRIVED + timedelta(days=5), since="30d", page_size=1),
        Ledger(),
    )
    mbox.append(a_mail(1), old)
    mbox.append(a_mail(2))
    mbox.append(a_mail(3), old)
    mbox.append(a_mail(4))
    poll(source, ledger)
    assert subjects(ledger.items) == ["item 2", "item 4"]
    mbox.append(a_mail(5), old)
    poll(source, ledger)
    assert subjects(ledger.items) == ["item 2", "item 4", "item 5"]


# -- trouble, size -----------------------------------------------------------------------------


def test_a_pull_changes_nothing_and_leaves_no_lock(path, mbox):
    mbox.append(a_mail(1))
    os.utime(path, (ARRIVED.timestamp(), ARRIVED.timestamp() + 60))
    before = path.stat()
    source, ledger = build(path), Ledger()
    poll(source, ledger)
    list(source.read(ledger.locators(source.streams()[0])))
    after = path.stat()
    assert (after.st_atime_ns, after.st_mtime_ns, after.st_ino) == (
        before.st_atime_ns,
        before.st_mtime_ns,
        before.st_ino,
    )
    assert list(path.parent.iterdir()) == [path]


def test_what_is_missing_or_no_mbox_is_refused_with_a_sentence(tmp_path):
    with pytest.raises(Refused, match=r"it is not there.*Check path"):
        build(tmp_path / "never.mbox").streams()
    (tmp_path / "image.mbox").write_bytes(b"\x89PNG\r\n")
    with pytest.raises(Refused, match="no mbox file here"):
        build(tmp_path / "image.mbox").streams()
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(Refused, match="no ordinary file"):
        build(tmp_path / "pipe").streams()


def test_memory_does_not_grow_with_the_file_or_a_message(path):
    begin = b"From - Sun Mar  1 08:30:00 2026\n"
    with path.open("wb") as file:
        for number in range(60):
            file.write(begin + a_mail(number) + b"y" * 76 * 10_000 + b"\n\n")
        file.write(begin + a_mail(61) + (b"z" * 76 + b"\n") * 500_000 + b"\n")
    source, ledger = build(path, page_size=10), Ledger()
    (stream,) = source.streams()
    tracemalloc.start()
    try:
        pull(source, stream, ledger)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert len(ledger.items) == 61
    assert path.stat().st_size > 80_000_000
    assert peak < 5_000_000
    *_, last = source.read(ledger.locators(stream))
    assert last.text.startswith("text of item 61")
