from datetime import UTC, datetime

import pytest

from connectors.imap import ImapOptions, ImapSource
from crm_sync.core.errors import Refused
from crm_sync.ports import Surroundings
from crm_sync.testing.clock import FixedClock

pytestmark = pytest.mark.dovecot


@pytest.fixture
def source(dovecot):
    dovecot.add_user("absent")
    options = ImapOptions(
        host=dovecot.host,
        port=dovecot.port,
        security="none",
        username="absent",
        password="pass",
        folders=["\\Inbox", "\\Archive", "Kunder"],
    )
    clock = FixedClock(datetime(2026, 3, 2, tzinfo=UTC))
    source = ImapSource(options, Surroundings("absent/imap", clock, UTC))
    yield source
    source.close()


def test_a_folder_that_is_named_and_not_there_is_told_and_stops_no_other(source, dovecot):
    dovecot.append("absent", "INBOX", b"From: a@b.example\r\nSubject: one\r\n\r\n")
    streams = {stream.name: stream for stream in source.streams()}

    assert set(streams) == {"INBOX", "Kunder"}
    (page,) = source.pull(streams["INBOX"], None, dict)
    assert len(page.items) == 1
    with pytest.raises(Refused, match='no folder "Kunder"') as refused:
        list(source.pull(streams["Kunder"], None, dict))
    assert refused.value.scope == "stream"
