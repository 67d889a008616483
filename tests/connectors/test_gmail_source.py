"""Gmail: All Mail alone, its settings told, its limits kept, people and service accounts."""

import base64
import json
import sys
import uuid
from datetime import UTC, datetime, timedelta

import pytest
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from pydantic import ValidationError

from connectors.imap.gmail import KIND, GmailOptions
from connectors.oauth.grant import AccessToken, Grant
from crm_sync.core.errors import Refused, Throttled, Unreachable, UsageError
from crm_sync.core.records import Locator
from crm_sync.ports import Metered, Surroundings
from crm_sync.testing.clock import FixedClock
from tests.connectors.test_oauth_access import MemoryTokens
from tests.contract import test_imap_contract as imap
from tests.servers.dovecot import MISSING, binary
from tests.servers.oauth_server import CLIENT, Fault, OAuthServer
from tests.servers.recording_proxy import RecordingProxy

NOW = imap.NOW
ACCOUNT = "karin@acme.example/gmail"
MAIL = b"From: Lena <lena@nordvik.example>\r\nSubject: Hi\r\nMessage-ID: <%d@x.example>\r\n\r\ntext\r\n"


@pytest.fixture(scope="module")
def dovecot():
    if binary() is None:
        pytest.skip(MISSING)
    server = OAuthServer.dovecot()
    try:
        server.start()
        yield server
    finally:
        server.remove()


@pytest.fixture
def server():
    with OAuthServer(f"karin-{uuid.uuid4().hex[:8]}@acme.example") as server:
        yield server


@pytest.fixture
def proxy(dovecot):
    with RecordingProxy(dovecot.host, dovecot.port) as proxy:
        yield proxy


@pytest.fixture
def clock():
    return FixedClock(NOW)


def gmail(server, proxy, clock, **options):
    """A source of somebody who has signed in."""
    token = AccessToken(server.jwt(), clock.now() + timedelta(hours=1))
    grant = Grant(CLIENT, server.refresh_token(), token, clock.now() - timedelta(minutes=10))
    chosen = server.options | {
        "host": proxy.host,
        "port": proxy.port,
        "security": "none",
        "username": server.user,
        "timeouts": {"connect": 5, "read": 10, "answer": 20},
        "since": "all",
    }
    chosen |= options
    chosen.pop("scope")
    return KIND.build(
        KIND.options(**chosen), Surroundings(ACCOUNT, clock, UTC, MemoryTokens(grant.dumps()))
    )


@pytest.fixture
def source(server, proxy, clock, dovecot):
    dovecot.add_user(server.user)
    source = gmail(server, proxy, clock)
    yield source
    source.close()


# -- the promises of a source --------------------------------------------------------------------


class AllMailBackstage(imap.DovecotBackstage):
    stream_name = "All Mail"

    def __init__(self, dovecot, proxy, user):
        self.dovecot, self.proxy, self.user = dovecot, proxy, user
        self.uids = {}
        dovecot.add_user(user)

    def reset(self):
        """Dovecot can't rename a folder and keep its special use: the mails come again instead."""
        with self.dovecot.client(self.user) as client:
            client.create_folder("Old")
            client.select_folder(self.stream_name)
            client.move(client.search(), "Old")
            client.unselect_folder()
            client.delete_folder(self.stream_name)
            client.create_folder(self.stream_name)
            client.select_folder("Old")
            client.copy(client.search(), self.stream_name)


class TestGmail(imap.TestImap):
    @pytest.fixture
    def server(self, dovecot, proxy):
        return AllMailBackstage(dovecot, proxy, f"karin-{uuid.uuid4().hex[:8]}@acme.example")

    @pytest.fixture
    def source(self, server, clock):
        with OAuthServer(server.user) as provider:
            source = gmail(provider, server.proxy, clock, page_size=self.page_size, since="90d")
            yield source
            source.close()
        assert server.proxy.only_read(), server.proxy.verbs()
        assert server.proxy.verbs().count("LOGIN") == 0


# -- which folders -------------------------------------------------------------------------------


def test_all_mail_alone_is_read_whatever_it_is_called(server, dovecot, source):
    for number, folder in enumerate(["INBOX", "Sent", "Junk", "Trash", "Drafts", "All Mail"]):
        dovecot.append(server.user, folder, MAIL % number)
    (stream,) = source.streams()
    (page,) = source.pull(stream, None, dict)
    assert stream.name == "All Mail"
    assert [item.envelope.message_id for item in page.items] == ["<5@x.example>"]


def test_its_name_does_not_matter_but_its_use_does(source, proxy):
    proxy.on_answer = lambda line: line.replace(b'"All Mail"', b'"Alla mejl"') + b"\r\n"
    assert [stream.name for stream in source.streams()] == ["Alla mejl"]


def test_a_hidden_all_mail_is_refused_with_the_place_of_the_switch(source, proxy):
    proxy.on_answer = lambda line: b"" if b"All Mail" in line else None
    with pytest.raises(Refused) as caught:
        source.streams()
    assert "All Mail is hidden" in caught.value.what
    assert "Show in IMAP" in caught.value.advice
    last = list(source.probe())[-1]
    assert not last.ok
    assert "Show in IMAP" in last.advice


@pytest.mark.parametrize(("count", "told"), [(1000, True), (10000, True), (999, False)])
def test_a_folder_that_stops_at_a_round_number_is_told(source, proxy, count, told):
    proxy.on_answer = lambda line: line.replace(b"MESSAGES 0", b"MESSAGES %d" % count) + b"\r\n"
    problems = [f.problem for f in source.probe() if f.name == "folder size"]
    assert bool(problems) is told


def test_gmails_own_numbers_come_with_a_message_in_whatever_order(server, dovecot, source, proxy):
    """Dovecot plays Gmail: the proxy takes the two items out of the question and puts them in again."""
    dovecot.append(server.user, "All Mail", MAIL % 1)
    asked = b" X-GM-MSGID X-GM-THRID"
    numbers = b"X-GM-THRID 1278455344230334865 X-GM-MSGID 18446744073709551615 "
    proxy.rewrite = lambda line: line.replace(asked, b"")
    proxy.on_answer = lambda line: (
        line.replace(b"LIST-STATUS", b"LIST-STATUS X-GM-EXT-1").replace(
            b" FETCH (", b" FETCH (" + numbers
        )
        + b"\r\n"
    )
    (stream,) = source.streams()
    (page,) = source.pull(stream, None, dict)
    (item,) = page.items
    assert item.envelope.signs["x-gm-msgid"] == "18446744073709551615"
    assert item.envelope.signs["x-gm-thrid"] == "1278455344230334865"
    assert item.envelope.subject == "Hi"
    assert any(asked in line for line in proxy.commands)


def test_a_mail_can_not_give_itself_a_number_and_other_servers_are_not_asked(
    server, dovecot, source, proxy
):
    dovecot.append(server.user, "All Mail", b"X-GM-THRID: 7\r\n" + MAIL % 1)
    (stream,) = source.streams()
    (page,) = source.pull(stream, None, dict)
    assert "x-gm-thrid" not in page.items[0].envelope.signs
    assert not any(b"X-GM" in line for line in proxy.commands)


# -- limits --------------------------------------------------------------------------------------


def test_one_connection_is_enough(server, dovecot, source, proxy):
    for number in range(5):
        dovecot.append(server.user, "All Mail", MAIL % number)
        for stream in source.streams():
            list(source.pull(stream, None, dict))
    assert proxy.connections == 1


def test_watching_makes_two_and_never_more_than_two_connections(server, dovecot, source, proxy):
    proxy.on_answer = lambda line: line.replace(b" NOTIFY", b"") + b"\r\n"
    dovecot.append(server.user, "All Mail", MAIL % 1)
    (stream,) = source.streams()
    (page,) = source.pull(stream, None, dict)
    watch = source.watch()
    for _ in range(3):
        source.streams()
        (body,) = source.read([Locator(stream.key, page.items[0].key)])
        assert body.text == "text"
        watch.ready()
    assert proxy.connections == 2
    assert any(b'EXAMINE "All Mail"' in line for line in proxy.commands)


def test_a_session_is_renewed_before_its_hour_ends(server, source, proxy, clock):
    source.streams()
    clock.advance(timedelta(minutes=52))
    source.streams()
    assert proxy.connections == 1
    clock.advance(timedelta(minutes=4))
    source.streams()
    assert proxy.connections == 2


def test_history_keeps_to_a_share_of_what_gmail_allows(server, dovecot, source):
    assert isinstance(source, Metered)
    assert source.daily_octets == 1_500_000_000
    dovecot.append(server.user, "All Mail", MAIL % 1)
    source.want_history(wanted=False)
    (stream,) = source.streams()
    (page,) = source.pull(stream, None, dict)
    assert page.items == ()
    assert source.left_history_out
    source.want_history(wanted=True)
    (page,) = source.pull(stream, page.cursor, dict)
    assert page.history
    assert len(page.items) == 1


@pytest.mark.parametrize("where", [b"AUTHENTICATE", b"LIST"])
def test_a_used_up_share_of_traffic_rests_an_hour(source, proxy, where):
    said = b"NO [OVERQUOTA] Account exceeded command or bandwidth limits."
    proxy.on_command = lambda line: (
        line.split()[0] + b" " + said + b"\r\n" if where in line else None
    )
    with pytest.raises(Throttled) as caught:
        source.streams()
    assert caught.value.retry_at == NOW + timedelta(hours=1)


def test_too_many_connections_are_no_wrong_sign_in(server, source, proxy):
    said = b" NO [ALERT] Too many simultaneous connections. (Failure)\r\n"
    proxy.on_command = lambda line: line.split()[0] + said if b"AUTHENTICATE" in line else None
    with pytest.raises(Unreachable) as caught:
        source.streams()
    assert "too many connections" in caught.value.what
    assert server.forms == []


# -- a whole Workspace ----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def key():
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


@pytest.fixture
def key_file(tmp_path, key):
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    file = tmp_path / "robot.json"
    info = {"client_email": "crm@project.example", "private_key": pem, "private_key_id": "k1"}
    file.write_text(json.dumps(info | {"type": "service_account"}))
    return file


def robot(server, proxy, clock, key_file):
    options = KIND.options(
        host=proxy.host,
        port=proxy.port,
        security="none",
        username=server.user,
        service_account_file=key_file,
        token_url=server.options["token_url"],
    )
    return KIND.build(options, Surroundings(ACCOUNT, clock, UTC))


def test_a_service_account_opens_a_users_mailbox_and_signs_for_that_user(
    server, proxy, clock, key_file, key
):
    source = robot(server, proxy, clock, key_file)
    assert [stream.name for stream in source.streams()] == ["All Mail"]
    source.close()
    (form,) = server.forms
    head, claims, signature = form["assertion"].split(".")
    key.public_key().verify(
        _decoded(signature), f"{head}.{claims}".encode(), padding.PKCS1v15(), SHA256()
    )
    said = json.loads(_decoded(claims))
    assert said["sub"] == server.user
    assert said["iss"] == "crm@project.example"
    assert said["scope"] == "https://mail.google.com/"
    assert said["aud"] == server.options["token_url"]
    assert said["iat"] == NOW.timestamp()
    assert said["exp"] == said["iat"] + 3600


def test_a_service_accounts_token_is_kept_for_its_hour(server, proxy, clock, key_file):
    source = robot(server, proxy, clock, key_file)
    for minutes in (0, 30, 20, 10):
        clock.advance(timedelta(minutes=minutes))
        source.streams()
    source.close()
    assert server.count("jwt-bearer") == 2


def test_a_brand_new_token_of_a_service_account_that_is_rejected_is_not_asked_for_again(
    server, proxy, clock, key_file
):
    server.expired = True
    source = robot(server, proxy, clock, key_file)
    with pytest.raises(Refused) as caught:
        source.streams()
    source.close()
    assert "crm-sync login" not in caught.value.advice
    assert "Workspace" in caught.value.advice
    assert len(server.forms) == 1
    assert proxy.verbs().count("AUTHENTICATE") == 1


@pytest.mark.parametrize(
    ("fault", "kind", "words"),
    [
        (Fault.error("unauthorized_client", 401), Refused, "Domain-wide delegation"),
        (Fault.error("access_denied"), Refused, "Domain-wide delegation"),
        (Fault.error("invalid_grant"), Refused, "this machine's clock"),
        (Fault.error("invalid_client", 401), Refused, "service_account_file"),
        (Fault(500), Unreachable, "later"),
        (Fault(429, b"", {"Retry-After": "60"}), Throttled, ""),
    ],
)
def test_a_service_account_that_is_not_let_in_is_told_why(
    server, proxy, clock, key_file, fault, kind, words
):
    server.faults = [fault]
    source = robot(server, proxy, clock, key_file)
    with pytest.raises(kind) as caught:
        source.streams()
    assert words in caught.value.advice
    assert "crm-sync login" not in caught.value.advice
    assert server.faults == []


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("no json", "is no JSON"),
        ("[]", "is not the key of a service account"),
        ('{"client_email": "x"}', "is not the key of a service account"),
        ('{"client_email": "x", "private_key": "canary"}', "can't be used"),
        (None, "can't be read"),
    ],
)
def test_a_bad_key_file_is_told_and_not_quoted(server, proxy, clock, key_file, text, words):
    if text is None:
        key_file.unlink()
    else:
        key_file.write_text(text)
    source = robot(server, proxy, clock, key_file)
    with pytest.raises(Refused) as caught:
        source.streams()
    assert words in caught.value.what
    assert "canary" not in caught.value.sentence()
    finding = list(source.probe())[-1]
    assert not finding.ok


def test_a_missing_package_is_told(server, proxy, clock, key_file, monkeypatch):
    monkeypatch.setitem(sys.modules, "google.auth", None)
    with pytest.raises(Refused) as caught:
        robot(server, proxy, clock, key_file).streams()
    assert 'pip install "crm-sync[google]"' in caught.value.advice


# -- options and sign-in ----------------------------------------------------------------------------


def test_gmail_needs_little():
    options = GmailOptions(username="karin@acme.example", client_id="x", client_secret="y")
    assert options.where == "imap.gmail.com:993"
    assert options.security == "tls"
    assert options.auth == "xoauth2"


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({}, "client_id is missing"),
        ({"client_id": "x", "folders": ["INBOX"]}, "from All Mail"),
        ({"client_id": "x", "tenant": "acme.example"}, "no meaning at Gmail"),
        ({"client_id": "x", "service_account_file": "f"}, "not both"),
        ({"client_id": "x", "password": "p"}, "password has no meaning"),
    ],
)
def test_options_that_do_not_fit_gmail_are_told(options, words):
    with pytest.raises(ValidationError) as caught:
        GmailOptions(username="karin@acme.example", **options)
    assert words in str(caught.value)


def test_an_app_password_does_it_too(server, dovecot, proxy, clock):
    options = KIND.options(
        host=proxy.host,
        port=proxy.port,
        security="none",
        username=server.user,
        auth="password",
        password="pass",
    )
    source = KIND.build(options, Surroundings(ACCOUNT, clock, UTC))
    assert [stream.name for stream in source.streams()] == ["All Mail"]
    source.close()


@pytest.mark.parametrize("how", ["password", "robot"])
def test_without_a_person_there_is_no_sign_in(how, key_file):
    chosen = (
        {"auth": "password", "password": "p"}
        if how == "password"
        else {"service_account_file": key_file}
    )
    options = KIND.options(username="karin@acme.example", **chosen)
    with pytest.raises(UsageError) as caught:
        KIND.login(
            options, Surroundings(ACCOUNT, FixedClock(datetime(2026, 3, 4, tzinfo=UTC)), UTC), None
        )
    assert "doctor" in caught.value.advice


def _decoded(text):
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
