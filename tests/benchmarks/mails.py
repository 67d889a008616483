"""The mailbox that is measured: made from a seed, so that every run and every side reads the same.

A third of the mails are correspondence with customers; the rest is what fills mailboxes: mail among
colleagues, of people who are no customers, newsletters and notices.
"""

import base64
import quopri
import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.header import Header
from email.utils import format_datetime
from functools import cache

CUSTOMERS = 200
OURS = "acme.example"
REP = f"karin@{OURS}"
FOLDERS = ("INBOX", "Sent", "Archive")

_NAMES = (
    "Lena Nordvik", "Åsa Öberg", "Mikkel Sørensen", "Thi Mai Nguyễn", "Jonas Lind", "Sara Holm",
    "Peter van Dijk", "Zoë Müller", "Ali Rezaei", "Emma Clarke", "Olof Ek", "Ines García",
)  # fmt: skip
_WORDS = [
    "order",
    "delivery",
    "meeting",
    "drawing",
    "contract",
    "sample",
    "table",
    "chair",
    "oak",
    "walnut",
    "colour",
    "quantity",
    "week",
    "warehouse",
    "address",
    "question",
    "answer",
    "price",
    "list",
    "measure",
    "workshop",
    "showroom",
    "invoice",
    "number",
    "tomorrow",
    "Thursday",
    "afternoon",
    "phone",
    "call",
    "visit",
    "team",
    "project",
    "hotel",
    "lobby",
    "lamp",
    "textile",
    "frame",
]
_SUBJECTS = (
    "Delivery in week {n}", "Drawings for the lobby", "Fråga om order {n}", "Möte på torsdag",
    "Størrelser og farver", "The chairs for room {n}", "Báo giá số {n}", "Återkoppling på prover",
    "Contract {n}, second version", "Oak or walnut?",
)  # fmt: skip
_FIRST_DAY = datetime(2026, 1, 5, 6, tzinfo=UTC)
_SIGNATURE = "\n\n--\n{name}\n+46 8 555 {n:04}\nhttps://www.{domain}/\n"


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody with a name and an address."""

    name: str
    address: str

    @property
    def domain(self) -> str:
        return self.address.partition("@")[2]

    def written(self) -> str:
        if not self.name:
            return self.address
        name = self.name if self.name.isascii() else _encoded(self.name)
        return f"{name} <{self.address}>"


@dataclass(slots=True)
class _Thread:
    rep: Person
    other: Person
    subject: str
    ids: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Mail:
    """One mail in its folder, and whether a customer is on it."""

    folder: str
    raw: bytes
    arrived_at: datetime
    matches: bool


def customers_csv() -> str:
    """The customers that write mails."""
    rows = ["name,company,emails,owner"]
    rows += [
        f"{_NAMES[n % len(_NAMES)]},Customer {n} AB,{_customer(n).address},{REP}"
        for n in range(CUSTOMERS)
    ]
    return "\n".join(rows) + "\n"


def mailbox(count: int, seed: str = "mailbox") -> Iterator[Mail]:
    """`count` mails, oldest first; mails of another seed have other Message-IDs and threads."""
    dice = random.Random(seed)
    writer = _Writer(dice, seed)
    for number in range(count):
        at = _FIRST_DAY + timedelta(minutes=3 * number, seconds=dice.randrange(150))
        yield writer.mail(number, at)


def _customer(number: int) -> Person:
    name = _NAMES[number % len(_NAMES)]
    return Person(name, f"{_local(name)}@customer{number}.example")


@cache
def _encoded(text: str) -> str:
    return Header(text, "utf-8").encode(linesep="\r\n")


def _local(name: str) -> str:
    return "".join(c for c in name.lower() if c.isascii() and c.isalpha())


class _Writer:
    """Writes the mails of one mailbox, one after the other."""

    def __init__(self, dice: random.Random, seed: str) -> None:
        self._dice = dice
        self._seed = seed
        self._lines = [" ".join(dice.choices(_WORDS, k=11)) for _ in range(500)]
        self._reps = [Person("Karin Ek", REP), Person("Daniel Berg", f"daniel@{OURS}")]
        self._threads: dict[str, list[_Thread]] = {"customer": [], "other": []}
        pdf = b"%PDF-1.4\n" + dice.randbytes(9000)
        self._attachment = base64.encodebytes(pdf).decode().replace("\n", "\r\n")

    def mail(self, number: int, at: datetime) -> Mail:
        kind = self._dice.choices(
            ("customer", "other", "colleague", "newsletter", "notice"), (34, 22, 16, 18, 10)
        )[0]
        if kind in ("customer", "other"):
            return self._correspondence(kind, number, at)
        if kind == "colleague":
            sender = Person("Daniel Berg", f"daniel@{OURS}")
            return self._written(number, at, sender, [self._reps[0]], [], self._subject())
        return self._machine(kind, number, at)

    def _correspondence(self, kind: str, number: int, at: datetime) -> Mail:
        threads = self._threads[kind]
        if threads and self._dice.random() < 0.6:
            thread = self._dice.choice(threads)
        else:
            thread = _Thread(self._reps[0], self._somebody(kind), self._subject())
            threads.append(thread)
            del threads[:-200]
        outbound = self._dice.random() < 0.4
        sender, to = (thread.rep, thread.other) if outbound else (thread.other, thread.rep)
        subject = f"Re: {thread.subject}" if thread.ids else thread.subject
        mail = self._written(
            number,
            at,
            sender,
            [to, *self._more(to)],
            thread.ids,
            subject,
            matches=kind == "customer",
        )
        thread.ids.append(self._id(number, sender))
        return mail

    def _somebody(self, kind: str) -> Person:
        if kind == "customer":
            return _customer(self._dice.randrange(CUSTOMERS))
        number = self._dice.randrange(1500)
        name = self._dice.choice(_NAMES)
        return Person(name, f"{_local(name)}{number}@firm{number % 700}.example")

    def _more(self, beside: Person) -> list[Person]:
        """Sometimes two to five recipients more, some of them without a name."""
        if self._dice.random() > 0.25:
            return []
        names = self._dice.sample(_NAMES, self._dice.randrange(2, 6))
        return [
            Person(n if self._dice.random() < 0.8 else "", f"{_local(n)}@{beside.domain}")
            for n in names
        ]

    def _subject(self) -> str:
        return self._dice.choice(_SUBJECTS).format(n=self._dice.randrange(2000))

    def _id(self, number: int, sender: Person) -> str:
        return f"<{self._seed}.{number:06}.{number * 7919 % 99991:05}@mail.{sender.domain}>"

    def _written(
        self,
        number: int,
        at: datetime,
        sender: Person,
        to: list[Person],
        references: list[str],
        subject: str,
        *,
        matches: bool = False,
    ) -> Mail:
        fields = self._fields(number, at, sender, to, subject)
        if references:
            fields.append(f"In-Reply-To: {references[-1]}")
            fields.append("References: " + "\r\n ".join(references[-12:]))
        fields.append("X-Mailer: Example Mail 16.0")
        text = self._text() + _SIGNATURE.format(name=sender.name, n=number % 10000, domain=OURS)
        if references:
            text += "\n> " + self._text().replace("\n", "\n> ")
        folder = "Sent" if sender.address == REP else self._dice.choices(FOLDERS[::2], (9, 1))[0]
        return Mail(folder, self._with_body(fields, text), at, matches)

    def _machine(self, kind: str, number: int, at: datetime) -> Mail:
        name = f"shop{self._dice.randrange(60)}.example"
        local = "newsletter" if kind == "newsletter" else "no-reply"
        sender = Person(f"Shop at {name}", f"{local}@{name}")
        fields = self._fields(number, at, sender, [self._reps[0]], self._subject())
        if kind == "newsletter":
            fields += [f"List-Id: <news.{name}>", f"List-Unsubscribe: <https://{name}/leave>"]
            fields.append("Precedence: bulk")
        else:
            fields.append("Auto-Submitted: auto-generated")
        return Mail("INBOX", self._with_body(fields, self._text()), at, matches=False)

    def _fields(
        self, number: int, at: datetime, sender: Person, to: list[Person], subject: str
    ) -> list[str]:
        zone = timedelta(hours=1)
        date = format_datetime(at).replace("+0000", "+0100") if number % 2 else format_datetime(at)
        arrived = format_datetime(at + zone)
        signed = base64.b64encode(self._dice.randbytes(192)).decode()
        cc = to[3:]
        fields = [
            f"Return-Path: <{sender.address}>",
            f"Received: from mx.{sender.domain} by mx.{OURS} with ESMTPS\r\n\tid {number:08x}; {arrived}",
            f"Received: from [198.51.100.7] by mx.{sender.domain} with ESMTPSA; {arrived}",
            f"DKIM-Signature: v=1; d={sender.domain};\r\n\tb={signed[:128]}\r\n\t{signed[128:]}",
            f"From: {sender.written()}",
            "To: " + ",\r\n ".join(p.written() for p in to[:3]),
            f"Subject: {subject if subject.isascii() else _encoded(subject)}",
            f"Date: {date}",
            f"Message-ID: {self._id(number, sender)}",
            "MIME-Version: 1.0",
        ]
        return fields + (["Cc: " + ",\r\n ".join(p.written() for p in cc)] if cc else [])

    def _text(self) -> str:
        lines = self._dice.choices(self._lines, k=self._dice.randrange(3, 14))
        return "Hej och tack för samtalet,\n" + "\n".join(lines)

    def _with_body(self, fields: list[str], text: str) -> bytes:
        kind = self._dice.choices(
            ("plain", "base64", "alternative", "attachment"), (35, 10, 40, 15)
        )
        if kind[0] == "plain":
            head, body = _part(text, "plain", "quoted-printable")
        elif kind[0] == "base64":
            head, body = _part(text, "plain", "base64")
        else:
            head, body = _alternative(text)
            if kind[0] == "attachment":
                head, body = _mixed(head, body, self._attachment)
        return ("\r\n".join([*fields, head]) + "\r\n\r\n" + body).encode("ascii")


def _part(text: str, subtype: str, encoding: str) -> tuple[str, str]:
    head = f"Content-Type: text/{subtype}; charset=utf-8\r\nContent-Transfer-Encoding: {encoding}"
    encode = quopri.encodestring if encoding == "quoted-printable" else base64.encodebytes
    return head, encode(text.encode()).decode().replace("\n", "\r\n")


def _alternative(text: str) -> tuple[str, str]:
    html = "".join(f"<p style='margin:0'>{line}</p>\n" for line in text.splitlines())
    page = f"<html><head><style>p {{color:#222}}</style></head><body>{html}</body></html>\n"
    parts = [_part(text, "plain", "quoted-printable"), _part(page, "html", "quoted-printable")]
    return _multipart("alternative", "=_a1b2", parts)


def _mixed(head: str, body: str, attachment: str) -> tuple[str, str]:
    pdf = (
        'Content-Type: application/pdf; name="drawing.pdf"\r\nContent-Transfer-Encoding: base64\r\n'
        'Content-Disposition: attachment; filename="drawing.pdf"'
    )
    return _multipart("mixed", "=_c3d4", [(head, body), (pdf, attachment)])


def _multipart(subtype: str, boundary: str, parts: list[tuple[str, str]]) -> tuple[str, str]:
    body = "".join(f"--{boundary}\r\n{head}\r\n\r\n{text}\r\n" for head, text in parts)
    return f'Content-Type: multipart/{subtype}; boundary="{boundary}"', f"{body}--{boundary}--\r\n"
