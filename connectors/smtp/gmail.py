"""Gmail as a sender: SMTP with Google's sign-in. Gmail files the copy in Sent itself."""

from pathlib import Path
from typing import Final, Literal, Self

from pydantic import model_validator

from connectors.hosts import Host
from connectors.oauth.google import login, tokens_of
from connectors.smtp.options import SmtpOptions
from connectors.smtp.sender import SmtpSender
from crm_sync.ports import SenderKind, Surroundings


class GmailSenderOptions(SmtpOptions):
    """The keys of a sender with `connector = "gmail"`; those of `smtp`, with Gmail's own values.

    The sign-in is that of `connector = "gmail"` under `[[mailboxes]]`: one `login` serves both
    for a rep whose sender has no sign-in of its own.
    """

    host: Host = "smtp.gmail.com"
    auth: Literal["password", "xoauth2", "oauthbearer"] = "xoauth2"
    service_account_file: Path | None = None

    @property
    def files_sent(self) -> bool:
        """See `SmtpOptions.files_sent`; Gmail does, under whatever name it is reached."""
        return True

    @model_validator(mode="after")
    def _fits_gmail(self) -> Self:
        if self.tenant or self.device_url:
            raise ValueError("tenant and device_url have no meaning at Gmail")
        if self.service_account_file is not None and (self.client_id or self.auth == "password"):
            raise ValueError("give client_id, password or service_account_file: one of them")
        return self

    def oauth_fault(self) -> str:
        """See `OAuthOptions.oauth_fault`: Google's addresses and scope are known."""
        if not self.client_id and self.service_account_file is None:
            return "client_id is missing (or service_account_file, for a whole Workspace)"
        return ""


def _build(options: GmailSenderOptions, surroundings: Surroundings) -> SmtpSender:
    return SmtpSender(options, surroundings, tokens_of(options, surroundings))


KIND: Final = SenderKind(options=GmailSenderOptions, build=_build, login=login)
