"""Mails without Message-ID that come back to a folder they had left.

Two of them in one folder are two mails, however alike (law 2): a scanner sends such ones. Where
the older one is gone it may have been moved away and back, and only the server knows.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from crm_sync.core import identity
from crm_sync.core.keys import Keys
from crm_sync.core.matching import occurred_at
from crm_sync.core.records import Item, MailItem, Stream
from crm_sync.flow.setup import Setup
from crm_sync.ports import Source
from crm_sync.store import accounts, items
from crm_sync.store.accounts import Account

_BEFORE = timedelta(days=2)
"""A mail's date is at most a day after its arrival: none arrived earlier before it than this."""

_Mark = tuple[bytes, bytes, datetime]
"""What two such mails have in common: fingerprint, author, and the second."""


@dataclass(frozen=True, slots=True)
class _Place:
    mark: _Mark
    key: str
    key_hash: bytes


def forget_left_places(
    setup: Setup, account: Account, source: Source, stream: Stream, found: Sequence[Item]
) -> None:
    """Forgets where mails without Message-ID, just found again in the stream, had been seen in it.

    Only mails of the same second and the same header count, and only places that the server says
    are empty now. To be called before they are stored, in no transaction; nobody is asked unless
    there are such ones. Raises as `Source.held`.
    """
    mails = [i for i in found if isinstance(i, MailItem) and not i.envelope.message_id]
    if not mails:
        return
    marks = {mail.key: _mark(setup.store.keys, mail) for mail in mails}
    left = [p for p in _places(setup, account, stream, set(marks.values())) if p.key not in marks]
    if not left:
        return
    again = {key for key, mark in marks.items() if mark in {place.mark for place in left}}
    since = min(place.mark[2] for place in left) - _BEFORE
    held = {key for keys in source.held(stream, since) for key in keys}
    # A list without the new ones tells of another epoch, or of another time.
    gone = [p.key_hash for p in left if p.key not in held] if again <= held else []
    if gone:
        with setup.store.write() as tx:
            items.drop_witnesses(tx, accounts.stream_id(tx, account.id, stream.key), gone)


def _mark(keys: Keys, mail: MailItem) -> _Mark:
    at = occurred_at(mail)
    its = identity.of_mail(keys, mail.envelope, at)
    return its.name, its.author, at.replace(microsecond=0)


def _places(setup: Setup, account: Account, stream: Stream, marks: set[_Mark]) -> list[_Place]:
    """Where in the stream mails with these marks were seen."""
    found: list[_Place] = []
    with setup.store.read() as tx:
        known = accounts.stream_of(tx, account.id, stream.key)
        if known is None:
            return []
        for twin in items.twins(tx, list({name for name, _, _ in marks})):
            mark = twin.name, twin.author, twin.occurred_at
            here = items.places_of(tx, known[0], twin) if mark in marks else []
            found += [_Place(mark, setup.store.keys.unseal(sealed), at) for at, sealed in here]
    return found
