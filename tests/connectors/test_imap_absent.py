import pytest

from crm_sync.core.errors import Refused

pytestmark = pytest.mark.dovecot


@pytest.fixture
def source(connect):
    return connect(folders=["\\Inbox", "\\Archive", "Kunder"])


def test_a_folder_that_is_named_and_not_there_is_told_and_stops_no_other(source, dovecot, user):
    dovecot.append(user, "INBOX", b"From: a@b.example\r\nSubject: one\r\n\r\n")
    streams = {stream.name: stream for stream in source.streams()}

    assert set(streams) == {"INBOX", "Kunder"}
    (page,) = source.pull(streams["INBOX"], None, dict)
    assert len(page.items) == 1
    with pytest.raises(Refused, match='no folder "Kunder"') as refused:
        list(source.pull(streams["Kunder"], None, dict))
    assert refused.value.scope == "stream"
