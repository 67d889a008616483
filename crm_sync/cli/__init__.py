"""All contact with people: commands, and errors as sentences in one place."""

from crm_sync.cli.main import main

__all__ = ["main"]
