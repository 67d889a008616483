"""A path to an archive that its connector can't read: what it is, and what to do."""

import gzip
from datetime import UTC, datetime

import pytest

from connectors.files import MAILDIR, MBOX
from crm_sync.core.errors import Refused
from crm_sync.ports import Surroundings
from crm_sync.testing.clock import FixedClock

MAIL = b"From lena@nordvik.example Sun Mar  1 09:00:00 2026\nSubject: offer\n\ntext\n"


def source_of(kind, path):
    clock = FixedClock(datetime(2026, 3, 4, 12, tzinfo=UTC))
    return kind.build(kind.options(path=path), Surroundings("karin/files", clock, UTC))


def refusal(source):
    """The sentence of a pull; `doctor` gives the same words."""
    with pytest.raises(Refused) as caught:
        source.streams()
    (finding,) = source.probe()
    assert (finding.ok, finding.problem) == (False, caught.value.what)
    assert finding.advice == caught.value.advice
    return caught.value.sentence()


def test_a_maildir_that_is_a_file_is_said_to_be_one(tmp_path):
    path = tmp_path / "archive.mbox"
    path.write_bytes(MAIL)
    assert refusal(source_of(MAILDIR, path)) == (
        f"{path}: it is a file, not a folder. "
        'Archives that are a file are read by connector = "mbox".'
    )
    assert [s.name for s in source_of(MBOX, path).streams()] == ["archive"]


@pytest.mark.parametrize("kind", [MAILDIR, MBOX])
def test_a_packed_archive_wants_to_be_unpacked(tmp_path, kind):
    path = tmp_path / "archive.mbox.gz"
    path.write_bytes(gzip.compress(MAIL))
    assert refusal(source_of(kind, path)) == f"{path}: it is a packed file. Unpack it first."


def test_an_mbox_is_read_whatever_it_is_called(tmp_path):
    path = tmp_path / "archive.zip"
    path.write_bytes(MAIL)
    assert len(source_of(MBOX, path).streams()) == 1
