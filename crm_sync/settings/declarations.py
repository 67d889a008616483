"""What the diary is told of a configured account, and what is known of its access in advance."""

import json
from collections.abc import Callable, Iterator
from urllib.parse import urlsplit

from pydantic import SecretStr

from crm_sync.core.keys import Keys
from crm_sync.flow.alarms import Ending
from crm_sync.ports import SignedIn, Source
from crm_sync.settings.model import AccountSettings, Settings

_PORTS = {"https": 443, "http": 80}


def declaration(account: AccountSettings, keys: Keys) -> dict[str, object]:
    """The columns of the account's row that the configuration decides.

    `fingerprint` stands for all options, secrets included, and can't be undone without the key.
    """
    return {
        "name": account.name,
        "kind": account.kind,
        "connector": account.connector,
        "rep": account.rep,
        "host": server_of(account),
        "fingerprint": keys.hash("options", _written(account)),
    }


def server_of(account: AccountSettings) -> str:
    """The server that the account's connector will ask, "host:port"; "" where there is none."""
    options = account.options
    host, port = getattr(options, "host", ""), getattr(options, "effective_port", None)
    if host:
        return f"{host}:{port}".lower()
    for key in ("url", "base_url"):
        parts = urlsplit(str(getattr(options, key, "")))
        if parts.hostname:
            return f"{parts.hostname}:{parts.port or _PORTS.get(parts.scheme, 0)}"
    return ""


def endings(
    settings: Settings, open_source: Callable[[AccountSettings], Source]
) -> Iterator[Ending]:
    """Secrets of applications and sign-ins of which it is known when they end."""
    yield from _secret_endings(settings)
    for account in settings.accounts:
        source = open_source(account)
        end = source.sign_in_ends() if isinstance(source, SignedIn) else None
        if end is not None:
            day = end.astimezone(settings.team.timezone).date()
            yield Ending(account.name, account.rep, "sign_in", day)


def _secret_endings(settings: Settings) -> Iterator[Ending]:
    for one in (*settings.accounts, settings.sender, *settings.senders):
        day = getattr(one.options, "secret_expires", None) if one else None
        if one is not None and day is not None:
            yield Ending(one.name, one.rep, "secret", day)


def _written(account: AccountSettings) -> str:
    return json.dumps(account.options.model_dump(), default=_plain, sort_keys=True)


def _plain(value: object) -> object:
    return value.get_secret_value() if isinstance(value, SecretStr) else str(value)
