"""Archives of mail on this machine: `MAILDIR` and `MBOX` are what the entry points give."""

from typing import Final

from connectors.files.maildir import MaildirSource
from connectors.files.mbox import MboxSource
from connectors.files.options import FileOptions
from crm_sync.ports import SourceKind

MAILDIR: Final = SourceKind(kind="mailbox", options=FileOptions, build=MaildirSource)
MBOX: Final = SourceKind(kind="mailbox", options=FileOptions, build=MboxSource)

__all__ = ["MAILDIR", "MBOX", "FileOptions", "MaildirSource", "MboxSource"]
