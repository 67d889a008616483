"""A password goes to no server that does not want it, and doctor says when it goes unencrypted."""

import socket
import ssl
import threading
from base64 import b64decode
from contextlib import contextmanager
from functools import partial

import pytest

from crm_sync.core.errors import Refused
from tests.servers.scripted_imap import PASSWORD, PLAIN, USER, ScriptedImap

ONLY_TLS = "the server takes passwords only over TLS"
IN_CLEAR = "the password crosses the network unencrypted"


@pytest.fixture
def connect(build_imap):
    return partial(
        build_imap,
        username=USER,
        password=PASSWORD,
        timeouts={"connect": 3, "read": 3, "answer": 5},
    )


@pytest.mark.parametrize("offered", [{"LOGINDISABLED"}, {"LOGINDISABLED", "AUTH=PLAIN"}])
def test_a_password_is_not_sent_in_clear_where_the_server_forbids_it(connect, offered):
    with ScriptedImap(PLAIN | offered) as server:
        source = connect(host=server.host, port=server.port, security="none")
        with pytest.raises(Refused) as caught:
            source.streams()
        assert caught.value.sentence() == (
            f'{server.host}:{server.port}: {ONLY_TLS}. Write security = "tls" or "starttls".'
        )
        assert caught.value.kind == "settings"
        *_, finding = source.probe()
        assert (finding.name, finding.ok, finding.problem) == ("sign in", False, ONLY_TLS)
        assert set(server.verbs()) <= {"CAPABILITY"}
        assert not any(PASSWORD.encode() in line for line in server.history)


@pytest.fixture
def over_tls(certificate, ca_file):
    """A server behind TLS that takes every password; what was said to it, after the tags."""

    @contextmanager
    def running(capabilities):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        certificate.configure_cert(context)
        said = []

        def converse(listening):
            with listening.accept()[0] as plain, context.wrap_socket(plain, server_side=True) as s:
                s.sendall(b"* OK [CAPABILITY %b] hello\r\n" % capabilities)
                for line in s.makefile("rb"):
                    tag, _, words = line.strip().partition(b" ")
                    said.append(words)
                    if words == b"CAPABILITY":
                        s.sendall(b"* CAPABILITY %b\r\n" % capabilities)
                    s.sendall(tag + b" OK done\r\n")

        with socket.create_server(("127.0.0.1", 0)) as listening:
            listening.settimeout(10)
            thread = threading.Thread(target=converse, args=(listening,))
            thread.start()
            door = {"host": "127.0.0.1", "port": listening.getsockname()[1], "ca_file": ca_file}
            yield door, said
            thread.join(10)

    return running


def test_behind_tls_sasl_plain_is_used_where_login_is_forbidden(connect, over_tls):
    with over_tls(b"IMAP4rev1 LOGINDISABLED SASL-IR AUTH=PLAIN") as (door, said):
        source = connect(**door)
        found = [f.name for f in source.probe() if f.ok]
        source.close()
    assert found[:2] == ["connect", "sign in"]
    assert not any(words.startswith(b"LOGIN") for words in said)
    (signed_in,) = [words for words in said if words.startswith(b"AUTHENTICATE PLAIN ")]
    assert b64decode(signed_in.split()[2]) == f"\0{USER}\0{PASSWORD}".encode()


def test_behind_tls_a_server_without_passwords_is_told_as_such(connect, over_tls):
    with over_tls(b"IMAP4rev1 LOGINDISABLED AUTH=XOAUTH2") as (door, said):
        source = connect(**door)
        with pytest.raises(Refused) as caught:
            source.streams()
        source.close()
    assert caught.value.what == "the server offers no sign-in by password"
    assert caught.value.advice == 'It may want OAuth 2.0: auth = "xoauth2".'
    assert set(said) <= {b"CAPABILITY"}


# -- what doctor says ----------------------------------------------------------------------------


def test_doctor_says_that_a_password_goes_in_clear_unless_it_stays_here(connect, monkeypatch):
    with ScriptedImap() as server:
        here = connect(host=server.host, port=server.port, security="none")
        assert all(finding.ok for finding in here.probe())
        there = socket.getaddrinfo("127.0.0.1", server.port, type=socket.SOCK_STREAM)
        monkeypatch.setattr(socket, "getaddrinfo", lambda *_args, **_kw: there)
        away = connect(host="imap.acme.example", port=server.port, security="none")
        findings = {finding.name: finding for finding in away.probe()}
    told = findings["encryption"]
    assert (told.ok, told.problem) == (False, IN_CLEAR)
    assert told.advice == 'Set security = "starttls" or "tls".'
    assert findings["sign in"].ok


def test_doctor_names_host_and_port_where_there_is_no_connection(connect):
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    (finding,) = connect(host="127.0.0.1", port=port, security="none").probe()
    assert (finding.name, finding.ok) == ("connect", False)
    assert finding.problem == f"127.0.0.1:{port}: nobody listens there"
    (finding,) = connect(host="imap.acme.invalid").probe()
    assert finding.problem == "imap.acme.invalid:993: no such host"


@pytest.mark.parametrize("security", ["tls", "starttls"])
def test_a_silent_server_on_an_unusual_port_may_want_the_other_security(connect, security):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        source = connect(
            host="127.0.0.1",
            port=port,
            security=security,
            timeouts={"connect": 0.3, "read": 0.3, "answer": 1},
        )
        (finding,) = source.probe()
    assert finding.problem == f"127.0.0.1:{port}: the server is silent"
    assert finding.advice == (
        'Check security and port: 993 is "tls", 143 "starttls". '
        "It may be overloaded or behind a firewall; trying again later."
    )


@pytest.mark.parametrize(
    ("security", "port", "is_named"),
    [
        ("starttls", 993, True),
        ("tls", 143, True),
        ("none", 993, True),
        ("tls", 993, False),
        ("starttls", 143, False),
    ],
)
def test_security_is_only_doubted_where_the_port_is_another_ones(security, port, is_named):
    from datetime import UTC, datetime

    from connectors.imap import failures
    from connectors.imap.options import ImapOptions

    options = ImapOptions(
        host="imap.acme.example", port=port, security=security, username="u", password="p"
    )
    error = failures.connecting(TimeoutError(), options, datetime(2026, 3, 4, tzinfo=UTC))
    assert ("Check security" in error.advice) is is_named
    assert error.what == "the server is silent"
