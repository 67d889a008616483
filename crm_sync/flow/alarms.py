"""Alarms: whoever can mend an account is told, once, with the very command; and told when it works.

Of an account that stopped (refused or paused: a person must act) people hear after ten minutes, of
one that is silent (tried again and again, but nothing came for a day) after that day. They hear of
a failure once. Accounts that come and go are damped: of one account there is at most one alarm of a
kind in 24 hours, a failure that outlasts them is told then; and "works again" goes to those only
whom an alarm has reached. An alarm that is still queued when its accounts work again never leaves.

Rows of the one outbox, like every mail (law 6). They go to the account's rep, to her manager and to
the admin; of a team mailbox without an admin, to the managers or else to all reps.
"""

import json
import shlex
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import date, datetime, timedelta
from typing import Any, Final, Literal, NamedTuple, get_args

from crm_sync.core.alarm_lines import AlarmKind, AlarmLine, AlarmReason
from crm_sync.flow.post import Post
from crm_sync.flow.setup import Person, Setup
from crm_sync.flow.writing import to_rep
from crm_sync.store import accounts, outbox
from crm_sync.store.accounts import Account
from crm_sync.store.engine import memo, read_time, set_memo, text_time

KIND: Final = "alarm"
AFTER: Final = timedelta(minutes=10)
"""What mends itself sooner is nobody's business."""

SILENCE: Final = timedelta(days=1)
"""So long may a server be unreachable, or ask for patience, before people are told."""

TOGETHER: Final = timedelta(hours=1)
"""So long at most people hear later of a silent account, where more are about to fall silent."""

DAMPING: Final = timedelta(days=1)
"""The least time between two alarms of one kind about the same account."""

BEFORE: Final = (14, 3)
"""So many days before a secret or sign-in ends, people are told."""

_TOLD, _CHECKED = "alarms", "alarms/ends"
"""What is remembered between two rounds: of what people have been told, and when ends were read."""

_LIFE: Final = timedelta(days=7)
_REASONS: Final = frozenset(get_args(AlarmReason))
_LIMITS: Final = frozenset({"throttled", "quota", "connections"})
_LEFT: Final = frozenset({"sent", "sending", "in_doubt"})


@dataclass(frozen=True, slots=True)
class Ending:
    """Access to an account (or by a sender) that ends on a known day.

    What ends is the application's secret or a person's sign-in.
    """

    account: str
    rep: str | None
    what: Literal["secret", "sign_in"]
    on: date


@dataclass(slots=True)
class _Known:
    """What people know of one account.

    `since` is when the failure began of which they were told, empty when it is over; `kinds` the
    alarms about it, `mails` their Message-IDs. `last` says when the last alarm of a kind was
    written, be its failure over or not.
    """

    since: str = ""
    kinds: list[str] = field(default_factory=list)
    mails: list[str] = field(default_factory=list)
    last: dict[str, str] = field(default_factory=dict)

    def begin(self, kind: AlarmKind, since: str, now: datetime) -> None:
        """An alarm about the failure that began at `since` is written now."""
        if since != self.since:
            self.since, self.kinds, self.mails = since, [], []
        self.kinds.append(kind)
        self.last[kind] = text_time(now) or ""

    def is_over(self) -> None:
        """The failure is over; when people were last alarmed stays known, for the damping."""
        self.since, self.kinds, self.mails = "", [], []

    def is_damped(self, kind: AlarmKind, now: datetime) -> bool:
        """Whether an alarm of this kind was written a short time ago."""
        last = read_time(self.last.get(kind))
        return last is not None and timedelta() <= now - last < DAMPING


class _News(NamedTuple):
    """The accounts of which people are to hear."""

    stopped: list[Account]
    silent: list[Account]
    working: list[Account]


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
        known = _recall(tx)
        checked = memo(tx, _CHECKED) == str(today)
    ending = [] if checked else list(endings())
    if checked and not any(_news(rows, known, now)):
        return 0
    with setup.store.write() as tx:
        known = _recall(tx)
        news = _news(rows, known, now)
        queued = _queue(tx, setup, post, "stopped", news.stopped, known)
        queued += _queue(tx, setup, post, "silent", news.silent, known)
        queued += _queue_working(tx, setup, post, news.working, known)
        queued += _queue_endings(tx, setup, post, ending, today)
        set_memo(tx, _TOLD, json.dumps({key: asdict(one) for key, one in known.items()}))
        set_memo(tx, _CHECKED, str(today))
    return queued


def _recall(tx: Any) -> defaultdict[str, _Known]:
    """What people know of each account, by its id."""
    stored = json.loads(memo(tx, _TOLD) or "{}")
    # Of an older shape there is nothing to read; the keys of the mails keep them from going twice.
    known = {key: _Known(**one) for key, one in stored.items() if isinstance(one, dict)}
    return defaultdict(_Known, known)


def _news(rows: Sequence[Account], known: Mapping[str, _Known], now: datetime) -> _News:
    stopped = [
        row
        for row in rows
        if row.state in ("refused", "paused")
        and _lasts(row, now)
        and "stopped" not in _kinds(row, known)
        and not _of(row, known).is_damped("stopped", now)
    ]
    silent = [
        row
        for row in _silent(rows, now)
        if not _kinds(row, known) and not _of(row, known).is_damped("silent", now)
    ]
    working = [row for row in rows if row.state == "ok" and _of(row, known).since]
    return _News(stopped, silent, working)


def _of(row: Account, known: Mapping[str, _Known]) -> _Known:
    return known.get(_key(row)) or _Known()


def _kinds(row: Account, known: Mapping[str, _Known]) -> Sequence[str]:
    """The alarms there were about the failure that an account has now."""
    one = _of(row, known)
    return one.kinds if one.since == _episode(row) else ()


def _key(row: Account) -> str:
    return str(row.id)


def _episode(row: Account) -> str:
    return text_time(row.failing_since) or ""


def _lasts(row: Account, now: datetime) -> bool:
    since = row.failing_since
    # Since a time to come: the clock was wrong when that was written.
    return since is not None and not timedelta() <= now - since < AFTER


def _silent(rows: Sequence[Account], now: datetime) -> list[Account]:
    """The accounts that have brought nothing for a day, although they are tried.

    A server that goes down silences its accounts within minutes of each other: while more are about
    to follow the first ones wait, for one mail about all of them.
    """
    failing = [row for row in rows if row.state == "failing" and _lasts(row, now)]
    silence = {row.id: _silence(row, now) for row in failing}
    more = any(SILENCE - TOGETHER <= length < SILENCE for length in silence.values())
    enough = SILENCE + TOGETHER if more else SILENCE
    return [row for row in failing if silence[row.id] >= enough and _is_tried(row, now)]


def _silence(row: Account, now: datetime) -> timedelta:
    """How long an account has brought nothing; the clock may have been wrong in between."""
    known = [at for at in (row.last_success, row.failing_since) if at is not None and at <= now]
    return now - min(known) if known else timedelta.max


def _is_tried(row: Account, now: datetime) -> bool:
    """Whether the last failure is fresh.

    After a pause of the whole program, or when its host answers again, an account is due at once
    (or long overdue); what it says then is awaited.
    """
    return row.next_pull is not None and now - row.next_pull < AFTER


def _queue(
    tx: Any,
    setup: Setup,
    post: Post,
    kind: AlarmKind,
    rows: Sequence[Account],
    known: defaultdict[str, _Known],
) -> int:
    """One mail to each person, about all accounts that are hers to know of."""
    now = setup.now()
    for row in rows:
        known[_key(row)].begin(kind, _episode(row), now)
    queued = 0
    for person, mine in _by_person((_audience(setup, row.rep), row) for row in rows):
        key = f"{KIND}/{kind}/{person.email}/{mine[0].name}/{_episode(mine[0])}"
        lines = [_line(row, kind, person) for row in mine]
        queued += _add(tx, post, person, key, kind, lines, now)
        for row in mine:
            known[_key(row)].mails.append(post.message_id(key))
    return queued


def _queue_working(
    tx: Any,
    setup: Setup,
    post: Post,
    rows: Sequence[Account],
    known: Mapping[str, _Known],
) -> int:
    """One mail to each person whom an alarm has reached, about all accounts that work again."""
    over, reached = _settled(tx, rows, known)
    about = [
        ([p for p in _audience(setup, row.rep) if p.email in reached[_key(row)]], row)
        for row in over
    ]
    queued = 0
    for person, mine in _by_person(about):
        key = f"{KIND}/working/{person.email}/{mine[0].name}/{known[_key(mine[0])].since}"
        lines = [_line(row, "working", person) for row in mine]
        queued += _add(tx, post, person, key, "working", lines, setup.now())
    for row in over:
        known[_key(row)].is_over()
    return queued


def _settled(
    tx: Any, rows: Sequence[Account], known: Mapping[str, _Known]
) -> tuple[list[Account], dict[str, set[str]]]:
    """Of accounts that work, those whose alarms have left or never will, and whom these reached.

    An alarm that is still queued is withdrawn, unless it tells of other accounts, too, that do not
    work yet. Then it leaves as it is, and the news that one of them works comes after it.
    """
    mine = {_key(row): set(known[_key(row)].mails) for row in rows}
    others = {mail for key, one in known.items() if key not in mine for mail in one.mails}
    mails = outbox.by_message_ids(tx, sorted(set().union(*mine.values())))
    queued = {message_id for message_id, mail in mails.items() if mail.state == "queued"}
    for message_id in queued - others:
        outbox.move(tx, mails[message_id].id, "queued", "skipped", error="it works again")
    over = [row for row in rows if not mine[_key(row)] & queued & others]
    left = {message_id: mail for message_id, mail in mails.items() if mail.state in _LEFT}
    return over, {key: {left[m].recipient for m in ids & left.keys()} for key, ids in mine.items()}


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
        for person, mine in _by_person((_audience(setup, e.rep), e) for e in group):
            key = f"{KIND}/ending/{person.email}/{what}/{on}/{days}"
            lines = [_ending_line(ending) for ending in mine]
            queued += _add(tx, post, person, key, "ending", lines, setup.now())
    return queued


def _by_person(about: Iterable[tuple[Iterable[Person], Any]]) -> Iterator[tuple[Person, list[Any]]]:
    found: dict[str, tuple[Person, list[Any]]] = {}
    for people, thing in about:
        for person in people:
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
    command = _command(row)
    return AlarmLine(
        row.name,
        _reason(row, kind),
        detail=(row.last_error or "").removesuffix(f". Run: {command}"),
        command=command,
        until_local=until,
        is_new=row.last_success is None,
    )


def _reason(row: Account, kind: AlarmKind) -> AlarmReason:
    if row.trouble in _LIMITS:
        return "throttled"
    known: Any = row.trouble if row.trouble in _REASONS else None
    return known or ("failing" if kind == "silent" else "other")


def _command(row: Account) -> str:
    """What to type; nothing where a server asks for patience."""
    name = shlex.quote(row.name)
    if row.trouble in _LIMITS:
        return ""
    return (
        f"crm-sync login {name}" if row.trouble == "consent" else f"crm-sync sync --account {name}"
    )


def _ending_line(ending: Ending) -> AlarmLine:
    name = shlex.quote(ending.account)
    if ending.what == "secret":
        return AlarmLine(ending.account, "ending_secret", day=ending.on)
    command = f"crm-sync login {name}"
    return AlarmLine(ending.account, "ending_sign_in", command=command, day=ending.on)


_WHY: Final = {
    "stopped": "can't be read and needs a person",
    "silent": "could not be read for a day",
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
