"""An IMAP server that lies, a network that breaks, a program that dies: nothing is lost or doubled.

The real source and the real diary against a scripted server. When all have come to their senses
again, each message that is in the mailbox stands in the diary exactly once, with its text.
"""

import os
import random
import shutil
import tempfile
from collections import defaultdict
from contextlib import contextmanager
from datetime import UTC, timedelta
from pathlib import Path

from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)
from sqlalchemy import event, select

from connectors.imap import KIND
from crm_sync.flow.mail_page import key_hash
from crm_sync.ports import Surroundings
from crm_sync.store import tables, texts
from tests.flow.conftest import KARIN, World
from tests.servers.scripted_imap import FULL, PASSWORD, PLAIN, USER, ScriptedImap
from tests.servers.scripted_mailbox import Lies, Message

SAMPLE = 12
EXAMPLES = int(os.environ.get("CRMSYNC_EXAMPLES", SAMPLE))
SEED = int(os.environ.get("CRMSYNC_SEED", "0")) or (
    random.SystemRandom().randrange(2**32) if EXAMPLES > SAMPLE else 20260302
)
FOLDERS = (b"INBOX", b"Sent", b"Archive")
# A small sample shows a failure as it is: making it smaller would outlast the test's time.
PHASES = list(Phase) if EXAMPLES > SAMPLE else [Phase.generate]
A_FOLDER = st.sampled_from(FOLDERS)
LATE = timedelta(minutes=30)
"""How long messages stay out of sight: what has been seen of real servers."""

HEALING = (2, 20, 120, 480, 1800, 1800)
"""Minutes between the pulls after all has come to its senses."""

LIES = st.one_of(
    st.builds(lambda how: {"uidnext": how}, st.sampled_from(["low", "missing"])),
    st.builds(lambda how: {"uidvalidity": how}, st.sampled_from(["flapping", "missing"])),
    st.builds(lambda n: {"phantoms": n}, st.integers(1, 4)),
    st.builds(lambda n: {"drip": n}, st.integers(1, 40)),
    st.sampled_from([{"scattered": True}, {"chatter": True}, {"size": 777}, {"size": -40}]),
)


class Crash(BaseException):
    """The process dies here."""


@contextmanager
def dying(world, points):
    """The process dies before its n-th statement, or right after a commit."""
    left = [points]

    def one_more(*_):
        left[0] -= 1
        if left[0] < 0:
            raise Crash

    good, engine = world.store.write, world.store._engine
    event.listen(engine, "before_cursor_execute", one_more)

    @contextmanager
    def write(**options):
        with good(**options) as tx:
            yield tx
        one_more()

    object.__setattr__(world.store, "write", write)
    try:
        yield
    except Crash:
        pass
    finally:
        event.remove(engine, "before_cursor_execute", one_more)
        del world.store.write


def a_mail(subject, who, at, *, message_id, with_file):
    lines = [f"From: {who}", f"To: {KARIN}", f"Subject: {subject}"]
    lines.append(f"Date: {at:%a, %d %b %Y %H:%M:%S} +0000")
    lines += [f"Message-ID: <{subject}@x.example>"] if message_id else []
    text = f"text {subject}\r\n"
    if with_file:
        lines += ["MIME-Version: 1.0", 'Content-Type: multipart/mixed; boundary="b"']
        plain = f"--b\r\nContent-Type: text/plain\r\n\r\n{text}\r\n"
        file = 'Content-Disposition: attachment; filename="a.pdf"\r\n\r\nJVBERi0=\r\n'
        text = f"{plain}--b\r\nContent-Type: application/pdf\r\n{file}--b--\r\n"
    return ("\r\n".join(lines) + "\r\n\r\n" + text).encode()


def subject_of(message):
    return message.raw.partition(b"Subject: ")[2].partition(b"\r")[0].decode()


def new_diary(folder):
    """A diary with one customer, to be copied: making one takes longer than many pulls."""
    world = World(folder)
    world.customers("Lena,Nordvik AB,lena@nordvik.example")
    world.store.close()
    return folder / "diary.db"


def test_machine_an_imap_server_may_lie_as_it_likes(tmp_path):
    base = tmp_path / "worlds"
    base.mkdir()
    template = new_diary(tmp_path)
    print(f"seed {SEED}, {EXAMPLES} examples: CRMSYNC_SEED={SEED} repeats them")

    class Machine(RuleBasedStateMachine):
        def __init__(self):
            super().__init__()
            self.folder = tempfile.TemporaryDirectory(dir=base)
            shutil.copy(template, self.folder.name)
            self.world = World(Path(self.folder.name))
            server.reset()
            server.make(b"Sent", b"\\Sent")
            server.make(b"Archive", b"\\Archive")
            self.source = None
            self.who: dict[str, str] = {}
            self.customers = {"nordvik"}
            self.late: list[tuple[Message, object]] = []
            self.been: dict[str, set[bytes]] = defaultdict(set)
            self.withheld: set[str] = set()
            self.number = 0
            self._open()

        @initialize(capabilities=st.sampled_from([FULL, PLAIN]), page_size=st.integers(1, 4))
        def which_server(self, capabilities, page_size):
            server.capabilities = capabilities
            self._open(page_size)

        def teardown(self):
            try:
                self._heal()
                self._check()
                assert server.violations == []
            finally:
                self.source.close()
                self.world.store.close()
                self.folder.cleanup()

        # -- what happens in the mailbox ------------------------------------------------------

        @rule(
            folder=A_FOLDER,
            whose=st.sampled_from(["nordvik", "later", "stranger"]),
            message_id=st.booleans(),
            with_file=st.booleans(),
            late=st.booleans(),
        )
        def deliver(self, folder, whose, message_id, with_file, late):
            self.number += 1
            subject, now = f"s{self.number}", self.world.clock.now()
            self.who[subject] = whose
            given = {"message_id": message_id, "with_file": with_file}
            raw = a_mail(subject, f"lena@{whose}.example", now, **given)
            uid = server.deliver(folder, raw, now, late=late)
            if late:
                self.late.append((server.folders[folder].messages[uid], now + LATE))

        def _some(self, data):
            places = [(f, uid) for f in FOLDERS for uid in server.folders[f].visible()]
            return data.draw(st.sampled_from(places)) if places else None

        @rule(data=st.data())
        def expunge(self, data):
            if place := self._some(data):
                del server.folders[place[0]].messages[place[1]]

        @rule(data=st.data(), into=A_FOLDER, keep=st.booleans())
        def move_or_copy(self, data, into, keep):
            place = self._some(data)
            if place is None or place[0] == into:
                return
            there = server.folders[place[0]].messages
            message = there[place[1]]
            # What is still open there: tests/flow/test_imap_recoveries.py.
            if b"Message-ID" not in message.raw and into in self.been[subject_of(message)]:
                return
            self.been[subject_of(message)] |= {place[0], into}
            if not keep:
                del there[place[1]]
            server.folders[into].add(Message(message.raw, message.arrived_at))

        @rule(folder=A_FOLDER)
        def renumber(self, folder):
            server.folders[folder].renumber(server.new_validity())

        @rule(folder=A_FOLDER)
        def recycle_the_uids(self, folder):
            """Noticed where UIDNEXT has fallen; the same numbers again can't be seen by anybody."""
            box = server.folders[folder]
            self._turn_up()
            self._honest_sync()
            if len(box.messages) + 1 < box.uidnext:
                box.renumber(box.uidvalidity)
                self._honest_sync()

        # -- what goes wrong --------------------------------------------------------------------

        @rule(lie=LIES)
        def lie(self, lie):
            for name, value in lie.items():
                setattr(server.lies, name, value)

        @rule()
        def be_honest(self):
            server.lies = Lies()

        @rule(data=st.data(), how=st.sampled_from(["NO", "BAD", "BYE", "cut", "silent"]))
        def spoil(self, data, how):
            if place := self._some(data):
                message = server.folders[place[0]].messages[place[1]]
                message.silent, message.poison = how == "silent", how.replace("silent", "")

        @rule()
        def unspoil(self):
            for box in server.folders.values():
                for message in box.messages.values():
                    message.silent, message.poison = False, ""

        @rule()
        def the_later_customer_is_imported(self):
            self.world.customers("Lena,Later AB,lena@later.example")
            self.customers.add("later")

        @rule(after=st.integers(0, 3000), bye=st.booleans())
        def the_line_is_cut(self, after, bye):
            server.lies.cut_after, server.lies.bye = after, bye
            self._sync()
            server.lies.cut_after = None

        @rule(points=st.integers(0, 120))
        def it_dies(self, points):
            with dying(self.world, points):
                self._sync()
            self.world.restart()
            self._open()

        @rule(minutes=st.sampled_from([1, 2, 12, 70]))
        def time_passes(self, minutes):
            self._pass(minutes)

        @rule()
        def sync(self):
            self._pass(2)
            self._sync()

        # -- how ---------------------------------------------------------------------------------

        def _sync(self):
            """A pull; texts that the server withholds five times are given up, as things stand."""
            for box in server.folders.values():
                for message in box.messages.values():
                    if message.poison or message.silent or server.lies.uidvalidity == "flapping":
                        self.withheld.add(subject_of(message))
            self.world.sync()

        def _open(self, page_size=2):
            if self.source is not None:
                self.source.close()
            options = KIND.options(
                host=server.host, port=server.port, security="none", username=USER,
                password=PASSWORD, page_size=page_size, timeouts={"read": 5, "answer": 10},
            )  # fmt: skip
            where = Surroundings(f"{KARIN}/imap", self.world.clock, UTC)
            self.source = KIND.build(options, where)
            self.world.boxes = {f"{KARIN}/imap": (self.source, KARIN)}

        def _pass(self, minutes):
            self.world.clock.advance(timedelta(minutes=minutes))
            now = self.world.clock.now()
            for message, until in self.late:
                message.late = message.late and until > now

        def _turn_up(self):
            """A server that counts anew has all messages in its books."""
            for message, _ in self.late:
                message.late = False

        def _honest_sync(self):
            lies, server.lies = server.lies, Lies()
            pulled = self.world.sync()
            for _ in range(40):
                if pulled[0].error is None:
                    break
                self._pass(30)
                pulled = self.world.sync()
            assert pulled[0].error is None
            server.lies = lies

        def _heal(self):
            self.be_honest()
            self.unspoil()
            for minutes in HEALING:
                self._pass(minutes)
                pulled = self.world.sync()
                with self.world.store.write() as tx:
                    held = select(tables.quarantine.c.id).where(tables.quarantine.c.state == "held")
                    for number in tx.execute(held).scalars().all():
                        texts.decide(tx, number, "retry")
            assert [p.error for p in pulled] == [None]

        def _items(self):
            """Which item of the diary each place in the mailbox belongs to."""
            witness, stream = tables.witness, tables.stream
            rows = select(stream.c.key, witness.c.key_hash, witness.c.interaction_id,
                          witness.c.sighting_id).join(stream)  # fmt: skip
            with self.world.store.read() as tx:
                return {(row[0], row[1]): (row[2], row[3]) for row in tx.execute(rows)}

        def _check(self):
            log = {entry["id"]: entry for entry in self.world.log()}
            items, found = self._items(), defaultdict(set)
            for name, box in server.folders.items():
                for uid, message in box.messages.items():
                    subject = subject_of(message)
                    key = key_hash(self.world.store.keys, f"{box.uidvalidity}:{uid}")
                    place = (name.decode(), key)
                    assert place in items, f"{subject} in {place[0]} is lost"
                    found[subject].add(items[place])
            for subject, of in found.items():
                assert len(of) == 1, f"{subject} is doubled"
                ((interaction, sighting),) = of
                if self.who[subject] in self.customers:
                    assert log[interaction]["subject"] == subject
                    text = self.world.text(interaction)
                    assert text == f"text {subject}" or (not text and subject in self.withheld)
                else:
                    assert interaction is None
                    assert sighting is not None

        @invariant()
        def nothing_is_doubled(self):
            logged = self.world.subjects()
            assert len(logged) == len(set(logged))
            assert {self.who[subject] for subject in logged} <= self.customers

    with ScriptedImap() as server:
        run_state_machine_as_test(
            seed(SEED)(Machine),
            settings=settings(
                max_examples=EXAMPLES,
                stateful_step_count=25,
                deadline=None,
                suppress_health_check=list(HealthCheck),
                print_blob=True,
                database=None,
                phases=PHASES,
            ),
        )
