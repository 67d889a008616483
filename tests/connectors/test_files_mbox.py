"""Mbox files on disk: what programs write into them, and how exports of theirs look."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crm_sync.core.records import UnreadableItem
from crm_sync.testing.source_contract import Ledger
from tests.connectors.mbox_parts import ARRIVED, build, poll, pulled, subjects, texts
from tests.servers.archives import Mbox, a_mail


@pytest.fixture
def path(mbox):
    return mbox.path


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
