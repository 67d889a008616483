"""A configuration in a folder of its own, and connectors that only have options."""

from pathlib import Path
from typing import Literal

import pytest
from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator

from crm_sync.core.errors import ConfigError
from crm_sync.ports import SenderKind, SourceKind
from crm_sync.settings import Settings, load


class Timeouts(BaseModel):
    model_config = ConfigDict(extra="forbid")
    connect: float = 15


class MailOptions(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)
    host: str
    port: int = Field(993, ge=1, le=65535)
    security: Literal["tls", "starttls", "none"] = "tls"
    ca_file: Path | None = None
    username: str = ""
    password: SecretStr | None = None
    since: str = "90d"
    folders: list[str] = []
    timeouts: Timeouts = Timeouts()

    @field_validator("since")
    @classmethod
    def _is_known(cls, value: str) -> str:
        if value == "yesterday":
            raise ValueError("it is no length of time; write it like 90d")
        return value


class CalendarOptions(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)
    url: str
    username: str = ""
    password: SecretStr | None = None
    since: str = "365d"
    ahead: str = "120d"


def _build(options, surroundings):
    raise AssertionError("reading a configuration builds nothing")


SOURCES = {
    "imap": SourceKind("mailbox", MailOptions, _build),
    "caldav": SourceKind("calendar", CalendarOptions, _build),
}
SENDERS = {"smtp": SenderKind(MailOptions, _build)}

TEAM = """
[team]
name = "Acme AB"
domains = ["acme.example"]
timezone = "Europe/Stockholm"
country = "SE"
"""


class Workspace:
    """A folder with a configuration; tests say what stands in it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.path = folder / "crm-sync.toml"
        self.mode = 0o600

    def write(self, text: str) -> Path:
        self.path.write_text(text, encoding="utf-8")
        self.path.chmod(self.mode)
        return self.path

    def load(self, text: str, **environ: str) -> Settings:
        return load(self.write(text), environ=environ, source_kinds=SOURCES, sender_kinds=SENDERS)

    def refusal(self, text: str, **environ: str) -> ConfigError:
        with pytest.raises(ConfigError) as raised:
            self.load(text, **environ)
        return raised.value

    def problems(self, text: str, **environ: str) -> list[str]:
        return [problem.sentence() for problem in self.refusal(text, **environ).problems]


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace(tmp_path)


@pytest.fixture
def team() -> str:
    """The smallest useful table, six lines long with the empty first one."""
    return TEAM
