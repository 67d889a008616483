"""OAuth tokens as the diary keeps them: sealed texts that only `runtime.tokens` can open."""

from datetime import datetime

from sqlalchemy import Connection, select, update

from crm_sync.store.engine import text_time
from crm_sync.store.tables import account, token


def load(tx: Connection, name: str) -> bytes | None:
    """What was saved last for the account of that name."""
    return tx.execute(select(token.c.sealed).where(token.c.account == name)).scalar_one_or_none()


def save(tx: Connection, name: str, sealed: bytes, at: datetime) -> None:
    """Puts `sealed` in the place of what was there."""
    values = {"sealed": sealed, "saved_at": text_time(at)}
    changed = tx.execute(update(token).where(token.c.account == name).values(values))
    if changed.rowcount == 0:
        tx.execute(token.insert().values(account=name, **values))


def pull_soon(tx: Connection, name: str, at: datetime) -> None:
    """Has the account pulled at the next tick: what kept it out has been mended."""
    mine = account.c.name == name
    tx.execute(update(account).where(mine).values(next_pull=text_time(at), failures=0))
    stopped = mine & account.c.state.in_(("refused", "paused"))
    tx.execute(update(account).where(stopped).values(state="failing"))
