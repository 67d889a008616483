"""Hands mails to a submission server over SMTP (RFC 5321, RFC 6409)."""

from typing import Final

from connectors.oauth.access import UserTokens
from connectors.oauth.provider import Provider, provider_of
from connectors.oauth.sign_in import sign_in
from connectors.smtp.options import SmtpOptions
from connectors.smtp.sender import SmtpSender
from crm_sync.core.errors import UsageError
from crm_sync.ports import Prompt, SenderKind, Surroundings

_MICROSOFT: Final = ("https://outlook.office.com/SMTP.Send", "offline_access")


def _build(options: SmtpOptions, surroundings: Surroundings) -> SmtpSender:
    if options.auth == "password":
        return SmtpSender(options, surroundings)
    return SmtpSender(options, surroundings, UserTokens(_provider(options), surroundings))


def _login(options: SmtpOptions, surroundings: Surroundings, prompt: Prompt) -> None:
    if options.auth == "password":
        raise UsageError(
            f"{surroundings.account} signs in with its password",
            advice='`crm-sync doctor` tries it; OAuth 2.0 is for auth = "xoauth2".',
        )
    sign_in(_provider(options), options.username, surroundings, prompt)


def _provider(options: SmtpOptions) -> Provider:
    return provider_of(options, _MICROSOFT, options.ca_file)


KIND = SenderKind(options=SmtpOptions, build=_build, login=_login)

__all__ = ["KIND", "SmtpOptions", "SmtpSender"]
