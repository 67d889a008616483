"""By which sender mails leave, how many at a time, and what is kept in our own mailboxes."""

from contextlib import contextmanager
from datetime import UTC, datetime, time, timedelta

import pytest

from connectors.memory.filing import MemoryFiling
from connectors.memory.sender import MemorySender
from crm_sync.core.compose import compose
from crm_sync.core.errors import InDoubt, Refused, Unreachable
from crm_sync.core.records import Address
from crm_sync.flow import dispatch, plan
from crm_sync.flow.budget import Limits
from crm_sync.flow.post import GreetingRule, Way

KARIN, DANIEL = "karin@acme.example", "daniel@acme.example"
HEADER = "name,company,emails,birthday,language,timezone,greeting_basis,owner"
NINE = datetime(2026, 3, 4, 8, 30, tzinfo=UTC)


def own_way(sender, **options) -> Way:
    return Way(Address(KARIN, "Karin Ek"), lambda: sender, account="karin", **options)


@pytest.fixture
def office(make_world):
    """Lena has her birthday and is Karin's, Per has his and is Daniel's."""

    def make(customers="auto", **options):
        world = make_world(greetings=(GreetingRule("birthday", time(9), customers),), **options)
        world.customers(
            f"Lena Vik,Nordvik AB,lena@nordvik.example,1980-03-04,sv,,consent,{KARIN}",
            f"Per Dal,Dalen AB,per@dalen.example,1981-03-04,sv,,consent,{DANIEL}",
            header=HEADER,
        )
        world.clock.move_to(NINE)
        return world

    return make


def rows(world) -> dict[str, dict]:
    """The rows for customers by the name of the addressee."""
    return {row["to"].partition("@")[0]: row for row in world.outbox() if row["kind"] == "greeting"}


def names(sender) -> list[str]:
    return [mail.draft.to[0].address.partition("@")[0] for mail in sender.delivered]


# -- whose sender -----------------------------------------------------------------------------


def test_customers_are_greeted_by_their_owners_sender_else_by_the_teams(office):
    own = MemorySender(looks_back=False)
    world = office(ways={KARIN: own_way(own)})
    world.turn()

    assert (names(own), names(world.sender)) == (["lena"], ["per"])
    (mail,) = own.delivered
    assert mail.draft.from_ == Address(KARIN, "Karin Ek")
    assert mail.draft.message_id.endswith("@acme.example>")
    assert mail.draft.reply_to == ()  # answers come to her anyway
    assert rows(world)["lena"]["from"] == KARIN
    assert rows(world)["per"]["from"] == "crm@acme.example"
    (per,) = world.sender.delivered
    assert per.draft.reply_to == (Address(DANIEL),)


def test_mails_to_reps_leave_by_the_teams_sender_and_name_who_will_greet(office):
    own = MemorySender(looks_back=False)
    world = office("ask", ways={KARIN: own_way(own)})
    world.turn()

    assert own.delivered == []
    texts = {mail.draft.to[0].address: mail.draft.text for mail in world.sender.delivered}
    assert f"Karin Ek <{KARIN}>" in texts[KARIN]
    assert "Acme CRM <crm@acme.example>" in texts[DANIEL]


@pytest.mark.parametrize("trouble", [Refused("wrong password"), Unreachable("nobody listens")])
def test_one_senders_trouble_does_not_stop_the_others(office, trouble):
    own = MemorySender(looks_back=False)
    world = office(ways={KARIN: own_way(own)})
    own.fail_before(trouble)
    done = world.turn()

    assert names(world.sender) == ["per"]
    assert done.errors == [trouble]
    assert rows(world)["lena"]["state"] == "queued"
    world.clock.advance(timedelta(minutes=2))
    world.turn()
    assert names(own) == ["lena"]


def test_an_account_in_trouble_is_not_asked_again_for_each_of_its_mails(make_world):
    world = crowd(make_world, 5)
    tried = []

    def refusing(draft, _sending):
        tried.append(draft.message_id)
        raise Refused("wrong password")

    world.sender.send = refusing
    for _ in range(10):
        world.turn()
        world.clock.advance(timedelta(seconds=5))

    assert len(tried) == 1
    assert all(row["error"].startswith("wrong password") for row in world.outbox())


def test_a_greeting_whose_sender_is_gone_waits_and_says_so(office):
    own = MemorySender(looks_back=False)
    world = office(ways={KARIN: own_way(own)})
    plan.plan(world.setup, world.post)
    world.ways = {}
    world.turn()

    lena = rows(world)["lena"]
    assert lena["state"] == "queued"
    assert "nothing leaves as karin@acme.example any more" in lena["error"]
    assert names(world.sender) == ["per"]
    world.ways = {KARIN: own_way(own)}
    world.clock.advance(timedelta(hours=1))
    world.turn()
    assert names(own) == ["lena"]


def test_an_approved_greeting_never_leaves_from_another_address(office):
    own = MemorySender(looks_back=False)
    world = office(ways={KARIN: own_way(own)})
    plan.plan(world.setup, world.post)
    world.ways = {KARIN: Way(Address("sales@acme.example"), lambda: own)}
    world.turn()

    assert own.delivered == []
    assert rows(world)["lena"]["state"] == "queued"


def test_a_greeting_that_left_before_a_restore_is_known_by_either_id(office):
    """The copy in a mailbox proves it, whichever sender is configured by now."""
    world = office(ways={KARIN: Way(Address("k@other.example"), MemorySender)})
    box = world.mailbox()
    for message_id in world.post.message_ids("greeting/birthday/1/2026"):
        if message_id.endswith("@acme.example>"):
            sent = {"message_id": message_id, "extra": "X-Mailer: none"}
            box.deliver(world.mail(KARIN, "lena@nordvik.example", **sent), "Sent")
    world.turn()

    assert rows(world)["lena"]["state"] == "sent"


# -- how many ---------------------------------------------------------------------------------


def crowd(make_world, count, **options):
    world = make_world(greetings=(GreetingRule("birthday", time(9), "auto"),), **options)
    world.customers(
        *(f"Kund {n},Kund {n} AB,kund{n}@k{n}.example,1980-03-04,sv,,b2b," for n in range(count)),
        header=HEADER,
    )
    world.clock.move_to(NINE)
    return world


def test_no_more_leave_in_a_minute_than_the_account_may_and_nothing_fails(make_world):
    world = crowd(make_world, 7, team={"limits": Limits(per_minute=3, per_day=100)})
    left = []
    for _ in range(14):
        done = world.turn()
        assert not done.failed
        world.restart()  # what was sent is remembered by the diary alone
        left.append(len(world.sender.delivered))
        world.clock.advance(timedelta(seconds=20))

    assert left == [3, 3, 3, 6, 6, 6, 7, 7, 7, 7, 7, 7, 7, 7]
    assert {row["state"] for row in world.outbox()} == {"sent"}
    assert not any(row["error"] for row in world.outbox())


def test_no_more_leave_in_a_day_than_the_account_may(make_world):
    world = crowd(make_world, 4, team={"limits": Limits(per_minute=20, per_day=3)})
    for _ in range(5):
        world.turn()
        world.clock.advance(timedelta(hours=2))

    assert len(world.sender.delivered) == 3
    waits = [row for row in world.outbox() if row["state"] == "queued"]
    assert [row["error"] for row in waits] == ["the limit of its sender account is reached for now"]


def test_a_mail_in_doubt_counts_as_one_that_left(make_world):
    world = crowd(make_world, 2, team={"limits": Limits(per_minute=1, per_day=100)})
    world.sender.fail_after(InDoubt("no answer"), delivered=True)
    world.turn()
    world.restart()
    world.clock.advance(timedelta(seconds=30))
    world.turn()

    assert len(world.sender.delivered) == 1


def test_mails_to_reps_go_before_greetings(office):
    world = office("ask", team={"limits": Limits(per_minute=1, per_day=100)})
    plan.plan(world.setup, world.post)
    for row in world.outbox():
        if row["state"] == "waiting_approval":
            dispatch.approve(world.setup, row["id"])
    to = []
    for _ in range(4):
        world.turn()
        world.clock.advance(timedelta(seconds=61))
        to = [mail.draft.to[0].address for mail in world.sender.delivered]

    assert sorted(to[:2]) == [DANIEL, KARIN]
    assert len(to) == 4


def test_senders_with_one_account_share_its_limit(office):
    own = MemorySender(looks_back=False)
    one = Limits(per_minute=1, per_day=100)
    world = office(
        ways={KARIN: Way(Address(KARIN), lambda: own, account="relay", limits=one)},
        team={"account": "relay", "limits": one},
    )
    world.turn()
    assert len(own.delivered) + len(world.sender.delivered) == 1
    world.clock.advance(timedelta(seconds=61))
    world.turn()
    assert len(own.delivered) + len(world.sender.delivered) == 2


# -- the copy in Sent -------------------------------------------------------------------------


@pytest.fixture
def copying(office):
    world = office()
    world.filing = MemoryFiling()
    world.team = {"open_filing": lambda: world.filing, "keeps_copy": True}
    return world


def test_the_copy_in_sent_has_the_octets_that_were_sent(copying):
    for _ in range(3):
        copying.turn()
        copying.clock.advance(timedelta(minutes=1))

    assert copying.filing.kept["sent"] == [mail.data for mail in copying.sender.delivered]
    assert len(copying.sender.delivered) == 2
    assert [row["filed"] for row in copying.outbox()] == [True, True]


def test_without_a_wish_for_copies_none_is_made(copying):
    copying.team["keeps_copy"] = False
    copying.turn()

    assert copying.filing.kept["sent"] == []
    assert [row["filed"] for row in copying.outbox()] == [None, None]


def test_a_copy_that_fails_is_tried_again_and_the_mail_is_not(copying):
    copying.filing.fail(Unreachable("nobody listens"))
    done = copying.turn()

    assert done.errors
    assert {row["state"] for row in copying.outbox()} == {"sent"}
    assert "no copy in Sent" in " ".join(row["error"] or "" for row in copying.outbox())
    copying.clock.advance(timedelta(minutes=16))
    copying.turn()
    assert len(copying.filing.kept["sent"]) == len(copying.sender.delivered) == 2
    assert not any(row["error"] for row in copying.outbox())


class Crash(BaseException):
    """The process is killed here."""


class Steps:
    """Counts what a round does to the world, and kills it at one of the steps."""

    def __init__(self, world, fatal):
        self.world, self.fatal, self.taken, self.undo = world, fatal, 0, []
        self._around(world.sender, "send")
        self._around(world.filing, "keep")
        self._around_transactions(world.store)

    def step(self):
        self.taken += 1
        if self.taken == self.fatal:
            raise Crash

    def _around(self, thing, verb):
        original = getattr(thing, verb)

        def counted(*arguments):
            self.step()
            result = original(*arguments)
            self.step()
            return result

        setattr(thing, verb, counted)
        self.undo.append(lambda: setattr(thing, verb, original))

    def _around_transactions(self, store):
        original = store.write

        @contextmanager
        def counted(**options):
            self.step()
            with original(**options) as tx:
                yield tx
            self.step()

        store.write = counted

    def end(self):
        for undo in self.undo:
            undo()
        self.world.restart()


def killed_at_each_step(make):
    """The world after each possible death and the restart that follows."""
    fatal = 0
    while True:
        fatal += 1
        world = make()
        steps = Steps(world, fatal)
        try:
            plan.plan(world.setup, world.post)
            dispatch.dispatch(world.setup, world.post)
        except Crash:
            steps.end()
            for _ in range(5):
                world.turn()
                world.clock.advance(timedelta(minutes=20))
            yield world
        else:
            assert fatal > 5, "the steps were not taken"
            return


@pytest.fixture
def one_greeting(make_world):
    def make(customers="auto"):
        world = make_world(greetings=(GreetingRule("birthday", time(9), customers),))
        row = f"Lena Vik,Nordvik AB,lena@nordvik.example,1980-03-04,sv,,consent,{KARIN}"
        world.customers(row, header=HEADER)
        world.clock.move_to(NINE)
        world.filing = MemoryFiling()
        world.team = {"open_filing": lambda: world.filing, "keeps_copy": True}
        world.drafts = {KARIN: lambda: world.filing}
        return world

    return make


def test_killed_at_any_step_there_is_one_copy_of_what_was_sent_and_no_second_mail(one_greeting):
    states = []
    for world in killed_at_each_step(one_greeting):
        (row,) = world.outbox()
        states.append(row["state"])
        if row["state"] == "sent":
            assert world.filing.kept["sent"] == [mail.data for mail in world.sender.delivered]
            assert len(world.sender.delivered) == 1
        else:
            assert row["state"] == "in_doubt"
            assert len(world.sender.delivered) <= 1
            assert world.filing.kept["sent"] == []

    assert 1 <= states.count("in_doubt") <= 4
    assert states.count("sent") >= 8


def test_killed_at_any_step_there_is_one_draft(one_greeting):
    for world in killed_at_each_step(lambda: one_greeting("draft")):
        (row,) = world.outbox()
        assert row["state"] == "drafted"
        assert len(world.filing.kept["drafts"]) == 1
        assert world.sender.delivered == []


# -- drafts -----------------------------------------------------------------------------------


@pytest.fixture
def drafting(office):
    world = office("draft")
    world.filing = MemoryFiling()
    world.drafts = {KARIN: lambda: world.filing}
    return world


def test_a_draft_waits_in_its_owners_mailbox_in_her_name_and_nothing_is_sent(drafting):
    for _ in range(3):
        drafting.turn()
        drafting.clock.advance(timedelta(minutes=20))

    (octets,) = drafting.filing.kept["drafts"]
    head = octets.partition(b"\r\n\r\n")[0]
    assert b"From: Karin Ek <karin@acme.example>" in head
    assert b"To: Lena Vik <lena@nordvik.example>" in head
    assert b"Auto-Submitted" not in head  # a person will send it
    assert drafting.sender.delivered == []
    lena = rows(drafting)["lena"]
    assert (lena["state"], lena["action"], lena["from"]) == ("drafted", "draft", KARIN)
    assert drafting.log() == []  # nobody has been greeted yet


def test_a_draft_without_a_mailbox_waits_and_says_so(drafting):
    drafting.turn()
    per = rows(drafting)["per"]

    assert (per["state"], per["action"]) == ("queued", "draft")
    assert per["error"] == f"no mailbox of {DANIEL} is known to put the draft into"
    drafting.clock.move_to(datetime(2026, 3, 4, 23, 30, tzinfo=UTC))
    drafting.turn()
    assert rows(drafting)["per"]["state"] == "skipped"


def test_a_mailbox_in_trouble_gets_its_draft_later(drafting):
    drafting.filing.fail(Unreachable("nobody listens"))
    assert drafting.turn().errors
    assert rows(drafting)["lena"]["state"] == "queued"
    drafting.clock.advance(timedelta(minutes=16))
    drafting.turn()

    assert rows(drafting)["lena"]["state"] == "drafted"


def test_due_tells_that_it_would_be_a_draft(drafting):
    entries = plan.due(drafting.setup, drafting.post, NINE.date())

    assert {entry["action"] for entry in entries} == {"draft"}


def test_off_and_basis_none_make_no_draft(make_world):
    for customers, basis in (("off", "consent"), ("draft", "none")):
        world = make_world(greetings=(GreetingRule("birthday", time(9), customers),))
        world.filing = MemoryFiling()
        world.drafts = {KARIN: lambda world=world: world.filing}
        row = f"Lena Vik,Nordvik AB,lena@nordvik.example,1980-03-04,sv,,{basis},{KARIN}"
        world.customers(row, header=HEADER)
        world.clock.move_to(NINE)
        world.turn()
        assert world.filing.kept["drafts"] == []


def test_a_draft_that_was_sent_becomes_a_greeting_in_the_diary(drafting):
    box = drafting.mailbox()
    drafting.sync()
    drafting.turn()
    message_id = rows(drafting)["lena"]["message_id"]

    def seen():
        extra = f"X-CRM-Sync-Id: {message_id}"
        sent = drafting.mail(KARIN, "lena@nordvik.example", message_id=message_id, extra=extra)
        box.deliver(sent, "Sent")
        drafting.sync()
        return rows(drafting)["lena"]["state"], [entry["kind"] for entry in drafting.log()]

    # Some providers show a draft among all mail: as old as its date, it is only the draft.
    assert seen() == ("drafted", [])
    drafting.clock.advance(timedelta(hours=2))
    assert seen() == ("sent", ["greeting"])


# -- in doubt ---------------------------------------------------------------------------------


def doubt_a_greeting(world):
    world.customers(f"Per Dal,Dalen AB,per@dalen.example,,,,none,{DANIEL}", header=HEADER)
    world.filing = MemoryFiling()
    world.team = {"open_filing": lambda: world.filing}
    plan.plan(world.setup, world.post)
    for row in world.outbox():
        if row["kind"] != "greeting":
            dispatch.cancel(world.setup, row["id"])
    world.sender.fail_after(InDoubt("no answer"), delivered=True)
    dispatch.dispatch(world.setup, world.post)
    return world


def test_a_mail_in_doubt_that_the_provider_filed_in_sent_was_sent(office):
    world = doubt_a_greeting(office())
    assert rows(world)["lena"]["state"] == "in_doubt"
    (mail,) = world.sender.delivered
    world.filing.kept["sent"].append(compose(mail.draft))
    world.turn()

    assert rows(world)["lena"]["state"] == "sent"
    assert [entry["kind"] for entry in world.log()] == ["greeting"]


def test_a_greeting_in_doubt_that_is_not_in_sent_waits_for_a_person(office):
    world = doubt_a_greeting(office())
    for _ in range(8):
        world.clock.advance(timedelta(minutes=30))
        world.turn()

    assert rows(world)["lena"]["state"] == "in_doubt"
    assert len(world.sender.delivered) == 1


def test_a_senders_own_look_back_settles_a_doubt(office):
    world = office()
    world.sender = MemorySender()
    world.sender.fail_after(InDoubt("no answer"), delivered=True)
    world.turn()
    world.turn()

    assert {row["state"] for row in world.outbox()} == {"sent"}
    assert sorted(names(world.sender)) == ["lena", "per"]


def digest_in_doubt(make_world):
    world = make_world()
    world.customers("Lena Vik,Nordvik AB,lena@nordvik.example")
    box = world.mailbox()
    world.sync()
    world.clock.move_to(datetime(2026, 3, 3, 10, tzinfo=UTC))
    box.deliver(world.mail(subject="Offert 12"))
    world.sync()
    world.filing = MemoryFiling()
    world.team = {"open_filing": lambda: world.filing}
    world.clock.move_to(datetime(2026, 3, 5, 10, 1, tzinfo=UTC))
    world.sender.fail_after(InDoubt("no answer"))
    world.turn()
    return world


def test_a_reps_mail_in_doubt_goes_again_once_it_is_not_in_sent(make_world):
    world = digest_in_doubt(make_world)
    world.turn()
    assert world.sender.delivered == []  # a copy may still be on its way to Sent
    world.clock.advance(timedelta(minutes=3))
    world.turn()

    assert len(world.sender.delivered) == 1


def test_a_reps_mail_in_doubt_waits_while_the_mailbox_can_not_be_asked(make_world):
    world = digest_in_doubt(make_world)
    for _ in range(20):
        world.filing.fail(Unreachable("nobody listens"))
    sent_after = []
    for _ in range(9):
        world.clock.advance(timedelta(minutes=10))
        world.turn()
        sent_after.append(len(world.sender.delivered))

    assert sent_after[3] == 0
    assert sent_after[-1] == 1


# -- our own mail that comes back -------------------------------------------------------------


@pytest.fixture
def returning(office):
    """A greeting in doubt, and the box that will show what became of it."""
    world = office()
    world.box = world.mailbox()
    world.sync()
    world.sender.fail_after(InDoubt("no answer"), delivered=True)
    world.sender.fail_after(InDoubt("no answer"), delivered=True)
    world.turn()
    world.message_id = rows(world)["lena"]["message_id"]
    return world


@pytest.mark.parametrize(
    "field", ["X-CRM-Sync-Id: {}", "X-Microsoft-Original-Message-ID: {}"], ids=["ours", "exchange"]
)
def test_a_mail_whose_id_exchange_rewrote_is_known_as_ours(returning, field):
    returning.box.deliver(
        returning.mail(
            "Acme CRM <crm@acme.example>",
            "lena@nordvik.example",
            message_id="<rewritten@outlook.example>",
            extra=field.format(returning.message_id),
        ),
        "Sent",
    )
    returning.sync()

    assert rows(returning)["lena"]["state"] == "sent"
    assert [entry["kind"] for entry in returning.log()] == ["greeting"]


def test_a_stranger_who_writes_our_id_marks_nothing_as_sent_and_hides_nothing(returning):
    for number, extra in enumerate(
        (
            f"X-CRM-Sync-Id: {returning.message_id}",
            f"X-Microsoft-Original-Message-ID: {returning.message_id}",
        )
    ):
        returning.box.deliver(
            returning.mail(message_id=f"<forged{number}@nordvik.example>", extra=extra)
        )
    returning.sync()

    assert rows(returning)["lena"]["state"] == "in_doubt"
    assert [entry["direction"] for entry in returning.log()] == ["inbound", "inbound"]
