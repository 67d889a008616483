"""The mail corpus beside the checkout, and a mailbox of any mails synced for real.

The corpus lies in `../shared/corpus/mail`. Without it these tests are skipped by name, save where
the environment says CI=true: there they fail.
"""

import csv
import os
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cache
from io import StringIO
from pathlib import Path

import pytest
from sqlalchemy import select

from crm_sync.app import App, read_settings
from crm_sync.core.addresses import canonical
from crm_sync.core.customer_files import parse_customers
from crm_sync.core.errors import Unreadable
from crm_sync.core.headers import parse_envelope
from crm_sync.core.records import Address, Envelope
from crm_sync.flow import explain, intake
from crm_sync.flow.health import Pulled
from crm_sync.store import accounts
from crm_sync.store.tables import interaction, quarantine, sighting, witness
from crm_sync.testing.clock import FixedClock
from tests.servers.dovecot import Dovecot

CORPUS = Path(__file__).resolve().parents[2].parent / "shared" / "corpus" / "mail"
OUR_DOMAIN = "our-own-team.example"
REP = f"rep@{OUR_DOMAIN}"
ARRIVED = datetime(2026, 3, 2, 8, 0, tzinfo=UTC)

needs_corpus = [
    pytest.mark.corpus,
    pytest.mark.skipif(
        not CORPUS.is_dir() and os.environ.get("CI") != "true",
        reason="the mail corpus is not beside the checkout (../shared/corpus/mail)",
    ),
]


@dataclass(frozen=True)
class Labelled:
    """A line of labels.tsv."""

    label: str
    language: str = ""
    reply: str = ""


@cache
def corpus() -> dict[str, bytes]:
    """Name -> raw bytes of every mail."""
    found = {str(p.relative_to(CORPUS)): p.read_bytes() for p in sorted(CORPUS.rglob("*.eml"))}
    assert found, f"the corpus is empty or missing: {CORPUS}"
    return found


@cache
def labels() -> dict[str, Labelled]:
    """Name -> label of each mail that has one; the reply's escapes are undone."""
    rows = [
        line.split("\t")
        for line in (CORPUS / "labels.tsv").read_text(encoding="utf-8").splitlines()[1:]
    ]
    return {row[0]: Labelled(row[1], row[3], _unescaped(row[4])) for row in rows}


def _unescaped(text: str) -> str:
    pieces = text.split("\\\\")
    return "\\".join(piece.replace("\\n", "\n").replace("\\t", "\t") for piece in pieces)


def sender(raw: bytes) -> str | None:
    """The address a mail is from: From, else Sender, else Return-Path; None when there is none."""
    try:
        envelope = parse_envelope(raw)
    except Unreadable:
        return None
    return next((a for a in _authors(envelope) if canonical(a)), None)


def _authors(envelope: Envelope) -> list[str]:
    path = (Address(envelope.return_path or ""),)
    return [a.address for a in (*envelope.from_, *envelope.sender, *path)]


@dataclass(frozen=True)
class Fate:
    """What became of one mail: the outcome, why, and the diary's own row for it."""

    outcome: str
    reason: str
    row: int


@dataclass
class Office:
    """One rep's mailbox on Dovecot and the program, with every sender as a customer."""

    dovecot: Dovecot
    folder: Path
    user: str
    mails: dict[str, bytes]
    clock: FixedClock = field(default_factory=lambda: FixedClock(ARRIVED + timedelta(days=30)))

    def __post_init__(self) -> None:
        self._arrivals = {ARRIVED + timedelta(seconds=i): n for i, n in enumerate(self.mails)}
        seeds = [(self.mails[name], at) for at, name in self._arrivals.items()]
        self.dovecot.add_user(self.user)
        self.dovecot.seed(self.user, "INBOX", seeds)
        config = self.folder / "crm-sync.toml"
        config.write_text(self._configuration(), encoding="utf-8")
        self.app = App(read_settings(config), self.clock)

    def _configuration(self) -> str:
        return f"""
[database]
url = "sqlite:///crm-sync.db"
[team]
name = "Our own team"
domains = ["{OUR_DOMAIN}"]
timezone = "Europe/Stockholm"
[[reps]]
email = "{REP}"
[[mailboxes]]
rep = "{REP}"
connector = "imap"
host = "{self.dovecot.host}"
port = {self.dovecot.port}
security = "none"
username = "{self.user}"
password = "pass"
since = "all"
"""

    def import_every_sender(self) -> dict:
        """Makes every sender a contact of its own."""
        senders = {canonical(a) or "": a for a in map(sender, self.mails.values()) if a}
        table = StringIO()
        writer = csv.writer(table)
        writer.writerow(["name", "emails"])
        writer.writerows([f"Contact {i}", a] for i, a in enumerate(senders.values()))
        rows = parse_customers(table.getvalue().encode(), ".csv")
        return intake.take_in(self.app.setup, rows)

    def sync(self) -> Pulled:
        """One pull of the mailbox."""
        (pulled,) = self.app.pull()
        return pulled

    def account(self) -> accounts.Account:
        """The mailbox as `status` knows it."""
        with self.app.store.read() as tx:
            (found,) = accounts.all_accounts(tx)
        return found

    def explain(self, message_id: str) -> list[dict]:
        """What `explain` says."""
        return explain.explain(self.app.setup, message_id)

    def fates(self) -> dict[str, Fate]:
        """What became of each mail in the mailbox, by the witness or quarantine row of its UID."""
        names, rows = self._names_by_uid(), self._rows_by_uid()
        assert rows.keys() <= names.keys(), "the diary knows UIDs that the mailbox does not hold"
        return {name: rows[uid] for uid, name in names.items() if uid in rows}

    def _names_by_uid(self) -> dict[int, str]:
        """Which mail each UID is, told by its date of arrival."""
        with self.dovecot.client(self.user) as client:
            client.normalise_times = False
            client.select_folder("INBOX", readonly=True)
            rows = client.fetch(client.search(), ["INTERNALDATE"])
        return {u: self._arrivals[row[b"INTERNALDATE"].astimezone(UTC)] for u, row in rows.items()}

    def _rows_by_uid(self) -> dict[int, Fate]:
        unseal = self.app.store.keys.unseal
        logged = select(witness.c.sealed, interaction.c.id).join(interaction)
        seen = select(
            witness.c.sealed, sighting.c.outcome, sighting.c.reason, sighting.c.id
        ).join(sighting)  # fmt: skip
        held = select(quarantine.c.sealed, quarantine.c.reason, quarantine.c.id)
        with self.app.store.read() as tx:
            found = [(row[0], Fate("logged", "matched", row[1])) for row in tx.execute(logged)]
            found += [(row[0], Fate(row[1], row[2], row[3])) for row in tx.execute(seen)]
            found += [(row[0], Fate("quarantined", row[1], row[2])) for row in tx.execute(held)]
        fates = {int(unseal(sealed).rpartition(":")[2]): fate for sealed, fate in found}
        assert len(fates) == len(found), "a UID has more than one row"
        return fates
