"""Tokens of Microsoft: how they are got, kept, renewed and lost."""

import json
import sys
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import NameOID

from connectors.graph import MAILBOX
from crm_sync.core.errors import Refused, Throttled, Unreachable, UsageError
from crm_sync.testing.source_contract import Ledger
from tests.servers.entra import SECRET
from tests.servers.graph_account import ACCOUNT, NOW, numbers, poll


@pytest.fixture
def entra(account):
    return account.graph.entra


class Person:
    """Opens the address that is shown, and pastes what the browser ends at."""

    def __init__(self, entra, *pastes, error="", wants_code=False):
        self.entra, self.pastes, self.error = entra, list(pastes), error
        self.wants_code = wants_code
        self.shown = []

    def show(self, text):
        self.shown.append(text)
        if "/authorize?" in text:
            self.pastes.append(self.entra.approve(text, error=self.error))

    def line(self, seconds):
        return self.pastes.pop(0) if self.pastes else None


def log_in(account, person, **options):
    options = MAILBOX.options(**account.settings | options)
    MAILBOX.login(options, account.surroundings, person)


def test_an_application_signs_in_by_itself_and_asks_once_an_hour(account, entra):
    source = account.source()
    source.streams()
    source.streams()
    assert len(entra.requests) == 1
    assert entra.requests[0]["scope"] == f"{account.graph.origin}/.default"
    account.clock.advance(timedelta(minutes=57))
    source.streams()
    assert len(entra.requests) == 1  # MSAL's own clock has not moved: its cache still has it
    assert SECRET not in (account.tokens.text or "")


def test_an_application_signs_in_with_a_certificate(account, entra, tmp_path):
    file = tmp_path / "app.pem"
    file.write_bytes(certificate())
    account.source(client_secret=None, certificate_file=file).streams()
    assert "client_assertion" in entra.requests[0]
    file.write_text("no certificate")
    with pytest.raises(Refused) as caught:
        account.source(client_secret=None, certificate_file=file).streams()
    assert "certificate_file" in caught.value.sentence()


def test_a_person_signs_in_by_pasting_the_address_back(account, entra):
    account.deliver(1)
    person = Person(entra, "", "https://somewhere.example/?code=stolen&state=other")
    log_in(account, person)
    assert any("not the address" in text for text in person.shown)
    source, ledger = account.source(client_secret=None), Ledger()
    poll(source, ledger)
    assert numbers(ledger) == [1]
    (form,) = entra.requests
    assert form["code_verifier"]
    assert {s.rpartition("/")[2] for s in form["scope"].split()} == {
        "Mail.Read", "offline_access", "openid", "profile",
    }  # fmt: skip


def test_a_person_signs_in_with_a_code(account, entra):
    person = Person(entra, wants_code=True)
    log_in(account, person)
    assert any("F4K3" in text for text in person.shown)
    assert account.source(client_secret=None).streams()


def test_a_shared_mailbox_asks_for_the_shared_permission_only(account, entra):
    log_in(account, Person(entra), shared=True)
    assert f"{account.graph.origin}/Mail.Read.Shared" in entra.requests[0]["scope"].split()
    assert account.source(client_secret=None, shared=True).streams()


def test_who_declines_is_not_signed_in(account, entra):
    with pytest.raises(Refused) as caught:
        log_in(account, Person(entra, error="access_denied"))
    assert "AADSTS" not in caught.value.sentence()
    assert account.tokens.text is None


def test_an_application_needs_no_login(account, entra):
    with pytest.raises(UsageError):
        log_in(account, Person(entra), client_secret=SECRET)


def test_nobody_signed_in_yet_is_told_the_command(account):
    with pytest.raises(Refused) as caught:
        account.source(client_secret=None).streams()
    assert f"crm-sync login {ACCOUNT}" in caught.value.sentence()
    (finding,) = account.source(client_secret=None).probe()
    assert "crm-sync login" in finding.advice


def test_a_rotated_refresh_token_is_saved_before_it_is_used(account, entra):
    log_in(account, Person(entra))
    source = account.source(client_secret=None)
    for _ in range(3):
        before = account.tokens.saved
        entra.expire_tokens()
        source.close()
        source.streams()
        assert account.tokens.saved == before + 1
        assert entra.requests[-1]["grant_type"] == "refresh_token"
        # Another process goes on with what was saved.
        source = account.source(client_secret=None)
    assert len({form["refresh_token"] for form in entra.requests[1:]}) == 3


def test_revoked_consent_is_told_once_and_heals_after_a_new_login(account, entra):
    account.deliver(1)
    log_in(account, Person(entra))
    source, ledger = account.source(client_secret=None), Ledger()
    poll(source, ledger)
    entra.revoke()
    account.deliver(2)
    asked = len(entra.requests)
    with pytest.raises(Refused) as caught:
        source.streams()
    assert f"crm-sync login {ACCOUNT}" in caught.value.sentence()
    assert len(entra.requests) == asked + 1
    log_in(account, Person(entra))
    poll(source, ledger)
    assert sorted(numbers(ledger)) == [1, 2]


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        ((500, b"", {}), Unreachable),
        ((200, b"<html>words of the server", {}), Unreachable),
        ((200, b"{}", {}), Unreachable),
        ((429, b"{}", {"Retry-After": "30"}), Throttled),
        ((400, b'{"error": "temporarily_unavailable"}', {}), Unreachable),
        ((401, b'{"error": "invalid_client", "error_description": "AADSTS7000222"}', {}), Refused),
        ((400, b'{"error": "invalid_grant", "error_description": "AADSTS50173"}', {}), Refused),
    ],
)
def test_each_failure_of_the_token_endpoint_has_its_kind(account, entra, answer, kind):
    entra.on_token = lambda _: answer
    with pytest.raises(kind) as caught:
        account.source().streams()
    assert type(caught.value) is kind
    assert "AADSTS" not in caught.value.sentence()
    assert "words" not in caught.value.sentence()
    if kind is Throttled:
        assert caught.value.retry_at == NOW + timedelta(seconds=30)
    entra.on_token = None
    assert account.source().streams()


def test_a_wrong_tenant_is_named(account):
    with pytest.raises(Refused) as caught:
        account.source(tenant="other.example").streams()
    assert "tenant" in caught.value.sentence()


def test_stored_tokens_that_are_garbage_ask_for_a_new_login(account):
    for text in ("garbage", "[" * 100_000, json.dumps(["list"])):
        account.tokens.text = text
        with pytest.raises(Refused) as caught:
            account.source(client_secret=None).streams()
        assert "crm-sync login" in caught.value.sentence()


def test_a_missing_library_is_a_sentence(account, monkeypatch):
    monkeypatch.setitem(sys.modules, "msal", None)
    with pytest.raises(Refused) as caught:
        account.source().streams()
    assert "crm-sync[microsoft]" in caught.value.sentence()


def certificate() -> bytes:
    key = rsa.generate_private_key(65537, 2048)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "crm-sync")])
    since = datetime(2026, 1, 1, tzinfo=UTC)
    built = x509.CertificateBuilder(name, name, key.public_key(), 1, since, since + timedelta(365))
    private = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    return private + built.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
