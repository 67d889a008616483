"""Signing a person in: by a browser, by pasting the address back, by a code; and every no."""

import http.client
import queue
import threading
from datetime import UTC, datetime
from urllib.parse import parse_qs, urlsplit

import pytest
from pydantic import ValidationError

from connectors.oauth import sign_in as signing
from connectors.oauth.grant import Grant
from connectors.oauth.options import OAuthOptions
from connectors.oauth.provider import provider_of
from crm_sync.core.errors import Refused, Unreachable, UsageError
from crm_sync.ports import Surroundings
from crm_sync.testing.clock import FixedClock
from tests.connectors.oauth_parts import ACCOUNT, MemoryTokens
from tests.servers.oauth_server import CLIENT, Fault, OAuthServer

NOW = datetime(2026, 3, 4, 12, tzinfo=UTC)


class Person:
    """Reads what is shown; `browse` does with the address what the test wants."""

    def __init__(self, browse=None, *, wants_code=False):
        self.wants_code = wants_code
        self.shown = []
        self._typed = queue.Queue()
        self._browse = browse

    def show(self, text):
        self.shown.append(text)
        if text.startswith("http") and self._browse:
            self._browse(self, text)

    def line(self, seconds):
        try:
            return self._typed.get(timeout=seconds)
        except queue.Empty:
            return None

    def types(self, text):
        self._typed.put(text)


def landing_of(address):
    """Signs in at the provider; the address at which the browser lands."""
    parts = urlsplit(address)
    connection = http.client.HTTPConnection(parts.netloc, timeout=10)
    connection.request("GET", f"{parts.path}?{parts.query}")
    answer = connection.getresponse()
    answer.read()
    connection.close()
    assert answer.status == 302
    return answer.getheader("Location")


def visit(address):
    """What the browser sees at that address."""
    parts = urlsplit(address)
    connection = http.client.HTTPConnection("127.0.0.1", parts.port, timeout=10)
    connection.request("GET", f"{parts.path}?{parts.query}" if parts.query else parts.path)
    answer = connection.getresponse()
    body = answer.read().decode()
    connection.close()
    return answer.status, body, answer.headers


def lands(_person, address):
    threading.Thread(target=lambda: visit(landing_of(address)), daemon=True).start()


def pastes(person, address):
    person.types(landing_of(address))


@pytest.fixture
def server():
    with OAuthServer() as server:
        yield server


@pytest.fixture
def place():
    return MemoryTokens()


def sign_in(server, place, person, **options):
    provider = provider_of(OAuthOptions(**server.options | options), (), None)
    surroundings = Surroundings(ACCOUNT, FixedClock(NOW), UTC, place)
    signing.sign_in(provider, "karin@acme.example", surroundings, person)


# -- the ways in ---------------------------------------------------------------------------------


@pytest.mark.parametrize("browse", [lands, pastes])
def test_a_sign_in_is_saved(server, place, browse):
    sign_in(server, place, Person(browse))
    grant = Grant.loads(place.text)
    assert grant.client_id == CLIENT
    assert grant.refresh_token in server.issued
    assert grant.access.text in server.issued
    assert grant.renewed_at == NOW


def test_the_request_asks_for_what_was_configured_and_proves_itself(server, place):
    person = Person(pastes)
    sign_in(server, place, person)
    (address,) = [text for text in person.shown if text.startswith("http")]
    asked = {k: v[0] for k, v in parse_qs(urlsplit(address).query).items()}
    assert asked["scope"] == "https://mail.acme.example/"
    assert asked["login_hint"] == "karin@acme.example"
    assert asked["code_challenge_method"] == "S256"
    assert urlsplit(asked["redirect_uri"]).hostname == "127.0.0.1"
    (form,) = server.forms
    assert len(form["code_verifier"]) >= 43
    assert form["code_verifier"] not in address


def test_the_browser_is_told_to_go_back_and_keeps_nothing(server, place):
    seen = []

    def browse(_person, address):
        seen.append(visit(landing_of(address)))

    sign_in(server, place, Person(browse))
    ((status, body, headers),) = seen
    assert status == 200
    assert "close this window" in body
    assert headers["Cache-Control"] == "no-store"
    assert headers["Referrer-Policy"] == "no-referrer"


def test_icons_and_strangers_with_another_state_are_passed_over(server, place):
    def browse(person, address):
        landing = landing_of(address)
        base = f"http://127.0.0.1:{urlsplit(landing).port}"
        assert visit(f"{base}/favicon.ico")[0] == 404
        visit(f"{base}/?code=evil&state=guessed")
        visit(f"{base}/?code=evil")
        person.types("what do I paste?")
        person.types(f"{base}/?code=evil&state=guessed")
        person.types("http://[")
        person.types("")
        visit(landing)

    person = Person(browse)
    sign_in(server, place, person)
    assert Grant.loads(place.text)
    assert "evil" not in str(server.forms)


def test_a_paste_that_is_no_address_is_asked_for_again(server, place):
    def browse(person, address):
        person.types("https://mail.acme.example/inbox")
        pastes(person, address)

    person = Person(browse)
    sign_in(server, place, person)
    assert sum("copy the whole of it" in text for text in person.shown) == 1


def test_a_listener_that_is_used_up_listens_no_more(server, place):
    landings = []

    def browse(person, address):
        landings.append(landing_of(address))
        person.types(landings[0])

    sign_in(server, place, Person(browse))
    with pytest.raises(OSError):
        visit(landings[0])


def test_a_code_on_another_device_signs_in(server, place, monkeypatch):
    server.enters_code = False
    server.faults = [Fault.error("slow_down"), Fault(500)]
    monkeypatch.setattr(signing, "_SLOWER", 0)
    person = Person(wants_code=True)
    sign_in(server, place, person, device_url=f"{server.url}/device")
    assert "WDJB-MJHT" in " ".join(person.shown)
    assert f"{server.url}/enter" in person.shown
    assert Grant.loads(place.text)
    assert server.count("device_code") == 4


def test_a_provider_without_device_codes_says_so(server, place):
    with pytest.raises(UsageError) as caught:
        sign_in(server, place, Person(wants_code=True))
    assert "no device codes" in caught.value.what


# -- every no ------------------------------------------------------------------------------------


@pytest.mark.parametrize("browse", [lands, pastes])
def test_a_person_who_declines_is_not_signed_in(server, place, browse):
    server.consents = False
    with pytest.raises(Refused) as caught:
        sign_in(server, place, Person(browse))
    assert "declined" in caught.value.what
    assert place.text is None


def test_a_box_left_unticked_is_told_and_nothing_is_saved(server, place):
    server.gives_scope = "openid email"
    with pytest.raises(Refused) as caught:
        sign_in(server, place, Person(pastes))
    assert "https://mail.acme.example/" in caught.value.what
    assert "ticked" in caught.value.advice
    assert place.text is None


def test_a_scope_in_its_short_form_counts(server, place):
    server.gives_scope = "IMAP.AccessAsUser.All SMTP.Send"
    scope = "https://outlook.example/IMAP.AccessAsUser.All offline_access"
    sign_in(server, place, Person(pastes), scope=scope)
    assert place.text is not None


def test_a_permission_for_an_hour_is_no_sign_in(server, place):
    server.gives_refresh = False
    with pytest.raises(Refused) as caught:
        sign_in(server, place, Person(pastes))
    assert "an hour only" in caught.value.what
    assert place.text is None


def test_a_failed_sign_in_leaves_the_one_before_as_it_was(server, place):
    place.text = "the one before"
    server.faults = [Fault.error("invalid_grant")]
    with pytest.raises(Refused) as caught:
        sign_in(server, place, Person(pastes))
    assert "crm-sync login karin@acme.example/imap" in caught.value.advice
    assert place.text == "the one before"


def test_a_wrong_secret_is_told(server, place):
    with pytest.raises(Refused) as caught:
        sign_in(server, place, Person(pastes), client_secret="wrong")
    assert "client_secret" in caught.value.what


def test_a_person_who_walks_away_is_not_waited_for_for_ever(server, place, monkeypatch):
    monkeypatch.setattr(signing, "PATIENCE", 0.3)
    with pytest.raises(Unreachable) as caught:
        sign_in(server, place, Person())
    assert "in time" in caught.value.what


def test_no_secret_is_shown_to_the_person(server, place):
    person = Person(pastes)
    sign_in(server, place, person)
    verifier = server.forms[0]["code_verifier"]
    assert all(word not in " ".join(person.shown) for word in ("canary", verifier, *server.issued))


# -- options -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "wrong",
    [
        {"token_url": "http://login.acme.example/token"},
        {"auth_url": "ftp://login.acme.example/"},
        {"auth_url": "https://user:word@login.acme.example/"},
        {"tenant": "acme.example/../evil"},
    ],
)
def test_addresses_that_would_send_secrets_astray_are_refused(wrong):
    with pytest.raises(ValidationError):
        OAuthOptions(**wrong)


def test_a_tenant_gives_the_addresses_of_microsoft_365():
    options = OAuthOptions(client_id="x", tenant="acme.example")
    assert options.oauth_fault() == ""
    provider = provider_of(options, ("https://outlook.office.com/IMAP.AccessAsUser.All",), None)
    base = "https://login.microsoftonline.com/acme.example/oauth2/v2.0"
    assert provider.authorization_url == f"{base}/authorize"
    assert provider.token_url == f"{base}/token"
    assert provider.loopback == "localhost"


@pytest.mark.parametrize(
    ("given", "missing"),
    [
        ({}, "client_id"),
        ({"client_id": "x"}, "auth_url"),
        ({"client_id": "x", "auth_url": "https://a.example/a"}, "token_url"),
        (
            {
                "client_id": "x",
                "auth_url": "https://a.example/a",
                "token_url": "https://a.example/t",
            },
            "scope",
        ),
    ],
)
def test_what_is_missing_is_named(given, missing):
    assert missing in OAuthOptions(**given).oauth_fault()
