"""Messages as rows of the loopback Graph of `tests.servers.graph`: filtered, and as they were sent."""

import re
from datetime import datetime
from typing import Any


def matches(row: dict[str, Any], query: dict[str, str]) -> bool:
    """Whether a message passes `$filter`, of which we know what Graph is asked here."""
    wanted = query.get("$filter", "")
    if not wanted:
        return True
    if found := re.fullmatch(r"internetMessageId eq '(.*)'", wanted):
        return row.get("internetMessageId") == found[1].replace("''", "'")
    if found := re.fullmatch(
        r"singleValueExtendedProperties/Any\(ep: ep/id eq '(.*)' and ep/value eq '(.*)'\)", wanted
    ):
        # Microsoft: the name is compared with case, the value without.
        return any(
            p["id"] == found[1] and p["value"].lower() == found[2].lower()
            for p in row.get("singleValueExtendedProperties", [])
        )
    at = datetime.fromisoformat(row["receivedDateTime"])
    for term in wanted.split(" and "):
        name, operator, value = term.split(" ")
        assert name == "receivedDateTime", term
        bound = datetime.fromisoformat(value)
        if not {"ge": at >= bound, "lt": at < bound}[operator]:
            return False
    return True


def mime_of(row: dict[str, Any]) -> bytes:
    """A message as `$value` gives it."""
    if "mime" in row:
        return bytes(row["mime"])
    header = "".join(
        f"{h['name']}: {h['value']}\r\n" for h in row.get("internetMessageHeaders", ())
    )
    return f"{header}\r\n{row.get('body', {}).get('content', '')}".encode()
