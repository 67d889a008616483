"""What an admin may write for a mailbox or sender with `connector = "microsoft365"`."""

import re
from datetime import date, timedelta
from pathlib import Path
from typing import Annotated, Final, Self
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    SecretStr,
    field_validator,
    model_validator,
)

from connectors.hosts import is_loopback
from connectors.oauth.options import Tenant
from crm_sync.core.clean import clean
from crm_sync.core.durations import parse_reach
from crm_sync.core.folder_choice import parse_folder

FolderWord = Annotated[str, Field(min_length=1, max_length=1000), AfterValidator(parse_folder)]
_ADDRESS: Final = re.compile(r"[^\s@/?#]{1,200}@[^\s@/?#]{1,255}")
_CLIENT_ID: Final = re.compile(r"[A-Za-z0-9._-]{1,100}")
_LONGEST_SHOWN: Final = 60


def _is_an_address(value: str) -> str:
    if not _ADDRESS.fullmatch(value):
        raise ValueError(
            f"{_quoted(value)} is not an address; write one such as karin@acme.example"
        )
    return value


def _is_a_client_id(value: str) -> str:
    if not _CLIENT_ID.fullmatch(value):
        raise ValueError(
            f"{_quoted(value)} is not a client id; write the Application (client) ID, "
            "8-4-4-4-12 hex digits"
        )
    return value


def _quoted(value: str) -> str:
    return f'"{clean(value, _LONGEST_SHOWN)}"'


ShortText = Annotated[str, Field(min_length=1, max_length=500)]


class GraphOptions(BaseModel):
    """Who we are at Microsoft and whose mailbox it is.

    `username` is the mailbox's address, a shared one's too; `tenant` and `client_id` are those of
    the application registration. With `client_secret` or `certificate_file` (PEM: private key and
    certificate) the application signs in by itself; without, a person does, by `crm-sync login`.
    `secret_expires` is the last day of the secret, of which people are warned.
    `shared` says that this person only has access to the mailbox. `base_url` and `authority`
    differ in national clouds. `timeout` is the seconds of silence that are borne.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    username: Annotated[str, AfterValidator(_is_an_address)]
    tenant: Tenant
    client_id: Annotated[str, AfterValidator(_is_a_client_id)]
    client_secret: SecretStr | None = None
    secret_expires: date | None = None
    certificate_file: Path | None = None
    shared: bool = False
    base_url: ShortText = "https://graph.microsoft.com/v1.0"
    authority: ShortText = "https://login.microsoftonline.com"
    ca_file: Path | None = None
    timeout: float = Field(default=60, gt=0, le=600)

    @field_validator("base_url", "authority")
    @classmethod
    def _is_a_safe_address(cls, value: str) -> str:
        parts = urlsplit(value)
        if parts.scheme == "http" and not is_loopback(parts.hostname or ""):
            raise ValueError("http would send tokens in clear; use https")
        if parts.scheme not in {"https", "http"} or not parts.hostname or parts.username:
            raise ValueError("write it like https://graph.microsoft.com/v1.0")
        return value.rstrip("/")

    @model_validator(mode="after")
    def _has_one_proof_at_most(self) -> Self:
        if self.client_secret is not None and self.certificate_file is not None:
            raise ValueError("client_secret and certificate_file exclude each other")
        return self

    @property
    def is_app_only(self) -> bool:
        """Whether the application signs in by itself."""
        return self.client_secret is not None or self.certificate_file is not None

    @property
    def resource(self) -> str:
        """What tokens are asked for: scheme, host and port of Graph."""
        parts = urlsplit(self.base_url)
        return f"{parts.scheme}://{parts.netloc}"

    @property
    def permissions(self) -> tuple[str, ...]:
        """The least that is needed at Graph, by the names of the permissions reference."""
        raise NotImplementedError

    def _named(self, *names: str) -> tuple[str, ...]:
        """Permissions under the names they have for this way of signing in."""
        suffix = ".Shared" if self.shared and not self.is_app_only else ""
        return tuple(name + suffix for name in names)


class MailboxOptions(GraphOptions):
    r"""The keys of a mailbox.

    `since` is a length of time or "all", measured by the date of arrival. `folders` are special-use
    names ("\\Sent", RFC 6154), well-known names ("sentitems", see Microsoft's mailFolder resource)
    or display names, with "/" between a folder and one below it; none means all but junk, deleted
    items, drafts and the like.
    """

    since: str = "90d"
    folders: list[FolderWord] = []
    page_size: int = Field(default=100, ge=1, le=500)

    @field_validator("since")
    @classmethod
    def _is_a_length_of_time(cls, value: str) -> str:
        parse_reach(value)
        return value

    @property
    def reach(self) -> timedelta | None:
        """How far back the first sync goes; None for everything."""
        return parse_reach(self.since)

    @property
    def permissions(self) -> tuple[str, ...]:
        """See `GraphOptions.permissions`."""
        return self._named("Mail.Read")


class SenderOptions(GraphOptions):
    """The keys of a sender.

    `drafts`: a mail is filed as a draft first and then sent, which needs Mail.ReadWrite; otherwise
    it is sent in one request, with Mail.Send alone. `look_in_sent` (Mail.Read) lets a mail whose
    sending was left in doubt be found; without it a person has to look. `per_minute` and `per_day`
    keep below Exchange Online's 30 mails a minute and 10,000 recipients a day.
    """

    drafts: bool = False
    look_in_sent: bool = True
    per_minute: int = Field(default=20, ge=1, le=30)
    per_day: int = Field(default=4000, ge=1, le=10_000)

    @property
    def files_sent(self) -> bool:
        """Whether Exchange itself keeps a copy of each mail: it does."""
        return True

    @property
    def permissions(self) -> tuple[str, ...]:
        """See `GraphOptions.permissions`."""
        names = ["Mail.Send"]
        if self.drafts:
            names.append("Mail.ReadWrite")
        elif self.look_in_sent:
            names.append("Mail.Read")
        return self._named(*names)
