"""A second look at mail that matched by its header: its text may say that no person wrote it."""

import json
from typing import TYPE_CHECKING

from crm_sync.core.classification import Reason, classify_body
from crm_sync.core.records import Address, Body, Envelope

if TYPE_CHECKING:
    from crm_sync.flow.mail_page import Judged


def note(entry: "Judged") -> str | None:
    """What the second look needs of a header, until the text is fetched; None when it needs none.

    Our own mail and answers to somebody were written by people.
    """
    envelope = entry.item.envelope
    if entry.verdict.direction == "outbound" or envelope.in_reply_to:
        return None
    return json.dumps(
        {
            "from": [[a.address, a.name] for a in envelope.from_[:1]],
            "subject": envelope.subject,
            "return_path": envelope.return_path,
            "content_type": envelope.content_type,
            "signs": dict(envelope.signs),
        },
        ensure_ascii=False,
    )


def second_look(header: str | None, body: Body) -> Reason | None:
    """The reason to keep a mail out of the diary after all."""
    if header is None:
        return None
    known = json.loads(header)
    envelope = Envelope(
        from_=tuple(Address(*pair) for pair in known["from"]),
        subject=known["subject"],
        return_path=known["return_path"],
        content_type=known["content_type"],
        signs=known["signs"],
    )
    return classify_body(envelope, body.text, body.attachments)
