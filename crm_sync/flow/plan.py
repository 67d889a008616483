"""Plan: looks what is due and leaves rows in the one outbox. Planning twice changes nothing."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from crm_sync.core.identity import of_message_id
from crm_sync.core.occasions import GreetingWindow, celebrated_on, greeting_window, parse_day
from crm_sync.core.rendering import DigestLine, Rendered
from crm_sync.core.zones import utc_of, zone_for
from crm_sync.flow import followups
from crm_sync.flow.followups import count_older, responsible
from crm_sync.flow.mail_page import older_counted
from crm_sync.flow.post import GreetingRule, Post
from crm_sync.flow.setup import Person, Setup
from crm_sync.store import accounts, diary, greetings, items, outbox, reminders
from crm_sync.store.engine import memo, text_time
from crm_sync.store.greetings import Candidate
from crm_sync.store.outbox import GREETING, NewRow

_BASES = frozenset({"consent", "soft_opt_in", "b2b"})
_CONTEXT = 160


def plan(setup: Setup, post: Post) -> int:
    """Queues every mail whose time has come; how many."""
    now = setup.now()
    older = _older(setup, post)
    with setup.store.write() as tx:
        outbox.expire(tx, now)
        followups.settle(tx, setup, accounts.mark_held(tx, now), first_sync=False)
        _hand_over(tx, setup)
        queued = 0
        for rule in post.greetings:
            for who, year, on in _celebrating(tx, setup, post, rule, now):
                queued += _queue_greeting(tx, setup, post, rule, who, year, on, now)
        if post.to_reps and setup.rules:
            for person in setup.reps:
                queued += _queue_digest(tx, setup, post, person, now, older)
    return queued


def _older(setup: Setup, post: Post) -> dict[str, int]:
    """Mails from before the first sync that wait, by rep; counted only for a first digest.

    That reads all history of those who wrote, so it is done before the transaction begins.
    """
    with setup.store.read() as tx:
        waiting = {reminder.rep for reminder in reminders.open_ones(tx)}
        first = [rep for rep in waiting if memo(tx, older_counted(rep)) is None]
        return count_older(tx, setup) if first and post.to_reps else {}


def _hand_over(tx: Any, setup: Setup) -> None:
    """Open reminders go to whoever answers for the customer now: owners change, reps leave."""
    for waiting in reminders.open_ones(tx):
        _, owner, reps = reminders.cause_facts(tx, waiting.cause)
        rep = responsible(setup, owner, reps)
        if rep is not None and rep != waiting.rep:
            reminders.hand_over(tx, waiting.id, rep)


def due(setup: Setup, post: Post, on: date) -> list[dict[str, Any]]:
    """What would be sent on a local date, to whom and why; nothing is stored or sent."""
    found: dict[str, dict[str, Any]] = {}
    older = _older(setup, post)
    zone = ZoneInfo(post.team_zone)
    begins, ends = (text_time(utc_of(on + timedelta(days=n), time.min, zone)) or "" for n in (0, 1))
    with setup.store.read() as tx:
        rows = {row["key"]: row for row in outbox.listing(tx)}
        for rule in post.greetings:
            for who in greetings.with_birthday(tx):
                year = celebrated_on(parse_day(who.birthday), on)
                if year is not None and rule.customers != "off":
                    row = _greeting_row(tx, setup, post, rule, who, year, on)
                    found[row.key] = _preview(row)
        if post.to_reps and setup.rules:
            for person in setup.reps:
                digest = _digest_row(tx, setup, post, person, on, _end_of(on, person), older)
                if digest is not None:
                    found[digest.key] = _preview(digest)
    merged = [rows.get(key, entry) for key, entry in found.items()]
    waiting = [
        row
        for key, row in rows.items()
        if key not in found
        and row["state"] in ("queued", "waiting_approval", "in_doubt")
        and row["due_at"] < ends
        and (row["expires_at"] or ends) > begins
    ]
    return sorted(merged + waiting, key=lambda row: (row["due_at"], row["key"]))


def _preview(row: NewRow) -> dict[str, Any]:
    return {
        "id": None,
        "key": row.key,
        "action": row.action,
        "kind": row.kind,
        "to": row.recipient,
        "from": row.sender,
        "subject": row.subject,
        "reason": row.reason,
        "due_at": text_time(row.due_at),
        "state": "planned",
        "message_id": row.message_id,
    }


def _celebrating(
    tx: Any, setup: Setup, post: Post, rule: GreetingRule, now: datetime
) -> Iterator[tuple[Candidate, int, date]]:
    """Contacts whose day it is, from `send_at` until their midnight: (who, year, local date)."""
    if rule.customers == "off":
        return
    for who in greetings.with_birthday(tx):
        zone = _zone(setup, post, who)
        today = now.astimezone(zone).date()
        year = celebrated_on(parse_day(who.birthday), today)
        if year is not None and greeting_window(today, rule.send_at, zone).due_at <= now:
            yield who, year, today


def _zone(setup: Setup, post: Post, who: Candidate) -> ZoneInfo:
    owner = setup.person(who.owner)
    return zone_for(who.timezone, who.country, owner.zone_name if owner else "", post.team_zone)


def _key(rule: GreetingRule, who: Candidate, year: int) -> str:
    return f"greeting/{rule.occasion}/{who.contact_id}/{year}"


def _queue_greeting(
    tx: Any,
    setup: Setup,
    post: Post,
    rule: GreetingRule,
    who: Candidate,
    year: int,
    on: date,
    now: datetime,
) -> int:
    key = _key(rule, who, year)
    if outbox.is_known(tx, key) or outbox.is_known(tx, f"notice/{key}"):
        return 0
    row = _greeting_row(tx, setup, post, rule, who, year, on)
    if row.kind != GREETING:
        return int(post.to_reps and outbox.add(tx, row) is not None)
    if items.twins(tx, [of_message_id(setup.store.keys, row.message_id)]):
        # A mailbox shows that it left before this database, an older copy, knew of it.
        outbox.add(tx, replace(row, state="sent"))
        return 0
    number = outbox.add(tx, row)
    owner = setup.person(row.rep)
    if (
        row.state == "waiting_approval"
        and number is not None
        and owner is not None
        and post.to_reps
    ):
        outbox.add(tx, _approval_row(post, row, number, who, owner, now))
    return 1


def _greeting_row(
    tx: Any, setup: Setup, post: Post, rule: GreetingRule, who: Candidate, year: int, on: date
) -> NewRow:
    """The greeting to a contact, or the notice to its owner where it may not be greeted."""
    zone = _zone(setup, post, who)
    window = greeting_window(on, rule.send_at, zone)
    last = greetings.last_rep(tx, who.customer_id)
    rep = setup.person(responsible(setup, who.owner, [last] if last else []) or "")
    key = _key(rule, who, year)
    if who.basis == "none" and rep is not None:
        return _notice_row(post, f"notice/{key}", who, rep, window)
    language = who.language or post.team_language
    mail = post.renderer.greeting(
        language,
        rule.occasion,
        contact_name=who.name,
        rep_name=rep.name if rep else "",
        team_name=post.team_name,
    )
    goes = rule.customers == "auto" and who.basis in _BASES
    how = "sent by itself" if goes else "waits for approval"
    return NewRow(
        key=key,
        kind=GREETING,
        state="queued" if goes else "waiting_approval",
        recipient=who.address,
        recipient_name=who.name,
        sender=post.sender.address,
        reply_to=rep.email if rep else "",
        **_words(mail),
        reason=f"{rule.occasion} of {who.name or who.address} on {on} in {zone.key}; {how}",
        due_at=window.due_at,
        expires_at=window.expires_at,
        message_id=post.message_id(key),
        contact_id=who.contact_id,
        customer_id=who.customer_id,
        rep=rep.email if rep else "",
    )


def _words(mail: Rendered) -> dict[str, Any]:
    return {
        "subject": mail.subject,
        "text": mail.text,
        "html": mail.html,
        "language": mail.language,
    }


def _approval_row(
    post: Post, row: NewRow, number: int, who: Candidate, owner: Person, now: datetime
) -> NewRow:
    assert row.expires_at is not None
    mail = post.renderer.approval(
        owner.language,
        outbox_id=number,
        contact_name=who.name,
        customer_name=who.customer_name,
        address=who.address,
        greeting=Rendered(row.subject, row.text, row.html, row.language),
        closes_at_local=row.expires_at.astimezone(owner.zone),
        zone_name=owner.zone_name,
        sender=f"{post.sender.name} <{post.sender.address}>",
    )
    reason = f"asks to approve mail {number} to {who.name or who.address}"
    return _to_rep(
        post, "approval", f"approval/{row.key}", owner, mail, reason, now, row.expires_at
    )


def _notice_row(
    post: Post, key: str, who: Candidate, rep: Person, window: GreetingWindow
) -> NewRow:
    mail = post.renderer.notice(
        rep.language, contact_name=who.name, customer_name=who.customer_name, reason="no_basis"
    )
    reason = f"{who.name or who.address} may not be greeted by mail; the owner is told instead"
    return _to_rep(post, "notice", key, rep, mail, reason, *window)


def _to_rep(
    post: Post,
    kind: str,
    key: str,
    rep: Person,
    mail: Rendered,
    reason: str,
    due_at: datetime,
    expires_at: datetime,
) -> NewRow:
    """A row with a mail to one of us."""
    return NewRow(
        key=key,
        kind=kind,
        state="queued",
        recipient=rep.email,
        recipient_name=rep.name,
        sender=post.sender.address,
        reply_to="",
        **_words(mail),
        reason=reason,
        due_at=due_at,
        expires_at=expires_at,
        message_id=post.message_id(key),
        rep=rep.email,
    )


def _queue_digest(
    tx: Any, setup: Setup, post: Post, person: Person, now: datetime, older: dict[str, int]
) -> int:
    """The rep's one mail of the day, from `digest_at` on working days, when something waits."""
    today = now.astimezone(person.zone).date()
    if now < _moment(today, post.digest_at, person):
        return 0
    row = _digest_row(tx, setup, post, person, today, now, older)
    return int(row is not None and outbox.add(tx, row) is not None)


def _digest_row(
    tx: Any,
    setup: Setup,
    post: Post,
    person: Person,
    on: date,
    now: datetime,
    older: dict[str, int],
) -> NewRow | None:
    if not setup.working_time(person.email).is_working_day(on):
        return None
    waiting = [r for r in reminders.open_ones(tx, rep=person.email) if r.due_at <= now]
    key = f"digest/{person.email}/{on}"
    if not waiting or outbox.is_known(tx, key):
        return None
    counted = memo(tx, older_counted(person.email)) is not None
    mail = post.renderer.digest(
        person.language,
        rep_name=person.name,
        day=on,
        lines=[_line(tx, setup, person, reminder, now) for reminder in waiting],
        older=0 if counted else older.get(person.email, 0),
        team_name=post.team_name,
        zone_name=person.zone_name,
    )
    reason = f"{len(waiting)} unanswered, the oldest from {waiting[0].contact}"
    due_at = max(_moment(on, post.digest_at, person), *(r.due_at for r in waiting))
    return _to_rep(post, "digest", key, person, mail, reason, due_at, _end_of(on, person))


def _line(
    tx: Any, setup: Setup, person: Person, waiting: reminders.Open, now: datetime
) -> DigestLine:
    text = diary.text_of(tx, waiting.cause) or ""
    return DigestLine(
        reminder_id=waiting.id,
        contact_name=waiting.contact,
        customer_name=waiting.customer,
        address=waiting.address,
        subject=waiting.subject,
        since_local=waiting.since.astimezone(person.zone),
        days_waited=setup.working_time(person.email).business_days_between(waiting.since, now),
        context=" ".join(text.split())[:_CONTEXT],
    )


def _moment(on: date, at: time, person: Person) -> datetime:
    return utc_of(on, at, ZoneInfo(person.zone_name))


def _end_of(on: date, person: Person) -> datetime:
    return _moment(on + timedelta(days=1), time.min, person).astimezone(UTC)
