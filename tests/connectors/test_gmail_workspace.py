"""Gmail of a whole Workspace: a service account opens every user's mailbox, or says why not."""

import base64
import json
import sys
from datetime import UTC, datetime, timedelta

import pytest
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from connectors.imap.gmail import KIND
from crm_sync.core.errors import Refused, Throttled, Unreachable, UsageError
from crm_sync.ports import Surroundings
from crm_sync.testing.clock import FixedClock
from tests.servers.oauth_server import Fault

NOW = datetime(2026, 3, 4, 12, tzinfo=UTC)
ACCOUNT = "karin@acme.example/gmail"


@pytest.fixture
def dovecot(dovecot_with_tokens):
    return dovecot_with_tokens


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


def robot(provider, proxy, clock, key_file):
    options = KIND.options(
        host=proxy.host,
        port=proxy.port,
        security="none",
        username=provider.user,
        service_account_file=key_file,
        token_url=provider.options["token_url"],
    )
    return KIND.build(options, Surroundings(ACCOUNT, clock, UTC))


def test_a_service_account_opens_a_users_mailbox_and_signs_for_that_user(
    provider, proxy, clock, key_file, key
):
    source = robot(provider, proxy, clock, key_file)
    assert [stream.name for stream in source.streams()] == ["All Mail"]
    source.close()
    (form,) = provider.forms
    head, claims, signature = form["assertion"].split(".")
    key.public_key().verify(
        _decoded(signature), f"{head}.{claims}".encode(), padding.PKCS1v15(), SHA256()
    )
    said = json.loads(_decoded(claims))
    assert said["sub"] == provider.user
    assert said["iss"] == "crm@project.example"
    assert said["scope"] == "https://mail.google.com/"
    assert said["aud"] == provider.options["token_url"]
    assert said["iat"] == NOW.timestamp()
    assert said["exp"] == said["iat"] + 3600


def test_a_service_accounts_token_is_kept_for_its_hour(provider, proxy, clock, key_file):
    source = robot(provider, proxy, clock, key_file)
    for minutes in (0, 30, 20, 10):
        clock.advance(timedelta(minutes=minutes))
        source.streams()
    source.close()
    assert provider.count("jwt-bearer") == 2


def test_a_brand_new_token_of_a_service_account_that_is_rejected_is_not_asked_for_again(
    provider, proxy, clock, key_file
):
    provider.expired = True
    source = robot(provider, proxy, clock, key_file)
    with pytest.raises(Refused) as caught:
        source.streams()
    source.close()
    assert "crm-sync login" not in caught.value.advice
    assert "Workspace" in caught.value.advice
    assert len(provider.forms) == 1
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
    provider, proxy, clock, key_file, fault, kind, words
):
    provider.faults = [fault]
    source = robot(provider, proxy, clock, key_file)
    with pytest.raises(kind) as caught:
        source.streams()
    assert words in caught.value.advice
    assert "crm-sync login" not in caught.value.advice
    assert provider.faults == []


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
def test_a_bad_key_file_is_told_and_not_quoted(provider, proxy, clock, key_file, text, words):
    if text is None:
        key_file.unlink()
    else:
        key_file.write_text(text)
    source = robot(provider, proxy, clock, key_file)
    with pytest.raises(Refused) as caught:
        source.streams()
    assert words in caught.value.what
    assert "canary" not in caught.value.sentence()
    finding = list(source.probe())[-1]
    assert not finding.ok


def test_a_missing_package_is_told(provider, proxy, clock, key_file, monkeypatch):
    monkeypatch.setitem(sys.modules, "google.auth", None)
    with pytest.raises(Refused) as caught:
        robot(provider, proxy, clock, key_file).streams()
    assert 'pip install "crm-sync[google]"' in caught.value.advice


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
