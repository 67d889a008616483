"""How mails of ours are written: from whom, in which words, under which id."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, time

from crm_sync.core.compose import message_id
from crm_sync.core.records import Address, Draft
from crm_sync.core.rendering import Renderer
from crm_sync.ports import Sender
from crm_sync.store.outbox import GREETING, Row

CUSTOMER_KINDS = frozenset({GREETING})
"""Kinds of mail that go to customers; all others go to reps (law 7)."""


@dataclass(frozen=True, slots=True)
class GreetingRule:
    """An occasion to greet: when on the contact's day, and whether somebody must approve."""

    occasion: str
    send_at: time
    customers: str  # off | ask | auto


@dataclass(frozen=True, slots=True)
class Post:
    """The team's stationery. `witness` gets a blind copy of each mail, None for none.

    `to_customers` is the kill switch: without it nothing leaves for a customer, whatever is queued.
    """

    renderer: Renderer
    sender: Address
    message_key: bytes
    team_name: str
    team_language: str
    team_zone: str
    digest_at: time
    to_reps: bool
    to_customers: bool
    greetings: tuple[GreetingRule, ...]
    open_sender: Callable[[], Sender]
    witness: str | None = None
    witness_account: str | None = None

    def message_id(self, key: str) -> str:
        """The Message-ID of a row: the same for the same natural key, in any database."""
        return message_id(self.message_key, key, self.sender.address.rpartition("@")[2])

    def draft(self, row: Row, now: datetime) -> Draft:
        """The mail of an outbox row, complete."""
        headers = [("Auto-Submitted", "auto-generated"), ("X-CRM-Sync-Id", row.message_id)]
        headers.append(("X-Auto-Response-Suppress", "All"))
        if row.kind in CUSTOMER_KINDS:
            answer = row.reply_to or self.sender.address
            headers.append(("List-Unsubscribe", f"<mailto:{answer}?subject=unsubscribe>"))
        return Draft(
            message_id=row.message_id,
            date=now,
            from_=self.sender,
            to=(Address(row.recipient, row.recipient_name),),
            subject=row.subject,
            text=row.text,
            html=row.html,
            language=row.language,
            reply_to=(Address(row.reply_to),) if row.reply_to else (),
            bcc=(self.witness,) if self.witness and self.witness != row.recipient else (),
            headers=tuple(headers),
        )
