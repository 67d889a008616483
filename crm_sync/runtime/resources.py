"""Files that ship with the program: the sample configuration and the templates of our mails."""

from collections.abc import Iterator
from functools import lru_cache
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path

SAMPLE = "crm-sync.toml"

_TEMPLATES = "templates"


def config_file(name: str) -> Traversable:
    """The file or folder of that name: in the installed package, else in the checkout.

    Raises FileNotFoundError when the installation lacks it.
    """
    for root in (files("crm_sync") / "_config", _checkout() / "config"):
        found = root / name
        if found.is_file() or found.is_dir():
            return found
    raise FileNotFoundError(f"the installation of crm-sync lacks the file {name}")


def init_text() -> str:
    """The commented configuration that `crm-sync init` writes."""
    return config_file(SAMPLE).read_text(encoding="utf-8")


@lru_cache(maxsize=1)
def templates() -> dict[str, str]:
    """All templates by their path, such as "sv/greeting_birthday.txt"."""
    return dict(_texts_in(config_file(_TEMPLATES), ""))


def _texts_in(folder: Traversable, prefix: str) -> Iterator[tuple[str, str]]:
    for entry in sorted(folder.iterdir(), key=lambda entry: entry.name):
        if entry.name.startswith((".", "__")):
            continue
        if entry.is_dir():
            yield from _texts_in(entry, f"{prefix}{entry.name}/")
        else:
            yield f"{prefix}{entry.name}", entry.read_text(encoding="utf-8")


def _checkout() -> Path:
    return Path(__file__).parents[2]
