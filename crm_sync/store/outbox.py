"""The outbox: one row for each mail of ours, and the states it goes through (law 6)."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Connection, func, or_, select, true, union_all, update

from crm_sync.core.errors import UsageError
from crm_sync.store.engine import read_time, text_time
from crm_sync.store.tables import outbox

GREETING = "greeting"

LONGEST_WAIT = timedelta(days=1)
"""No mail waits longer for its next try, whatever a server asked for."""

_BATCH = 500
_WAITING = ("planned", "waiting_approval", "queued")


@dataclass(frozen=True, slots=True)
class NewRow:
    """A mail to be queued; `key` is its natural key, which can be queued once only."""

    key: str
    kind: str
    state: str
    recipient: str
    recipient_name: str
    sender: str
    reply_to: str
    subject: str
    text: str
    html: str
    language: str
    reason: str
    due_at: datetime
    expires_at: datetime | None
    message_id: str
    contact_id: int | None = None
    customer_id: int | None = None
    rep: str = ""
    action: str = "send"
    via: str = ""


@dataclass(frozen=True, slots=True)
class Ready:
    """What dispatch must know of a mail before it claims it."""

    id: int
    action: str
    kind: str
    via: str
    sender: str
    rep: str


@dataclass(frozen=True, slots=True)
class Row:
    """A mail as it waits in the outbox. `claimed_at` is the date it bears."""

    id: int
    key: str
    action: str
    kind: str
    state: str
    recipient: str
    recipient_name: str
    sender: str
    reply_to: str
    subject: str
    text: str
    html: str
    language: str
    due_at: datetime
    expires_at: datetime | None
    message_id: str
    contact_id: int | None
    customer_id: int | None
    rep: str
    via: str
    tries: int
    next_try: datetime | None
    claimed_at: datetime | None
    doubted_at: datetime | None
    sent_at: datetime | None


def add(tx: Connection, row: NewRow) -> int | None:
    """Queues a mail; its id, or None when one with this key is there already."""
    if is_known(tx, row.key):
        return None
    values = {name: getattr(row, name) for name in NewRow.__slots__}
    values["due_at"] = text_time(row.due_at)
    values["expires_at"] = text_time(row.expires_at)
    inserted = tx.execute(outbox.insert().values(**values)).inserted_primary_key
    assert inserted is not None
    return int(inserted[0])


def is_known(tx: Connection, key: str) -> bool:
    """Whether a mail with this natural key was ever queued."""
    return tx.execute(select(outbox.c.id).where(outbox.c.key == key)).first() is not None


def get(tx: Connection, row_id: int) -> Row:
    """One row. Raises `UsageError` when there is none."""
    row = tx.execute(select(outbox).where(outbox.c.id == row_id)).mappings().one_or_none()
    if row is None:
        raise UsageError(
            f"there is no mail {row_id} in the outbox", advice="`crm-sync outbox` lists them."
        )
    return _row(row)


def ready(tx: Connection, now: datetime) -> list[Ready]:
    """The mails whose time has come, greetings last: reps' mail is never held up.

    Before that, those go last that failed most: one that breaks each connection stops no other.
    """
    at = text_time(now)
    rows = tx.execute(
        select(*(outbox.c[name] for name in Ready.__slots__))
        .where(outbox.c.state == "queued", outbox.c.due_at <= at)
        .where(_may_be_tried(now))
        .order_by(outbox.c.tries, outbox.c.kind == GREETING, outbox.c.due_at, outbox.c.id)
    )
    return [Ready(*row) for row in rows]


def put_off(tx: Connection, row_ids: Sequence[int], until: datetime, why: str) -> None:
    """Queued mails that can't leave yet wait, which is no failed try."""
    for start in range(0, len(row_ids), _BATCH):
        tx.execute(
            update(outbox)
            .where(outbox.c.id.in_(row_ids[start : start + _BATCH]), outbox.c.state == "queued")
            .values(next_try=text_time(until), error=why)
        )


def try_soon(tx: Connection, vias: Sequence[str]) -> None:
    """Mails that wait to leave by these senders wait no more: what kept them has been mended."""
    waiting = (outbox.c.state == "queued") & outbox.c.via.in_(vias)
    tx.execute(update(outbox).where(waiting).values(next_try=None))


def waiting_reps(tx: Connection) -> list[str]:
    """Who answers for, or gets, what has not left yet."""
    reps = select(outbox.c.rep).where(outbox.c.state.in_(_WAITING), outbox.c.rep != "")
    return list(tx.execute(reps.distinct()).scalars())


def readdress(tx: Connection, old: str, new: str, *, sends_as_new: bool) -> None:
    """What has not left and is of or for a rep bears her new address.

    As whom a greeting leaves stays what it was unless her sender writes from the new address too.
    """
    waiting = outbox.c.state.in_(_WAITING)
    by_her = outbox.c.action == "draft"
    if sends_as_new:
        by_her |= outbox.c.via == old
    changes = {
        "sender": by_her,
        "recipient": outbox.c.kind != GREETING,
        "reply_to": true(),
        "via": true(),
        "rep": true(),
    }
    for name, which in changes.items():
        mine = waiting & which & (outbox.c[name] == old)
        tx.execute(update(outbox).where(mine).values({name: new}))


def left_between(
    tx: Connection, vias: Sequence[str], since: datetime, until: datetime
) -> list[datetime]:
    """When mails left, or may have left, by these senders; earliest first."""
    queries = []
    for moment in (outbox.c.sent_at, outbox.c.doubted_at):
        between = (moment > text_time(since)) & (moment <= text_time(until))
        queries.append(select(moment).where(outbox.c.via.in_(vias), between))
    rows = tx.execute(union_all(*queries)).scalars()
    return sorted(moment for moment in map(read_time, rows) if moment is not None)


def claim(tx: Connection, row_id: int, now: datetime) -> Row | None:
    """Takes a queued mail for sending; None when it is not queued any more, or too late."""
    claimed = tx.execute(
        update(outbox)
        .where(outbox.c.id == row_id, outbox.c.state == "queued")
        .where(or_(outbox.c.expires_at.is_(None), outbox.c.expires_at > text_time(now)))
        .values(claimed_at=text_time(now), tries=outbox.c.tries + 1)
    )
    return get(tx, row_id) if claimed.rowcount == 1 else None


def move(tx: Connection, row_id: int, old: str, new: str, **values: Any) -> bool:
    """Moves a row from one state to another; False when it was not in `old`."""
    moved = tx.execute(
        update(outbox)
        .where(outbox.c.id == row_id, outbox.c.state == old)
        .values(state=new, **{name: _plain(value) for name, value in values.items()})
    )
    return moved.rowcount == 1


def expire(tx: Connection, now: datetime) -> int:
    """What was not sent in its time is skipped; how many."""
    late = tx.execute(
        update(outbox)
        .where(outbox.c.state.in_(("queued", "waiting_approval", "planned")))
        .where(outbox.c.expires_at <= text_time(now))
        .values(state="skipped", error="its time had passed")
    )
    return int(late.rowcount)


def doubt_all_sending(tx: Connection, now: datetime) -> int:
    """Mails that a dead process was sending: nobody knows whether they left; how many."""
    stale = tx.execute(
        update(outbox)
        .where(outbox.c.state == "sending")
        .values(
            state="in_doubt",
            doubted_at=text_time(now),
            error="the program stopped while the server was taking the mail",
        )
    )
    return int(stale.rowcount)


def in_state(tx: Connection, state: str) -> list[Row]:
    """All rows in a state, oldest first."""
    rows = tx.execute(select(outbox).where(outbox.c.state == state).order_by(outbox.c.id))
    return [_row(row) for row in rows.mappings()]


def doubtful(tx: Connection, now: datetime) -> list[Row]:
    """Mails in doubt that it is time to look for."""
    rows = tx.execute(
        select(outbox)
        .where(outbox.c.state == "in_doubt")
        .where(_may_be_tried(now))
        .order_by(outbox.c.id)
    )
    return [_row(row) for row in rows.mappings()]


def uncopied(tx: Connection, now: datetime) -> list[Row]:
    """Sent mails whose copy in Sent is wanted and not there yet, as far as is known."""
    rows = tx.execute(
        select(outbox)
        .where(outbox.c.state == "sent", outbox.c.filed.is_(False))
        .where(_may_be_tried(now))
        .order_by(outbox.c.id)
    )
    return [_row(row) for row in rows.mappings()]


def note_copy(
    tx: Connection,
    row_id: int,
    *,
    filed: bool | None,
    next_try: datetime | None = None,
    error: str | None = None,
) -> None:
    """What came of the copy in Sent: there (True), wanted still (False), given up (None)."""
    values = {"filed": filed, "next_try": text_time(next_try), "error": error}
    tx.execute(update(outbox).where(outbox.c.id == row_id).values(values))


def by_message_ids(tx: Connection, message_ids: list[str]) -> dict[str, Row]:
    """Our own mails among these Message-IDs."""
    rows = tx.execute(select(outbox).where(outbox.c.message_id.in_(message_ids))).mappings()
    return {row["message_id"]: _row(row) for row in rows}


def counts(tx: Connection) -> dict[str, int]:
    """How many mails are in each state."""
    rows = tx.execute(select(outbox.c.state, func.count()).group_by(outbox.c.state))
    return {row[0]: row[1] for row in rows}


def listing(tx: Connection) -> list[dict[str, Any]]:
    """All mails in the contract's shape, newest first."""
    rows = tx.execute(select(outbox).order_by(outbox.c.id.desc())).mappings()
    return [
        {
            "id": row["id"],
            "key": row["key"],
            "action": row["action"],
            "kind": row["kind"],
            "to": row["recipient"],
            "from": row["sender"],
            "via": row["via"],
            "subject": row["subject"],
            "reason": row["reason"],
            "due_at": row["due_at"],
            "state": row["state"],
            "message_id": row["message_id"],
            "error": row["error"],
            "filed": row["filed"],
            "expires_at": row["expires_at"],
        }
        for row in rows
    ]


def _may_be_tried(now: datetime) -> ColumnElement[bool]:
    # A time further off than any wait of ours was written by a clock that was wrong.
    at, latest = text_time(now), text_time(now + LONGEST_WAIT)
    tried = outbox.c.next_try
    return or_(tried.is_(None), tried <= at, tried > latest)


def _row(row: Any) -> Row:
    values = {name: row[name] for name in Row.__slots__}
    for name in ("due_at", "expires_at", "next_try", "claimed_at", "doubted_at", "sent_at"):
        values[name] = read_time(values[name])
    return Row(**values)


def _plain(value: Any) -> Any:
    return text_time(value) if isinstance(value, datetime) else value
