"""What archives hold, for an audit: as far back as a first pull goes, and nothing that is no mail."""

from datetime import UTC, datetime, timedelta

import pytest

from connectors.files import MAILDIR, MBOX
from crm_sync.core.errors import Refused
from crm_sync.ports import Surroundings
from crm_sync.testing.clock import FixedClock
from crm_sync.testing.source_contract import Ledger, held_keys, pull
from tests.servers.archives import Maildir, Mbox, a_mail, opened_below

DELIVERED = 1_772_352_000  # 2026-03-01 08:00 UTC
DAY = 24 * 60 * 60
NOW = datetime(2026, 3, 6, 8, tzinfo=UTC)


def build(kind, path, now=NOW, **options):
    return kind.build(
        kind.options(path=path, **options), Surroundings("karin/archive", FixedClock(now), UTC)
    )


def held_and_pulled(source):
    (stream,) = source.streams()
    ledger = Ledger()
    pull(source, stream, ledger)
    return sorted(held_keys(source, stream)), sorted(ledger.versions)


def old_and_young(path) -> Maildir:
    maildir = Maildir(path)
    for number, age in enumerate((100, 29, 1)):
        at = DELIVERED - age * DAY
        maildir.deliver(a_mail(number), f"{at}.M{number}P1.host", arrived=at)
    return maildir


def test_a_maildir_holds_what_a_first_pull_brings_and_no_file_is_opened(tmp_path):
    old_and_young(tmp_path / "mail")
    source = build(MAILDIR, tmp_path / "mail", since="40d")
    held, pulled = held_and_pulled(source)
    assert held == pulled
    assert len(held) == 2
    opened = len(opened_below(tmp_path))
    held_keys(source, source.streams()[0])
    assert not any(name.endswith(".host") for name in opened_below(tmp_path)[opened:])


def test_a_message_keeps_its_key_while_mail_programs_show_it(tmp_path):
    maildir = old_and_young(tmp_path / "mail")
    source = build(MAILDIR, tmp_path / "mail")
    (stream,) = source.streams()
    before = sorted(held_keys(source, stream))
    maildir.mark(f"{DELIVERED - DAY}.M2P1.host", "FS")
    assert sorted(held_keys(source, stream)) == before


def test_a_time_cuts_a_maildir_exactly(tmp_path):
    old_and_young(tmp_path / "mail")
    source = build(MAILDIR, tmp_path / "mail")
    (stream,) = source.streams()
    arrived = datetime.fromtimestamp(DELIVERED - DAY, UTC)
    assert len(held_keys(source, stream, arrived)) == 1
    assert held_keys(source, stream, arrived + timedelta(seconds=1)) == []


def test_an_mbox_does_not_hold_what_is_mail_only_in_form(tmp_path):
    mbox = Mbox(tmp_path / "Customers.mbox")
    mbox.append(a_mail(1, header="X-Mozilla-Status: 0009\n"))
    mbox.append(a_mail(2))
    mbox.append(a_mail(3, header="X-IMAP: 1772352000 0000000003\n"))
    held, pulled = held_and_pulled(build(MBOX, mbox.path))
    assert held == pulled
    assert len(held) == 1


def test_an_mbox_holds_what_a_first_pull_brings(tmp_path):
    mbox = Mbox(tmp_path / "Customers.mbox")
    for month in (b"Jan", b"Feb", b"Mar"):
        mbox.append(
            a_mail(len(mbox.mails)),
            b"From lena@nordvik.example Sun " + month + b"  1 08:30:00 2026",
        )
    # Thunderbird names no date: the message's own counts, which is in March.
    mbox.append(a_mail(7), b"From -")
    held, pulled = held_and_pulled(build(MBOX, mbox.path, since="10d"))
    assert held == pulled
    assert len(held) == 2


def test_a_message_that_is_still_being_written_is_not_held_yet(tmp_path):
    mbox = Mbox(tmp_path / "Customers.mbox")
    mbox.append(a_mail(1))
    with mbox.path.open("ab") as file:
        file.write(b"From lena@nordvik.example Sun Mar  1 08:30:00 2026\nFrom: Lena <le")
    written = datetime.fromtimestamp(mbox.path.stat().st_mtime, UTC)
    held, pulled = held_and_pulled(build(MBOX, mbox.path, now=written + timedelta(seconds=1)))
    assert held == pulled
    assert len(held) == 1


def test_an_mbox_that_vanished_is_said_and_not_taken_for_empty(tmp_path):
    """An empty answer would mean that nothing is missing."""
    mbox = Mbox(tmp_path / "box.mbox")
    source = build(MBOX, tmp_path)
    (stream,) = source.streams()
    mbox.path.unlink()
    with pytest.raises(Refused) as error:
        held_keys(source, stream)
    assert error.value.scope == "stream"
