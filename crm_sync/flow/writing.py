"""Outbox rows with a mail to one of us."""

from datetime import datetime
from typing import Any

from crm_sync.core.rendering import Rendered
from crm_sync.flow.post import Post
from crm_sync.flow.setup import Person
from crm_sync.store.outbox import NewRow


def to_rep(
    post: Post,
    kind: str,
    key: str,
    rep: Person,
    mail: Rendered,
    reason: str,
    due_at: datetime,
    expires_at: datetime,
) -> NewRow:
    """A row with a mail to one of us."""
    return NewRow(
        key=key,
        kind=kind,
        state="queued",
        recipient=rep.email,
        recipient_name=rep.name,
        sender=post.team.from_.address,
        reply_to="",
        **words(mail),
        reason=reason,
        due_at=due_at,
        expires_at=expires_at,
        message_id=post.message_id(key),
        rep=rep.email,
    )


def words(mail: Rendered) -> dict[str, Any]:
    """The words of a mail as a row holds them."""
    return {
        "subject": mail.subject,
        "text": mail.text,
        "html": mail.html,
        "language": mail.language,
    }
