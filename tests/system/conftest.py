"""The installed command as a process, on real servers, for the demo's team."""

import json
import os
import signal
import subprocess
import sys
import threading
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import pytest

from crm_sync.demo.people import REPS, TEAM_ADDRESS
from crm_sync.demo.team import DemoTeam, build
from tests.servers.radicale import Radicale
from tests.servers.smtp import SmtpServer
from tests.system.installed import InstalledWheel, build_wheel

COMMAND = [sys.executable, "-m", "crm_sync"]


@dataclass
class Result:
    """What a command said, and how it ended."""

    status: int
    out: str
    err: str

    def lines(self) -> list[dict]:
        return [json.loads(line) for line in self.out.splitlines()]

    def object(self) -> dict:
        return json.loads(self.out)


@dataclass
class Installation:
    """A folder with a configuration, and the commands of an admin in it."""

    folder: Path
    environ: dict[str, str] = field(default_factory=dict)
    prefix: tuple[str, ...] = ()
    """What starts the command, where it is not started directly."""

    def run(self, *words: str, timeout: float = 100) -> Result:
        process = self.start(*words)
        out, err = process.communicate(timeout=timeout)
        return Result(process.returncode, out, err)

    def ok(self, *words: str) -> Result:
        result = self.run(*words)
        assert result.status == 0, result.err or result.out
        assert "Traceback" not in result.err
        return result

    def start(self, *words: str) -> subprocess.Popen:
        clean = {k: v for k, v in os.environ.items() if not k.startswith("CRM_SYNC")}
        return subprocess.Popen(
            [*self.prefix, *COMMAND, *words],
            cwd=self.folder,
            env={**clean, **self.environ},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def start_and_kill(self, seconds: float, *words: str) -> None:
        """Starts a command and kills it without warning after a while."""
        process = self.start(*words)
        timer = threading.Timer(seconds, lambda: process.send_signal(signal.SIGKILL))
        timer.start()
        process.communicate(timeout=100)
        timer.cancel()

    def write(self, text: str) -> None:
        (self.folder / "crm-sync.toml").write_text(text, encoding="utf-8")

    def interactions(self) -> list[dict]:
        return self.ok("interactions", "--json").lines()


@pytest.fixture
def installation(tmp_path):
    return Installation(tmp_path)


@pytest.fixture(scope="session")
def wheel(tmp_path_factory) -> Path:
    return build_wheel(tmp_path_factory.mktemp("dist"))


@pytest.fixture(scope="session")
def machine(tmp_path_factory, wheel) -> Path:
    """The root folder of a machine on which the wheel is installed in /opt/crm-sync."""
    root = tmp_path_factory.mktemp("machine")
    (root / "opt").mkdir()
    InstalledWheel.make(root / "opt" / "crm-sync", wheel)
    return root


@pytest.fixture(scope="session")
def installed(machine, wheel) -> InstalledWheel:
    return InstalledWheel(machine / "opt" / "crm-sync", wheel)


@pytest.fixture(scope="session")
def team() -> DemoTeam:
    return build(datetime.now(UTC).replace(microsecond=0))  # noqa: TID251  # the story begins now


@pytest.fixture(scope="session")
def calendars(team):
    """Radicale with the team's meetings: user -> URL of the principal."""
    servers = {}
    try:
        for rep in REPS:
            server = Radicale()
            server.start()
            server.make_calendar("work")
            servers[rep.user] = server
        for event in team.events:
            server = servers[event.user]
            server.put(f"{server.home}work/{event.href}", event.ics.decode().replace("\r\n", "\n"))
        yield servers
    finally:
        for server in servers.values():
            server.remove()


@pytest.fixture(scope="session")
def mailboxes(dovecot, team):
    """Dovecot with the team's mail: user of the demo -> user on the server."""
    users = {rep.user: f"demo-{rep.user}" for rep in REPS} | {"crm": "demo-crm"}
    for user in users.values():
        dovecot.add_user(user, ("Sent",))
    by_folder: dict[tuple[str, str], list] = {}
    for mail in team.mails:
        by_folder.setdefault((mail.user, mail.folder), []).append((mail.raw, mail.arrived_at))
    for (user, folder), mails in by_folder.items():
        dovecot.seed(users[user], folder, mails)
    return users


@pytest.fixture
def smtp():
    with SmtpServer() as server:
        yield server


def toml_for(dovecot, mailboxes, calendars, smtp, **extra) -> str:
    """The configuration of the demo's team on the test's servers."""
    parts = [
        '[database]\nurl = "sqlite:///crm-sync.db"\n',
        '[team]\nname = "Acme Furniture"\ndomains = ["acme.example"]\nlanguage = "en"',
        'timezone = "Europe/Stockholm"\ncountry = "SE"\n',
    ]
    parts += [
        f'[[reps]]\nemail = "{rep.email}"\nname = "{rep.name}"\naliases = ["{rep.alias}"]\n'
        for rep in REPS
    ]
    for user, name in mailboxes.items():
        rep = next((r for r in REPS if r.user == user), None)
        whose = f'rep = "{rep.email}"' if rep else f'address = "{TEAM_ADDRESS}"'
        port = extra.get("port", dovecot.port)
        parts.append(
            f'[[mailboxes]]\n{whose}\nconnector = "imap"\nhost = "127.0.0.1"\nport = {port}\n'
            f'security = "none"\nusername = "{name}"\npassword = "pass"\nsince = "90d"\n'
        )
    for rep in REPS:
        server = calendars[rep.user]
        parts.append(
            f'[[calendars]]\nrep = "{rep.email}"\nconnector = "caldav"\nurl = "{server.url}karin/"\n'
            'username = "karin"\npassword = "pass"\n'
        )
    if smtp is not None:
        parts.append(
            f'[sender]\nconnector = "smtp"\nhost = "127.0.0.1"\nport = {smtp.port}\n'
            f'security = "none"\nfrom = "Acme <{TEAM_ADDRESS}>"\n'
        )
    parts.append(extra.get("more", ""))
    return "\n".join(parts)


@pytest.fixture
def office(installation, dovecot, mailboxes, calendars, smtp, team):
    """The demo's team, ready to sync."""
    installation.write(toml_for(dovecot, mailboxes, calendars, smtp))
    (installation.folder / "customers.csv").write_text(team.customers_csv, encoding="utf-8")
    (installation.folder / "later.csv").write_text(team.later_csv, encoding="utf-8")
    return installation
