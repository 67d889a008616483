"""An IMAP server that lies, a network that breaks, a program that dies: nothing is lost or doubled.

The real source and the real diary against a scripted server. When all have come to their senses
again, each message that is in the mailbox stands in the diary exactly once, with its text.
"""

import os
import random
import shutil
import tempfile
from collections import defaultdict
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
from sqlalchemy import select

from connectors.imap import KIND
from crm_sync.flow import audit
from crm_sync.flow.mail_page import key_hash
from crm_sync.ports import Surroundings
from crm_sync.store import accounts, tables
from tests.flow.conftest import DANIEL, KARIN, World
from tests.flow.imap_machine_parts import a_mail, dying, new_diary, subject_of
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
    st.sampled_from([{"empty": True}, {"bare": True}]),
)


class Sparing(KIND.options):
    """Leaves history a few pages a day."""

    @property
    def daily_octets(self):
        return 8000


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
            colleague.reset()
            server.reset()
            server.make(b"Sent", b"\\Sent")
            server.make(b"Archive", b"\\Archive")
            self.sources = []
            self.who: dict[str, str] = {}
            self.customers = {"nordvik"}
            self.late: list[tuple[Message, object]] = []
            self.shared: set[str] = set()
            self.number = 0
            self.options, self.kind = {"page_size": 2}, KIND.options
            self._open()

        @initialize(
            capabilities=st.sampled_from([FULL, PLAIN]),
            page_size=st.integers(1, 4),
            sparing=st.booleans(),
        )
        def which_server(self, capabilities, page_size, sparing):
            server.capabilities = capabilities
            self.options, self.kind = {"page_size": page_size}, Sparing if sparing else KIND.options
            self._open()

        def teardown(self):
            try:
                self._heal()
                self._check()
                assert server.violations == []
            finally:
                for source in self.sources:
                    source.close()
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
            copies = [m.raw for m in server.folders[into].messages.values()]
            if b"Message-ID" not in message.raw and message.raw in copies:
                return  # two of them in one folder are two mails
            if not keep:
                del there[place[1]]
            server.folders[into].add(Message(message.raw, message.arrived_at))

        @rule(data=st.data())
        def a_colleague_has_it_too(self, data):
            if place := self._some(data):
                message = server.folders[place[0]].messages[place[1]]
                if subject_of(message) not in self.shared:
                    self.shared.add(subject_of(message))
                    colleague.deliver(b"INBOX", message.raw, self.world.clock.now())

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
            self.world.sync()
            server.lies.cut_after = None

        @rule(points=st.integers(0, 120))
        def it_dies(self, points):
            with dying(self.world, points):
                self.world.sync()
            self.world.restart()
            self._open()

        @rule()
        def it_is_audited(self):
            with self.world.store.read() as tx:
                account = accounts.by_name(tx, f"{KARIN}/imap")
            if account is not None:
                audit.audit_account(self.world.setup, account, self.sources[0], heal=True)

        @rule(minutes=st.sampled_from([1, 2, 12, 70]))
        def time_passes(self, minutes):
            self._pass(minutes)

        @rule()
        def sync(self):
            self._pass(2)
            self.world.sync()

        # -- how ---------------------------------------------------------------------------------

        def _open(self):
            for source in self.sources:
                source.close()
            places = [(KARIN, server, self.options), (DANIEL, colleague, {})]
            self.sources = [self._source(*place) for place in places]
            for (rep, *_), source in zip(places, self.sources, strict=True):
                self.world.boxes[f"{rep}/imap"] = (source, rep)

        def _source(self, rep, where, how):
            options = self.kind(
                host=where.host, port=where.port, security="none", username=USER,
                password=PASSWORD, timeouts={"read": 5, "answer": 10}, **how,
            )  # fmt: skip
            return KIND.build(options, Surroundings(f"{rep}/imap", self.world.clock, UTC))

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
            self.kind = KIND.options
            self._open()
            for minutes in HEALING:
                self._pass(minutes)
                pulled = self.world.sync()
            assert [p.error for p in pulled] == [None, None]

        def _items(self):
            """Which item of the diary each place in the mailboxes belongs to."""
            witness, stream, account = tables.witness, tables.stream, tables.account
            rows = (
                select(account.c.name, stream.c.key, witness.c.key_hash,
                       witness.c.interaction_id, witness.c.sighting_id)
                .select_from(witness).join(stream).join(account)
            )  # fmt: skip
            with self.world.store.read() as tx:
                return {tuple(row[:3]): (row[3], row[4]) for row in tx.execute(rows)}

        def _check(self):
            log = {entry["id"]: entry for entry in self.world.log()}
            items, found = self._items(), defaultdict(set)
            boxes = [(KARIN, server, name) for name in server.folders]
            for rep, where, name in [*boxes, (DANIEL, colleague, b"INBOX")]:
                box = where.folders[name]
                for uid, message in box.messages.items():
                    subject = subject_of(message)
                    key = key_hash(self.world.store.keys, f"{box.uidvalidity}:{uid}")
                    place = (f"{rep}/imap", name.decode(), key)
                    assert place in items, f"{subject} in {place[:2]} is lost"
                    found[subject].add(items[place])
            for subject, of in found.items():
                assert len(of) == 1, f"{subject} is doubled"
                ((interaction, sighting),) = of
                if self.who[subject] in self.customers:
                    assert log[interaction]["subject"] == subject
                    assert self.world.text(interaction) == f"text {subject}"
                    reps = {KARIN, DANIEL} if subject in self.shared else {KARIN}
                    assert set(log[interaction]["reps"]) == reps
                else:
                    assert interaction is None
                    assert sighting is not None

        @invariant()
        def nothing_is_doubled(self):
            logged = self.world.subjects()
            assert len(logged) == len(set(logged))
            assert {self.who[subject] for subject in logged} <= self.customers

    with ScriptedImap() as server, ScriptedImap() as colleague:
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
