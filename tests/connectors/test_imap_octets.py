"""The message itself, cut, for those that understand more of it than its text."""

import pytest

from crm_sync.core.records import Locator, MailItem
from crm_sync.testing.source_contract import Ledger, locate, pull

HEAD = (
    b"From: lena@nordvik.example\r\nTo: karin@acme.example\r\nSubject: hej\r\n"
    b"Message-ID: <%d@nordvik.example>\r\nDate: Sun, 1 Mar 2026 09:30:00 +0100\r\n"
    b"Content-Type: multipart/mixed; boundary=x\r\n\r\n"
)
BODY = b"--x\r\nContent-Type: text/plain\r\n\r\ntext\r\n--x\r\n\r\nmore\r\n--x--\r\n"


@pytest.fixture
def mailbox(dovecot, user, connect):
    return dovecot, user, connect(since="all")


def test_octets_are_the_message_as_it_was_delivered(mailbox):
    server, user, source = mailbox
    server.append(user, "INBOX", HEAD % 1 + BODY)
    stream = source.streams()[0]
    (item,) = [item for page in pull(source, stream, Ledger()) for item in page.items]

    (body,) = source.read([locate(stream, item)], octets=True)

    assert body.octets == HEAD % 1 + BODY
    assert (body.text, body.attachments, body.problem) == ("", (), "")


def test_octets_are_cut_and_come_beside_the_item_where_both_are_asked_for(mailbox):
    server, user, source = mailbox
    large = HEAD % 2 + b"x" * 70 + (b"\r\n" + b"y" * 70) * 5000
    server.append(user, "INBOX", large)
    stream = source.streams()[0]
    (item,) = [item for page in pull(source, stream, Ledger()) for item in page.items]

    found = list(
        source.read(
            [locate(stream, item), Locator(stream.key, item.key.partition(":")[0] + ":99")],
            items=True,
            octets=True,
        )
    )

    (body,) = [body for body in found if not body.gone]
    assert body.octets == large[: 256 * 1024]
    assert isinstance(body.item, MailItem)
    assert body.item.envelope == item.envelope
    assert len(found) == 2
