"""What a folder holds now, by ids alone: what an audit compares."""

from collections.abc import Iterator
from datetime import datetime
from typing import Final
from urllib.parse import quote

from connectors.graph.client import IMMUTABLE, Ask, GraphClient
from connectors.graph.folders import path_of
from connectors.graph.messages import key_of
from connectors.graph.pulling import instant, is_missing
from crm_sync.core.errors import Unreachable

_PAGE: Final = 1000
"""Microsoft: list messages, `$top` is 1000 at most."""

_MOST_PAGES: Final = 100_000


def held(client: GraphClient, folder: str, since: datetime | None) -> Iterator[list[str]]:
    """Ids of the messages that arrived since, drafts apart; each once, in pages.

    A folder that is gone holds nothing. A message that is deleted meanwhile may hide another one
    on the border of two pages: an audit then asks about one less, and nothing is lost by it.
    """
    ask: Ask | None = Ask(_query(client, folder, since), (IMMUTABLE,))
    seen: set[str] = set()
    for _ in range(_MOST_PAGES):
        if ask is None:
            return
        answer = client.get(ask)
        if is_missing(answer):
            return
        if not answer.ok:
            raise client.failure(answer)
        keys = [key_of(row) for row in answer.rows if row.get("isDraft") is not True]
        fresh = [key for key in dict.fromkeys(keys) if key and key not in seen]
        seen.update(fresh)
        yield fresh
        onward = client.link(answer, "@odata.nextLink")
        ask = Ask(onward, (IMMUTABLE,)) if onward else None
    raise Unreachable("the list of messages has no end", where=client.account, scope="stream")


def _query(client: GraphClient, folder: str, since: datetime | None) -> str:
    query = f"$top={_PAGE}&$select=id,isDraft"
    if since is not None:
        query += f"&$filter=receivedDateTime ge {instant(int(since.timestamp()))}"
    return f"{path_of(client.mailbox, folder)}?{quote(query, safe='$(),=&%:')}"
