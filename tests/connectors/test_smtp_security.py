"""Connecting, TLS, sign-in: what fails, in which words, and what never goes over the wire."""

import socket
import threading
import traceback
from datetime import UTC
from pathlib import Path

import pytest
import trustme
from pydantic import SecretStr, ValidationError

from connectors.smtp import KIND
from crm_sync.core.errors import Refused, Throttled, Unreachable
from crm_sync.ports import Surroundings
from tests.connectors.smtp_parts import DRAFT
from tests.servers.smtp import Fault, SmtpServer

PASSWORD = "planted-pässword"


@pytest.fixture
def serve(certificate):
    running = []

    def start(security, **changes):
        changes = {"users": {"crm": PASSWORD}, "certificate": certificate} | changes
        server = SmtpServer(security=security, **changes)
        running.append(server)
        return server.__enter__()

    yield start
    for server in running:
        server.__exit__()


def sender_for(server, ca_file, security, **changes):
    options = {
        "host": "127.0.0.1",
        "port": server.port if server else 25,
        "security": security,
        "ca_file": ca_file,
        "username": "crm",
        "password": SecretStr(PASSWORD),
        "command_timeout": 10,
        "connect_timeout": 5,
    }
    return KIND.build(
        KIND.options(**options | changes), Surroundings("team/smtp", clock=None, zone=UTC)
    )


def fails(sender, kind):
    """The error of a send, which must be of this very kind; the same comes from `doctor`."""
    with pytest.raises(kind) as caught:
        sender.send(DRAFT, lambda: pytest.fail("nothing may be sent"))
    error = caught.value
    assert type(error) is kind
    assert PASSWORD not in "".join(traceback.format_exception(error))
    *_, finding = sender.probe()
    assert (finding.ok, finding.problem, finding.advice) == (False, error.what, error.advice)
    sender.close()
    return error


@pytest.mark.parametrize("security", ["tls", "starttls", "none"])
@pytest.mark.parametrize("mechanism", ["PLAIN", "LOGIN"])
def test_a_mail_is_sent_after_sign_in(serve, ca_file, security, mechanism):
    server = serve(security, mechanisms=(mechanism,))
    sender = sender_for(server, ca_file, security)
    sender.send(DRAFT, lambda: None)
    sender.close()
    assert len(server.messages) == 1
    assert server.sign_ins == [("crm", PASSWORD)]


def test_the_probe_tries_each_step_and_sends_nothing(serve, ca_file):
    server = serve("starttls")
    findings = list(sender_for(server, ca_file, "starttls").probe())
    assert [(f.name, f.ok) for f in findings] == [
        ("connection", True),
        ("encryption", True),
        ("sign-in", True),
    ]
    assert server.said == ["EHLO", "STARTTLS", "EHLO", "AUTH", "QUIT"]


def test_the_probe_of_a_relay_without_sign_in_says_nothing_of_it(serve, ca_file):
    sender = sender_for(serve("none", users={}), ca_file, "none", username="", password=None)
    assert [f.name for f in sender.probe()] == ["connection"]


def test_a_wrong_password_is_refused_after_one_try(serve, ca_file):
    server = serve("starttls", users={"crm": "another"})
    error = fails(sender_for(server, ca_file, "starttls"), Refused)
    assert error.scope == "account"
    assert "password" in error.advice
    assert len(server.sign_ins) == 2  # the mail's and the probe's


@pytest.mark.parametrize(
    ("reply", "kind"),
    [
        ("454 4.7.0 Too many login attempts", Refused),
        ("454 4.7.0 Not now", Throttled),
        ("534 5.7.9 Application-specific password required", Refused),
        ("535 5.7.139 Authentication unsuccessful, disabled for the Tenant", Refused),
        ("530 5.7.0 Must issue a STARTTLS command first", Refused),
    ],
)
def test_a_refused_sign_in_says_what_to_do(serve, ca_file, reply, kind):
    server = serve("starttls")
    server.script(Fault("AUTH", "reply", reply, times=2))
    error = fails(sender_for(server, ca_file, "starttls"), kind)
    assert error.scope == "account"
    assert error.advice or kind is Throttled


def test_a_server_without_a_fitting_sign_in_is_refused(serve, ca_file):
    server = serve("starttls", mechanisms=())
    error = fails(sender_for(server, ca_file, "starttls"), Refused)
    assert "PLAIN or LOGIN" in error.what


def test_without_starttls_nothing_goes_on_in_clear(serve, ca_file):
    server = serve("none")
    error = fails(sender_for(server, ca_file, "starttls"), Refused)
    assert "STARTTLS" in error.what
    assert server.sign_ins == []
    assert b"AUTH" not in server.wire
    assert b"MAIL" not in server.wire


def test_an_answer_slipped_in_before_tls_is_not_believed(serve, ca_file):
    server = serve("starttls")
    server.script(Fault("STARTTLS", "reply", "220 go\r\n250-injected\r\n250 AUTH PLAIN", times=2))
    fails(sender_for(server, ca_file, "starttls"), Unreachable)
    assert server.sign_ins == []


@pytest.mark.parametrize("security", ["tls", "starttls"])
def test_a_certificate_of_a_strange_authority_is_refused(serve, ca_file, security):
    server = serve(security, certificate=trustme.CA().issue_cert("127.0.0.1"))
    error = fails(sender_for(server, ca_file, security), Refused)
    assert error.scope == "account"
    assert "certificate" in error.what
    assert "ca_file" in error.advice
    assert server.sign_ins == []


@pytest.mark.parametrize("security", ["tls", "starttls"])
def test_a_certificate_for_another_host_is_refused(serve, ca_file, authority, security):
    server = serve(security, certificate=authority.issue_cert("mail.other.example"))
    error = fails(sender_for(server, ca_file, security), Refused)
    assert "certificate" in error.what
    assert server.sign_ins == []


def test_without_ca_file_the_systems_authorities_decide(serve):
    server = serve("tls")
    fails(sender_for(server, None, "tls"), Refused)


def test_a_missing_ca_file_is_said_so(serve, tmp_path):
    server = serve("tls")
    error = fails(sender_for(server, tmp_path / "none.pem", "tls"), Refused)
    assert "ca_file" in error.what


def test_tls_against_a_port_that_begins_in_clear_says_so(serve, ca_file):
    error = fails(sender_for(serve("none"), ca_file, "tls"), Refused)
    assert "starttls" in error.advice


def test_clear_against_a_port_that_begins_with_tls_is_unreachable(serve, ca_file):
    fails(sender_for(serve("tls"), ca_file, "starttls", command_timeout=0.5), Unreachable)


def test_an_unknown_host_is_unreachable(ca_file):
    error = fails(sender_for(None, ca_file, "tls", host="mail..acme.example"), Unreachable)
    assert "name" in error.what


def test_a_port_where_nothing_listens_is_unreachable(ca_file):
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    error = fails(sender_for(None, ca_file, "starttls", port=port), Unreachable)
    assert f"127.0.0.1:{port}" in error.what


@pytest.mark.parametrize("security", ["tls", "starttls"])
def test_a_server_that_never_speaks_is_unreachable(ca_file, security):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        sender = sender_for(
            None,
            ca_file,
            security,
            port=silent.getsockname()[1],
            command_timeout=0.5,
            connect_timeout=0.5,
        )
        error = fails(sender, Unreachable)
    assert "answer" in error.what


def test_an_answer_without_end_is_cut_off(serve, ca_file):
    server = serve("none")
    server.script(Fault("EHLO", "reply", "250-more\r\n" * 20_000 + "250 end", times=2))
    fails(sender_for(server, ca_file, "none"), Unreachable)


def test_an_answer_in_drips_has_one_deadline(ca_file):
    enough = threading.Event()

    def drip(listening):
        with listening.accept()[0] as connection:
            while not enough.wait(0.05):
                connection.sendall(b"2")

    with socket.create_server(("127.0.0.1", 0)) as listening:
        server = threading.Thread(target=drip, args=(listening,))
        server.start()
        port = listening.getsockname()[1]
        sender = sender_for(None, ca_file, "none", port=port, command_timeout=0.5)
        try:
            with pytest.raises(Unreachable, match="did not answer"):
                sender.send(DRAFT, lambda: None)
        finally:
            enough.set()
            server.join(10)


def test_a_password_in_clear_is_found_by_the_probe_unless_it_stays_here(
    serve, ca_file, monkeypatch
):
    server = serve("none")
    assert all(f.ok for f in sender_for(server, ca_file, "none").probe())
    there = socket.getaddrinfo("127.0.0.1", server.port, type=socket.SOCK_STREAM)
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_args, **_kw: there)
    findings = {
        f.name: f for f in sender_for(server, ca_file, "none", host="mail.acme.example").probe()
    }
    assert not findings["encryption"].ok
    assert findings["sign-in"].ok


@pytest.mark.parametrize(("security", "port"), [("tls", 465), ("starttls", 587), ("none", 25)])
def test_ports_follow_from_security(security, port):
    assert KIND.options(host="mail.acme.example", security=security).effective_port == port


@pytest.mark.parametrize(
    "changes",
    [
        {"host": ""},
        {"host": "mail acme"},
        {"host": "crm@acme.example"},
        {"port": 0},
        {"port": 70_000},
        {"security": "ssl"},
        {"username": "crm"},
        {"password": PASSWORD},
        {"from": "crm@acme.example"},
        {"dot_timeout": 0},
    ],
)
def test_options_that_can_not_work_are_refused_without_the_password(changes):
    with pytest.raises(ValidationError) as caught:
        KIND.options(**{"host": "mail.acme.example"} | changes)
    assert PASSWORD not in str(caught.value)


def test_the_password_is_never_shown():
    options = KIND.options(
        host="h", username="crm", password=SecretStr(PASSWORD), ca_file=Path("ca.pem")
    )
    assert PASSWORD not in repr(options)
    assert PASSWORD not in options.model_dump_json()
