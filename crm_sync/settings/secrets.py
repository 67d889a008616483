"""Secrets: written in the configuration by name, looked up where only we can read.

    secret:NAME    systemd's credentials, `[secrets] dir`, the environment, in this order
    env:VARIABLE   a variable of the environment
    file:PATH      a file, relative to the configuration
    command:LINE   the first line a program prints; no shell, 10 seconds
    anything else  is the secret itself

No message here holds a secret, the output of a program, or the line that starts it.
"""

import re
import shlex
import subprocess
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from crm_sync.settings.environment import SECRET_PREFIX

_COMMAND_SECONDS = 10
_MAX_BYTES = 65_536
_NAME = re.compile(r"[A-Za-z0-9_@][A-Za-z0-9_.@-]*")
_REFERENCE = re.compile(r"(secret|env|file|command):(.*)", re.DOTALL)


class SecretUnavailable(Exception):  # noqa: N818  # becomes a Problem, is no error of its own
    """A secret can't be had: `problem` and `advice` are sentences without any secret."""

    def __init__(self, problem: str, advice: str = "") -> None:
        super().__init__(problem)
        self.problem = problem
        self.advice = advice


@dataclass(frozen=True, slots=True)
class SecretStore:
    """Where secrets are looked up: the environment, `[secrets] dir`, files beside `base_dir`."""

    environ: Mapping[str, str] = field(repr=False)
    base_dir: Path
    directory: Path | None = None

    def resolve(self, written: str) -> str:
        """The secret that a value of the configuration stands for; raises `SecretUnavailable`."""
        reference = _REFERENCE.fullmatch(written)
        if reference is None:
            return _nonempty(written)
        kind, rest = reference.groups()
        rest = rest.strip()
        match kind:
            case "secret":
                return self._named(rest)
            case "env":
                return self._variable(rest)
            case "file":
                return _read(self.base_dir / rest)
            case _:
                return self._printed(rest)

    def find(self, name: str) -> str | None:
        """The secret of that name, None when it is nowhere; raises `SecretUnavailable`."""
        if not _NAME.fullmatch(name) or ".." in name:
            raise SecretUnavailable(
                "the name of a secret holds letters, digits, dots, - and _ only",
                "For a path write `file:PATH`.",
            )
        for file in self._files(name):
            with suppress(FileNotFoundError, NotADirectoryError):
                return read_secret_file(file)
        value = self.environ.get(variable_of(name))
        return None if value is None else _nonempty(_without_newline(value))

    def _named(self, name: str) -> str:
        value = self.find(name)
        if value is None:
            folders = [str(file) for file in self._files(name) if file.name == name]
            places = " or ".join([*folders, f"the variable {variable_of(name)}"])
            raise SecretUnavailable(f'the secret "{name}" is nowhere', f"Put it in {places}.")
        return value

    def _files(self, name: str) -> list[Path]:
        credentials = self.environ.get("CREDENTIALS_DIRECTORY")
        # LoadCredential=crm-sync:FOLDER offers each file of a folder under this prefix.
        names = (name, f"crm-sync_{name}")
        files = [Path(credentials) / each for each in names] if credentials else []
        return [*files, self.directory / name] if self.directory else files

    def _variable(self, name: str) -> str:
        value = self.environ.get(name)
        if value is None:
            raise SecretUnavailable("the variable it names is not set", "Set it, or name another.")
        return _nonempty(_without_newline(value))

    def _printed(self, line: str) -> str:
        try:
            command = shlex.split(line)
            result = subprocess.run(  # noqa: S603  # the admin's own command, without a shell
                command,
                check=False,
                cwd=self.base_dir,
                env=dict(self.environ),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                timeout=_COMMAND_SECONDS,
            )
        except (OSError, ValueError, IndexError):
            raise SecretUnavailable("the command can't be started", "Try it in a shell.") from None
        except subprocess.TimeoutExpired:
            problem = f"the command took longer than {_COMMAND_SECONDS} seconds"
            raise SecretUnavailable(problem, "It must not ask anything.") from None
        if result.returncode:
            problem = f"the command failed with exit status {result.returncode}"
            raise SecretUnavailable(problem, "Try it in a shell.")
        return _decode(result.stdout.partition(b"\n")[0])


def variable_of(name: str) -> str:
    """The variable of the environment that holds the secret of that name."""
    return SECRET_PREFIX + name.upper().replace("-", "_")


def is_literal(written: str) -> bool:
    """Whether a value is the secret itself and not a reference to it."""
    return _REFERENCE.fullmatch(written) is None


def _read(path: Path) -> str:
    try:
        return read_secret_file(path)
    except (FileNotFoundError, NotADirectoryError):
        raise SecretUnavailable("the file it names does not exist") from None


def read_secret_file(path: Path) -> str:
    """The text of a secret's file; FileNotFoundError and NotADirectoryError are the caller's."""
    try:
        with path.open("rb") as file:
            content = file.read(_MAX_BYTES + 1)
    except (FileNotFoundError, NotADirectoryError):
        raise
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "not a path"
        raise SecretUnavailable(f"its file can't be read: {reason}") from None
    if len(content) > _MAX_BYTES:
        raise SecretUnavailable("its file is larger than 64 kB")
    return _decode(content)


def _decode(content: bytes) -> str:
    try:
        text = content.decode()
    except UnicodeDecodeError:
        raise SecretUnavailable("it is not UTF-8 text") from None
    return _nonempty(_without_newline(text))


def _without_newline(text: str) -> str:
    return text.removesuffix("\n").removesuffix("\r")


def _nonempty(secret: str) -> str:
    if not secret or "\0" in secret:
        raise SecretUnavailable("it is empty" if not secret else "it holds a NUL")
    return secret
