"""Which messages belong together: by References and In-Reply-To (RFC 5322 section 3.6.4).

Gmail's own number of a conversation joins those whose References are missing.
"""

from collections.abc import Sequence
from typing import Any, Final

from crm_sync.core.identity import of_message_id
from crm_sync.core.keys import Keys
from crm_sync.core.records import Envelope
from crm_sync.store import items

_GMAIL_THREAD: Final = "x-gm-thrid"


def join_threads(
    tx: Any, keys: Keys, account_id: int, mails: Sequence[tuple[int, Envelope]]
) -> dict[int, int]:
    """The thread of each new message (id, envelope) of an account, as its first message's id.

    A message that refers to two threads makes them one: the lower number stays.
    """
    hashes = {number: _hashes(keys, account_id, envelope) for number, envelope in mails}
    known = items.threads_of(tx, list({h for group in hashes.values() for h in group}))
    leader: dict[int, int] = {}
    new: dict[bytes, int] = {}
    threads: dict[int, int] = {}
    for number, group in hashes.items():
        found = {
            _lead(leader, known[h] if h in known else new[h])
            for h in group
            if h in known or h in new
        }
        thread = min(found, default=number)
        for other in found - {thread}:
            leader[other] = thread
        new.update({h: thread for h in group if h not in known})
        threads[number] = thread
    stored = set(known.values())
    items.join_threads(
        tx,
        new=[(h, _lead(leader, thread)) for h, thread in new.items()],
        merged={old: _lead(leader, old) for old in leader if old in stored},
    )
    return {number: _lead(leader, thread) for number, thread in threads.items()}


def _lead(leader: dict[int, int], thread: int) -> int:
    while thread in leader:
        thread = leader[thread]
    return thread


def _hashes(keys: Keys, account_id: int, envelope: Envelope) -> set[bytes]:
    ids = [envelope.message_id, *envelope.in_reply_to, *envelope.references]
    hashes = {of_message_id(keys, text) for text in ids if text}
    if conversation := envelope.signs.get(_GMAIL_THREAD):
        # The number means something in the mailbox alone that it is from.
        hashes.add(keys.hash("gmail-thread", f"{account_id} {conversation}"))
    return hashes
