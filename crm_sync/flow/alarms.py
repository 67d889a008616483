"""Alarms: whoever can mend an account is told, once, with the very command; and told when it works.

Rows of the one outbox, like every mail (law 6). They go to the account's rep, to her manager and to
the admin; of a team mailbox without an admin, to the managers or else to all reps.
"""

import json
import shlex
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any, Final, Literal, get_args

from crm_sync.core.alarm_lines import AlarmKind, AlarmLine, AlarmReason
from crm_sync.flow.post import Post
from crm_sync.flow.setup import Person, Setup
from crm_sync.flow.writing import to_rep
from crm_sync.store import accounts, outbox
from crm_sync.store.accounts import Account
from crm_sync.store.engine import memo, set_memo, text_time

KIND: Final = "alarm"
AFTER: Final = timedelta(minutes=10)
"""What mends itself sooner is nobody's business."""

BEFORE: Final = (14, 3)
"""So many days before a secret or sign-in ends, people are told."""

_TOLD, _CHECKED = "alarms", "alarms/ends"
"""What is remembered between two rounds: of what people have been told, and when ends were read."""

_LIFE: Final = timedelta(days=7)
_REASONS: Final = frozenset(get_args(AlarmReason))


@dataclass(frozen=True, slots=True)
class Ending:
    """Access to an account (or by a sender) that ends on a known day.

    What ends is the application's secret or a person's sign-in.
    """

    account: str
    rep: str | None
    what: Literal["secret", "sign_in"]
    on: date


def plan(
    setup: Setup,
    post: Post,
    names: Collection[str],
    endings: Callable[[], Iterable[Ending]] = lambda: (),
) -> int:
    """Queues what people have to know of the accounts of these `names`; how many mails.

    `endings` is asked once a day.
    """
    if not post.to_reps:
        return 0
    now = setup.now()
    today = now.astimezone(setup.zone).date()
    with setup.store.read() as tx:
        rows = [row for row in accounts.all_accounts(tx) if row.name in names]
        told = _told(tx)
        checked = memo(tx, _CHECKED) == str(today)
    ending = [] if checked else list(endings())
    if checked and not any(_news(rows, told, now)):
        return 0
    with setup.store.write() as tx:
        told = _told(tx)
        stopped, working = _news(rows, told, now)
        queued = _queue(tx, setup, post, "stopped", stopped, told)
        queued += _queue(tx, setup, post, "working", working, told)
        queued += _queue_endings(tx, setup, post, ending, today)
        left = {key: value for key, value in told.items() if key not in map(_key, working)}
        set_memo(tx, _TOLD, json.dumps(left | {_key(row): _episode(row) for row in stopped}))
        set_memo(tx, _CHECKED, str(today))
    return queued


def _told(tx: Any) -> dict[str, str]:
    """Of which failure of an account people have been told: its id -> since when it failed."""
    return dict(json.loads(memo(tx, _TOLD) or "{}"))


def _news(
    rows: Sequence[Account], told: Mapping[str, str], now: datetime
) -> tuple[list[Account], list[Account]]:
    """The accounts that have stopped and those that work again, of which nobody has been told."""
    stopped = [r for r in rows if _has_stopped(r, now) and told.get(_key(r)) != _episode(r)]
    return stopped, [row for row in rows if row.state == "ok" and _key(row) in told]


def _key(row: Account) -> str:
    return str(row.id)


def _episode(row: Account) -> str:
    return text_time(row.failing_since) or ""


def _has_stopped(row: Account, now: datetime) -> bool:
    since = row.failing_since
    if row.state not in ("refused", "paused") or since is None:
        return False
    # Since a time to come: the clock was wrong when that was written.
    return not timedelta() <= now - since < AFTER


def _queue(
    tx: Any,
    setup: Setup,
    post: Post,
    kind: AlarmKind,
    rows: Sequence[Account],
    told: Mapping[str, str],
) -> int:
    """One mail to each person, about all accounts that are hers to know of."""
    queued = 0
    for person, mine in _by_person(setup, [(row.rep, row) for row in rows]):
        first = mine[0]
        episode = _episode(first) or told[_key(first)]
        key = f"{KIND}/{kind}/{person.email}/{first.name}/{episode}"
        lines = [_line(row, kind, person) for row in mine]
        queued += _add(tx, post, person, key, kind, lines, setup.now())
    return queued


def _queue_endings(
    tx: Any, setup: Setup, post: Post, endings: Iterable[Ending], today: date
) -> int:
    """One mail to each person for each day on which something ends, and each warning of it."""
    groups: dict[tuple[str, date, int], list[Ending]] = {}
    for ending in endings:
        left = (ending.on - today).days
        steps = [days for days in BEFORE if 0 <= left <= days]
        if steps:
            groups.setdefault((ending.what, ending.on, min(steps)), []).append(ending)
    queued = 0
    for (what, on, days), group in groups.items():
        for person, mine in _by_person(setup, [(e.rep, e) for e in group]):
            key = f"{KIND}/ending/{person.email}/{what}/{on}/{days}"
            lines = [_ending_line(ending) for ending in mine]
            queued += _add(tx, post, person, key, "ending", lines, setup.now())
    return queued


def _by_person(
    setup: Setup, about: Iterable[tuple[str | None, Any]]
) -> Iterator[tuple[Person, list[Any]]]:
    found: dict[str, tuple[Person, list[Any]]] = {}
    for rep, thing in about:
        for person in _audience(setup, rep):
            found.setdefault(person.email, (person, []))[1].append(thing)
    yield from found.values()


def _audience(setup: Setup, rep: str | None) -> list[Person]:
    owner = setup.person(rep) if rep else None
    manager = setup.person(owner.manager) if owner and owner.manager else None
    people = [person for person in (owner, manager, setup.admin) if person is not None]
    if not people:
        managers = {person.manager for person in setup.reps}
        people = [p for p in setup.reps if p.email in managers] or list(setup.reps)
    return list({person.email: person for person in people}.values())


def _line(row: Account, kind: AlarmKind, person: Person) -> AlarmLine:
    until = row.complete_until.astimezone(person.zone) if row.complete_until else None
    if kind == "working":
        return AlarmLine(row.name, "working", until_local=until)
    reason: Any = row.trouble if row.trouble in _REASONS else "other"
    name = shlex.quote(row.name)
    signs_in = row.trouble == "consent"
    command = f"crm-sync login {name}" if signs_in else f"crm-sync sync --account {name}"
    detail = (row.last_error or "").removesuffix(f". Run: {command}")
    return AlarmLine(row.name, reason, detail, command, until)


def _ending_line(ending: Ending) -> AlarmLine:
    name = shlex.quote(ending.account)
    if ending.what == "secret":
        return AlarmLine(ending.account, "ending_secret", day=ending.on)
    command = f"crm-sync login {name}"
    return AlarmLine(ending.account, "ending_sign_in", command=command, day=ending.on)


_WHY: Final = {
    "stopped": "can't be read and needs a person",
    "working": "works again",
    "ending": "will soon not be readable any more",
}


def _add(
    tx: Any,
    post: Post,
    person: Person,
    key: str,
    kind: AlarmKind,
    lines: Sequence[AlarmLine],
    now: datetime,
) -> int:
    if outbox.is_known(tx, key):
        return 0
    mail = post.renderer.alarm(person.language, kind, lines)
    more = f" and {len(lines) - 1} more" if len(lines) > 1 else ""
    reason = f"{lines[0].account}{more} {_WHY[kind]}"
    row = to_rep(post, KIND, key, person, mail, reason, now, now + _LIFE)
    return int(outbox.add(tx, row) is not None)
