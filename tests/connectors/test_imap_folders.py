"""Which folders are pulled, by what a server tells of them."""

import pytest

from connectors.imap import folders


def listed(*lines: bytes) -> list[folders.Folder]:
    return folders.folders_in([(text,) for text in lines])


def test_every_folder_is_read_on_its_own():
    found = listed(
        b'* LIST () "/" R&D',
        b'* LIST () "/" A&zzz',
        b'* LIST () "/" " lead"',
        b'* LIST () "/" 2024',
        b'* LIST () "/" NIL',
        b'* LIST () NIL "Entw&APw-rfe 2"',
        b'* LIST () "/" "\xc3\xa5"',
        b'* LIST () "/" broken "',
        b'* LIST (\\HasNoChildren) "/" inbox',
        b'* LIST (\\Noselect) "/" Parent',
        b'* LIST (\\NonExistent) "/" Ghost',
    )
    names = {f.name for f in found}
    assert {"INBOX", "R&D", "A&zzz", " lead", "2024", "NIL", "Entwürfe 2", "å"} <= names
    assert not names & {"Parent", "Ghost"}
    assert found[0].uses == {"\\inbox"}


def test_a_folder_name_with_a_line_break_is_never_asked_for():
    found = folders.folders_in([(b'* LIST () "/" {12}', b"a\r\nX1 NOOP x", b"")])
    assert found == []
    assert folders.raw_of("a\r\nX1 EXPUNGE") is None


def test_status_belongs_to_its_folder():
    (inbox, sent) = listed(
        b'* LIST () "/" INBOX',
        b'* LIST (\\Sent) "/" Sent',
        b'* STATUS "Sent" (MESSAGES 3 UIDNEXT 9 UIDVALIDITY 7)',
        b"* STATUS INBOX (MESSAGES 1)",
    )
    assert inbox.status == folders.Status(0, None, 1)
    assert sent.status == folders.Status(7, 9, 3)


@pytest.mark.parametrize(
    "name",
    [
        *("Junk", "Skr&AOQ-ppost", "INBOX.Spam", "Papperskorgen", "Deleted Items", "Udkast"),
        *("Utkast", "Entw&APw-rfe", "&g0l6Pw-", "&XfJSIJZk-", "Slettet post", "Brouillons"),
    ],
)
def test_junk_trash_and_drafts_are_left_out_by_name_where_no_use_is_told(name):
    found = listed(b'* LIST () "." "%b"' % name.encode(), b'* LIST () "." Customers')
    assert [f.name for f in folders.choose(found, [])] == ["Customers"]


def test_what_lies_below_trash_is_left_out_too():
    found = listed(
        b'* LIST (\\Trash) "/" Bin',
        b'* LIST () "/" "Bin/2024"',
        b'* LIST () "/" Binary',
        b'* LIST () "/" "Projects/Draft"',
    )
    assert [f.name for f in folders.choose(found, [])] == ["Binary", "Projects/Draft"]


def test_folders_are_chosen_by_use_or_name():
    found = listed(
        b'* LIST () "/" INBOX',
        b'* LIST (\\Sent) "/" Skickat',
        b'* LIST () "/" "F&APY-rfr&AOU-gningar"',
        b'* LIST (\\Junk) "/" Spam',
    )
    chosen = folders.choose(found, ["\\Inbox", "\\Sent", "Förfrågningar", "Spam"])
    assert [f.name for f in chosen] == ["INBOX", "Förfrågningar", "Skickat", "Spam"]
    assert folders.missing(found, ["\\Archive", "INBOX"]) == ["\\Archive"]
