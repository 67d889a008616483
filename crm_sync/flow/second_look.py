"""A second look at mail that matched by its header: its text may say that no person wrote it."""

import json
from collections.abc import Iterable
from typing import TYPE_CHECKING, Final

from crm_sync.core.classification import Reason, classify_body
from crm_sync.core.records import Address, Body, Envelope

if TYPE_CHECKING:
    from crm_sync.flow.mail_page import Judged

_written: Final = json.JSONEncoder(ensure_ascii=False).encode  # `dumps` makes one for each call
_MOST_ADDRESSEES: Final = 10  # enough to tell that a mail went to many


def note(entry: "Judged") -> str | None:
    """What the second look needs of a header, until the text is fetched; None when it needs none.

    Our own mail and answers to somebody were written by people.
    """
    envelope = entry.item.envelope
    if entry.verdict.direction == "outbound" or envelope.in_reply_to:
        return None
    return _written(
        {
            "message_id": envelope.message_id,
            "references": envelope.references[:1],
            "from": _pairs(envelope.from_[:1]),
            "sender": _pairs(envelope.sender[:1]),
            "reply_to": _pairs(envelope.reply_to[:1]),
            "to": _pairs(envelope.to[:_MOST_ADDRESSEES]),
            "cc": _pairs(envelope.cc[:1]),
            "return_path": envelope.return_path,
            "subject": envelope.subject,
            "content_type": envelope.content_type,
            "transfer_encoding": envelope.transfer_encoding,
            "signs": dict(envelope.signs),
        }
    )


def second_look(header: str | None, body: Body) -> Reason | None:
    """The reason to keep a mail out of the diary after all."""
    if header is None:
        return None
    return classify_body(remembered(header), body.text, body.attachments)


def remembered(header: str) -> Envelope:
    """What `note` kept of a header."""
    known = json.loads(header)
    return Envelope(
        message_id=known["message_id"],
        references=tuple(known["references"]),
        from_=_addresses(known["from"]),
        sender=_addresses(known["sender"]),
        reply_to=_addresses(known["reply_to"]),
        to=_addresses(known["to"]),
        cc=_addresses(known["cc"]),
        return_path=known["return_path"],
        subject=known["subject"],
        content_type=known["content_type"],
        transfer_encoding=known["transfer_encoding"],
        signs=known["signs"],
    )


def _pairs(addresses: Iterable[Address]) -> list[list[str]]:
    return [[address.address, address.name] for address in addresses]


def _addresses(pairs: Iterable[list[str]]) -> tuple[Address, ...]:
    return tuple(Address(*pair) for pair in pairs)
