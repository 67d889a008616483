"""Maildirs on disk: what mail programs do to them meanwhile, and that we do nothing to them."""

import os
from datetime import UTC, datetime, timedelta

import pytest

from connectors.files import MAILDIR
from crm_sync.core.errors import Refused
from crm_sync.core.records import Locator, MailItem, UnreadableItem
from crm_sync.ports import Surroundings
from crm_sync.testing.clock import FixedClock
from crm_sync.testing.source_contract import Ledger, locate, pull
from tests.servers.archives import Maildir, a_mail, opened_below, wall_clock

LATER = datetime(2099, 1, 1, tzinfo=UTC)
DELIVERED = 1_772_352_000


@pytest.fixture
def path(tmp_path):
    return tmp_path / "mail"


@pytest.fixture
def maildir(path):
    return Maildir(path)


def build(path, now=LATER, **options):
    return MAILDIR.build(
        MAILDIR.options(path=path, **options), Surroundings("karin/maildir", FixedClock(now), UTC)
    )


def poll(source, ledger, name="INBOX"):
    stream = next(s for s in source.streams() if s.name == name)
    return pull(source, stream, ledger)


def subjects(items):
    return sorted(i.envelope.subject for i in items if isinstance(i, MailItem))


def name(number, at=DELIVERED):
    return f"{at}.M{number}P1.host"


# -- what mail programs do ---------------------------------------------------------------------


def test_a_message_that_is_read_and_flagged_is_the_same_message(path, maildir):
    source, ledger = build(path), Ledger()
    maildir.deliver(a_mail(1), name(1))
    poll(source, ledger)
    maildir.mark(name(1), "S")
    assert poll(source, ledger) == []
    maildir.mark(name(1), "FRS")
    assert poll(build(path), ledger) == []
    (body,) = source.read([locate(source.streams()[0], ledger.items[0])])
    assert "text of item 1" in body.text


def test_a_message_that_moves_to_cur_while_the_folder_is_listed_is_not_lost(
    path, maildir, monkeypatch
):
    maildir.deliver(a_mail(1), name(1))
    maildir.deliver(a_mail(2), name(2))
    plain = os.open

    def moving(file, *args):
        maildir.mark(name(2), "S")
        return plain(file, *args)

    monkeypatch.setattr("connectors.files.opening.os.open", moving)
    ledger = Ledger()
    poll(build(path), ledger)
    assert subjects(ledger.items) == ["item 1", "item 2"]


def test_a_message_deleted_while_the_folder_is_read_costs_only_itself(path, maildir, monkeypatch):
    files = [maildir.deliver(a_mail(n), name(n)) for n in (1, 2, 3)]
    plain = os.open

    def deleting(file, *args):
        files[1].unlink(missing_ok=True)
        return plain(file, *args)

    monkeypatch.setattr("connectors.files.opening.os.open", deleting)
    source, ledger = build(path), Ledger()
    poll(source, ledger)
    monkeypatch.undo()
    assert subjects(ledger.items) == ["item 1", "item 3"]
    maildir.deliver(a_mail(2), name(2))  # put back under its old name
    poll(source, ledger)
    assert subjects(ledger.items) == ["item 1", "item 2", "item 3"]


def test_an_old_message_that_is_moved_in_later_is_found_among_the_newer(path, maildir):
    source, ledger = build(path, page_size=2), Ledger()
    for number in (5, 6, 7):
        maildir.deliver(a_mail(number), name(number))
    poll(source, ledger)
    ledger.items.clear()
    for number in (1, 2, 3):
        maildir.deliver(a_mail(number), name(number, DELIVERED - 86_400))
    assert [p.more for p in poll(source, ledger)] == [True, False]
    assert subjects(ledger.items) == ["item 1", "item 2", "item 3"]
    assert poll(source, ledger) == []


def test_deletions_bring_nothing_twice_and_additions_after_them_are_found(path, maildir):
    source, ledger = build(path, page_size=2), Ledger()
    files = [maildir.deliver(a_mail(n), name(n)) for n in range(6)]
    poll(source, ledger)
    ledger.items.clear()
    files[0].unlink()
    files[5].unlink()
    poll(source, ledger)
    assert ledger.items == []
    maildir.deliver(a_mail(8), name(8))
    poll(source, ledger)
    assert subjects(ledger.items) == ["item 8"]


def test_while_names_only_grow_the_diary_is_not_asked_what_it_knows(path, maildir):
    source, ledger = build(path), Ledger()
    maildir.deliver(a_mail(1), name(1))
    poll(source, ledger)
    maildir.deliver(a_mail(2), name(2))

    def known():
        raise AssertionError("asked")

    (stream,) = source.streams()
    (page,) = source.pull(stream, ledger.cursor, known)
    assert subjects(page.items) == ["item 2"]


def test_a_delivery_within_the_same_tick_of_the_clock_is_not_overlooked(path, maildir):
    tick = datetime.fromtimestamp(DELIVERED, UTC)
    source, ledger = build(path, now=tick + timedelta(seconds=1)), Ledger()
    for number in (1, 2):
        maildir.deliver(a_mail(number), name(number))
        os.utime(path / "new", (DELIVERED, DELIVERED))
        os.utime(path / "cur", (DELIVERED, DELIVERED))
        poll(source, ledger)
    assert subjects(ledger.items) == ["item 1", "item 2"]


def test_an_idle_poll_opens_no_message_and_lists_no_messages(path, maildir):
    sent = Maildir(path / ".Sent")
    for number in range(3):
        maildir.deliver(a_mail(number), name(number))
        sent.deliver(a_mail(number), name(number))
    source = build(path)
    ledgers = {s.key: Ledger() for s in source.streams()}
    for stream in source.streams():
        pull(source, stream, ledgers[stream.key])
    before = len(opened_below(path))
    for stream in source.streams():
        assert pull(source, stream, ledgers[stream.key]) == []
    idle = opened_below(path)[before:]
    assert [p for p in idle if "/cur" in p or "/new" in p] == []


def test_a_pull_changes_nothing_not_even_the_time_of_access(path, maildir):
    for number in range(3):
        maildir.deliver(a_mail(number), name(number), arrived=wall_clock() - 10 * 86_400)
    maildir.mark(name(1), "S")
    before = maildir.files()
    source, ledger = build(path), Ledger()
    poll(source, ledger)
    assert len(list(source.read(ledger.locators(source.streams()[0]), items=True))) == 3
    assert maildir.files() == before


# -- which folders -----------------------------------------------------------------------------


def test_junk_trash_and_drafts_are_left_out_in_any_language_and_with_all_below_them(path, maildir):
    for folder in (
        ".Sent",
        ".Trash",
        ".Trash.2024",
        ".Skr&AOQ-ppost",
        ".Drafts",
        ".Projects.Draft",
    ):
        Maildir(path / folder)
    names = [s.name for s in build(path).streams()]
    assert names == ["INBOX", "Projects/Draft", "Sent"]


def test_folders_can_be_chosen_by_use_or_name(path, maildir):
    for folder in (".Skickat", ".Trash", ".Kunder.2025"):
        Maildir(path / folder)
    chosen = build(path, folders=["\\Sent", "Kunder/2025", "\\Inbox", "\\Trash"])
    assert [s.name for s in chosen.streams()] == ["INBOX", "Kunder/2025", "Skickat", "Trash"]


def test_a_tree_of_maildirs_of_several_accounts_is_one_archive(path):
    for place in ("work/INBOX", "work/Trash", "work/Archive/2025", "home/.Sent", "home"):
        Maildir(path / place)
    (path / "work" / "INBOX" / "cur" / "nested").mkdir()
    names = [s.name for s in build(path).streams()]
    assert names == ["home", "home/Sent", "work/Archive/2025", "work/INBOX"]


def test_a_folder_that_appears_later_is_pulled_too(path, maildir):
    source = build(path)
    assert [s.name for s in source.streams()] == ["INBOX"]
    Maildir(path / ".Later").deliver(a_mail(1), name(1))
    ledger = Ledger()
    poll(source, ledger, "Later")
    assert subjects(ledger.items) == ["item 1"]


def test_links_out_of_the_archive_are_not_followed(path, maildir, tmp_path):
    secret = tmp_path / "secret"
    secret.write_bytes(a_mail(1))
    (path / "cur" / name(1)).symlink_to(secret)
    Maildir(tmp_path / "other").deliver(a_mail(2), name(2))
    (path / ".Other").symlink_to(tmp_path / "other")
    source, ledger = build(path), Ledger()
    poll(source, ledger)
    (item,) = ledger.items
    assert item == UnreadableItem(name(1), "it is no ordinary file")
    assert [s.name for s in source.streams()] == ["INBOX"]


# -- when and what -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("stamp", "changed"), [(DELIVERED, DELIVERED + 9e6), (DELIVERED + 90_000, DELIVERED)]
)
def test_the_arrival_is_the_earlier_of_the_names_and_the_files_time(path, maildir, stamp, changed):
    maildir.deliver(a_mail(1), name(1, stamp), arrived=changed)
    ledger = Ledger()
    poll(build(path), ledger)
    assert ledger.items[0].arrived_at == datetime.fromtimestamp(DELIVERED, UTC)


def test_since_holds_for_the_first_pull_and_what_comes_later_counts_whatever_its_age(path, maildir):
    now = datetime.fromtimestamp(DELIVERED, UTC) + timedelta(days=100)
    source, ledger = build(path, now=now, since="30d", page_size=2), Ledger()
    young, old = now.timestamp() - 10 * 86_400, DELIVERED
    for number in range(5):
        maildir.deliver(a_mail(number), name(number), arrived=old)
    maildir.deliver(a_mail(7), name(7, int(young)), arrived=young)
    poll(source, ledger)
    assert subjects(ledger.items) == ["item 7"]
    maildir.deliver(a_mail(8), name(8, int(young)), arrived=old)
    (path / "new" / name(0)).unlink()  # the diary is asked, and must not bring the old ones
    poll(source, ledger)
    assert subjects(ledger.items) == ["item 7"]
    maildir.deliver(a_mail(9), name(9, int(young) + 5), arrived=old)
    poll(source, ledger)
    assert subjects(ledger.items) == ["item 7", "item 9"]


def test_names_of_any_bytes_and_flags_of_other_systems_make_clean_keys(path, maildir):
    odd = os.fsdecode(b"1772352000.M1P1.h\xff\n\x00"[:-1])
    maildir.deliver(a_mail(1), odd)
    maildir.deliver(a_mail(2), name(2) + ";2,S", folder="cur")
    source, ledger = build(path), Ledger()
    poll(source, ledger)
    keys = [i.key for i in ledger.items]
    assert keys == ["1772352000.M1P1.h%FF%0A", name(2)]
    bodies = list(source.read(ledger.locators(source.streams()[0]), items=True))
    assert [b.item for b in bodies] == ledger.items


@pytest.mark.parametrize("key", ["..", "../../secret", "%2e%2e%2fsecret", "a/b", "", "\x00"])
def test_no_key_and_no_hint_leads_out_of_the_folder(path, maildir, tmp_path, key):
    (tmp_path / "secret").write_bytes(a_mail(1))
    source = build(path)
    (stream,) = source.streams()
    hints = ("", f"cur/{key}", f"cur/../../{key}", "cur/%2e%2e")
    bodies = source.read([Locator(stream.key, key, hint) for hint in hints])
    assert [(b.gone, b.text) for b in bodies] == [(True, "")] * len(hints)


def test_a_pipe_in_the_folder_does_not_make_us_wait(path, maildir):
    os.mkfifo(path / "new" / name(1))
    maildir.deliver(a_mail(2), name(2))
    ledger = Ledger()
    poll(build(path), ledger)
    assert subjects(ledger.items) == ["item 2"]
    assert [i.key for i in ledger.items if isinstance(i, UnreadableItem)] == [name(1)]


def test_a_message_that_may_not_be_read_is_quarantined_and_the_others_come(
    path, maildir, monkeypatch
):
    for number in (1, 2):
        maildir.deliver(a_mail(number), name(number))
    plain = os.open

    def forbidding(file, *args):
        if name(1) in str(file):
            raise PermissionError(13, "no")
        return plain(file, *args)

    monkeypatch.setattr("connectors.files.opening.os.open", forbidding)
    ledger = Ledger()
    poll(build(path), ledger)
    assert subjects(ledger.items) == ["item 2"]
    assert UnreadableItem(name(1), "we may not read the file") in ledger.items


def test_of_a_message_larger_than_25_megabytes_the_beginning_is_read(path, maildir):
    maildir.deliver(a_mail(1) + b"x" * 99 + b"\n" + b"y" * (30 * 1024 * 1024), name(1))
    source, ledger = build(path), Ledger()
    poll(source, ledger)
    (body,) = source.read(ledger.locators(source.streams()[0]))
    assert body.text.startswith("text of item 1")
    assert ledger.items[0].size > 30 * 1024 * 1024


# -- trouble -----------------------------------------------------------------------------------


def test_a_missing_path_is_refused_with_a_sentence_and_works_when_it_is_back(path, maildir):
    source, ledger = build(path), Ledger()
    maildir.deliver(a_mail(1), name(1))
    path.rename(path.with_name("away"))
    with pytest.raises(Refused, match=r"it is not there.*Check path"):
        source.streams()
    (finding,) = source.probe()
    assert not finding.ok
    path.with_name("away").rename(path)
    poll(source, ledger)
    assert subjects(ledger.items) == ["item 1"]


def test_an_empty_place_where_a_disk_should_be_mounted_is_not_taken_for_an_empty_mailbox(path):
    path.mkdir()
    with pytest.raises(Refused, match=r"no maildir here.*mounted"):
        build(path).streams()


def test_a_folder_that_cannot_be_listed_does_not_stop_the_others(path, maildir, monkeypatch):
    Maildir(path / ".Sent").deliver(a_mail(1), name(1))
    source = build(path)
    inbox, sent = source.streams()
    plain = os.scandir

    def forbidding(place):
        if str(place).startswith(str(path / "new")):
            raise PermissionError(13, "no")
        return plain(place)

    monkeypatch.setattr("connectors.files.maildir_pull.os.scandir", forbidding)
    with pytest.raises(Refused) as error:
        list(source.pull(inbox, None, dict))
    assert error.value.scope == "stream"
    ledger = Ledger()
    pull(source, sent, ledger)
    assert subjects(ledger.items) == ["item 1"]


def test_the_probe_names_folders_that_are_wanted_and_not_there(path, maildir):
    *_, finding = build(path, folders=["INBOX", "Kunder"]).probe()
    assert (finding.problem, finding.advice) == ("not there: Kunder", "There are: INBOX.")


@pytest.mark.parametrize("since", ["", "soon", "2 business days"])
def test_a_since_that_is_no_length_of_time_is_refused(path, since):
    with pytest.raises(ValueError, match="since"):
        MAILDIR.options(path=path, since=since)
