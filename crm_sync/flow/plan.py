"""Plan: looks what is due and leaves rows in the one outbox. Planning twice changes nothing."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
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
    digests = [d for d in _digests(setup, post, now) if _moment(d.on, post.digest_at, d.to) <= now]
    older = _older(setup, digests)
    with setup.store.write() as tx:
        outbox.expire(tx, now)
        followups.settle(tx, setup, accounts.mark_held(tx, now), first_sync=False)
        _hand_over(tx, setup)
        _readdress(tx, setup, post)
        greeting.note_missed(tx, setup, post, now)
        queued = 0
        for rule in post.greetings:
            queued += greeting.queue(tx, setup, post, rule, now)
        for row in _digest_rows(tx, setup, post, digests, older):
            queued += int(outbox.add(tx, row) is not None)
    return queued


@dataclass(frozen=True, slots=True)
class _Digest:
    """A rep's one mail of a day of hers, about what is due by then."""

    to: Person
    on: date
    by: datetime

    @property
    def key(self) -> str:
        return _digest_key(self.to.email, self.on)


def _digest_key(address: str, on: date) -> str:
    return f"digest/{address}/{on}"


def _digests(
    setup: Setup, post: Post, now: datetime | None = None, on: date | None = None
) -> list[_Digest]:
    """The digests of a local date, else of today as it is for each rep; on working days only."""
    if not (post.to_reps and setup.rules):
        return []
    found: list[_Digest] = []
    for person in setup.reps:
        day = on or setup.now().astimezone(person.zone).date()
        if setup.working_time(person.email).is_working_day(day):
            found.append(_Digest(person, day, now or _end_of(day, person)))
    return found


def _older(setup: Setup, digests: Sequence[_Digest]) -> dict[str, int]:
    """Mails from before the first sync that wait, by rep; counted only for a first digest.

    That reads all history of those who wrote, so it is done before the transaction begins, and not
    before such a digest is written.
    """
    if not digests:
        return {}
    with setup.store.read() as tx:
        waiting = _by_rep(tx, setup, max(digest.by for digest in digests))
        first = any(
            digest.to.email in waiting
            and not _was_counted(tx, setup, digest.to)
            and not _is_written(tx, setup, digest)
            for digest in digests
        )
        return count_older(tx, setup) if first else {}


def _by_rep(tx: Any, setup: Setup, now: datetime) -> dict[str, list[reminders.Open]]:
    """The open reminders that are due, by rep, oldest first."""
    found: dict[str, list[reminders.Open]] = defaultdict(list)
    for reminder in reminders.open_ones(tx, due_by=now):
        found[setup.rep(reminder.rep)].append(reminder)
    return found


def _hand_over(tx: Any, setup: Setup) -> None:
    """Open reminders go to whoever answers for the customer now: owners change, reps leave."""
    for number, now_with, owner, reps in reminders.answerable(tx):
        rep = responsible(setup, owner, reps)
        if rep is not None and rep != now_with:
            reminders.hand_over(tx, number, rep)


def _readdress(tx: Any, setup: Setup, post: Post) -> None:
    """What waits under an address that is an alias by now goes to the rep's address of today."""
    for old in outbox.waiting_reps(tx):
        new = setup.rep(old)
        if new != old:
            outbox.readdress(tx, old, new, sends_as_new=post.sender_of(new)[1].address == new)


def _was_counted(tx: Any, setup: Setup, person: Person) -> bool:
    """Whether a rep was told of mail from before the first sync, under whichever address."""
    return any(memo(tx, older_counted(a)) is not None for a in setup.addresses(person.email))


def _is_written(tx: Any, setup: Setup, digest: _Digest) -> bool:
    keys = (_digest_key(address, digest.on) for address in setup.addresses(digest.to.email))
    return any(outbox.is_known(tx, key) for key in keys)


def due(setup: Setup, post: Post, on: date) -> list[dict[str, Any]]:
    """What would be sent on a local date, to whom and why; nothing is stored or sent."""
    found: dict[str, dict[str, Any]] = {}
    digests = _digests(setup, post, on=on)
    older = _older(setup, digests)
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
        for row in _digest_rows(tx, setup, post, digests, older):
            found[row.key] = _preview(row)
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


def _digest_rows(
    tx: Any, setup: Setup, post: Post, digests: Sequence[_Digest], older: Mapping[str, int]
) -> Iterator[NewRow]:
    """Those digests that have something to say and were not written yet."""
    if not digests:
        return
    waiting = _by_rep(tx, setup, max(digest.by for digest in digests))
    for digest in digests:
        due_by_then = [r for r in waiting.get(digest.to.email, ()) if r.due_at <= digest.by]
        if due_by_then and not _is_written(tx, setup, digest):
            yield _digest_row(tx, setup, post, digest, due_by_then, older)


def _digest_row(
    tx: Any,
    setup: Setup,
    post: Post,
    digest: _Digest,
    waiting: Sequence[reminders.Open],
    older: Mapping[str, int],
) -> NewRow:
    person, on = digest.to, digest.on
    counted = _was_counted(tx, setup, person)
    mail = post.renderer.digest(
        person.language,
        rep_name=person.name,
        day=on,
        lines=[_line(tx, setup, person, reminder, digest.by) for reminder in waiting],
        older=0 if counted else older.get(person.email, 0),
        team_name=post.team_name,
        zone_name=person.zone_name,
    )
    reason = f"{len(waiting)} unanswered, the oldest from {waiting[0].contact}"
    due_at = max(_moment(on, post.digest_at, person), *(r.due_at for r in waiting))
    return to_rep(post, "digest", digest.key, person, mail, reason, due_at, _end_of(on, person))


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
