"""Connecting, TLS and sign-in at real doors: what fails, in which words, and what is never sent."""

import socket
import ssl
import threading
import traceback
from datetime import UTC, datetime
from functools import partial

import pytest
import trustme

from crm_sync.core.errors import Refused, Unreachable
from tests.servers.dovecot import PASSWORD, Dovecot
from tests.servers.recording_proxy import RecordingProxy


@pytest.fixture
def connect(build_imap):
    """Makes sources that do not wait for long."""
    return partial(
        build_imap,
        username="karin",
        password=PASSWORD,
        timeouts={"connect": 3, "read": 3, "answer": 5},
    )


def test_a_wrong_password_is_refused_and_never_shown(dovecot, connect):
    source = connect(
        host=dovecot.host, port=dovecot.port, security="none", password="hunter2-secret"
    )
    with pytest.raises(Refused) as caught:
        source.streams()
    assert caught.value.kind == "password"
    assert "the server refused the password of karin" in caught.value.what
    assert 'password = "secret:' in caught.value.advice
    assert caught.value.where == f"{dovecot.host}:{dovecot.port}"
    assert "hunter2" not in "".join(traceback.format_exception(caught.value))


@pytest.mark.parametrize(("username", "password"), [("karin\r\nX1 NOOP", "x"), ("karin", "x\n")])
def test_a_line_break_in_a_secret_puts_no_second_command_on_the_wire(
    dovecot, connect, username, password
):
    with RecordingProxy(dovecot.host, dovecot.port) as proxy:
        source = connect(
            host=proxy.host,
            port=proxy.port,
            security="none",
            username=username,
            password=password,
        )
        with pytest.raises(Refused) as caught:
            source.streams()
        assert "line break" in caught.value.what
        assert proxy.verbs() == ["CAPABILITY"]


def test_passwords_that_are_not_ascii_work_and_fail_like_others(dovecot, connect):
    server = Dovecot(password="lösenord")
    try:
        server.start()
        door = {"host": server.host, "port": server.port, "security": "none"}
        assert connect(**door, password="lösenord").streams()
    finally:
        server.remove()
    source = connect(host=dovecot.host, port=dovecot.port, security="none", password="lösenord")
    with pytest.raises(Refused) as caught:
        source.streams()
    assert "refused the password" in caught.value.what


@pytest.mark.parametrize("security", ["tls", "starttls"])
def test_tls_with_our_own_authority_works(dovecot, connect, security):
    port = dovecot.tls_port if security == "tls" else dovecot.port
    source = connect(host="localhost", port=port, security=security, ca_file=dovecot.ca_file)
    assert [s.name for s in source.streams()] == ["INBOX", "Sent"]


@pytest.mark.parametrize("security", ["tls", "starttls"])
def test_a_certificate_of_an_unknown_authority_is_refused(dovecot, connect, security):
    port = dovecot.tls_port if security == "tls" else dovecot.port
    with pytest.raises(Refused) as caught:
        connect(host="localhost", port=port, security=security).streams()
    assert (caught.value.kind, caught.value.scope) == ("certificate", "host")
    assert "certificate" in caught.value.what
    assert "ca_file" in caught.value.advice


def test_a_certificate_for_another_name_is_refused(connect, tmp_path):
    authority = trustme.CA()
    with a_tls_server(authority.issue_cert("other.example")) as port:
        authority.cert_pem.write_to_path(tmp_path / "ca.pem")
        source = connect(host="localhost", port=port, ca_file=tmp_path / "ca.pem")
        with pytest.raises(Refused) as caught:
            source.streams()
    assert "another name" in caught.value.what


def test_an_expired_certificate_is_refused(connect, tmp_path):
    authority = trustme.CA()
    expired = authority.issue_cert("localhost", not_after=datetime(2020, 1, 1, tzinfo=UTC))
    with a_tls_server(expired) as port:
        authority.cert_pem.write_to_path(tmp_path / "ca.pem")
        source = connect(host="localhost", port=port, ca_file=tmp_path / "ca.pem")
        with pytest.raises(Refused) as caught:
            source.streams()
    assert "expired" in caught.value.what


def test_without_starttls_the_password_is_not_sent_in_clear(dovecot, connect):
    with RecordingProxy(dovecot.host, dovecot.port) as proxy:
        proxy.on_answer = lambda line: line.replace(b" STARTTLS", b"") + b"\r\n"
        source = connect(host=proxy.host, port=proxy.port, security="starttls")
        with pytest.raises(Refused) as caught:
            source.streams()
        assert "STARTTLS" in caught.value.what
        assert proxy.verbs() == ["CAPABILITY"]


def test_words_slipped_in_before_tls_are_not_believed(dovecot, connect):
    """CVE-2011-0411: what came in clear behind the answer to STARTTLS must be thrown away."""
    with RecordingProxy(dovecot.host, dovecot.port) as proxy:

        def slip(line: bytes) -> bytes | None:
            if b"OK Begin TLS" in line:
                proxy.on_answer = None
                return line + b"\r\n* BYE go away\r\n* CAPABILITY NOTHING\r\n"
            return None

        proxy.on_answer = slip
        source = connect(
            host="localhost", port=proxy.port, security="starttls", ca_file=dovecot.ca_file
        )
        assert [s.name for s in source.streams()] == ["INBOX", "Sent"]


def test_a_port_that_does_not_speak_tls_is_told(dovecot, connect):
    with pytest.raises(Refused) as caught:
        connect(host=dovecot.host, port=dovecot.port, security="tls").streams()
    assert "does not speak TLS" in caught.value.what


def test_a_missing_authority_file_is_told(dovecot, connect, tmp_path):
    source = connect(host="localhost", port=dovecot.tls_port, ca_file=tmp_path / "none.pem")
    with pytest.raises(Refused) as caught:
        source.streams()
    assert "ca_file" in caught.value.advice


def test_an_unknown_host_is_unreachable(connect):
    with pytest.raises(Unreachable) as caught:
        connect(host="imap.acme.invalid").streams()
    assert "no such host" in caught.value.what


def test_a_closed_port_is_unreachable(connect):
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port = sock.getsockname()[1]
    with pytest.raises(Unreachable) as caught:
        connect(host="127.0.0.1", port=port, security="none").streams()
    assert "nobody listens" in caught.value.what
    assert (caught.value.kind, caught.value.scope) == ("network", "host")


@pytest.mark.parametrize("security", ["none", "tls"])
def test_a_server_that_never_says_a_word_is_unreachable(connect, security):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        source = connect(
            host="127.0.0.1",
            port=listener.getsockname()[1],
            security=security,
            timeouts={"connect": 0.3, "read": 0.3, "answer": 1},
        )
        with pytest.raises(Unreachable) as caught:
            source.streams()
    assert "silent" in caught.value.what


@pytest.mark.parametrize(
    ("greeting", "words"),
    [
        (b"220 mail.acme.example ESMTP\r\n", "closed the connection"),
        (b"* BYE [UNAVAILABLE] Too many connections\r\n", "too many connections"),
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", "closed the connection"),
        (b"\x00" * 5000, "closed the connection"),
    ],
)
def test_whoever_answers_is_not_believed_to_speak_imap(connect, greeting, words):
    with a_server(greeting) as port:
        with pytest.raises(Unreachable) as caught:
            connect(host="127.0.0.1", port=port, security="none").streams()
        assert words in caught.value.what


def test_too_many_connections_is_no_bad_password(connect):
    server = Dovecot(connections=1)
    try:
        server.start()
        one = connect(host=server.host, port=server.port, security="none")
        one.streams()
        with pytest.raises(Unreachable) as caught:
            connect(host=server.host, port=server.port, security="none").streams()
        assert caught.value.kind == "connections"
        assert "too many connections" in caught.value.what
    finally:
        server.remove()


def test_the_probe_names_the_step_that_failed(dovecot, connect):
    good = {"host": dovecot.host, "port": dovecot.port, "security": "none"}
    assert [f.ok for f in connect(**good).probe()] == [True, True, True]
    wrong = list(connect(**good, password="wrong").probe())
    assert [(f.name, f.ok) for f in wrong] == [("connect", True), ("sign in", False)]
    lacking = list(connect(**good, folders=["INBOX", "Kunder"]).probe())[-1]
    assert not lacking.ok
    assert "Kunder" in lacking.problem
    assert "INBOX" in lacking.advice


def test_building_does_not_connect(connect):
    connect(host="imap.acme.invalid").close()


# -- small servers -------------------------------------------------------------------------------


class a_server:  # noqa: N801  # reads as a phrase in a with statement
    """Says `greeting` to whoever connects, then waits for a word and hangs up."""

    def __init__(self, greeting: bytes, wrap=lambda sock: sock) -> None:
        self._greeting, self._wrap = greeting, wrap

    def __enter__(self) -> int:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()
        return self._listener.getsockname()[1]

    def __exit__(self, *_: object) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(5)

    def _serve(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            try:
                client = self._wrap(client)
                client.sendall(self._greeting)
                client.settimeout(0.2)
                client.recv(1000)
            except OSError:
                pass
            finally:
                client.close()


def a_tls_server(certificate) -> a_server:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    certificate.configure_cert(context)
    return a_server(b"* OK ready\r\n", lambda sock: context.wrap_socket(sock, server_side=True))
