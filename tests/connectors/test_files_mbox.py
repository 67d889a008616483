"""Mbox files on disk: what programs write into them, while we look and in between."""

import os
import tracemalloc
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from connectors.files import MBOX
from crm_sync.core.errors import Refused
from crm_sync.core.records import Locator, MailItem, UnreadableItem
from crm_sync.ports import Surroundings
from crm_sync.testing.clock import FixedClock
from crm_sync.testing.source_contract import Ledger, pull
from tests.servers.archives import Mbox, a_mail, opened_below

LATER = datetime(2099, 1, 1, tzinfo=UTC)
ARRIVED = datetime(2026, 3, 1, 8, 30, tzinfo=UTC)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "Customers.mbox"


@pytest.fixture
def mbox(path):
    return Mbox(path)


def build(path, now=LATER, **options):
    return MBOX.build(
        MBOX.options(path=path, **options), Surroundings("karin/mbox", FixedClock(now), UTC)
    )


def poll(source, ledger):
    (stream,) = source.streams()
    return pull(source, stream, ledger)


def pulled(path, **options):
    ledger = Ledger()
    poll(build(path, **options), ledger)
    return ledger.items


def subjects(items):
    return [i.envelope.subject for i in items if isinstance(i, MailItem)]


def texts(path):
    source, ledger = build(path), Ledger()
    poll(source, ledger)
    return [b.text for b in source.read(ledger.locators(source.streams()[0]))]


# -- the format --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "arrived"),
    [
        (b"From lena@nordvik.example Sun Mar  1 08:30:00 2026", ARRIVED),
        (b"From lena@nordvik.example Sun Mar 01 08:30:00 2026", ARRIVED),
        (b"From lena@nordvik.example Sun Mar  1 09:30:00 2026 +0100", ARRIVED),
        (b"From lena@nordvik.example Sun Mar  1 09:30:00 +0100 2026", ARRIVED),
        (b"From lena@nordvik.example Sun Mar  1 08:30:00 GMT 2026", ARRIVED),
        (b"From 1857423019586729384@xxx Sun Mar 01 08:30:00 +0000 2026", ARRIVED),
        (b"From - Sun Mar 01 08:30:00 2026", ARRIVED),
        (b"From  Sun Mar 01 08:30:00 2026", ARRIVED),
        (b"From MAILER-DAEMON Sun Mar  1 08:30 2026", ARRIVED),
        (b"From Lena Berg <lena@nordvik.example> Sun Mar  1 08:30:00 2026", ARRIVED),
        (b"From lena@nordvik.example Sun Mar  1 08:30:00 2026 remote from acme", ARRIVED),
        (b"From ", ARRIVED),
        (b"From -", ARRIVED),
        (b"From lena@nordvik.example", ARRIVED),
        (b"From lena@nordvik.example Xxx Mar 77 99:30:00 2026", ARRIVED),
    ],
)
@pytest.mark.parametrize("ends", [b"\n", b"\r\n"])
def test_all_forms_of_the_from_line_begin_a_message(path, line, arrived, ends):
    """Without a date there the Date field counts, which says the same."""
    mbox = Mbox(path)
    for number in (1, 2):
        mbox.append(a_mail(number), line)
    path.write_bytes(path.read_bytes().replace(b"\n", ends))
    items = pulled(path)
    assert subjects(items) == ["item 1", "item 2"]
    assert {i.arrived_at for i in items} == {arrived}


@pytest.mark.parametrize(
    "text",
    [
        "From here we went on\n",
        "\nFrom here we went on\nand on\n",
        "\nFrom my side: all is well\nSubject: no header\n",
        "one line\nFrom lena@nordvik.example Sun Mar  1 08:30:00 2026\nno empty line before\n",
        "\nFrom lena@nordvik.example\nwithout a header after it\n",
        "\nFrom: is a field, not the begin of a message\n",
        "\nfrom lena@nordvik.example Sun Mar  1 08:30:00 2026\n",
    ],
)
def test_sentences_that_begin_with_from_do_not_cut_a_message(path, text):
    raw = b"".join(
        b"From lena@nordvik.example Sun Mar  1 08:30:00 2026\n" + a_mail(n, text=text) + b"\n"
        for n in (1, 2)
    )
    path.write_bytes(raw)
    assert subjects(pulled(path)) == ["item 1", "item 2"]
    assert all(text.strip() in found for found in texts(path))


def test_the_marks_before_from_are_taken_off_the_text(path, mbox):
    mbox.append(a_mail(1, text="\nFrom the start\n>From a quote\n>>From two\n> From stays\n"))
    (text,) = texts(path)
    assert text.endswith("\nFrom the start\n>From a quote\n>>From two\n> From stays")


def test_content_length_is_not_believed(path, mbox):
    mbox.append(a_mail(1, header="Content-Length: 100000\n"))
    mbox.append(a_mail(2, header="Content-Length: 0\n"))
    assert subjects(pulled(path)) == ["item 1", "item 2"]
    assert "text of item 2" in texts(path)[1]


@pytest.mark.parametrize("size", [1024 * 1024 + shift for shift in (-200, -60, -3, -1, 0, 1, 60)])
def test_a_message_that_begins_anywhere_about_the_end_of_a_block_is_found(path, mbox, size):
    first = a_mail(1)
    mbox.append(first + b"x" * (size - len(first) - 60))
    for number in (2, 3):
        mbox.append(a_mail(number))
    assert subjects(pulled(path)) == ["item 1", "item 2", "item 3"]


def test_mail_without_a_header_costs_only_itself(path, mbox):
    mbox.append(a_mail(1))
    mbox.append(b"\n\x00\xff nothing\n")
    mbox.append(b"")
    mbox.append(b"=?x?b?" + b"(" * 70_000)
    mbox.append(a_mail(2))
    items = pulled(path)
    assert subjects(items) == ["item 1", "item 2"]
    assert [type(i) for i in items[1:4]] == [UnreadableItem] * 3
    assert len({i.key for i in items}) == 5


@given(
    st.lists(
        st.binary(max_size=60)
        | st.sampled_from(
            [
                b"\n",
                b"\r\n",
                b"From ",
                b"From - Sun Mar  1 08:30:00 2026\n",
                b"a: b\n",
                b">From x\n",
                b"\x00",
            ]
        ),
        max_size=30,
    )
)
@settings(max_examples=150, deadline=None)
def test_no_bytes_stop_a_pull_or_leave_anything_out(tmp_path_factory, pieces):
    path = tmp_path_factory.mktemp("mbox") / "any.mbox"
    begin = b"From - Sun Mar  1 08:30:00 2026\n"
    path.write_bytes(begin + a_mail(1) + b"\n" + b"".join(pieces) + b"\n\n" + begin + a_mail(2))
    source, ledger = build(path, page_size=3), Ledger()
    poll(source, ledger)
    found = subjects(ledger.items)
    assert (found[0], found[-1]) == ("item 1", "item 2")
    bodies = list(source.read(ledger.locators(source.streams()[0])))
    assert not any(b.gone for b in bodies)
    assert poll(source, ledger) == []


# -- exports -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("labels", "comes"),
    [
        ("Inbox,Opened", True),
        ("Spam,Unread", False),
        ("Sent,=?UTF-8?Q?Papperskorgen?=", False),
        ("=?UTF-8?Q?Skr=C3=A4ppost,_Ol=C3=A4sta?=", False),
        ('Important,"Drafts"', False),
        ("Archived,\n Trash", False),
        ("Spam reports,Trash can", True),
    ],
)
def test_what_gmail_calls_spam_trash_or_a_draft_is_left_out(path, mbox, labels, comes):
    mbox.append(a_mail(1, header=f"X-Gmail-Labels: {labels}\n"))
    mbox.append(a_mail(2, text="X-Gmail-Labels: Spam\n"))
    assert subjects(pulled(path)) == (["item 1"] if comes else []) + ["item 2"]


def test_what_thunderbird_has_deleted_and_not_compacted_is_left_out(path, mbox):
    mbox.append(a_mail(1, header="X-Mozilla-Status: 0009\nX-Mozilla-Status2: 00000000\n"))
    mbox.append(a_mail(2, header="X-Mozilla-Status: 0001\n"))
    mbox.append(a_mail(3, header="X-IMAP: 1772352000 0000000003\n"))
    assert subjects(pulled(path)) == ["item 2"]


def test_a_tree_of_thunderbird_or_takeout_has_a_folder_for_each_file(tmp_path):
    top = tmp_path / "Profile"
    places = (
        *(
            "Mail/Local Folders/Inbox",
            "Mail/Local Folders/Inbox.sbd/Nordvik",
            "Mail/Local Folders/Junk",
        ),
        *("Mail/Local Folders/Trash", "Mail/Local Folders/Trash.sbd/Old", "Takeout/Mail/Sent.mbox"),
        *("Takeout/Mail/Spam.mbox", "Apple/Archive.mbox/mbox", "Mail/Local Folders/Empty"),
    )
    for place in places:
        (top / place).parent.mkdir(parents=True, exist_ok=True)
        mbox = Mbox(top / place)
        if "Empty" not in place:
            mbox.append(a_mail(1))
    (top / "Mail/Local Folders/Inbox.msf").write_text("// <!-- <mdb:mork:z v='1.4'/> -->")
    (top / "Mail/notes.txt").write_text("")
    (top / "Mail/.Hidden").write_bytes((top / "Takeout/Mail/Sent.mbox").read_bytes())
    local = "Mail/Local Folders"
    assert [s.name for s in build(top).streams()] == [
        "Apple/Archive",
        f"{local}/Empty",
        f"{local}/Inbox",
        f"{local}/Inbox/Nordvik",
        "Takeout/Mail/Sent",
    ]
    assert [s.name for s in build(top, folders=["\\Sent", f"{local}/Junk"]).streams()] == [
        f"{local}/Junk",
        "Takeout/Mail/Sent",
    ]


def test_a_single_file_is_pulled_whatever_it_is_called(tmp_path):
    Mbox(tmp_path / "Spam.mbox").append(a_mail(1))
    source = build(tmp_path / "Spam.mbox")
    assert [s.name for s in source.streams()] == ["Spam"]
    assert subjects(pulled(tmp_path / "Spam.mbox")) == ["item 1"]


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
