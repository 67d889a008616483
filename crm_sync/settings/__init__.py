"""The configuration: found, read, checked, resolved. Only `ensure_master_key` writes."""

from crm_sync.settings.cautions import warnings
from crm_sync.settings.effective import effective
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
    "effective",
    "ensure_master_key",
    "find_config",
    "load",
    "master_secret",
    "warnings",
]
