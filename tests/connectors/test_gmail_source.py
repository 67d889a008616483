"""Gmail: All Mail alone, its settings told, its limits kept, signed in by a person."""

import uuid
from datetime import UTC, timedelta

import pytest
from pydantic import ValidationError

from connectors.imap.gmail import KIND, GmailOptions
from crm_sync.core.errors import Refused, Throttled, Unreachable
from crm_sync.core.records import Locator
from crm_sync.ports import Metered, Surroundings
from tests.connectors.oauth_parts import MAIL, MemoryTokens, signed_in
from tests.contract import test_imap_contract as imap
from tests.servers.oauth_server import OAuthServer

NOW = imap.NOW
ACCOUNT = "karin@acme.example/gmail"


@pytest.fixture
def dovecot(dovecot_with_tokens):
    return dovecot_with_tokens


def gmail(provider, proxy, clock, **options):
    """A source of somebody who has signed in."""
    chosen = provider.options | {
        "host": proxy.host,
        "port": proxy.port,
        "security": "none",
        "username": provider.user,
        "timeouts": {"connect": 5, "read": 10, "answer": 20},
        "since": "all",
    }
    chosen |= options
    chosen.pop("scope")
    tokens = MemoryTokens(signed_in(provider, clock.now()).dumps())
    return KIND.build(KIND.options(**chosen), Surroundings(ACCOUNT, clock, UTC, tokens))


@pytest.fixture
def source(provider, proxy, clock, dovecot):
    dovecot.add_user(provider.user)
    source = gmail(provider, proxy, clock)
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


def test_all_mail_alone_is_read_whatever_it_is_called(provider, dovecot, source):
    for number, folder in enumerate(["INBOX", "Sent", "Junk", "Trash", "Drafts", "All Mail"]):
        dovecot.append(provider.user, folder, MAIL % number)
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


def test_gmails_own_numbers_come_with_a_message_in_whatever_order(provider, dovecot, source, proxy):
    """Dovecot plays Gmail: the proxy takes the two items out of the question and puts them in again."""
    dovecot.append(provider.user, "All Mail", MAIL % 1)
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
    provider, dovecot, source, proxy
):
    dovecot.append(provider.user, "All Mail", b"X-GM-THRID: 7\r\n" + MAIL % 1)
    (stream,) = source.streams()
    (page,) = source.pull(stream, None, dict)
    assert "x-gm-thrid" not in page.items[0].envelope.signs
    assert not any(b"X-GM" in line for line in proxy.commands)


# -- limits --------------------------------------------------------------------------------------


def test_one_connection_is_enough(provider, dovecot, source, proxy):
    for number in range(5):
        dovecot.append(provider.user, "All Mail", MAIL % number)
        for stream in source.streams():
            list(source.pull(stream, None, dict))
    assert proxy.connections == 1


def test_watching_makes_two_and_never_more_than_two_connections(provider, dovecot, source, proxy):
    proxy.on_answer = lambda line: line.replace(b" NOTIFY", b"") + b"\r\n"
    dovecot.append(provider.user, "All Mail", MAIL % 1)
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


def test_a_session_is_renewed_before_its_hour_ends(provider, source, proxy, clock):
    source.streams()
    clock.advance(timedelta(minutes=52))
    source.streams()
    assert proxy.connections == 1
    clock.advance(timedelta(minutes=4))
    source.streams()
    assert proxy.connections == 2


def test_history_keeps_to_a_share_of_what_gmail_allows(provider, dovecot, source):
    assert isinstance(source, Metered)
    assert source.daily_octets == 1_500_000_000
    dovecot.append(provider.user, "All Mail", MAIL % 1)
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


def test_too_many_connections_are_no_wrong_sign_in(provider, source, proxy):
    said = b" NO [ALERT] Too many simultaneous connections. (Failure)\r\n"
    proxy.on_command = lambda line: line.split()[0] + said if b"AUTHENTICATE" in line else None
    with pytest.raises(Unreachable) as caught:
        source.streams()
    assert "too many connections" in caught.value.what
    assert provider.forms == []


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


def test_an_app_password_does_it_too(provider, dovecot, proxy, clock):
    options = KIND.options(
        host=proxy.host,
        port=proxy.port,
        security="none",
        username=provider.user,
        auth="password",
        password="pass",
    )
    source = KIND.build(options, Surroundings(ACCOUNT, clock, UTC))
    assert [stream.name for stream in source.streams()] == ["All Mail"]
    source.close()
