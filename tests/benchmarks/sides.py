"""The sides that are compared, each in a process of its own: ours, the bare loop, mbsync."""

import itertools
import json
import sqlite3
import subprocess
import sys
from hashlib import sha256
from pathlib import Path
from typing import Any, Self

from tests.benchmarks import mails
from tests.benchmarks.measuring import Run, TreePeak, run_command
from tests.servers.dovecot import PASSWORD

_CONFIGURATION = """
[team]
name = "Acme AB"
domains = ["{domain}"]
language = "sv"
timezone = "Europe/Stockholm"
country = "SE"

[[reps]]
email = "{rep}"
name = "Karin Ek"

[[reminders]]
kind = "unanswered"
after = "2 business days"
"""
_MAILBOX = """
[[mailboxes]]
name = "{user}"
rep = "{rep}"
connector = "imap"
host = "{host}"
port = {port}
security = "none"
username = "{user}"
password = "{password}"
since = "all"
"""
_MBSYNC = """
IMAPAccount server
Host {host}
Port {port}
User karin
Pass {password}
SSLType None
AuthMechs LOGIN

IMAPStore far
Account server

MaildirStore near
Path {folder}/
Inbox {folder}/INBOX
SubFolders Verbatim

Channel all
Far :far:
Near :near:
Patterns {folders}
Create Near
Sync Pull
SyncState *
"""


class Office:
    """Makes a fresh installation of ours for each run, against one server."""

    _serial = itertools.count()

    def __init__(self, folder: Path, host: str, port: int) -> None:
        self._folder = folder
        self._host, self._port = host, port

    def install(self, accounts: tuple[str, ...]) -> tuple[Path, Path]:
        """Configuration and customers in a folder of their own."""
        folder = self._folder / f"ours{next(self._serial)}"
        folder.mkdir()
        parts = [_CONFIGURATION.format(domain=mails.OURS, rep=mails.REP)]
        parts += [
            _MAILBOX.format(
                user=user, rep=mails.REP, host=self._host, port=self._port, password=PASSWORD
            )
            for user in accounts
        ]
        config, listed = folder / "crm-sync.toml", folder / "customers.csv"
        config.write_text("".join(parts))
        config.chmod(0o600)
        listed.write_text(mails.customers_csv())
        return config, listed

    def mbsync_config(self) -> Path:
        """A configuration of mbsync's and an empty Maildir for it."""
        folder = self._folder / f"mbsync{next(self._serial)}"
        folder.mkdir()
        config = folder.with_suffix(".rc")
        config.write_text(
            _MBSYNC.format(
                host=self._host, port=self._port, password=PASSWORD, folder=folder,
                folders=" ".join(mails.FOLDERS),
            )
        )  # fmt: skip
        return config


class OurSync:
    """Our program with an empty diary, as a process; use as a context manager."""

    def __init__(self, office: Office, *, accounts: tuple[str, ...], further: int = 0) -> None:
        self._config, listed = office.install(accounts)
        command = [sys.executable, "-m", "tests.benchmarks.our_sync"]
        subprocess.run([*command, "prepare", self._config, listed, str(further)], check=True)
        self._process = subprocess.Popen(
            [*command, "pull", self._config],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self._peak = TreePeak(self._process.pid)

    def __enter__(self) -> Self:
        self._peak.__enter__()
        self.start = float(self._answer()["start"])
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(60)
        self._peak.__exit__()

    def pull(self, *accounts: str) -> Run:
        """One pull of these accounts (none: all). Raises when one of them failed."""
        assert self._process.stdin is not None
        self._process.stdin.write(" ".join(accounts) + "\n")
        self._process.stdin.flush()
        told = self._answer()
        if told["errors"]:
            raise RuntimeError(told["errors"])
        peak = max(told["peak"], self._peak.megabytes)
        return Run(told["seen"], told["seconds"], told["cpu"], peak, told["logged"], self.start)

    def facts(self) -> str:
        """A hash of all that the diary holds, the accounts' health apart."""
        found = sha256()
        with sqlite3.connect(self._config.with_name("crm-sync.db")) as diary:
            for line in diary.iterdump():
                if not line.startswith('INSERT INTO "account"'):
                    found.update(line.encode())
        return found.hexdigest()

    def _answer(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError("our program ended")
        told: dict[str, Any] = json.loads(line)
        return told


def bare_loop(port: int, user: str = "karin") -> Run:
    """One run of the bare loop."""
    words = ["127.0.0.1", str(port), user, PASSWORD, *mails.FOLDERS]
    command = [sys.executable, "-m", "tests.benchmarks.bare_loop", *words]
    done = subprocess.run(command, stdout=subprocess.PIPE, check=True)
    told = json.loads(done.stdout)
    return Run(told["seen"], told["seconds"], told["cpu"], told["peak"])


def mbsync(config: Path, messages: int) -> Run:
    """One run of mbsync, which copies whole messages into files."""
    run = run_command(["mbsync", "--quiet", "--config", str(config), "--all"])
    return Run(messages, run.seconds, run.cpu, run.peak)
