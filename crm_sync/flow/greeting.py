"""Greetings to customers: whose day it is, and the rows that come of it (laws 6 and 7)."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import date, datetime, timedelta
from functools import lru_cache
from typing import Any, Final, get_args
from zoneinfo import ZoneInfo

from crm_sync.core.addresses import canonical
from crm_sync.core.identity import of_message_id
from crm_sync.core.occasions import (
    CalendarName,
    GreetingWindow,
    YearlyDay,
    celebrated_on,
    greeting_window,
    parse_day,
)
from crm_sync.core.records import Address
from crm_sync.core.rendering import Rendered
from crm_sync.core.zones import zone_for
from crm_sync.flow.followups import responsible
from crm_sync.flow.post import GreetingRule, Post
from crm_sync.flow.setup import Person, Setup
from crm_sync.flow.writing import to_rep, words
from crm_sync.store import greetings, items, notices, outbox
from crm_sync.store.engine import memo, read_time, set_memo, text_time
from crm_sync.store.greetings import Candidate
from crm_sync.store.outbox import GREETING, NewRow

_BASES: Final = frozenset({"consent", "soft_opt_in", "b2b"})
_PLANNED: Final = "greetings planned at"
_NOTE_EVERY: Final = timedelta(hours=1)
_LOOK_BACK: Final = timedelta(days=31)
_LATE: Final = "skipped: the program was not running that day"


def _celebrating(
    tx: Any, setup: Setup, post: Post, rule: GreetingRule, now: datetime
) -> Iterator[tuple[Candidate, int, date]]:
    """Contacts whose day it is, from `send_at` until their midnight: (who, year, local date)."""
    if rule.customers == "off":
        return
    for who in greetings.with_birthday(tx, _days_of(now, now)):
        zone = _zone(setup, post, who)
        today = now.astimezone(zone).date()
        year = celebrated_on(parse_day(who.birthday), today)
        if year is not None and greeting_window(today, rule.send_at, zone).due_at <= now:
            yield who, year, today


def _days_of(since: datetime, until: datetime) -> frozenset[str]:
    """Month and day of whatever is celebrated between two moments, somewhere on earth."""
    first = since.date() - timedelta(days=1)
    last = until.date() + timedelta(days=1)
    dates = [first + timedelta(days=number) for number in range((last - first).days + 1)]
    return frozenset().union(*map(_days_on, dates))


@lru_cache(maxsize=40)
def _days_on(on: date) -> frozenset[str]:
    """Month and day ("03-04") of all days, each of its own calendar, celebrated on a date."""
    return frozenset(
        f"{month:02}-{day:02}"
        for calendar in get_args(CalendarName)
        for month in range(1, 13)
        for day in range(1, 32)
        if celebrated_on(YearlyDay(calendar, None, month, day), on) is not None
    )


def _zone(setup: Setup, post: Post, who: Candidate) -> ZoneInfo:
    owner = setup.person(who.owner)
    return zone_for(who.timezone, who.country, owner.zone_name if owner else "", post.team_zone)


def _key(rule: GreetingRule, who: Candidate, year: int) -> str:
    return f"greeting/{rule.occasion}/{who.contact_id}/{year}"


def queue(tx: Any, setup: Setup, post: Post, rule: GreetingRule, now: datetime) -> int:
    """Queues the greetings of an occasion whose time has come; how many mails."""
    found = {
        _key(rule, who, year): (who, year, on)
        for who, year, on in _celebrating(tx, setup, post, rule, now)
    }
    known = greetings.planned(tx, [name for key in found for name in (key, f"notice/{key}")])
    return sum(
        _queue(tx, setup, post, rule, *celebrating, now)
        for key, celebrating in found.items()
        if known.isdisjoint((key, f"notice/{key}"))
    )


def note_missed(tx: Any, setup: Setup, post: Post, now: datetime) -> None:
    """Days that passed while nobody planned leave their greetings as skipped: none is sent late."""
    planned = read_time(memo(tx, _PLANNED))
    if planned is not None and now - planned < _NOTE_EVERY:
        return
    set_memo(tx, _PLANNED, text_time(now) or "")
    if planned is None or planned > now:
        return
    since = max(planned, now - _LOOK_BACK)
    candidates = greetings.with_birthday(tx, _days_of(since, now)) if post.greetings else []
    for rule in post.greetings:
        for who in candidates if rule.customers != "off" else ():
            for year, on in _missed(setup, post, rule, who, since, now):
                key = _key(rule, who, year)
                if not (outbox.is_known(tx, key) or outbox.is_known(tx, f"notice/{key}")):
                    row = row_for(tx, setup, post, rule, who, year, on)
                    outbox.add(tx, replace(row, state="skipped", reason=f"{row.reason}; {_LATE}"))


def _missed(
    setup: Setup, post: Post, rule: GreetingRule, who: Candidate, since: datetime, now: datetime
) -> Iterator[tuple[int, date]]:
    """Days of a contact that began after `since` and are over: (year, local date)."""
    zone = _zone(setup, post, who)
    birthday = parse_day(who.birthday)
    first, last = (moment.astimezone(zone).date() for moment in (since, now))
    for number in range((last - first).days):
        on = first + timedelta(days=number)
        year = celebrated_on(birthday, on)
        if year is not None and greeting_window(on, rule.send_at, zone).due_at > since:
            yield year, on


def _queue(
    tx: Any,
    setup: Setup,
    post: Post,
    rule: GreetingRule,
    who: Candidate,
    year: int,
    on: date,
    now: datetime,
) -> int:
    row = row_for(tx, setup, post, rule, who, year, on)
    if row.kind != GREETING:
        return int(post.to_reps and outbox.add(tx, row) is not None)
    if items.twins(tx, [of_message_id(setup.store.keys, one) for one in post.message_ids(row.key)]):
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


def row_for(
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
    mail = post.renderer.greeting(
        who.language or post.team_language,
        rule.occasion,
        contact_name=who.name,
        rep_name=rep.name if rep else "",
        team_name=post.team_name,
    )
    action, state, how = _course(tx, rule, who, setup.now())
    via, sender = _author(post, rep, action)
    answers = rep.email if rep and rep.email != sender.address else ""
    return NewRow(
        key=key,
        kind=GREETING,
        action=action,
        state=state,
        recipient=who.address,
        recipient_name=who.name,
        sender=sender.address,
        reply_to=answers,
        **words(mail),
        reason=f"{rule.occasion} of {who.name or who.address} on {on} in {zone.key}; {how}",
        due_at=window.due_at,
        expires_at=window.expires_at,
        message_id=post.message_id(key, sender.address),
        contact_id=who.contact_id,
        customer_id=who.customer_id,
        rep=rep.email if rep else "",
        via=via,
    )


def _course(tx: Any, rule: GreetingRule, who: Candidate, now: datetime) -> tuple[str, str, str]:
    """Action and first state of a greeting, and how it leaves in words."""
    if rule.customers == "draft":
        return "draft", "queued", "a draft in the owner's mailbox"
    if rule.customers != "auto" or who.basis not in _BASES:
        return "send", "waiting_approval", "needs approval"
    address = canonical(who.address) or who.address
    trouble = notices.undeliverable(tx, [address], now).get(address)
    if trouble is None:
        return "send", "queued", "sent by itself"
    happened = "its owner complained" if trouble.kind == "complaint" else "mail to it bounced"
    return "send", "waiting_approval", f"needs approval: {happened} on {trouble.at:%Y-%m-%d}"


def _author(post: Post, rep: Person | None, action: str) -> tuple[str, Address]:
    """By which way out and as whom a greeting leaves; a draft is always its owner's own mail."""
    via, sender = post.sender_of(rep.email if rep else "")
    if action == "draft" and rep is not None and not via:
        return via, Address(rep.email, rep.name)
    return via, sender


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
        sender=_shown(post.sender_of(owner.email)[1]),
    )
    reason = f"asks to approve mail {number} to {who.name or who.address}"
    return to_rep(post, "approval", f"approval/{row.key}", owner, mail, reason, now, row.expires_at)


def _shown(sender: Address) -> str:
    return f"{sender.name} <{sender.address}>" if sender.name else sender.address


def _notice_row(
    post: Post, key: str, who: Candidate, rep: Person, window: GreetingWindow
) -> NewRow:
    mail = post.renderer.notice(
        rep.language, contact_name=who.name, customer_name=who.customer_name, reason="no_basis"
    )
    reason = f"{who.name or who.address} may not be greeted by mail; the owner is told instead"
    return to_rep(post, "notice", key, rep, mail, reason, *window)
