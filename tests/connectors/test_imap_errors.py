"""Why a mailbox can't be read, as sentences that say what to do; never with a secret in them."""

import socket
import threading
import traceback
from datetime import UTC, datetime, timedelta

import pytest
import trustme
from pydantic import ValidationError

from connectors.imap import KIND, failures
from connectors.imap.options import ImapOptions
from connectors.imap.wire import ConnectionLost, Garbled
from crm_sync.core.errors import Refused, Throttled, Unreachable
from crm_sync.ports import Surroundings
from crm_sync.testing.clock import FixedClock
from tests.servers.dovecot import PASSWORD, Dovecot
from tests.servers.recording_proxy import RecordingProxy

NOW = datetime(2026, 3, 4, 12, tzinfo=UTC)
OPTIONS = ImapOptions(host="imap.acme.example", username="karin", password="hunter2-secret")


@pytest.fixture
def connect():
    opened = []

    def build(**options):
        chosen = {"username": "karin", "password": PASSWORD, **options}
        chosen.setdefault("timeouts", {"connect": 3, "read": 3, "answer": 5})
        source = KIND.build(
            KIND.options(**chosen), Surroundings("karin/imap", FixedClock(NOW), UTC)
        )
        opened.append(source)
        return source

    yield build
    for source in opened:
        source.close()


# -- what servers say at the sign-in -------------------------------------------------------------


@pytest.mark.parametrize(
    ("said", "error", "kind", "words"),
    [
        (b"[AUTHENTICATIONFAILED] Authentication failed.", Refused, "password", "refused the password of karin"),
        (b"[AUTHENTICATIONFAILED] Invalid credentials (Failure)", Refused, "password", "password of karin"),
        (b"[AUTHENTICATIONFAILED] LOGIN invalid credentials or IMAP is disabled", Refused, "password", "password of karin"),
        (b"[AUTHENTICATIONFAILED] Too many tries, try again later", Refused, "password", "password of karin"),
        (b"LOGIN failed.", Refused, "sign_in", "refused the password of karin"),
        (b"AUTHENTICATE failed.", Refused, "sign_in", "refused the password of karin"),
        (b"[EXPIRED] your password", Refused, "password", "has expired"),
        (b"[ALERT] Application-specific password required", Refused, "policy", "app password"),
        (b"[WEBALERT x] Web login required.", Refused, "policy", "browser"),
        (b"[ALERT] Please log in via your web browser", Refused, "policy", "browser"),
        (b"IMAP access is disabled for your domain.", Refused, "policy", "IMAP is switched off"),
        (b"[ALERT] You are yet to enable IMAP for your account.", Refused, "policy", "IMAP is switched off"),
        (b"[AUTHORIZATIONFAILED] no", Refused, "permission", "may not use this mailbox"),
        (b"[PRIVACYREQUIRED] no", Refused, "settings", "only over TLS"),
        (b"[UNAVAILABLE] User is over quota of connections", Unreachable, "unavailable", "not available"),
        (b"[UNAVAILABLE] Too many simultaneous connections", Unreachable, "connections", "too many"),
        (b"[LIMIT] Maximum number of connections from user+IP", Unreachable, "connections", "too many connections"),
        (b"[ALERT] Too many simultaneous connections. (Failure)", Unreachable, "connections", "too many"),
        (b"[CONTACTADMIN] no", Unreachable, "unavailable", "fault of its own"),
        (b"Server Unavailable. 15", Unreachable, "unavailable", "not available"),
        (b"[OVERQUOTA] Account exceeded bandwidth limits.", Throttled, "quota", "share of traffic"),
        (b"Request is throttled. Suggested Backoff Time: 92415 milliseconds", Throttled, "throttled", "a pause"),
    ],
)  # fmt: skip
def test_a_no_at_the_sign_in_is_told_apart(said, error, kind, words):
    told = failures.signing_in(said, OPTIONS, NOW)
    assert (type(told), told.kind) == (error, kind)
    assert words in told.what
    assert told.where == "imap.acme.example:993"
    assert told.advice
    assert "hunter2" not in told.sentence()


@pytest.mark.parametrize(
    ("said", "error", "kind", "wait"),
    [
        (b"Request is throttled. Suggested Backoff Time: 92415 milliseconds", Throttled, "throttled", 92.415),
        (b"Suggested Backoff Time: 999999999 milliseconds", Throttled, "throttled", 86400),
        (b"[OVERQUOTA] Account exceeded command or bandwidth limits.", Throttled, "quota", 3600),
        (b"[THROTTLED] slow", Throttled, "throttled", None),
        (b"[LIMIT] too much of something", Unreachable, "connections", None),
        (b"[SERVERBUG] no", Unreachable, "unavailable", None),
        (b"User is authenticated but not connected.", Unreachable, "policy", None),
        (b"[NOPERM] no", Refused, "permission", None),
        (b"whatever", Unreachable, "", None),
    ],
)  # fmt: skip
def test_a_no_to_a_command_is_told_apart(said, error, kind, wait):
    told = failures.answer(said, "EXAMINE", "imap.acme.example:993", NOW)
    assert (type(told), told.kind) == (error, kind)
    if wait is not None:
        assert isinstance(told, Throttled)
        assert told.retry_at == NOW + timedelta(seconds=wait)


@pytest.mark.parametrize(
    ("broken", "error", "kind", "scope"),
    [
        (ConnectionLost("Session expired, please login again"), Throttled, "quota", "account"),
        (ConnectionLost("[UNAVAILABLE] Too many connections"), Unreachable, "connections", "account"),
        (ConnectionLost("Session invalidated - AccessTokenExpired"), Unreachable, "network", "account"),
        (ConnectionLost("Connection closed"), Unreachable, "network", "account"),
        (ConnectionResetError("reset"), Unreachable, "network", "host"),
        (ConnectionRefusedError("no"), Unreachable, "network", "host"),
        (socket.gaierror("no such name"), Unreachable, "network", "host"),
        (TimeoutError(), Unreachable, "network", "host"),
        (Garbled("x"), Unreachable, "network", "account"),
    ],
)  # fmt: skip
def test_a_connection_that_fails_tells_whether_it_is_the_host_or_the_account(
    broken, error, kind, scope
):
    told = failures.connecting(broken, OPTIONS, NOW)
    assert (type(told), told.kind, told.scope) == (error, kind, scope)


def test_a_refused_token_is_a_matter_of_consent_and_not_of_a_password():
    options = ImapOptions(
        host="imap.acme.example", username="karin", auth="xoauth2", client_id="x", tenant="t"
    )
    remedy = "Sign in as the address in username: crm-sync login karin@acme.example/imap"
    told = failures.signing_in(b"[AUTHENTICATIONFAILED] no", options, NOW, remedy)
    assert (told.kind, told.advice) == ("consent", remedy)
    assert failures.signing_in(b"AUTHENTICATE failed.", options, NOW, remedy).kind == "sign_in"


def test_what_a_server_says_is_never_repeated():
    error = failures.answer(b"NO \x1b[31m<script>Lena's offer</script>", "FETCH", "x:1", NOW)
    assert "Lena" not in error.sentence()


# -- real doors ----------------------------------------------------------------------------------


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


@pytest.mark.parametrize(
    "wrong",
    [
        {"hots": "x"},
        {"since": "90 parsecs"},
        {"since": "2 business days"},
        {"port": 0},
        {"port": 70000},
        {"security": "ssl"},
        {"host": "imaps://x"},
        {"username": ""},
        {"timeouts": {"connect": 0}},
    ],
)
def test_wrong_options_are_told(wrong):
    with pytest.raises(ValidationError):
        ImapOptions(**{"host": "h", "username": "u", "password": "p", **wrong})


def test_options_have_sensible_defaults():
    assert (OPTIONS.effective_port, OPTIONS.reach) == (993, timedelta(days=90))
    clear = OPTIONS.model_copy(update={"security": "starttls", "since": "all"})
    assert (clear.effective_port, clear.reach) == (143, None)
    assert "hunter2" not in repr(OPTIONS)


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
    import ssl

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    certificate.configure_cert(context)
    return a_server(b"* OK ready\r\n", lambda sock: context.wrap_socket(sock, server_side=True))
