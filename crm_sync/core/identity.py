"""When two sightings are the same thing (law 2).

A message is the same when Message-ID and From are equal and the dates lie within ten minutes; a
message without Message-ID when its header fingerprint is. A meeting is its UID and original slot.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

from crm_sync.core.addresses import canonical
from crm_sync.core.keys import Keys
from crm_sync.core.records import Address, Envelope

SAME_DATE = timedelta(minutes=10)


@dataclass(frozen=True, slots=True)
class Identity:
    """The keyed hashes by which an item is found again.

    `name` stands for the Message-ID, the fingerprint of a message without one, or the UID;
    `author` for From, or a meeting's slot. `fingerprint` tells that there was no Message-ID; then
    `mark` stands for the server's own number of the message, empty where it has none.
    """

    name: bytes
    author: bytes
    fingerprint: bool = False
    mark: str = ""


def of_mail(keys: Keys, envelope: Envelope, occurred_at: datetime) -> Identity:
    """The identity of a message; `occurred_at` stands in for its date."""
    author = keys.remembered_hash("author", _first(envelope.from_ or envelope.sender))
    if envelope.message_id:
        return Identity(of_message_id(keys, envelope.message_id), author)
    everyone = sorted(_spelling(a) for a in envelope.to + envelope.cc)
    subject = " ".join(envelope.subject.split())
    # Without a Date each mailbox would give the hour of its own copy.
    date = occurred_at.isoformat() if envelope.date is not None else ""
    text = "\0".join([*everyone, date, subject, *envelope.references])
    number = envelope.signs.get("x-gm-msgid", "")
    mark = keys.hash("gmail-message", number).hex() if number else ""
    return Identity(keys.hash("fingerprint", text), author, fingerprint=True, mark=mark)


def of_message_id(keys: Keys, message_id: str) -> bytes:
    """The hash that stands for a Message-ID, with or without its angle brackets."""
    return keys.hash("message-id", message_id.strip().strip("<>"))


def of_meeting(keys: Keys, uid: str, slot: str | None) -> Identity:
    """The identity of one occurrence: normalised UID and original slot."""
    return Identity(of_uid(keys, uid), keys.hash("slot", slot or "-"))


def of_uid(keys: Keys, uid: str) -> bytes:
    """The hash that stands for a UID (already normalised)."""
    return keys.hash("uid", uid)


def natural_key(keys: Keys, identity: Identity, marker: str) -> bytes:
    """The unique key of an item; `marker` is its first date, or tells twins apart."""
    return keys.hash("natural-key", f"{identity.name.hex()}{identity.author.hex()}{marker}")


def _spelling(address: Address) -> str:
    return canonical(address.address) or address.address.lower()


def _first(addresses: tuple[Address, ...]) -> str:
    return _spelling(addresses[0]) if addresses else ""
