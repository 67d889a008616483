"""Mailboxes on IMAP servers (RFC 3501): `KIND` is what the entry point gives."""

from typing import Final

from connectors.imap.filing import ImapFiling
from connectors.imap.options import ImapOptions
from connectors.imap.source import ImapSource
from connectors.oauth.access import UserTokens
from connectors.oauth.provider import Provider, provider_of
from connectors.oauth.sign_in import sign_in
from crm_sync.core.errors import UsageError
from crm_sync.ports import Prompt, SourceKind, Surroundings

_MICROSOFT: Final = ("https://outlook.office.com/IMAP.AccessAsUser.All", "offline_access")


def _build(options: ImapOptions, surroundings: Surroundings) -> ImapSource:
    if options.auth == "password":
        return ImapSource(options, surroundings)
    return ImapSource(options, surroundings, tokens=UserTokens(_provider(options), surroundings))


def _filing(options: ImapOptions, surroundings: Surroundings) -> ImapFiling:
    if options.auth == "password":
        return ImapFiling(options, surroundings)
    return ImapFiling(options, surroundings, tokens=UserTokens(_provider(options), surroundings))


def _login(options: ImapOptions, surroundings: Surroundings, prompt: Prompt) -> None:
    if options.auth == "password":
        raise UsageError(
            f"{surroundings.account} signs in with its password",
            advice='`crm-sync doctor` tries it; OAuth 2.0 is for auth = "xoauth2".',
        )
    sign_in(_provider(options), options.username, surroundings, prompt)


def _provider(options: ImapOptions) -> Provider:
    return provider_of(options, _MICROSOFT, options.ca_file)


KIND: Final = SourceKind(
    kind="mailbox", options=ImapOptions, build=_build, login=_login, filing=_filing
)

__all__ = ["KIND", "ImapFiling", "ImapOptions", "ImapSource"]
