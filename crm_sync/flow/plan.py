"""Plan: looks what is due and leaves rows in the one outbox. Planning twice changes nothing."""

from datetime import UTC, date, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from crm_sync.core.occasions import celebrated_on, parse_day
from crm_sync.core.quotes import split_reply
from crm_sync.core.rendering import DigestLine
from crm_sync.core.zones import utc_of
from crm_sync.flow import followups, greeting
from crm_sync.flow.followups import count_older, responsible
from crm_sync.flow.mail_page import older_counted
from crm_sync.flow.post import Post
from crm_sync.flow.setup import Person, Setup
from crm_sync.flow.writing import to_rep
from crm_sync.store import accounts, diary, greetings, outbox, reminders
from crm_sync.store.engine import memo, text_time
from crm_sync.store.outbox import NewRow

_CONTEXT = 160


def plan(setup: Setup, post: Post) -> int:
    """Queues every mail whose time has come; how many."""
    now = setup.now()
    older = _older(setup, post)
    with setup.store.write() as tx:
        outbox.expire(tx, now)
        followups.settle(tx, setup, accounts.mark_held(tx, now), first_sync=False)
        _hand_over(tx, setup)
        greeting.note_missed(tx, setup, post, now)
        queued = 0
        for rule in post.greetings:
            queued += greeting.queue(tx, setup, post, rule, now)
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
                    row = greeting.row_for(tx, setup, post, rule, who, year, on)
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
        "via": row.via,
        "subject": row.subject,
        "reason": row.reason,
        "due_at": text_time(row.due_at),
        "state": "planned",
        "message_id": row.message_id,
    }


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
    return to_rep(post, "digest", key, person, mail, reason, due_at, _end_of(on, person))


def _line(
    tx: Any, setup: Setup, person: Person, waiting: reminders.Open, now: datetime
) -> DigestLine:
    text, _ = split_reply(diary.text_of(tx, waiting.cause) or "")
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
