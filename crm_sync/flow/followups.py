"""Facts open and close follow-ups, in the transaction that stores them (law 8)."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any

from crm_sync.core.followups import Event, unanswered
from crm_sync.flow.setup import FollowUpRule, Setup
from crm_sync.store import reminders


def settle(tx: Any, setup: Setup, interactions: Sequence[int], *, first_sync: bool) -> None:
    """Judges anew whoever these interactions concern.

    During a first sync nothing is opened, only what waits elsewhere can be closed.
    """
    if not interactions or not setup.rules:
        return
    touched = reminders.touched(tx, interactions)
    whos = {who for who, *_ in touched}
    threads = {thread for _, thread, *_ in touched if thread is not None}
    for rule in setup.rules:
        # A meeting that is called off may open again what it had closed.
        states = (
            ("open", "closed") if any(kind == "meeting" for *_, kind, _ in touched) else ("open",)
        )
        waiting = set(reminders.known_threads(tx, rule.name, whos, threads, states))
        if not first_sync:
            waiting |= {
                (who, thread)
                for who, thread, kind, direction in touched
                if thread is not None and (kind, direction) == ("email", "inbound")
            }
        judge(tx, setup, rule, waiting)


def judge(tx: Any, setup: Setup, rule: FollowUpRule, pairs: Iterable[tuple[str, int]]) -> None:
    """Judges these threads (who, thread) anew; what happened with somebody is read once."""
    for who, threads in _by_who(pairs).items():
        events = reminders.events_of(tx, who, threads)
        for thread in sorted(threads):
            _judge(tx, setup, rule, who, thread, events)


def _by_who(pairs: Iterable[tuple[str, int]]) -> dict[str, set[int]]:
    grouped: dict[str, set[int]] = defaultdict(set)
    for who, thread in pairs:
        grouped[who].add(thread)
    return dict(sorted(grouped.items()))


def _judge(
    tx: Any, setup: Setup, rule: FollowUpRule, who: str, thread: int, events: Sequence[Event]
) -> None:
    cause = unanswered(events, thread)
    waits = cause.interaction if cause is not None and cause.fresh else None
    reminders.settle(tx, rule.name, who, thread, waits)
    if waits is None or reminders.is_known(tx, rule.name, who, waits):
        return
    arrived, owner, reps = reminders.cause_facts(tx, waits)
    rep = responsible(setup, owner, reps)
    if rep is None:
        return
    due_at = setup.working_time(rep).after(arrived, rule.after)
    reminders.create(tx, rule.name, who, waits, rep, arrived, due_at)


def responsible(setup: Setup, owner: str, reps: Sequence[str]) -> str | None:
    """Who answers for a customer: its owner, else the first rep addressed, else our first rep."""
    known = [person.email for person in setup.reps]
    return next((rep for rep in map(setup.rep, (owner, *reps, *known)) if rep in known), None)


def count_older(tx: Any, setup: Setup) -> dict[str, int]:
    """How many customers' mails from before the first sync still wait, by rep."""
    counted: dict[str, int] = {}
    for who, threads in _by_who(reminders.older_candidates(tx)).items():
        events = reminders.events_of(tx, who, threads)
        for cause in filter(None, (unanswered(events, thread) for thread in threads)):
            if cause.fresh:
                continue
            _, owner, reps = reminders.cause_facts(tx, cause.interaction)
            rep = responsible(setup, owner, reps)
            if rep is not None:
                counted[rep] = counted.get(rep, 0) + 1
    return counted
