"""The demo's story: real servers, a believable team, and the commands a person would type."""

import contextlib
import json
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from imapclient import IMAPClient

from crm_sync.core.errors import CrmSyncError, UsageError
from crm_sync.demo import truth
from crm_sync.demo.meetings import TEAM_ZONE
from crm_sync.demo.people import REPS, TEAM_ADDRESS
from crm_sync.demo.screen import Screen
from crm_sync.demo.team import DemoTeam, build
from crm_sync.ports import Clock
from crm_sync.runtime.clock import SystemClock

if TYPE_CHECKING:
    from crm_sync.demo.servers import DemoServers

_MARK: Final = ".made-by-crm-sync-demo"
_PASSWORD: Final = "demo"  # noqa: S105  # of servers that live for a minute on loopback
_SHOWN: Final = 14
_AHEAD_SHOWN: Final = timedelta(days=21)
_TURNS: Final = 5
_COMMAND_SECONDS: Final = 120
_PORTRAIT: Final = "Nordvik Inredning AB"


def run_demo(
    directory: Path, *, keep: bool, clock: Clock | None = None, screen: Screen | None = None
) -> int:
    """Tells the whole story in `directory` and returns the exit status.

    `directory` is made; one that an earlier demo made is emptied first. With `keep` the servers
    stay until Ctrl-C. Raises `UsageError` when the directory is somebody else's or the extra
    `demo` is not installed, `CrmSyncError` when a command fails.
    """
    clock = clock or SystemClock()
    screen = screen or Screen()
    servers_of = _servers()
    _make_room(directory)
    team = build(clock.now())
    mailboxes = {TEAM_ADDRESS: "crm"}
    for rep in REPS:
        mailboxes |= {rep.email: rep.user, rep.alias: rep.user}
    with servers_of(
        directory / "servers", directory / "sent-to-customers", mailboxes, _PASSWORD, clock
    ) as servers:
        story = _Story(directory, team, servers, clock, screen)
        story.prepare()
        is_equal = story.tell()
        story.farewell(keep=keep)
        if keep:
            with contextlib.suppress(KeyboardInterrupt):
                threading.Event().wait()
    return 0 if is_equal else 1


def _servers() -> type["DemoServers"]:
    try:
        from crm_sync.demo.servers import DemoServers  # noqa: PLC0415  # an extra's packages
    except ModuleNotFoundError as error:
        raise UsageError(
            f"the demo needs the package {error.name}",
            advice="Install it with: pip install 'crm-sync[demo]'",
        ) from error
    return DemoServers


def _make_room(directory: Path) -> None:
    """Makes the directory, empty but for the mark by which we know it again."""
    if (directory / _MARK).is_file():
        shutil.rmtree(directory)
    if directory.exists() and (not directory.is_dir() or any(directory.iterdir())):
        raise UsageError(
            "it exists and was not made by the demo",
            where=str(directory),
            advice="Name another directory with --dir.",
        )
    directory.mkdir(parents=True, exist_ok=True)
    (directory / _MARK).touch()


@dataclass(slots=True)
class _Story:
    directory: Path
    team: DemoTeam
    servers: "DemoServers"
    clock: Clock
    screen: Screen

    def prepare(self) -> None:
        """Fills the servers and writes the files a user would have."""
        from crm_sync.demo.configuration import configuration  # noqa: PLC0415  # needs the extra

        self.screen.heading("A small team moves in")
        self.team.seed_imap(self.servers.append)
        self.team.seed_caldav(self.servers.put)
        customers = {contact.customer for contact in self.team.contacts}
        self.screen.say(
            f"{len(self.team.reps)} reps, {len(customers)} customers in six languages, "
            f"{len(self.team.mails)} mails and {len(self.team.events)} calendar entries "
            "on real IMAP, CalDAV and SMTP servers on this machine."
        )
        secret = self.directory / "secrets" / "demo"
        secret.parent.mkdir(mode=0o700)
        secret.touch(mode=0o600)
        secret.write_text(_PASSWORD + "\n", encoding="utf-8")
        for name, text in (
            ("crm-sync.toml", configuration(self.servers)),
            ("customers.csv", self.team.customers_csv),
            ("later.csv", self.team.later_csv),
        ):
            (self.directory / name).write_text(text, encoding="utf-8")
        self.team.write_truth(
            self.directory / "truth.jsonl", self.team.truth, self.team.truth_waiting
        )

    def tell(self) -> bool:
        """Runs the commands and shows what they did; whether the diary equals the truth."""
        self._first_sync()
        self._new_mail_and_a_turn()
        rows = self._diary()
        self._timeline()
        self._greeting()
        self._reminder()
        return self._proof(rows)

    def _first_sync(self) -> None:
        self.screen.heading("Customers in, then the first sync")
        imported = self._json("import", "customers.csv")[0]
        self.screen.say(f"    {imported['created']} contacts created")
        accounts = self._json("sync")[0]["accounts"]
        columns = ("account", "seen", "logged", "unmatched", "ignored", "errors")
        self.screen.table(
            columns, [[a["name"], *(str(a[column]) for column in columns[1:])] for a in accounts]
        )

    def _new_mail_and_a_turn(self) -> None:
        self.screen.heading("A customer writes, nobody answers, and the daemon takes a turn")
        self.team.deliver_waiting(self.servers.append, self.clock.now())
        self.screen.say(
            'In this demo a customer waits too long after one second; yours says "2 business days".'
        )
        for _ in range(_TURNS):
            self._run("run", "--once")
            if self._mail_to("dara") is not None:
                return
            threading.Event().wait(1)

    def _diary(self) -> list[Mapping[str, Any]]:
        self.screen.heading("The diary, which nobody typed")
        rows = self._json("interactions")
        past = [row for row in rows if row["occurred_at"] <= _utc(self.clock.now())]
        shown = sorted(past, key=lambda row: row["occurred_at"], reverse=True)[:_SHOWN]
        self._show(shown)
        self.screen.say(f"    … {len(shown)} of {len(rows)} interactions")
        return rows

    def _timeline(self) -> None:
        self.screen.heading("One customer: mails, meetings held, planned and cancelled")
        rows = self._json("timeline", _PORTRAIT)
        horizon = _utc(self.clock.now() + _AHEAD_SHOWN)
        near = [row for row in rows if row["occurred_at"] <= horizon][:_SHOWN]
        self._show(near)
        self.screen.say(f"    … {len(near)} of {len(rows)} interactions")

    def _show(self, rows: Iterable[Mapping[str, Any]]) -> None:
        columns = ("when", "what", "", "customer", "rep", "subject")
        self.screen.table(columns, map(_cells, rows), cut=("customer", "subject"))

    def _greeting(self) -> None:
        self.screen.heading("It is somebody's birthday: the greeting that left")
        for path in sorted((self.directory / "sent-to-customers").glob("*.eml")):
            self.screen.mail(_parse(path.read_bytes()))

    def _reminder(self) -> None:
        self.screen.heading("The reminder, as Dara finds it in her inbox")
        reminder = self._mail_to("dara")
        if reminder is None:
            raise CrmSyncError("the reminder did not arrive", where="demo")
        self.screen.mail(reminder)

    def _proof(self, rows: Iterable[Mapping[str, Any]]) -> bool:
        self.screen.heading("Is all of it true?")
        differences = truth.compare(rows, (*self.team.truth, *self.team.truth_waiting))
        number = len(self.team.truth) + len(self.team.truth_waiting)
        if differences:
            self.screen.say(f"{len(differences)} differences from truth.jsonl:")
            for difference in differences[:_SHOWN]:
                self.screen.say(f"  {difference}")
        else:
            self.screen.say(
                f"All {number} interactions that the story wrote into truth.jsonl are there, "
                "none is missing, none extra, none twice."
            )
        leaks = self._leaks()
        self.screen.say(
            f"Of {len(self.team.private_words)} names, addresses, subjects and words of private "
            f"mails and meetings the database holds {len(leaks) or 'none'}."
        )
        return not differences and not leaks

    def _leaks(self) -> list[str]:
        files = [path.read_bytes() for path in self.directory.glob("crm-sync.db*")]
        words = self.team.private_words
        return [w for w in words if any(w.encode("utf-8") in content for content in files)]

    def farewell(self, *, keep: bool) -> None:
        """Where the files are and what to try next."""
        self.screen.heading("Your turn")
        self.screen.say(f"Everything lies in {self.directory}. Go there and try:")
        here = Path(sys.executable).with_name("crm-sync")
        if shutil.which("crm-sync") is None and here.exists():
            self.screen.say(f"(crm-sync is not on your PATH; it is {here}.)")
        self.screen.command(["customers"])
        self.screen.command(["explain", "<trends-34@kontorsnytt.example>"])
        if not keep:
            self.screen.command(["timeline", "Harbour & Pine Interiors Ltd"])
            self.screen.say("The servers are gone now; `crm-sync demo --keep` leaves them up.")
            return
        self.screen.say("and to see history appear when the customer does:")
        self.screen.command(["import", "later.csv"])
        self.screen.command(["sync"])
        users = ", ".join(rep.user for rep in REPS)
        self.screen.say(
            f"IMAP listens on port {self.servers.imap_port}, SMTP on {self.servers.smtp_port}, "
            f"CalDAV at {self.servers.caldav_url('karin')}; users {users}, password {_PASSWORD}. "
            "Ctrl-C ends them."
        )

    def _mail_to(self, user: str) -> EmailMessage | None:
        """The latest mail of ours in a rep's INBOX, read as any mail program would."""
        with IMAPClient("127.0.0.1", port=self.servers.imap_port, ssl=False) as client:
            client.login(user, _PASSWORD)
            client.select_folder("INBOX", readonly=True)
            found = client.search(["FROM", TEAM_ADDRESS])
            if not found:
                return None
            return _parse(client.fetch(found[-1:], ["BODY.PEEK[]"])[found[-1]][b"BODY[]"])

    def _json(self, *words: str) -> list[Any]:
        """A command with --json: its lines, parsed."""
        output = self._run(*words, hidden=("--json",))
        return [json.loads(line) for line in output.splitlines() if line.strip()]

    def _run(self, *words: str, hidden: Sequence[str] = ()) -> str:
        """Runs a command of ours in the directory, as a person would, and returns what it prints.

        Its progress and its complaints go where ours go.
        """
        self.screen.command(words)
        environment = {k: v for k, v in os.environ.items() if not k.startswith("CRM_SYNC_")}
        command = [sys.executable, "-P", "-m", "crm_sync", *words, *hidden]
        done = subprocess.run(  # noqa: S603  # our own command, no shell
            command,
            check=False,
            cwd=self.directory,
            env=environment,
            stdout=subprocess.PIPE,
            encoding="utf-8",
            timeout=_COMMAND_SECONDS,
        )
        if done.returncode:
            raise CrmSyncError(
                f"crm-sync {' '.join(words)} ended with status {done.returncode}", where="demo"
            )
        return done.stdout


def _parse(raw: bytes) -> EmailMessage:
    return message_from_bytes(raw, policy=policy.default)


def _utc(moment: datetime) -> str:
    return f"{moment:%Y-%m-%dT%H:%M:%SZ}"


_ARROWS: Final = {"inbound": "→ in", "outbound": "← out"}


def _cells(row: Mapping[str, Any]) -> list[str]:
    local = datetime.fromisoformat(row["occurred_at"]).astimezone(TEAM_ZONE)
    return [
        f"{local:%Y-%m-%d}" if row["all_day"] else f"{local:%Y-%m-%d %H:%M}",
        row["kind"],
        row["status"] or _ARROWS.get(row["direction"], ""),
        ", ".join(customer["name"] for customer in row["customers"]),
        ", ".join(rep.partition("@")[0] for rep in row["reps"]),
        row["subject"],
    ]
