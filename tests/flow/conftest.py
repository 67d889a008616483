"""A small world for use cases: a diary on disk, a clock that stands still, mailboxes in memory."""

from dataclasses import dataclass, field
from datetime import UTC, datetime, time, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from connectors.memory.sender import MemorySender
from connectors.memory.source import Mail, MemoryCalendar, MemoryMailbox
from crm_sync.core.customer_files import parse_customers
from crm_sync.core.durations import parse_duration
from crm_sync.core.headers import parse_envelope
from crm_sync.core.keys import Keys
from crm_sync.core.matching import Team
from crm_sync.core.records import Address
from crm_sync.core.rendering import Renderer
from crm_sync.core.worktime import WorkingTime
from crm_sync.flow import dispatch, intake, plan
from crm_sync.flow.health import Pulled
from crm_sync.flow.post import GreetingRule, Post, Way
from crm_sync.flow.pull import pull_account
from crm_sync.flow.setup import FollowUpRule, Person, Setup
from crm_sync.runtime.resources import templates
from crm_sync.store import accounts, customers, diary, outbox, reminders
from crm_sync.store.directory import DirectoryCache
from crm_sync.store.engine import open_store
from crm_sync.testing.clock import FixedClock

STOCKHOLM = ZoneInfo("Europe/Stockholm")
KARIN, DANIEL = "karin@acme.example", "daniel@acme.example"
TEAM_SENDER = Address("crm@acme.example", "Acme CRM")
MONDAY = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)


@dataclass
class World:
    """Karin and Daniel of acme.example, their mailboxes, and whoever is a customer."""

    folder: Path
    clock: FixedClock = field(default_factory=lambda: FixedClock(MONDAY))
    sender: MemorySender = field(default_factory=lambda: MemorySender(looks_back=False))
    ways: dict[str, Way] = field(default_factory=dict)
    drafts: dict[str, object] = field(default_factory=dict)
    team: dict[str, object] = field(default_factory=dict)
    mode: str = "inferred"
    greetings: tuple[GreetingRule, ...] = ()
    with_witness: bool = False
    to_customers: bool = True

    def __post_init__(self):
        self.keys = Keys(b"k" * 32)
        self.store = open_store(f"sqlite:///{self.folder / 'diary.db'}", self.keys)
        self.boxes: dict[str, tuple[object, str | None]] = {}
        self._number = 0
        self.setup = self._setup()

    def _setup(self) -> Setup:
        team = Team(
            domains=frozenset({"acme.example"}),
            reps={KARIN: KARIN, "k.ek@acme.example": KARIN, DANIEL: DANIEL},
            shared=frozenset({"crm@acme.example", "info@acme.example"}),
        )
        people = [Person(KARIN, "Karin Ek", "sv", STOCKHOLM, "Europe/Stockholm")]
        people.append(Person(DANIEL, "Daniel Berg", "en", STOCKHOLM, "Europe/Stockholm"))
        working = WorkingTime("Mon-Fri 08:00-17:00", STOCKHOLM, "SE")
        return Setup(
            store=self.store,
            clock=self.clock,
            team=team,
            zone=STOCKHOLM,
            directory=DirectoryCache(self.mode, team.domains),
            reps=tuple(people),
            rules=(FollowUpRule("unanswered", parse_duration("2 business days")),),
            working_time=lambda _: working,
        )

    @property
    def post(self) -> Post:
        return Post(
            renderer=Renderer(templates()),
            team=Way(TEAM_SENDER, lambda: self.sender, **self.team),
            ways=self.ways,
            drafts=self.drafts,
            message_key=self.keys.message_key,
            team_name="Acme AB",
            team_language="sv",
            team_zone="Europe/Stockholm",
            digest_at=time(8),
            to_reps=True,
            to_customers=self.to_customers,
            greetings=self.greetings,
            witness="info@acme.example" if self.with_witness else None,
            witness_account="team/imap" if self.with_witness else None,
        )

    def restart(self) -> None:
        """What a crash leaves: the file on disk, and nothing else."""
        self.store.close()
        self.store = open_store(f"sqlite:///{self.folder / 'diary.db'}", self.keys)
        self.setup = self._setup()

    # -- who is there -------------------------------------------------------------------------

    def mailbox(self, rep: str | None = KARIN, **options) -> MemoryMailbox:
        name = f"{rep or 'team'}/imap"
        box = MemoryMailbox("INBOX", "Sent", **options)
        self.boxes[name] = (box, rep)
        return box

    def calendar(self, rep: str = KARIN) -> MemoryCalendar:
        calendar = MemoryCalendar()
        self.boxes[f"{rep}/caldav"] = (calendar, rep)
        return calendar

    def customers(self, *rows: str, header: str = "name,company,emails") -> dict:
        data = "\n".join([header, *rows]).encode()
        return intake.take_in(self.setup, parse_customers(data, ".csv"))

    def listing(self) -> list[dict]:
        with self.store.read() as tx:
            return customers.listing(tx, None)

    # -- what happens -------------------------------------------------------------------------

    def mail(
        self,
        sender: str = "Lena <lena@nordvik.example>",
        to: str = KARIN,
        subject: str = "Offert",
        *,
        at: datetime | None = None,
        message_id: str | None = None,
        text: str = "Hej!",
        extra: str = "",
    ) -> Mail:
        self._number += 1
        at = at or self.clock.now()
        given = f"<m{self._number}@x.example>" if message_id is None else message_id
        lines = [f"From: {sender}", f"To: {to}", f"Subject: {subject}"]
        lines.append(f"Date: {at:%a, %d %b %Y %H:%M:%S} +0000")
        lines += [f"Message-ID: {given}"] if given else []
        lines += [extra] if extra else []
        block = "\r\n".join(lines).encode() + b"\r\n\r\n"
        return Mail(parse_envelope(block), at, text)

    def sync(self, name: str | None = None) -> list[Pulled]:
        return [self._pull(n) for n in self.boxes if name in (None, n)]

    def _pull(self, name: str) -> Pulled:
        box, rep = self.boxes[name]
        kind = "calendar" if isinstance(box, MemoryCalendar) else "mailbox"
        with self.store.write() as tx:
            row = accounts.declare(tx, name, kind, "memory", rep)
        return pull_account(self.setup, row, box, interval=timedelta(minutes=1))

    def turn(self) -> dispatch.Dispatched:
        self.sync()
        plan.plan(self.setup, self.post)
        return dispatch.dispatch(self.setup, self.post)

    # -- what a user sees ---------------------------------------------------------------------

    def log(self) -> list[dict]:
        with self.store.read() as tx:
            return diary.interactions(tx)

    def subjects(self) -> list[str]:
        return sorted(entry["subject"] for entry in self.log())

    def text(self, interaction: int) -> str | None:
        with self.store.read() as tx:
            return diary.text_of(tx, interaction)

    def reminders(self) -> list[dict]:
        with self.store.read() as tx:
            return reminders.listing(tx)

    def outbox(self) -> list[dict]:
        with self.store.read() as tx:
            return outbox.listing(tx)

    def account(self, name: str = f"{KARIN}/imap") -> accounts.Account:
        with self.store.read() as tx:
            found = accounts.by_name(tx, name)
        assert found is not None
        return found


@pytest.fixture
def world(tmp_path):
    world = World(tmp_path)
    yield world
    world.store.close()


@pytest.fixture
def make_world(tmp_path):
    made: list[World] = []

    def make(**options) -> World:
        folder = tmp_path / str(len(made))
        folder.mkdir()
        made.append(World(folder, **options))
        return made[-1]

    yield make
    for world in made:
        world.store.close()


@pytest.fixture
def world_class():
    return World
