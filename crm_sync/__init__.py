"""crm-sync: mailboxes and calendars in, one diary of customers, greetings and reminders out."""

from importlib.metadata import PackageNotFoundError, version

try:
    __version__ = version("crm-sync")
except PackageNotFoundError:  # a checkout that was never installed
    __version__ = "0+unknown"
