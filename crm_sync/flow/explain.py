"""Explain: why a message or meeting is in the diary, or is not."""

from datetime import datetime
from typing import Any

from crm_sync.core import identity
from crm_sync.core.meetings import normal_uid
from crm_sync.flow.setup import Setup
from crm_sync.store import diary, outbox

REASONS = {
    "matched": "An address or its domain is one of a customer's.",
    "no_customer": (
        "None of its addresses or their domains belongs to a customer. "
        "Import the customer and the next sync fetches it."
    ),
    "internal": "Only our own people are on it.",
    "automatic": "Its header says that a program sent it: an automatic reply, receipt or notice.",
    "bulk": "Its header says that it went to many: a list, a newsletter or an advertisement.",
    "bounce": "It reports that a mail could not be delivered.",
    "calendar": "It is an invitation or an answer to one; the meeting comes from the calendar.",
    "private": "The event is marked private.",
    "declined": "Our rep declined the meeting.",
    "own": "crm-sync sent it itself.",
    "before_since": "It lies outside the time that `since` and `ahead` open.",
    "erased": "It was erased.",
    "blocked": "A rule keeps it out.",
}


def explain(setup: Setup, text: str) -> list[dict[str, Any]]:
    """Each item with that Message-ID or UID: outcome, reason, accounts, customers and steps."""
    keys = setup.store.keys
    names = [
        identity.of_message_id(keys, text),
        *(identity.of_uid(keys, uid) for uid in dict.fromkeys((text, normal_uid(text)))),
    ]
    with setup.store.read() as tx:
        found = [_logged(setup, entry) for entry in diary.logged_as(tx, names)]
        found += [_seen(entry) for entry in diary.seen_as(tx, names)]
        found += _quarantined(setup, tx, text)
        found += _our_own(tx, text) if not found else []
    return found or [_unknown()]


def _logged(setup: Setup, entry: dict[str, Any]) -> dict[str, Any]:
    names = ", ".join(customer["name"] for customer in entry["customers"])
    steps = [_where(entry["accounts"])]
    if entry["direction"]:
        steps.append("It came in." if entry["direction"] == "inbound" else "It went out.")
    steps.append(f"{', '.join(entry['contacts']) or 'Its address'} belongs to {names}.")
    at = datetime.fromisoformat(entry["occurred_at"]).astimezone(setup.zone)
    steps.append(f"It is interaction {entry['id']} of {at:%Y-%m-%d %H:%M}.")
    return {
        "outcome": "logged",
        "reason": "matched",
        "account": _first(entry["accounts"]),
        "accounts": entry["accounts"],
        "customers": entry["customers"],
        "steps": steps,
    }


def _seen(entry: dict[str, Any]) -> dict[str, Any]:
    steps = [_where(entry["accounts"]), REASONS.get(entry["reason"], entry["reason"])]
    if entry["outcome"] == "unmatched":
        steps.append("Only keyed hashes of its addresses are kept.")
    return {
        "outcome": entry["outcome"],
        "reason": entry["reason"],
        "account": _first(entry["accounts"]),
        "accounts": entry["accounts"],
        "customers": [],
        "steps": steps,
    }


def _quarantined(setup: Setup, tx: Any, text: str) -> list[dict[str, Any]]:
    """What lies in quarantine under that key; a Message-ID can't be known there."""
    found = []
    for row in diary.quarantined(tx):
        where = setup.store.keys.unseal(row["sealed"])
        if text.strip() and text.strip() in (where, where.rpartition("/")[2].removesuffix(".ics")):
            steps = [f"Seen in {row['account']}.", f"It could not be read: {row['reason']}."]
            found.append(
                {
                    "outcome": "quarantined",
                    "reason": row["reason"],
                    "account": row["account"],
                    "accounts": [row["account"]],
                    "customers": [],
                    "steps": steps,
                }
            )
    return found


def _our_own(tx: Any, text: str) -> list[dict[str, Any]]:
    """A mail of ours that no mailbox has shown."""
    name = f"<{text.strip().strip('<>')}>"
    return [
        {
            "outcome": "ignored",
            "reason": "own",
            "account": None,
            "accounts": [],
            "customers": [],
            "steps": [REASONS["own"], f"It is mail {row.id} of the outbox, {row.state}."],
        }
        for row in outbox.by_message_ids(tx, [name]).values()
    ]


def _unknown() -> dict[str, Any]:
    steps = [
        "No account has shown anything with this id.",
        "It may be older than `since`, in a folder that is not synced, or not have arrived yet.",
        "An id is a Message-ID or a UID, as the mail or event itself gives it.",
    ]
    return {
        "outcome": "unknown",
        "reason": "unknown",
        "account": None,
        "accounts": [],
        "customers": [],
        "steps": steps,
    }


def _where(accounts: list[str]) -> str:
    return (
        f"Seen in {', '.join(accounts)}." if accounts else "Its mailbox does not hold it any more."
    )


def _first(accounts: list[str]) -> str | None:
    return accounts[0] if accounts else None
