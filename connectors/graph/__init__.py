"""Mail at Microsoft 365 over Microsoft Graph: mailboxes as sources, and senders.

Each command loads all connectors to know their options, so what is heavy (HTTP, MSAL) waits until
an account is opened.
"""

# ruff: noqa: PLC0415  # see above

from typing import Final

from connectors.graph.options import GraphOptions, MailboxOptions, SenderOptions
from crm_sync.ports import Prompt, Sender, SenderKind, Source, SourceKind, Surroundings


def _mailbox(options: MailboxOptions, surroundings: Surroundings) -> Source:
    from connectors.graph.source import GraphSource

    return GraphSource(options, surroundings)


def _sender(options: SenderOptions, surroundings: Surroundings) -> Sender:
    from connectors.graph.sender import GraphSender

    return GraphSender(options, surroundings)


def _login(options: GraphOptions, surroundings: Surroundings, prompt: Prompt) -> None:
    from connectors.graph.signin import login

    login(options, surroundings, prompt)


MAILBOX: Final = SourceKind("mailbox", MailboxOptions, _mailbox, _login)
"""The keys of a mailbox with `connector = "microsoft365"`."""

SENDER: Final = SenderKind(SenderOptions, _sender, _login)
"""The keys of a sender with `connector = "microsoft365"`."""

__all__ = ["MAILBOX", "SENDER", "MailboxOptions", "SenderOptions"]
