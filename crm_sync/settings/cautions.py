"""What is valid and yet deserves a word: `check` shows it and goes on."""

import ipaddress
import stat
from collections.abc import Iterator
from contextlib import suppress
from urllib.parse import urlsplit

from pydantic import BaseModel

from crm_sync.core.errors import ConfigError
from crm_sync.core.records import Finding
from crm_sync.settings.filings import drafts_of
from crm_sync.settings.master import MASTER, master_key_file, master_secret
from crm_sync.settings.model import Settings
from crm_sync.settings.secrets import SecretUnavailable

_OTHERS_MAY_USE = 0o077
_SHORTEST_MASTER = 16


def warnings(settings: Settings) -> list[Finding]:
    """Findings that are `ok` and carry a problem all the same: they stop nothing."""
    return [
        *_exposed_secrets(settings),
        *_key_of_keys(settings),
        *_plain_text(settings),
        *_nothing_to_do(settings),
        *_sending(settings),
    ]


def _warning(name: str, problem: str, advice: str) -> Finding:
    return Finding(name, ok=True, problem=problem, advice=advice)


def _exposed_secrets(settings: Settings) -> Iterator[Finding]:
    advice = f"Run `chmod 600 {settings.path}`, or write `secret:NAME`."
    for key in settings.exposed:
        yield _warning(key, "stands as it is in a file that others can read", advice)


def _key_of_keys(settings: Settings) -> Iterator[Finding]:
    key_file = master_key_file(settings)
    try:
        secret = master_secret(settings)
        is_named = settings.secrets.find(MASTER) is not None
    except (ConfigError, SecretUnavailable):
        return  # a fault, which `master_secret` tells its caller
    if is_named:
        if secret is not None and len(secret) < _SHORTEST_MASTER:
            advice = "Make a long one: `openssl rand -base64 32`."
            yield _warning("secret:master", "is short enough to be guessed", advice)
        return
    with suppress(OSError):
        if stat.S_IMODE(key_file.stat().st_mode) & _OTHERS_MAY_USE:
            advice = f"Run `chmod 600 {key_file}`."
            yield _warning(str(key_file), "the key of all keys can be read by others", advice)


def _plain_text(settings: Settings) -> Iterator[Finding]:
    senders = [settings.sender, *settings.senders] if settings.sender else settings.senders
    tables = [(table.name, table.options) for table in (*settings.accounts, *senders)]
    for name, options in tables:
        host = _plain_text_host(options)
        if host and not _is_loopback(host):
            advice = "Use TLS wherever the server offers it."
            problem = f"everything travels to {host} unencrypted, passwords too"
            yield _warning(name, problem, advice)


def _plain_text_host(options: BaseModel) -> str:
    """The host that is spoken to without encryption, by the options connectors usually have."""
    url = getattr(options, "url", None)
    if url is not None:
        with suppress(ValueError):
            parts = urlsplit(str(url))
            return parts.hostname or "" if parts.scheme == "http" else ""
        return ""
    return str(getattr(options, "host", "")) if getattr(options, "security", "") == "none" else ""


def _is_loopback(host: str) -> bool:
    with suppress(ValueError):
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    return host.lower().rstrip(".") == "localhost"


def _nothing_to_do(settings: Settings) -> Iterator[Finding]:
    if not settings.accounts:
        yield _warning(
            "mailboxes", "no mailbox and no calendar is read", "Add [[mailboxes]] or [[calendars]]."
        )
    if not settings.team.domains:
        problem = "without domains only the reps' own addresses count as ours"
        yield _warning("team.domains", problem, "List the domains of the team.")
    if not settings.reps:
        yield _warning("reps", "nobody is declared", "Add [[reps]], or nobody is reminded.")
    if settings.sender is None and (settings.greetings or settings.reminders):
        problem = "greetings and reminders are made, but nothing can be sent"
        yield _warning("sender", problem, "Add [sender].")
    if not settings.sending.reps and settings.reminders:
        problem = "reminders are made, but no mail goes to reps"
        yield _warning("sending.reps", problem, "Set it to true, or read `crm-sync reminders`.")


def _sending(settings: Settings) -> Iterator[Finding]:
    senders = [one for one in (settings.sender, *settings.senders) if one is not None]
    for sender in senders:
        if sender.keeps_copy and getattr(sender.options, "files_sent", False):
            problem = "the provider files a copy itself, so there may be two in Sent"
            yield _warning(sender.name, problem, 'Leave sent_copy out, or write "auto".')
    if any(greeting.customers == "draft" for greeting in settings.greetings):
        for rep in settings.reps:
            if drafts_of(settings, rep.email) is None:
                problem = f"no mailbox is known to put drafts into for {rep.email}"
                advice = 'Add an IMAP or Gmail mailbox, or [[senders]] with filing = "…".'
                yield _warning("greetings", problem, advice)
    automatic = settings.greetings or settings.reminders
    if settings.senders and settings.sender is None and not automatic:
        problem = "the reps' senders serve greetings only, and nothing leaves without [sender]"
        yield _warning("sender", problem, "Add [sender].")
