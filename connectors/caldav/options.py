"""What an admin may write for a calendar with `connector = "caldav"`."""

from datetime import timedelta
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator, model_validator

from connectors.hosts import is_loopback
from crm_sync.core.durations import parse_duration, parse_length

_LONGEST = timedelta(days=3660)


class CaldavOptions(BaseModel):
    """The keys of a calendar account that are the connector's own.

    `url` is a server, a principal, a calendar home or a single calendar. `since` and `ahead` are
    lengths of time of ten years at most: how far back meetings are read, how far ahead recurring
    ones are laid out. `calendars` are names or URLs; none means all that hold events. `timeout` is
    the seconds of silence that are borne.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    url: Annotated[str, Field(min_length=1, max_length=2000)]
    username: Annotated[str, Field(min_length=1, max_length=500)]
    password: SecretStr
    since: str = "365d"
    ahead: str = "120d"
    ca_file: Path | None = None
    calendars: list[Annotated[str, Field(min_length=1, max_length=2000)]] = []
    auth: Literal["auto", "basic", "digest"] = "auto"
    allow_http: bool = False
    timeout: int = Field(30, ge=1, le=600)
    page_size: int = Field(50, ge=1, le=100)

    @field_validator("since", "ahead")
    @classmethod
    def _is_a_length_of_time(cls, value: str) -> str:
        if parse_length(value, "120d, 36h or 2 weeks") > _LONGEST:
            raise ValueError("ten years at most; write it like 365d")
        return value

    @field_validator("url")
    @classmethod
    def _is_an_address(cls, value: str) -> str:
        parts = urlsplit(value)
        if parts.scheme not in {"https", "http"} or not parts.hostname:
            raise ValueError("write it like https://dav.example.com/calendars/me/")
        if parts.username is not None or parts.password is not None:
            raise ValueError("user name and password have keys of their own")
        return value

    @model_validator(mode="after")
    def _hides_the_password(self) -> "CaldavOptions":
        parts = urlsplit(self.url)
        if parts.scheme == "http" and not (self.allow_http or is_loopback(parts.hostname or "")):
            raise ValueError(
                "url: http would send the password in clear; use https, or say allow_http = true"
            )
        return self

    @property
    def look_back(self) -> timedelta:
        """`since` as a length of time."""
        return parse_duration(self.since).delta or _LONGEST

    @property
    def look_ahead(self) -> timedelta:
        """`ahead` as a length of time."""
        return parse_duration(self.ahead).delta or _LONGEST

    @property
    def where(self) -> str:
        """The host, for people."""
        return urlsplit(self.url).netloc
