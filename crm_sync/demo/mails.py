"""The demo's mails: what each is, how it looks on the wire, in which mailboxes it lies."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.header import Header
from email.message import EmailMessage, Message
from email.mime.message import MIMEMessage
from email.mime.multipart import MIMEMultipart
from email.mime.text import MIMEText
from email.policy import SMTP
from email.utils import format_datetime, formataddr
from html import escape
from typing import Literal
from zoneinfo import ZoneInfo

from crm_sync.demo.people import Party
from crm_sync.demo.truth import Expected

PDF = b"%PDF-1.4\n1 0 obj <</Type /Catalog>> endobj\ntrailer <</Root 1 0 R>>\n%%EOF\n"


@dataclass(frozen=True, slots=True)
class Mail:
    """One mail as its author meant it.

    `at` is when it was sent. `date` says what the Date header tells about that: the truth, nothing,
    or a day far ahead. `references` are the Message-IDs it answers, oldest first. `fate` is
    "logged" or the reason why the diary leaves it out.
    """

    author: Party
    to: tuple[Party, ...]
    subject: str
    text: str
    at: datetime
    message_id: str
    cc: tuple[Party, ...] = ()
    thread: str = ""
    references: tuple[str, ...] = ()
    attachment: str = ""
    html: bool = False
    charset: str = "utf-8"
    headers: tuple[tuple[str, str], ...] = ()
    bounce: str = ""
    date: Literal["true", "none", "future"] = "true"
    fate: str = "logged"
    words: tuple[str, ...] = ()

    @property
    def arrived_at(self) -> datetime:
        """When the servers received it, aware UTC."""
        return (self.at + timedelta(seconds=20)).astimezone(UTC)

    @property
    def parties(self) -> tuple[Party, ...]:
        """Author and recipients."""
        return (self.author, *self.to, *self.cc)


@dataclass(frozen=True, slots=True)
class Placed:
    """A mail in a mailbox: whose, in which folder, its bytes and date of arrival (aware UTC)."""

    user: str
    folder: str
    raw: bytes
    arrived_at: datetime


def expected(mail: Mail) -> Expected:
    """The interaction that a logged mail becomes."""
    return Expected(
        kind="email",
        direction="outbound" if mail.author.rep else "inbound",
        occurred_at=mail.at if mail.date == "true" else mail.arrived_at,
        subject=mail.subject,
        parties=mail.parties,
        message_id=mail.message_id,
        thread=mail.thread,
        attachments=(mail.attachment,) if mail.attachment else (),
    )


def place(mail: Mail) -> list[Placed]:
    """The copies of a mail: the author's in Sent, each addressed rep's in INBOX."""
    wire = _compose(mail)
    copies = [Placed(mail.author.rep, "Sent", wire, mail.arrived_at)] if mail.author.rep else []
    for party in mail.to + mail.cc:
        if party.rep:
            received = _received(mail, party).encode("ascii")
            copies.append(Placed(party.rep, "INBOX", received + wire, mail.arrived_at))
    return copies


def _received(mail: Mail, party: Party) -> str:
    sender = "" if mail.bounce else mail.author.address
    stamp = format_datetime(mail.arrived_at)
    return (
        f"Return-Path: <{sender}>\r\n"
        f"Received: from mx.{_domain(mail.author)} by imap.acme.example\r\n"
        f"\tfor <{party.address}>; {stamp}\r\n"
    )


def _compose(mail: Mail) -> bytes:
    """The mail as bytes (RFC 5322): header fields here, the body by the standard library."""
    fields = [("From", _addresses((mail.author,))), ("To", _addresses(mail.to))]
    if mail.cc:
        fields.append(("Cc", _addresses(mail.cc)))
    fields.append(("Subject", Header(mail.subject, mail.charset).encode(linesep="\r\n")))
    if mail.date != "none":
        fields.append(("Date", format_datetime(_written_date(mail))))
    if mail.message_id:
        fields.append(("Message-ID", mail.message_id))
    if mail.references:
        fields.append(("In-Reply-To", mail.references[-1]))
        fields.append(("References", "\r\n ".join(mail.references)))
    fields.extend(mail.headers)
    head = "".join(f"{name}: {value}\r\n" for name, value in fields)
    body = _report(mail) if mail.bounce else _body(mail)
    return head.encode("ascii") + body.as_bytes(policy=SMTP)


def _addresses(parties: tuple[Party, ...]) -> str:
    return ",\r\n ".join(formataddr((party.name, party.address)) for party in parties)


def _written_date(mail: Mail) -> datetime:
    local = mail.at.astimezone(ZoneInfo(mail.author.timezone))
    return local + timedelta(days=400) if mail.date == "future" else local


def _body(mail: Mail) -> EmailMessage:
    body = EmailMessage(policy=SMTP)
    body.set_content(mail.text + "\n", charset=mail.charset, cte="base64")
    if mail.html:
        paragraphs = "".join(f"<p>{escape(p)}</p>" for p in mail.text.split("\n\n"))
        paragraphs = paragraphs.replace("\n", "<br>")
        html = f"<html><body>{paragraphs}</body></html>"
        body.add_alternative(html, subtype="html", charset="utf-8", cte="base64")
    if mail.attachment:
        body.add_attachment(
            PDF,
            maintype="application",
            subtype="pdf",
            filename=mail.attachment,
            params={"name": mail.attachment},  # the old place for a name, as most programs do
        )
    _fix_boundaries(body)
    return body


def _report(mail: Mail) -> Message:
    """A delivery status notification (RFC 3464) about the address in `mail.bounce`."""
    status = Message()
    status["Final-Recipient"] = f"rfc822; {mail.bounce}"
    status["Action"] = "failed"
    status["Status"] = "5.1.1"
    head = Message()
    head["Reporting-MTA"] = f"dns; mx.{_domain(mail.author)}"
    delivery = Message()
    delivery["Content-Type"] = "message/delivery-status"
    delivery.set_payload([head, status])
    report = MIMEMultipart("report", report_type="delivery-status")
    returned = Message()
    returned["To"] = mail.bounce
    returned.set_payload("")
    for part in (MIMEText(mail.text), delivery, MIMEMessage(returned)):
        report.attach(part)
    _fix_boundaries(report)
    return report


def _fix_boundaries(body: Message) -> None:
    """Gives each multipart a boundary that is the same in every build."""
    for number, part in enumerate(body.walk()):
        if part.get_content_maintype() == "multipart":
            part.set_boundary(f"=_part_{number}_=")


def _domain(party: Party) -> str:
    return party.address.rpartition("@")[2].lower()
