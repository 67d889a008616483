"""Reminders: the facts they follow from, and their states."""

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, func, or_, select, update

from crm_sync.core.errors import UsageError
from crm_sync.core.followups import Event
from crm_sync.store.engine import read_time, rows_in, text_time
from crm_sync.store.tables import (
    contact,
    customer,
    interaction,
    interaction_contact,
    interaction_rep,
    outbox,
    reminder,
)


@dataclass(frozen=True, slots=True)
class Open:
    """An open reminder with what a digest tells of it."""

    id: int
    who: str
    rep: str
    cause: int
    customer: str
    customer_id: int
    contact: str
    address: str
    subject: str
    since: datetime
    due_at: datetime


def touched(tx: Connection, interactions: Sequence[int]) -> list[tuple[str, int | None, str, str]]:
    """Whom these interactions concern: (who, thread, kind, direction)."""
    rows = tx.execute(
        select(
            interaction_contact.c.who, interaction.c.thread_id, interaction.c.kind,
            interaction.c.direction,
        )
        .join(interaction, interaction.c.id == interaction_contact.c.interaction_id)
        .where(interaction.c.id.in_(interactions))
        .distinct()
    )  # fmt: skip
    return [(row[0], row[1], row[2], row[3]) for row in rows]


def events_of(tx: Connection, who: str, threads: Collection[int]) -> list[Event]:
    """What happened with a contact, and in these threads, as `core.followups` judges it."""
    mine = select(interaction_contact.c.interaction_id).where(interaction_contact.c.who == who)
    rows = tx.execute(
        select(interaction, interaction_contact.c.role)
        .outerjoin(
            interaction_contact,
            (interaction_contact.c.interaction_id == interaction.c.id)
            & (interaction_contact.c.who == who),
        )
        .where(or_(interaction.c.id.in_(mine), interaction.c.thread_id.in_(list(threads))))
    )
    events: list[Event] = []
    for row in rows:
        events.extend(_events(row))
    return events


def _events(row: Any) -> list[Event]:
    at = read_time(row.occurred_at)
    assert at is not None
    if row.kind == "email" and row.direction == "outbound":
        return [Event("answered", at, row.thread_id, row.id, to_contact=row.role is not None)]
    if row.kind == "email" and row.role in ("from", "reply_to"):
        # Her clock may be wrong; what counts is when her mail lay in our mailbox.
        return [Event("wrote", read_time(row.arrived_at) or at, row.thread_id, row.id, row.fresh)]
    if row.role is None:
        return []
    if row.kind == "call":
        return [Event("spoke", at, interaction=row.id)]
    if row.kind == "meeting" and row.status != "cancelled":
        moments = (row.planned_at, row.ends_at if row.status == "held" else None)
        spoke = [moment for text in moments if (moment := read_time(text)) is not None]
        return [Event("spoke", moment, interaction=row.id) for moment in spoke]
    return []


def known_threads(
    tx: Connection,
    rule: str,
    whos: Collection[str],
    threads: Collection[int],
    states: Collection[str],
) -> list[tuple[str, int]]:
    """(who, thread) of reminders in these states, about these contacts or in these threads."""
    rows = tx.execute(
        select(reminder.c.who, interaction.c.thread_id)
        .join(interaction, interaction.c.id == reminder.c.cause_id)
        .where(reminder.c.rule == rule, reminder.c.state.in_(list(states)))
        .where(or_(reminder.c.who.in_(list(whos)), interaction.c.thread_id.in_(list(threads))))
        .distinct()
    )
    return [(row[0], row[1]) for row in rows]


def settle(tx: Connection, rule: str, who: str, thread: int, cause: int | None) -> None:
    """Closes what waits in a thread for another cause than `cause`, and opens that one again.

    What a person marked done stays done.
    """
    in_thread = select(interaction.c.id).where(interaction.c.thread_id == thread)
    ours = (reminder.c.rule == rule) & (reminder.c.who == who) & reminder.c.cause_id.in_(in_thread)
    others = ours if cause is None else ours & (reminder.c.cause_id != cause)
    tx.execute(update(reminder).where(others, reminder.c.state == "open").values(state="closed"))
    if cause is not None:
        again = ours & (reminder.c.cause_id == cause) & (reminder.c.state == "closed")
        tx.execute(update(reminder).where(again).values(state="open"))


def is_known(tx: Connection, rule: str, who: str, cause: int) -> bool:
    """Whether there is a reminder for this cause, in any state."""
    same = (reminder.c.rule == rule) & (reminder.c.who == who) & (reminder.c.cause_id == cause)
    return tx.execute(select(reminder.c.id).where(same)).first() is not None


def create(
    tx: Connection,
    rule: str,
    who: str,
    cause: int,
    rep: str,
    since: datetime,
    due_at: datetime,
) -> None:
    """Opens a reminder about the writer of `cause`."""
    writer = tx.execute(
        select(interaction_contact.c.contact_id, interaction_contact.c.customer_id).where(
            interaction_contact.c.interaction_id == cause, interaction_contact.c.who == who
        )
    ).first()
    assert writer is not None
    tx.execute(
        reminder.insert().values(
            rule=rule,
            who=who,
            cause_id=cause,
            customer_id=writer.customer_id,
            contact_id=writer.contact_id,
            rep=rep,
            since=text_time(since),
            due_at=text_time(due_at),
        )
    )


def cause_facts(tx: Connection, cause: int) -> tuple[datetime, str, list[str]]:
    """Arrival of a message, its customer's owner, and the reps on it in order."""
    row = tx.execute(
        select(interaction.c.arrived_at, interaction.c.occurred_at, customer.c.owner)
        .join(interaction_contact, interaction_contact.c.interaction_id == interaction.c.id)
        .outerjoin(customer, customer.c.id == interaction_contact.c.customer_id)
        .where(interaction.c.id == cause)
        .order_by(interaction_contact.c.role != "from")
        .limit(1)
    ).one()
    reps = tx.execute(
        select(interaction_rep.c.rep)
        .where(interaction_rep.c.interaction_id == cause)
        .order_by(interaction_rep.c.position)
    ).scalars()
    arrived = read_time(row.arrived_at or row.occurred_at)
    assert arrived is not None
    return arrived, row.owner or "", list(reps)


def answerable(tx: Connection) -> list[tuple[int, str, str, list[str]]]:
    """Who may answer for each open reminder: (id, rep now, owner, reps on its cause in order).

    Owner and reps as `cause_facts` gives them, for all at once.
    """
    owners = tx.execute(
        select(reminder.c.id, reminder.c.rep, reminder.c.cause_id, customer.c.owner)
        .join(interaction_contact, interaction_contact.c.interaction_id == reminder.c.cause_id)
        .outerjoin(customer, customer.c.id == interaction_contact.c.customer_id)
        .where(reminder.c.state == "open")
        .order_by(reminder.c.id, interaction_contact.c.role != "from")
    )
    first: dict[int, tuple[str, int, str]] = {}
    for number, rep, cause, owner in owners:
        first.setdefault(number, (rep, cause, owner or ""))
    causes = list({cause for _, cause, _ in first.values()})
    query = "SELECT interaction_id, rep, position FROM interaction_rep WHERE interaction_id IN"
    reps: dict[int, list[str]] = {}
    for cause, rep, _ in sorted(rows_in(tx, query, causes), key=lambda row: (row[0], row[2])):
        reps.setdefault(cause, []).append(rep)
    return [(n, rep, owner, reps.get(cause, [])) for n, (rep, cause, owner) in first.items()]


def open_ones(tx: Connection, *, due_by: datetime | None = None) -> list[Open]:
    """Open reminders, those that are due by then (None: all), oldest first."""
    query = _open()
    if due_by is not None:
        due_at = func.coalesce(reminder.c.snoozed_until, reminder.c.due_at)
        query = query.where(due_at <= text_time(due_by))
    return [_read(row) for row in _once(tx.execute(query))]


def _once(rows: Iterable[Any]) -> list[Any]:
    """Each reminder once: its writer may stand in From and Reply-To with two addresses."""
    return list({row.id: row for row in rows}.values())


def _open() -> Any:
    return (
        select(
            reminder,
            customer.c.name.label("customer_name"),
            contact.c.name.label("contact_name"),
            interaction.c.subject,
            interaction_contact.c.address,
        )
        .join(interaction, interaction.c.id == reminder.c.cause_id)
        .join(customer, customer.c.id == reminder.c.customer_id)
        .outerjoin(contact, contact.c.id == reminder.c.contact_id)
        .outerjoin(
            interaction_contact,
            (interaction_contact.c.interaction_id == reminder.c.cause_id)
            & (interaction_contact.c.who == reminder.c.who)
            & interaction_contact.c.role.in_(("from", "reply_to")),
        )
        .where(reminder.c.state == "open")
        .order_by(reminder.c.since, reminder.c.id)
    )


def _read(row: Any) -> Open:
    since, due_at = read_time(row.since), read_time(row.snoozed_until or row.due_at)
    assert since is not None
    assert due_at is not None
    return Open(
        row.id, row.who, row.rep, row.cause_id, row.customer_name, row.customer_id,
        row.contact_name or row.address or "", row.address or "", row.subject, since, due_at,
    )  # fmt: skip


def listing(tx: Connection, *, rep_today: Callable[[str], str] = str) -> list[dict[str, Any]]:
    """Open reminders in the contract's shape.

    `rep_today` gives today's address of a rep for the one that was stored.
    """
    found: list[dict[str, Any]] = []
    for row in _once(tx.execute(_open())):
        rep = rep_today(row.rep)
        sent = select(outbox.c.message_id, outbox.c.rep).where(
            outbox.c.kind == "digest", outbox.c.state == "sent",
            outbox.c.due_at >= (row.snoozed_until or row.due_at),
        )  # fmt: skip
        digests = tx.execute(sent.order_by(outbox.c.due_at))
        told = next((digest.message_id for digest in digests if rep_today(digest.rep) == rep), None)
        found.append(
            {
                "id": row.id,
                "rule": row.rule,
                "customer": {"id": row.customer_id, "name": row.customer_name},
                "contact": row.address,
                "rep": rep,
                "subject": row.subject,
                "since": row.since,
                "due_at": row.snoozed_until or row.due_at,
                "state": "snoozed" if row.snoozed_until else row.state,
                "message_id": told,
            }
        )
    return found


def hand_over(tx: Connection, reminder_id: int, rep: str) -> None:
    """Another rep answers for it now."""
    tx.execute(update(reminder).where(reminder.c.id == reminder_id).values(rep=rep))


def mark_done(tx: Connection, reminder_id: int) -> None:
    """A person dealt with it. Raises `UsageError` when there is no such open reminder."""
    _change_open(tx, reminder_id, state="done")


def snooze(tx: Connection, reminder_id: int, until: datetime) -> None:
    """Not before `until`. Raises `UsageError` when there is no such open reminder."""
    _change_open(tx, reminder_id, snoozed_until=text_time(until))


def _change_open(tx: Connection, reminder_id: int, **values: Any) -> None:
    same = (reminder.c.id == reminder_id) & (reminder.c.state == "open")
    if tx.execute(update(reminder).where(same).values(**values)).rowcount != 1:
        raise UsageError(
            f"there is no open reminder {reminder_id}",
            advice="`crm-sync reminders` lists the open ones.",
        )


def older_candidates(tx: Connection) -> list[tuple[str, int]]:
    """(who, thread) of mail from before the first sync that may still wait for an answer."""
    rows = tx.execute(
        select(interaction_contact.c.who, interaction.c.thread_id)
        .join(interaction, interaction.c.id == interaction_contact.c.interaction_id)
        .where(interaction.c.kind == "email", interaction.c.direction == "inbound")
        .where(interaction_contact.c.role.in_(("from", "reply_to")))
        .where(interaction.c.thread_id.is_not(None))
        .distinct()
    )
    return [(row[0], row[1]) for row in rows]
