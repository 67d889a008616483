"""The configuration: found, read, checked, resolved. Only `ensure_master_key` writes."""

from crm_sync.settings.cautions import warnings
from crm_sync.settings.declarations import declaration, endings
from crm_sync.settings.effective import effective
from crm_sync.settings.filings import drafts_of
from crm_sync.settings.loading import find_config, load
from crm_sync.settings.master import ensure_master_key, master_secret
from crm_sync.settings.model import (
    AccountSettings,
    DaemonSettings,
    DatabaseSettings,
    GreetingSettings,
    MatchingSettings,
    ReminderSettings,
    RepSettings,
    SenderSettings,
    SendingSettings,
    Settings,
    TeamSettings,
)
from crm_sync.settings.people import people, rep_addresses, team_address

__all__ = [
    "AccountSettings",
    "DaemonSettings",
    "DatabaseSettings",
    "GreetingSettings",
    "MatchingSettings",
    "ReminderSettings",
    "RepSettings",
    "SenderSettings",
    "SendingSettings",
    "Settings",
    "TeamSettings",
    "declaration",
    "drafts_of",
    "effective",
    "endings",
    "ensure_master_key",
    "find_config",
    "load",
    "master_secret",
    "people",
    "rep_addresses",
    "team_address",
    "warnings",
]
