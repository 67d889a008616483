"""A sender that meets something else than a submission server: what the admin is told to check."""

import socket
import threading
from contextlib import contextmanager
from datetime import UTC

import pytest

from connectors.smtp import KIND
from crm_sync.core.errors import Unreachable
from crm_sync.ports import Surroundings
from tests.connectors.smtp_parts import DRAFT

NO_SMTP = "Check host and port: what answers there may not be SMTP"
NO_GREETING = 'Check host, port and security: port 465 is "tls", port 587 "starttls"'


@contextmanager
def whoever_says(words):
    """A door at which each visitor hears `words`; without words the door is shut at once."""

    def answer(listening):
        while True:
            try:
                connection, _ = listening.accept()
            except OSError:
                return
            with connection:
                connection.sendall(words)
                connection.settimeout(5)
                while words and connection.recv(1024):
                    pass

    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = threading.Thread(target=answer, args=(listening,))
        thread.start()
        try:
            yield listening.getsockname()[1]
        finally:
            listening.shutdown(socket.SHUT_RDWR)
            thread.join(10)


def trouble(port, **changes):
    """The error of a send; `doctor` gives the same words."""
    options = {"host": "127.0.0.1", "port": port, "command_timeout": 0.5, "connect_timeout": 0.5}
    sender = KIND.build(
        KIND.options(**options | changes), Surroundings("team/sender", clock=None, zone=UTC)
    )
    with pytest.raises(Unreachable) as caught:
        sender.send(DRAFT, lambda: pytest.fail("nothing may be sent"))
    *_, finding = sender.probe()
    assert (finding.problem, finding.advice) == (caught.value.what, caught.value.advice)
    return caught.value


@pytest.mark.parametrize("greeting", [b"* OK IMAP4rev1 ready\r\n", b"SSH-2.0-server\r\n"])
def test_a_door_that_is_not_smtp_says_to_check_host_and_port(greeting):
    with whoever_says(greeting) as port:
        error = trouble(port)
    assert error.sentence() == (
        f"team/sender: the server's answer to greeting makes no sense. {NO_SMTP}"
    )


def test_an_answer_to_our_hello_that_is_none_says_so_too():
    with whoever_says(b"220 welcome\r\n+OK POP3 server\r\n") as port:
        error = trouble(port)
    assert error.what == "the server's answer to EHLO makes no sense"
    assert error.advice == NO_SMTP


def test_a_server_that_says_nothing_at_first_may_want_the_other_security():
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        error = trouble(port, security="starttls")
        assert error.what == "the server did not answer greeting within 0.5 s"
        assert error.advice == NO_GREETING
        error = trouble(port, security="tls")
        assert error.what == f"127.0.0.1:{port} does not answer"
        assert error.advice == "Check host, port, security and firewalls"


def test_a_door_that_is_shut_at_once_says_what_to_check():
    with whoever_says(b"") as port:
        error = trouble(port)
    assert error.what == "the connection broke at greeting"
    assert error.advice == NO_GREETING
