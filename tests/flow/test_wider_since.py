"""An account whose `since` reaches further back than before: what lies there comes, once."""

import uuid
from datetime import UTC, datetime, timedelta

import pytest

from connectors.imap import KIND
from connectors.imap.options import ImapOptions
from crm_sync.core.durations import parse_reach
from crm_sync.core.errors import Unreachable
from crm_sync.flow import pull, status
from crm_sync.ports import Surroundings
from crm_sync.store import accounts
from tests.connectors.imap_parts import a_mail
from tests.flow.conftest import KARIN
from tests.servers.scripted_imap import PASSWORD, USER, ScriptedImap
from tests.system.conftest import Installation

ACCOUNT = f"{KARIN}/imap"
LENA, STRANGER = "lena@nordvik.example", "somebody@else.example"
YEAR = timedelta(days=365)


@pytest.fixture
def server():
    with ScriptedImap() as server:
        yield server
        assert server.violations == []


class Office:
    """Karin's mailbox, with options that an admin changes."""

    def __init__(self, world, server):
        self.world, self.server = world, server
        self.source = None
        world.customers(f"Lena,Nordvik AB,{LENA}")

    def configure(self, **options):
        """Another configuration; the program is started again with it."""
        self.close()
        there = {"host": self.server.host, "port": self.server.port, "security": "none"}
        signs_in = {"username": USER, "password": PASSWORD}
        self.options = KIND.options(**there, **signs_in, **options)
        self.source = KIND.build(self.options, Surroundings(ACCOUNT, self.world.clock, UTC))

    def close(self):
        if self.source is not None:
            self.source.close()

    def sync(self):
        world = self.world
        fingerprint = world.keys.hash("options", repr(self.options))
        with world.store.write() as tx:
            row = accounts.declare(tx, ACCOUNT, "mailbox", "imap", KARIN, fingerprint=fingerprint)
        return pull.pull_account(
            world.setup,
            row,
            self.source,
            interval=timedelta(minutes=1),
            reach=parse_reach(self.options.since),
        )

    def deliver(self, subject, age, sender=LENA):
        at = self.world.clock.now() - age
        raw = (
            f"From: {sender}\r\nTo: {KARIN}\r\nDate: {at:%a, %d %b %Y %H:%M:%S} +0000\r\n"
            f"Subject: {subject}\r\nMessage-ID: <{subject}@x.example>\r\n\r\ntext {subject}\r\n"
        )
        self.server.deliver(b"INBOX", raw.encode(), at)

    def texts(self):
        return {entry["subject"]: self.world.text(entry["id"]) for entry in self.world.log()}

    def bodies_asked(self):
        """How many FETCHes asked for more than headers."""
        asked = [line for line in self.server.history if b" UID FETCH " in line]
        return sum(b"BODY.PEEK[" in line and b"HEADER" not in line for line in asked)

    @property
    def problem(self):
        return status.status(self.world.setup, [ACCOUNT])["accounts"][0]["problem"]


@pytest.fixture
def office(world, server):
    """Forty old mails, four of them a customer's, an older and a young one, which was pulled."""
    office = Office(world, server)
    office.deliver("older", 2 * YEAR)
    for number in range(40):
        office.deliver(f"old{number}", YEAR, STRANGER if number % 10 else LENA)
    office.deliver("young", timedelta(days=1))
    office.configure(since="90d")
    assert office.sync().logged == 1
    assert office.texts() == {"young": "text young"}
    yield office
    office.close()


OLD = {f"old{n}": f"text old{n}" for n in (0, 10, 20, 30)}


@pytest.fixture(params=["read one by one", "pulled from the start"])
def road(request, monkeypatch):
    """Few that are missing are read one by one, many come in pages."""
    if request.param == "pulled from the start":
        monkeypatch.setattr(pull, "MOST_READ", 5)


@pytest.mark.usefixtures("road")
def test_what_arrived_before_comes_with_the_next_pull_and_once(office):
    office.configure(since="all")
    pulled = office.sync()
    assert (pulled.error, pulled.seen, pulled.logged, pulled.unmatched) == (None, 41, 5, 36)
    assert office.texts() == OLD | {"older": "text older", "young": "text young"}
    for _ in range(3):
        office.world.clock.advance(timedelta(hours=7))
        pulled = office.sync()
        assert (pulled.error, pulled.seen, pulled.missed) == (None, 0, 0)
    assert len(office.world.log()) == 6
    assert office.problem is None


@pytest.mark.usefixtures("road")
def test_only_as_far_back_as_it_reaches_now(office):
    office.configure(since="500d")
    office.sync()
    assert office.texts() == OLD | {"young": "text young"}


@pytest.mark.usefixtures("road")
def test_old_mails_make_no_reminders(office):
    office.configure(since="all")
    office.sync()
    assert [r["subject"] for r in office.world.reminders() if r["subject"] in OLD] == []


def test_many_come_headers_first(office, monkeypatch):
    monkeypatch.setattr(pull, "MOST_READ", 5)
    office.configure(since="all")
    office.server.history.clear()
    office.sync()
    texts = [line for line in office.server.history if b"BODY.PEEK[1" in line or b"[TEXT" in line]
    uids = {int(uid) for line in texts for uid in line.split()[3].split(b",") if uid.isdigit()}
    assert uids <= {1, 2, 12, 22, 32}
    assert texts


@pytest.mark.usefixtures("road")
def test_a_program_that_dies_before_it_has_pulled_does_it_later(office):
    office.configure(since="all")
    office.server.lies.refuses = lambda line: line.split()[0] + b" NO [UNAVAILABLE] later\r\n"
    assert office.sync().error
    office.server.lies.refuses = lambda _: None
    office.world.restart()
    office.sync()
    assert set(OLD) <= set(office.texts())


def test_a_days_share_of_traffic_holds_and_the_rest_comes_on_the_days_after(office, monkeypatch):
    monkeypatch.setattr(pull, "MOST_READ", 5)
    monkeypatch.setattr(ImapOptions, "daily_octets", 12_000)
    office.configure(since="all", page_size=5)
    days, unfinished = 0, True
    while unfinished and days < 20:
        pulled = office.sync()
        assert pulled.error is None
        unfinished = pulled.unfinished
        assert (office.problem is not None) is unfinished
        office.world.clock.advance(timedelta(days=1))
        days += 1
    assert 2 <= days < 20
    assert office.texts() == OLD | {"older": "text older", "young": "text young"}


@pytest.mark.parametrize("options", [{"since": "30d"}, {"since": "90d", "page_size": 499}])
def test_options_that_reach_no_further_cost_two_lists_and_bring_nothing(office, options):
    office.configure(**options)
    office.server.history.clear()
    pulled = office.sync()
    assert (pulled.seen, pulled.missed, pulled.error) == (0, 0, None)
    assert office.server.verbs().count("FETCH") == 0
    assert office.server.verbs().count("SEARCH") == 2
    office.server.history.clear()
    office.world.clock.advance(timedelta(minutes=1))
    office.sync()
    assert set(office.server.verbs()) <= {"LIST", "UNSELECT"}
    assert office.problem is None


def test_a_folder_that_cannot_be_listed_is_that_folders_own_trouble(office, monkeypatch):
    office.configure(since="all")
    good = type(office.source).held

    def held(self, stream, since):
        if since is None:
            raise Unreachable("numbers anew", scope="stream")
        yield from good(self, stream, since)

    monkeypatch.setattr(type(office.source), "held", held)
    assert "numbers anew" in office.sync().error
    assert office.world.account(ACCOUNT).trouble == "stream"
    monkeypatch.undo()
    office.sync()
    assert set(OLD) <= set(office.texts())
    assert office.world.account(ACCOUNT).state == "ok"


def test_the_first_configuration_is_no_change(world, server):
    office = Office(world, server)
    office.deliver("young", timedelta(days=1))
    office.configure(since="90d")
    office.sync()
    office.server.history.clear()
    office.world.clock.advance(timedelta(minutes=1))
    office.sync()
    assert "SEARCH" not in office.server.verbs()
    office.close()


CONFIGURATION = """
[team]
domains = ["acme.example"]
[[reps]]
email = "karin@acme.example"
[[mailboxes]]
rep = "karin@acme.example"
connector = "imap"
host = "{host}"
port = {port}
security = "none"
username = "{user}"
password = "pass"
since = "{since}"
"""


@pytest.mark.dovecot
def test_who_writes_a_wider_since_and_syncs_again_has_the_older_mail(tmp_path, dovecot):
    user = f"karin-{uuid.uuid4().hex[:8]}"
    dovecot.add_user(user)
    now = datetime.now(UTC)  # noqa: TID251  # the command asks the real clock
    dovecot.append(user, "INBOX", a_mail("old"), now - YEAR)
    dovecot.append(user, "INBOX", a_mail("young"), now - timedelta(days=1))
    admin = Installation(tmp_path)
    (tmp_path / "customers.csv").write_text(f"name,emails\nLena,{LENA}\n")
    found = []
    for since in ("30d", "all", "all"):
        admin.write(
            CONFIGURATION.format(host=dovecot.host, port=dovecot.port, user=user, since=since)
        )
        admin.ok("import", "customers.csv")
        (account,) = admin.ok("sync", "--json").object()["accounts"]
        found.append((account["logged"], sorted(i["subject"] for i in admin.interactions())))
    assert found == [(1, ["young"]), (1, ["old", "young"]), (0, ["old", "young"])]
