"""Mails for an IMAP server, and what its tests see of a source."""

import re
from collections.abc import Iterable
from datetime import datetime
from email.message import EmailMessage

from crm_sync.core.records import Item, MailItem, Page, Stream
from crm_sync.ports import Source
from crm_sync.testing.source_contract import Ledger, pull
from tests.servers.dovecot import Dovecot
from tests.servers.recording_proxy import RecordingProxy


def a_mail(subject: str, text: str = "Hello", **headers: str) -> bytes:
    """A mail of a customer."""
    mail = EmailMessage()
    mail["From"], mail["To"] = "lena@nordvik.example", "karin@acme.example"
    mail["Subject"], mail["Message-ID"] = subject, f"<{subject}@nordvik.example>"
    for name, value in headers.items():
        mail[name] = value
    mail.set_content(text)
    return mail.as_bytes()


def numbered_mail(number: int) -> bytes:
    """A mail of a customer, the same octets each time it is made."""
    return (
        f"From: lena@nordvik.example\r\nSubject: m{number}\r\n"
        f"Message-ID: <{number}@nordvik.example>\r\n\r\ntext {number}\r\n"
    ).encode()


def fill_inbox(dovecot: Dovecot, user: str, count: int, arrived_at: datetime) -> None:
    """Delivers the mails from 1 to `count` to an empty inbox; their UIDs are these numbers."""
    numbers = range(1, count + 1)
    dovecot.seed(user, "INBOX", ((numbered_mail(n), arrived_at) for n in numbers))
    assert dovecot.uids(user, "INBOX") == list(numbers)


def inbox_of(source: Source) -> Stream:
    """The inbox, after one look at the server."""
    return next(s for s in source.streams() if s.name == "INBOX")


def poll(source: Source, ledger: Ledger) -> list[Page]:
    """One look at the server, and a pull of the only folder that is chosen."""
    (inbox,) = source.streams()
    return pull(source, inbox, ledger)


def subjects(items: Iterable[Item]) -> list[str]:
    """The subjects of the readable items."""
    return [i.envelope.subject for i in items if isinstance(i, MailItem)]


def uids(items: Iterable[Item]) -> list[int]:
    """The UIDs in the keys of items."""
    return uids_of(i.key for i in items)


def uids_of(keys: Iterable[str]) -> list[int]:
    """The UIDs in keys, which are UIDVALIDITY and UID."""
    return [int(key.partition(":")[2]) for key in keys]


def swap_inbox(dovecot: Dovecot, user: str, proxy: RecordingProxy) -> None:
    """From now on the server says INBOX of the folder Other, and gives it INBOX's UIDVALIDITY."""
    inbox, other = (dovecot.uidvalidity(user, name) for name in ("INBOX", "Other"))
    names = {b"INBOX": b"Other", b"Other": b"INBOX"}
    proxy.on_answer = lambda line: (
        re.sub(
            rb"\b(INBOX|Other)\b",
            lambda found: names[found[1]],
            line.replace(b"%d" % other, b"%d" % inbox),
        )
        + b"\r\n"
    )
