"""How mails of ours are written: from whom, in which words, under which id, by which way out."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import time

from crm_sync.core.compose import message_id
from crm_sync.core.records import Address, Draft
from crm_sync.core.rendering import Renderer
from crm_sync.flow.budget import Limits
from crm_sync.ports import Filing, Sender
from crm_sync.store.outbox import GREETING, Row

CUSTOMER_KINDS = frozenset({GREETING})
"""Kinds of mail that go to customers; all others go to reps (law 7)."""

TEAM = ""
"""The way out of the team's sender."""


@dataclass(frozen=True, slots=True)
class GreetingRule:
    """An occasion to greet: when on the contact's day, and whether somebody must approve."""

    occasion: str
    send_at: time
    customers: str  # off | draft | ask | auto


@dataclass(frozen=True, slots=True)
class Way:
    """A way out: one sender account, and the mailbox in which its mails are found or kept.

    `account` is what the provider counts by: ways with the same one share its limits. `filing` is
    the mailbox to look for sent mails in; with `keeps_copy` we put each one there ourselves.
    """

    from_: Address
    open_sender: Callable[[], Sender]
    account: str = ""
    limits: Limits = field(default_factory=Limits)
    open_filing: Callable[[], Filing] | None = None
    keeps_copy: bool = False


@dataclass(frozen=True, slots=True)
class Post:
    """The team's stationery. `witness` gets a blind copy of each mail, None for none.

    `to_customers` is the kill switch: without it nothing leaves for a customer, whatever is queued.
    `ways` are those of reps, by each address a rep has or had, and `drafts` the mailboxes for their
    drafts, by the rep's address of today.
    """

    renderer: Renderer
    team: Way
    message_key: bytes
    team_name: str
    team_language: str
    team_zone: str
    digest_at: time
    to_reps: bool
    to_customers: bool
    greetings: tuple[GreetingRule, ...]
    witness: str | None = None
    witness_account: str | None = None
    ways: Mapping[str, Way] = field(default_factory=dict)
    drafts: Mapping[str, Callable[[], Filing]] = field(default_factory=dict)

    def way(self, via: str) -> Way | None:
        """The way out of an outbox row; None when it is not configured any more."""
        return self.team if via == TEAM else self.ways.get(via)

    def sender_of(self, rep: str) -> tuple[str, Address]:
        """By which way out, and as whom, a customer is greeted for a rep: hers, else the team's."""
        if rep in self.ways:
            return rep, self.ways[rep].from_
        return TEAM, self.team.from_

    def vias(self, account: str) -> list[str]:
        """All ways out that leave by this account."""
        everyone = {TEAM: self.team, **self.ways}
        return [via for via, way in everyone.items() if way.account == account]

    def message_id(self, key: str, sender: str = "") -> str:
        """The Message-ID of a row: the same for the same natural key, in any database.

        Its domain is that of `sender`, an address; the team's sender's by default.
        """
        domain = (sender or self.team.from_.address).rpartition("@")[2]
        return message_id(self.message_key, key, domain)

    def message_ids(self, key: str) -> list[str]:
        """The Message-IDs that the row may have, by whichever sender it left."""
        senders = {way.from_.address for way in (self.team, *self.ways.values())}
        senders |= self.ways.keys() | self.drafts.keys()
        return sorted({self.message_id(key, sender) for sender in senders})

    def mail(self, row: Row, way: Way) -> Draft:
        """The mail of a claimed outbox row, complete: the same octets whenever it is written."""
        witness = self.witness
        bcc = (witness,) if witness and witness != row.recipient else ()
        return replace(_written(row, way.from_), bcc=bcc, headers=_fields(row))

    def draft(self, row: Row, author: str) -> Draft:
        """The same for a person to send, in her name: nothing in it calls it automatic."""
        return _written(row, Address(row.sender, author))


def _written(row: Row, from_: Address) -> Draft:
    assert row.claimed_at is not None
    return Draft(
        message_id=row.message_id,
        date=row.claimed_at,
        from_=from_,
        to=(Address(row.recipient, row.recipient_name),),
        subject=row.subject,
        text=row.text,
        html=row.html,
        language=row.language,
        reply_to=(Address(row.reply_to),) if row.reply_to else (),
        headers=(("X-CRM-Sync-Id", row.message_id),),
    )


def _fields(row: Row) -> tuple[tuple[str, str], ...]:
    fields = [
        ("Auto-Submitted", "auto-generated"),
        ("X-CRM-Sync-Id", row.message_id),
        ("X-Auto-Response-Suppress", "All"),
    ]
    if row.kind in CUSTOMER_KINDS:
        answer = row.reply_to or row.sender
        fields.append(("List-Unsubscribe", f"<mailto:{answer}?subject=unsubscribe>"))
    return tuple(fields)
