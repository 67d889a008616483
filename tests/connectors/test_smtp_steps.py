"""Every step with every fault: what the sender says, and what the server's history holds."""

from dataclasses import replace
from datetime import UTC
from email import message_from_bytes

import pytest
from pydantic import SecretStr

from connectors.smtp import KIND
from crm_sync.core.errors import InDoubt, Refused, Throttled, Unreachable
from crm_sync.core.records import Address
from crm_sync.ports import Surroundings
from tests.connectors import smtp_parts
from tests.servers.smtp import Fault, SmtpServer

DRAFT = replace(smtp_parts.DRAFT, bcc=("log@acme.example",))
NEXT = replace(DRAFT, message_id="<next@acme.example>")
LARGE = replace(DRAFT, text="en rad av ett mycket långt brev\n".replace("å", "a") * 300_000)


@pytest.fixture
def server(certificate):
    with SmtpServer(
        security="starttls",
        users={"crm": "planted-password"},
        certificate=certificate,
    ) as server:
        yield server


@pytest.fixture
def make_sender(server, ca_file):
    made = []

    def make(**changes):
        options = {
            "host": server.host,
            "port": server.port,
            "ca_file": ca_file,
            "username": "crm",
            "password": SecretStr("planted-password"),
            "command_timeout": 10,
            "dot_timeout": 10,
        }
        sender = KIND.build(
            KIND.options(**options | changes), Surroundings("team/smtp", clock=None, zone=UTC)
        )
        made.append(sender)
        return sender

    yield make
    for sender in made:
        sender.close()


class Sending:
    def __init__(self):
        self.calls = 0

    def __call__(self):
        self.calls += 1


def ids(server):
    return [message_from_bytes(data)["Message-ID"] for _, _, data in server.messages]


def assert_next_mail_arrives(server, sender):
    server.script(None)
    before = ids(server)
    sender.send(NEXT, Sending())
    assert ids(server) == [*before, NEXT.message_id]


BEFORE = ("connect", "EHLO", "STARTTLS", "AUTH", "MAIL", "RCPT", "DATA")
ITEM = {"RCPT", "DATA"}


@pytest.mark.parametrize("step", BEFORE)
@pytest.mark.parametrize(
    ("action", "reply", "kind"),
    [
        ("close", "", Unreachable),
        ("cut", "250 O", Unreachable),
        ("reply", "HTTP/1.1 400 Bad Request", Unreachable),
        ("reply", "199 what?", Unreachable),
        ("reply", "250-two\r\n550 minds", Unreachable),
        ("reply", "421 4.3.2 Closing", Throttled),
        ("reply", "451 4.7.1 Greylisted", Throttled),
        ("reply", "550 5.0.0 No", Refused),
    ],
)
def test_before_the_end_each_fault_is_an_error_and_nothing_left(
    server, make_sender, step, action, reply, kind
):
    sender, sending = make_sender(), Sending()
    server.script(Fault(step, action, reply))
    with pytest.raises(kind) as caught:
        sender.send(DRAFT, sending)
    assert type(caught.value) is kind
    if kind is Refused:
        assert caught.value.scope == ("item" if step in ITEM else "account")
    if kind is Throttled:
        assert caught.value.retry_at is None
    assert caught.value.where == "team/smtp"
    assert sending.calls == 0
    assert server.messages == []
    assert_next_mail_arrives(server, sender)


@pytest.mark.parametrize("step", BEFORE)
def test_before_the_end_silence_is_unreachable(server, make_sender, step):
    sender, sending = make_sender(command_timeout=0.5), Sending()
    server.script(Fault(step, "stall"))
    with pytest.raises(Unreachable, match="did not answer"):
        sender.send(DRAFT, sending)
    assert sending.calls == 0
    assert server.messages == []


@pytest.mark.parametrize("action", ["close", "stall"])
def test_a_connection_lost_in_the_data_is_unreachable(server, make_sender, action):
    sender, sending = make_sender(command_timeout=2), Sending()
    server.script(Fault("mid-data", action))
    with pytest.raises(Unreachable) as caught:
        sender.send(LARGE, sending)
    assert type(caught.value) is Unreachable
    assert sending.calls == 0
    assert server.messages == []


@pytest.mark.parametrize(
    ("early", "kind"),
    [
        ("552 5.3.4 Too large", Refused),
        ("451 4.3.0 Later", Throttled),
        ("250 2.0.0 Taken, before it was given", Unreachable),
    ],
)
def test_an_early_answer_is_heard_before_the_end(server, make_sender, early, kind):
    sender, sending = make_sender(), Sending()
    server.script(Fault("DATA", "reply", f"354 go on\r\n{early}"))
    with pytest.raises(kind) as caught:
        sender.send(DRAFT, sending)
    assert type(caught.value) is kind
    assert sending.calls == 0
    assert server.messages == []


@pytest.mark.parametrize("taken", [True, False])
@pytest.mark.parametrize(
    ("action", "reply"),
    [
        ("close", ""),
        ("stall", ""),
        ("cut", "250 2.0.0 O"),
        ("close", "what?"),
        ("close", "354 go on"),
        ("close", "250-two\r\n554 minds"),
        ("close", "250-" + "x" * 80_000),
    ],
)
def test_after_the_end_no_clear_answer_is_in_doubt(server, make_sender, action, reply, taken):
    sender, sending = make_sender(dot_timeout=0.5), Sending()
    server.script(Fault("dot", action, reply, taken=taken))
    with pytest.raises(InDoubt) as caught:
        sender.send(DRAFT, sending)
    assert caught.value.scope == "item"
    assert sending.calls == 1
    assert len(server.messages) == taken
    assert_next_mail_arrives(server, sender)


@pytest.mark.parametrize(
    ("reply", "kind", "scope"),
    [
        ("451 4.3.0 Later", Throttled, "account"),
        ("421 4.3.2 Closing", Throttled, "account"),
        ("550 5.4.5 Daily user sending limit exceeded", Throttled, "account"),
        ("554 5.7.1 Message looks like spam", Refused, "item"),
        ("552 Too large", Refused, "item"),
        ("550 5.7.30 Basic authentication is switched off", Refused, "account"),
        ("530 5.7.57 Client not authenticated", Refused, "account"),
    ],
)
def test_after_the_end_a_clear_no_is_no_doubt(server, make_sender, reply, kind, scope):
    sender, sending = make_sender(), Sending()
    server.script(Fault("dot", "reply", reply))
    with pytest.raises(kind) as caught:
        sender.send(DRAFT, sending)
    assert caught.value.scope == scope
    assert sending.calls == 1
    assert server.messages == []
    assert_next_mail_arrives(server, sender)


@pytest.mark.parametrize(
    ("step", "reply", "scope"),
    [
        ("RCPT", "450 4.2.0 Greylisted", "item"),
        ("RCPT", "451 4.7.1 Greylisted", "item"),
        ("RCPT", "452 4.2.2 Mailbox full", "item"),
        ("RCPT", "451 4.3.0 Server trouble", "account"),
        ("RCPT", "421 4.7.0 Too many errors", "account"),
        ("RCPT", "550 5.4.5 Daily user sending limit exceeded", "account"),
        ("MAIL", "452 4.3.1 Insufficient storage", "account"),
        ("MAIL", "432 4.3.2 Concurrent connections limit exceeded", "account"),
    ],
)
def test_a_wait_is_for_the_recipient_or_for_all(server, make_sender, step, reply, scope):
    server.script(Fault(step, "reply", reply))
    with pytest.raises(Throttled) as caught:
        make_sender().send(DRAFT, Sending())
    assert caught.value.scope == scope


def test_a_mail_too_large_at_mail_is_the_mails_own_fault(server, make_sender):
    server.script(Fault("MAIL", "reply", "552 5.3.4 Message size exceeds fixed limit"))
    with pytest.raises(Refused) as caught:
        make_sender().send(DRAFT, Sending())
    assert caught.value.scope == "item"


def test_after_an_answer_a_closed_connection_harms_nobody(server, make_sender):
    sender = make_sender()
    server.script(Fault("done", "close"))
    assert sender.send(DRAFT, Sending()).answer == "250 2.0.0 Ok: queued as K3V"
    sender.send(NEXT, Sending())
    assert ids(server) == [DRAFT.message_id, NEXT.message_id]
    assert server.connections == 2


def test_an_interrupt_in_sending_leaves_nothing_behind(server, make_sender):
    def interrupted():
        raise KeyboardInterrupt

    sender = make_sender()
    with pytest.raises(KeyboardInterrupt):
        sender.send(DRAFT, interrupted)
    assert server.messages == []
    assert_next_mail_arrives(server, sender)
    assert server.connections == 2
    assert b"RSET" not in server.wire  # it would have become a line of the first mail


def test_an_error_of_ours_raised_by_sending_ends_the_connection_too(server, make_sender):
    def store_fails():
        raise Refused("the diary is closed")

    sender = make_sender()
    with pytest.raises(Refused, match="diary"):
        sender.send(DRAFT, store_fails)
    assert_next_mail_arrives(server, sender)
    assert ids(server) == [NEXT.message_id]


def test_a_run_of_mails_uses_one_connection_and_ends_with_quit(server, make_sender):
    sender = make_sender()
    for _ in range(3):
        sender.send(DRAFT, Sending())
    sender.close()
    assert server.connections == 1
    assert len(server.messages) == 3
    assert server.said.count("AUTH") == 1
    assert server.said[-1] == "QUIT"


def test_a_refused_recipient_does_not_cost_the_connection(server, make_sender):
    sender = make_sender()
    server.script(Fault("RCPT", "reply", "550 5.1.1 No such user"))
    with pytest.raises(Refused):
        sender.send(DRAFT, Sending())
    assert_next_mail_arrives(server, sender)
    assert server.connections == 1


@pytest.mark.parametrize("step", ["RSET", "MAIL"])
@pytest.mark.parametrize(("action", "reply"), [("close", ""), ("close", "421 4.4.2 Idle too long")])
def test_a_kept_connection_found_dead_is_opened_again_once(
    server, make_sender, step, action, reply
):
    sender = make_sender()
    sender.send(DRAFT, Sending())
    server.script(Fault(step, action, reply))
    sending = Sending()
    sender.send(NEXT, sending)
    assert sending.calls == 1
    assert ids(server) == [DRAFT.message_id, NEXT.message_id]
    assert server.connections == 2


def test_a_kept_connection_is_not_opened_again_for_ever(server, make_sender):
    sender = make_sender()
    sender.send(DRAFT, Sending())
    server.script(Fault("MAIL", "close", times=5))
    with pytest.raises(Unreachable):
        sender.send(NEXT, Sending())
    assert server.connections == 2


def test_a_greylisted_sender_on_a_kept_connection_is_not_asked_twice(server, make_sender):
    sender = make_sender()
    sender.send(DRAFT, Sending())
    server.script(Fault("MAIL", "reply", "452 4.2.2 Later"))
    with pytest.raises(Throttled):
        sender.send(NEXT, Sending())
    assert server.connections == 1


@pytest.mark.parametrize("reply", ["550 5.1.1 No such user", "450 4.2.0 Greylisted"])
def test_a_refused_main_recipient_stops_the_mail_though_others_are_taken(
    server, make_sender, reply
):
    sender, sending = make_sender(), Sending()
    two = replace(DRAFT, to=(*DRAFT.to, Address("arne@nordvik.example")))
    server.script(Fault("RCPT", "reply", reply, skip=1))
    with pytest.raises((Refused, Throttled)):
        sender.send(two, sending)
    assert sending.calls == 0
    assert server.messages == []


@pytest.mark.parametrize("reply", ["550 5.1.1 No such user", "450 4.2.0 Greylisted"])
def test_a_refused_copy_is_named_in_the_receipt(server, make_sender, reply):
    server.script(Fault("RCPT", "reply", reply, skip=1))
    receipt = make_sender().send(DRAFT, Sending())
    assert receipt.refused == ("log@acme.example",)
    assert [to for _, to, _ in server.messages] == [["lena@nordvik.example"]]


def test_errors_repeat_no_words_of_the_server(server, make_sender):
    for step in ("MAIL", "RCPT", "dot"):
        server.script(Fault(step, "reply", "550 5.1.1 lena@nordvik.example: secret words"))
        with pytest.raises(Refused) as caught:
            make_sender().send(DRAFT, Sending())
        assert "550 5.1.1" in caught.value.sentence()
        assert "lena" not in caught.value.sentence()
        assert "words" not in caught.value.sentence()
