"""What a complaint says: who marked a mail of ours as unwanted (RFC 5965)."""

from dataclasses import dataclass
from typing import Final

from crm_sync.core.addresses import canonical
from crm_sync.core.bounces import (
    LARGEST,
    blocks,
    decoded,
    field,
    mail_parts,
    original_ids,
    returned_headers,
    sole_recipient,
)

_LONGEST_KIND: Final = 40
_NO_COMPLAINT: Final = frozenset({"auth-failure", "not-spam", "dmarc", "virus"})


@dataclass(frozen=True, slots=True)
class Complaint:
    """A report that its reader pressed "this is spam".

    `addresses` are canonical: the recipient that the report names, else the only one of the mail
    that it gives back; empty when both are blotted out. `original_ids` as in `Bounce`.
    """

    addresses: tuple[str, ...]
    kind: str
    original_ids: tuple[str, ...] = ()


def read_complaint(octets: bytes) -> Complaint | None:
    """The complaint in a raw message, None when it is none. Never raises.

    Of the types that are registered, "abuse", "fraud", "opt-out" and "other" are somebody's
    complaint; reports about authentication (RFC 6591), about viruses and "not-spam" are not.
    """
    octets = octets[:LARGEST]
    parts = mail_parts(octets)
    report = next((p for p in parts if p.get_content_type() == "message/feedback-report"), None)
    if report is None:
        return None
    fields = (blocks(report) or mail_parts(decoded(report)) or [report])[0]
    kind = field(fields, "Feedback-Type").lower()[:_LONGEST_KIND]
    if kind in _NO_COMPLAINT:
        return None
    returned = returned_headers(parts)
    named = [_address(field(fields, name)) for name in ("Original-Rcpt-To", "Removal-Recipient")]
    addresses = [a for a in (*named, sole_recipient(returned)) if a is not None]
    return Complaint(tuple(dict.fromkeys(addresses)), kind, original_ids(octets, returned))


def _address(value: str) -> str | None:
    return canonical(value.rpartition(";")[2].strip().strip("<>"))
