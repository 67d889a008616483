"""One page of calendar objects into the diary: an interaction for each meeting."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta, tzinfo
from typing import Any

from crm_sync.core import identity
from crm_sync.core.keys import Keys
from crm_sync.core.matching import Directory, Verdict, judge_meeting
from crm_sync.core.records import EventItem, Occurrence
from crm_sync.flow.mail_page import contact_rows, key_hash, trace_hashes
from crm_sync.flow.setup import Setup
from crm_sync.store import items
from crm_sync.store.accounts import Account
from crm_sync.store.engine import text_time

_NOTHING = "-"
"""The slot under which an object is witnessed that holds no logged meeting."""


@dataclass(frozen=True, slots=True)
class JudgedEvent:
    """A calendar object with the verdict on each of its occurrences."""

    item: EventItem
    verdicts: tuple[tuple[Occurrence, Verdict], ...]

    @property
    def logged(self) -> list[tuple[Occurrence, Verdict]]:
        """The occurrences that concern a customer."""
        return [(o, v) for o, v in self.verdicts if v.outcome == "logged"]

    @property
    def verdict(self) -> Verdict:
        """The verdict on the object as a whole: the best of its occurrences'."""
        order = {"logged": 0, "unmatched": 1, "ignored": 2}
        verdicts = [verdict for _, verdict in self.verdicts]
        return min(
            verdicts, key=lambda v: order[v.outcome], default=Verdict("ignored", "before_since")
        )


@dataclass(frozen=True, slots=True)
class _Place:
    """Where the object at hand is seen, and what was known of it before."""

    setup: Setup
    account: Account
    stream_id: int
    key_hash: bytes
    sealed: bytes
    known: dict[str, items.Witness]


def judge(
    setup: Setup, directory: Directory, rep: str | None, events: Sequence[EventItem]
) -> list[JudgedEvent]:
    """Each object with the verdicts on its occurrences."""
    return [
        JudgedEvent(
            item,
            tuple(
                (o, judge_meeting(o, directory=directory, team=setup.team, account_rep=rep))
                for o in item.occurrences
            ),
        )
        for item in events
    ]


def store(
    tx: Any, setup: Setup, account: Account, stream_id: int, events: Sequence[JudgedEvent]
) -> list[int]:
    """Stores judged objects; ids of the interactions that are new or changed."""
    keys = setup.store.keys
    hashes = [key_hash(keys, event.item.key) for event in events]
    known: dict[bytes, dict[str, items.Witness]] = {h: {} for h in hashes}
    for witness in items.witnesses(tx, stream_id, hashes):
        known[witness.key_hash][witness.slot] = witness
    touched: list[int] = []
    for event, hashed in zip(events, hashes, strict=True):
        sealed = keys.seal(event.item.key)
        place = _Place(setup, account, stream_id, hashed, sealed, known[hashed])
        touched += _store_object(tx, place, event)
    return touched


def forget(tx: Any, setup: Setup, stream_id: int, keys: Sequence[str]) -> list[int]:
    """Objects that are gone from a calendar: what was still to come is cancelled (law 5)."""
    hashes = [key_hash(setup.store.keys, key) for key in keys]
    witnesses = items.witnesses(tx, stream_id, hashes)
    items.drop_witnesses(tx, stream_id, hashes)
    return _cancel_unseen(
        tx, setup, [w.interaction for w in witnesses if w.interaction is not None]
    )


def _store_object(tx: Any, place: _Place, event: JudgedEvent) -> list[int]:
    touched: list[int] = []
    slots: set[str] = set()
    for occurrence, verdict in event.verdicts:
        slot = occurrence.slot or ""
        before = place.known.get(slot)
        # Past matches stay: what was logged is kept up to date, whoever is a customer today.
        if verdict.outcome != "logged" and (before is None or before.interaction is None):
            continue
        slots.add(slot)
        number, changed = _upsert(tx, place, occurrence, verdict)
        touched += [number] * changed
        _witness(tx, place, slot, event.item.version, interaction=number)
    if not slots:
        slots.add(_NOTHING)
        sighting = _sight(tx, place, event)
        _witness(tx, place, _NOTHING, event.item.version, sighting=sighting)
    vanished = [w for slot, w in place.known.items() if slot not in slots]
    for witness in vanished:
        items.repoint(tx, place.stream_id, place.key_hash, witness.slot, to=None)
        if witness.sighting is not None:
            items.drop_unwitnessed_sighting(tx, witness.sighting)
    unseen = [w.interaction for w in vanished if w.interaction is not None]
    return touched + _cancel_unseen(tx, place.setup, unseen)


def _witness(
    tx: Any,
    place: _Place,
    slot: str,
    version: str,
    *,
    interaction: int | None = None,
    sighting: int | None = None,
) -> None:
    new = items.Witness(place.key_hash, slot, interaction, sighting, version, place.sealed)
    if place.known.get(slot) != new:
        items.repoint(tx, place.stream_id, place.key_hash, slot, to=new)


def _upsert(tx: Any, place: _Place, occurrence: Occurrence, verdict: Verdict) -> tuple[int, bool]:
    """The interaction of an occurrence, made or brought up to date; whether anything changed."""
    keys, now = place.setup.store.keys, place.setup.now()
    named = identity.of_meeting(keys, occurrence.uid, occurrence.slot)
    twin = next((t for t in items.twins(tx, [named.name]) if t.author == named.author), None)
    values = _values(occurrence, place.setup.zone, now)
    if twin is None or twin.table == "sighting":
        number = _create(tx, place, named, occurrence, values)
        if twin is not None:
            items.replace_sighting(tx, twin.id, number)
            place.known.pop(_NOTHING, None)
            items.repoint(tx, place.stream_id, place.key_hash, _NOTHING, to=None)
        _join_people(tx, keys, number, verdict)
        return number, True
    stored = items.interaction_rows(tx, [twin.id])[twin.id]
    changed = {k: v for k, v in values.items() if stored[k] != v}
    if occurrence.sequence < int(str(stored["sequence"])):
        changed = {}  # an older copy in another calendar
    if changed:
        items.change_interaction(tx, twin.id, **changed)
    if stored["status"] != "held":  # past matches stay as they are
        _rejoin(tx, place, twin.id, occurrence, verdict)
    return twin.id, bool(changed)


def _values(occurrence: Occurrence, zone: tzinfo, now: datetime) -> dict[str, Any]:
    starts, ends = times_of(occurrence, zone)
    status = "held" if ends <= now else "planned"
    return {
        "occurred_at": text_time(starts),
        "ends_at": text_time(ends),
        "all_day": occurrence.all_day,
        "subject": occurrence.summary,
        "sequence": occurrence.sequence,
        "status": "cancelled" if occurrence.cancelled else status,
    }


def times_of(occurrence: Occurrence, zone: tzinfo) -> tuple[datetime, datetime]:
    """Start and end in UTC; an all-day meeting lasts from midnight to midnight in `zone`."""
    if occurrence.first_day is not None:
        last = occurrence.last_day or occurrence.first_day
        starts = datetime.combine(occurrence.first_day, time(), zone)
        ends = datetime.combine(last + timedelta(days=1), time(), zone)
        return starts.astimezone(UTC), ends.astimezone(UTC)
    assert occurrence.starts_at is not None
    return occurrence.starts_at, occurrence.ends_at or occurrence.starts_at


def _create(
    tx: Any, place: _Place, named: identity.Identity, occurrence: Occurrence, values: dict[str, Any]
) -> int:
    keys = place.setup.store.keys
    number = items.reserve_interactions(tx, 1)
    # A slot of a series we know already was planned long ago; only a new meeting counts as news.
    is_news = place.account.first_complete_at is not None and not place.known
    items.add_interactions(
        tx,
        [
            (
                number, identity.natural_key(keys, named, ""), named.name, named.author, "meeting",
                None, values["occurred_at"], None, values["ends_at"], values["all_day"],
                values["subject"], None, occurrence.uid, occurrence.slot, None, values["status"],
                "[]", False, text_time(place.setup.now()) if is_news else None,
                values["sequence"],
            )
        ],
    )  # fmt: skip
    return number


def _rejoin(tx: Any, place: _Place, number: int, occurrence: Occurrence, verdict: Verdict) -> None:
    """Adds the people that this copy of a known meeting names; only declined reps are taken off.

    Copies differ: a calendar may hide the guests, and a contact may work elsewhere by now.
    """
    declined = {
        place.setup.team.rep(who.address.lower())
        for who in occurrence.attendees
        if who.partstat == "DECLINED"
    }
    for rep in items.reps_of(tx, number):
        if place.setup.rep(rep) in declined:
            items.take_off(tx, number, rep)
    items.add_rep(tx, number, verdict.reps)
    customers, contacts = items.contacts_of(tx, number)
    named = contact_rows(number, verdict.contacts)
    items.add_people(
        tx,
        customers=[(number, c) for c in verdict.customers if c not in customers],
        contacts=[row for row in named if (row[5], row[1]) not in contacts],
        reps=[],
    )


def _join_people(tx: Any, keys: Keys, number: int, verdict: Verdict) -> None:
    items.add_people(
        tx,
        customers=[(number, customer) for customer in verdict.customers],
        contacts=contact_rows(number, verdict.contacts),
        reps=[(number, rep, position) for position, rep in enumerate(verdict.reps)],
    )
    traces = trace_hashes(keys, verdict.strangers)
    items.add_traces(tx, logged=[(trace, number) for trace in traces], seen=[])


def _sight(tx: Any, place: _Place, event: JudgedEvent) -> int | None:
    """The sighting of an object that concerns no customer; None for one outside the window."""
    if not event.verdicts:
        return None
    keys, verdict = place.setup.store.keys, event.verdict
    named = identity.of_meeting(keys, event.item.uid, None)
    twin = next(
        (
            t
            for t in items.twins(tx, [named.name])
            if t.author == named.author and t.table == "sighting"
        ),
        None,
    )
    if twin is not None:
        _raise(tx, keys, twin.id, event)
        return twin.id
    starts, _ = times_of(event.verdicts[0][0], place.setup.zone)
    number = items.reserve_sightings(tx, 1)
    items.add_sightings(
        tx,
        [
            (
                number, identity.natural_key(keys, named, ""), named.name, named.author, "meeting",
                None, text_time(starts), verdict.outcome, verdict.reason,
            )
        ],
    )  # fmt: skip
    if verdict.outcome == "unmatched":
        strangers = {s for _, v in event.verdicts for s in v.strangers}
        traces = trace_hashes(keys, strangers)
        items.add_traces(tx, logged=[], seen=[(trace, number) for trace in traces])
    return number


def _raise(tx: Any, keys: Keys, sighting: int, event: JudgedEvent) -> None:
    """A guest was added, or another copy shows more: the sighting must be found by them too."""
    verdict = event.verdict
    items.raise_sighting(tx, sighting, verdict.outcome, verdict.reason)
    if verdict.outcome == "unmatched":
        strangers = {s for _, v in event.verdicts for s in v.strangers}
        new = trace_hashes(keys, strangers) - items.known_traces(tx, sighting)
        items.add_traces(tx, logged=[], seen=[(trace, sighting) for trace in new])


def _cancel_unseen(tx: Any, setup: Setup, numbers: Sequence[int]) -> list[int]:
    """Meetings to come that no calendar holds any more are cancelled; past ones stay."""
    now = text_time(setup.now()) or ""
    cancelled: list[int] = []
    for number, row in items.interaction_rows(tx, list(dict.fromkeys(numbers))).items():
        to_come = row["status"] == "planned" and str(row["occurred_at"]) > now
        if to_come and not items.is_witnessed(tx, number):
            items.change_interaction(tx, number, status="cancelled")
            cancelled.append(number)
    return cancelled
