"""What an admin may write for a mailbox with `connector = "maildir"` or `"mbox"`."""

from datetime import timedelta
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, field_validator

from crm_sync.core.durations import ALL, parse_reach
from crm_sync.core.folder_choice import parse_folder

FolderWord = Annotated[str, Field(min_length=1, max_length=1000), AfterValidator(parse_folder)]


class FileOptions(BaseModel):
    r"""The keys of an archive that are the connector's own.

    `path` is a maildir or an mbox file, or a folder with many of them below it. `since` is a length
    of time or "all". `folders` are special-use names ("\\Sent", RFC 6154) or plain names; none
    means all that hold mail.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    path: Path
    since: str = ALL
    folders: list[FolderWord] = []
    page_size: int = Field(default=500, ge=1, le=500)

    @field_validator("since")
    @classmethod
    def _is_a_length_of_time(cls, value: str) -> str:
        parse_reach(value)
        return value

    @property
    def reach(self) -> timedelta | None:
        """How far back the first pull goes; None for everything."""
        return parse_reach(self.since)
