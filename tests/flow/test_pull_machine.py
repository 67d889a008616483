"""A machine that misbehaves: mail comes, moves and goes, servers renumber, the program dies.

Whatever happened: each message that a complete pull could see is in the diary exactly once, with
its text, and nothing is there that was never delivered.
"""

import os
import tempfile
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

from hypothesis import HealthCheck, note, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from crm_sync.core.errors import Unreachable

KARIN, DANIEL = "karin@acme.example", "daniel@acme.example"
FOLDERS = st.sampled_from(["INBOX", "Sent", "Archive"])
EXAMPLES = int(os.environ.get("CRMSYNC_EXAMPLES", "40"))


class Crash(BaseException):
    """The process dies here."""


def test_machine_nothing_is_lost_and_nothing_comes_twice(request):
    World = request.getfixturevalue("world_class")

    class Machine(RuleBasedStateMachine):
        def __init__(self):
            super().__init__()
            self.folder = tempfile.TemporaryDirectory()
            self.world = World(Path(self.folder.name))
            self.world.customers("Lena,Nordvik AB,lena@nordvik.example")
            self.boxes = [self.world.mailbox(page_size=2), self.world.mailbox(DANIEL, page_size=2)]
            self.places: list[tuple[int, str, str, str]] = []  # box, folder, key, subject
            self.customers: set[str] = {"nordvik"}
            self.delivered: dict[str, str] = {}  # subject -> whose
            self.seen: set[str] = set()
            self.number = 0

        def teardown(self):
            self.world.store.close()
            self.folder.cleanup()

        def _deliver(self, boxes, folder, whose, message_id):
            self.number += 1
            subject = f"s{self.number}"
            self.delivered[subject] = whose
            given = f"<{subject}@x.example>" if message_id else ""
            mail = self.world.mail(
                f"lena@{whose}.example", subject=subject, message_id=given, text=f"text {subject}"
            )
            for box in boxes:
                key = self.boxes[box].deliver(mail, folder)
                self.places.append((box, folder, key, subject))

        @rule(
            boxes=st.sampled_from([(0,), (1,), (0, 1)]),
            folder=FOLDERS,
            whose=st.sampled_from(["nordvik", "later", "stranger"]),
            message_id=st.booleans(),
        )
        def deliver(self, boxes, folder, whose, message_id):
            self._deliver(boxes, folder, whose, message_id)

        @precondition(lambda self: self.places)
        @rule(data=st.data(), into=FOLDERS, keep=st.booleans())
        def move_or_copy(self, data, into, keep):
            place = data.draw(st.sampled_from(self.places))
            box, folder, key, subject = place
            source = self.boxes[box]
            if not keep:
                self.places.remove(place)
            verb = source.copy if keep and folder != into else source.move
            if keep and verb == source.move:
                self.places.remove(place)
            self.places.append((box, into, verb(key, folder, into), subject))

        @precondition(lambda self: self.places)
        @rule(data=st.data())
        def remove(self, data):
            place = data.draw(st.sampled_from(self.places))
            self.places.remove(place)
            self.boxes[place[0]].remove(place[2], place[1])

        @rule(box=st.sampled_from([0, 1]), folder=FOLDERS)
        def renumber(self, box, folder):
            held = self.boxes[box]._held.get(folder)
            if held is None:
                return
            uids = list(held.mails)
            self.boxes[box].reset_uidvalidity(folder)
            validity = held.validity + 1
            for i, (b, f, key, subject) in enumerate(self.places):
                if (b, f) == (box, folder):
                    new = uids.index(int(key.partition(":")[2])) + 1
                    self.places[i] = (b, f, f"{validity}:{new}", subject)

        @rule()
        def the_later_customer_is_imported(self):
            self.world.customers("Lena,Later AB,lena@later.example")
            self.customers.add("later")

        @rule(box=st.sampled_from([0, 1]), requests=st.integers(0, 4))
        def the_line_is_cut(self, box, requests):
            source = self.boxes[box]
            good = source._request
            left = [requests]

            def request():
                if left[0] == 0:
                    raise Unreachable("cut")
                left[0] -= 1
                good()

            source._request = request
            try:
                self.world.sync()
            finally:
                source._request = good

        @rule(commits=st.integers(0, 6), after=st.booleans())
        def it_dies(self, commits, after):
            with dying(self.world, commits, after=after):
                self.world.sync()
            self.world.restart()

        @rule()
        def sync(self):
            self.world.clock.advance(timedelta(minutes=2))
            for pulled in self.world.sync():
                assert pulled.error is None
            self.seen |= {p[3] for p in self.places if self.delivered[p[3]] in self.customers}
            texts = {e["subject"]: self.world.text(e["id"]) for e in self.world.log()}
            for place in self.places:
                if place[3] in self.seen:
                    assert texts[place[3]] == f"text {place[3]}"

        @invariant()
        def each_once(self):
            logged = self.world.subjects()
            note(f"logged {logged}")
            assert len(logged) == len(set(logged))
            assert self.seen <= set(logged)
            for subject in logged:
                assert self.delivered[subject] in self.customers

    run_state_machine_as_test(
        Machine,
        settings=settings(
            max_examples=EXAMPLES,
            stateful_step_count=20,
            deadline=None,
            suppress_health_check=list(HealthCheck),
            derandomize=EXAMPLES <= 40,
            print_blob=True,
            database=None,
        ),
    )


@contextmanager
def dying(world, commits, *, after):
    """The process dies at the n-th commit, just before or just after it."""
    good = world.store.write
    left = [commits]

    @contextmanager
    def write():
        with good() as tx:
            yield tx
            left[0] -= 1
            if left[0] < 0 and not after:
                raise Crash
        if left[0] < 0:
            raise Crash

    object.__setattr__(world.store, "write", write)
    try:
        yield
    except Crash:
        pass
    finally:
        del world.store.write
