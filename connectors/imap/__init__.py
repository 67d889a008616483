"""Mailboxes on IMAP servers (RFC 3501): `KIND` is what the entry point gives."""

from typing import Final

from connectors.imap.options import ImapOptions
from connectors.imap.source import ImapSource
from crm_sync.ports import SourceKind

KIND: Final = SourceKind(kind="mailbox", options=ImapOptions, build=ImapSource)

__all__ = ["KIND", "ImapOptions", "ImapSource"]
