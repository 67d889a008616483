"""An application's secret or certificate that ends: warned of before, and named when it happened."""

import json
from datetime import UTC, date, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import NameOID

from crm_sync.core.errors import Refused
from tests.servers.graph_account import ACCOUNT, NOW


@pytest.fixture(params=["source", "sender"])
def opened(request, account):
    """Opens the account, as a mailbox or as a sender."""
    return getattr(account, request.param)


def refuse(account, **answer):
    """What Microsoft's token endpoint says from now on."""
    words = {"error": "invalid_client", "error_description": "AADSTS1: words of the server"}
    account.graph.entra.on_token = lambda _: (401, json.dumps(words | answer).encode(), {})


def refusal(account, **options):
    with pytest.raises(Refused) as raised:
        account.source(**options).streams()
    assert raised.value.kind == "registration"
    assert "AADSTS" not in raised.value.sentence()
    assert "words" not in raised.value.sentence()
    return raised.value.sentence()


# -- when it has happened ------------------------------------------------------------------------


def test_an_expired_secret_is_told_with_the_steps_that_mend_it(account):
    refuse(account, error_codes=[7000222], error_description="AADSTS7000222: words of the server")
    assert refusal(account) == (
        f"{ACCOUNT}: the application's client secret has expired. In Entra, App registrations, "
        "Certificates & secrets, make a new client secret; write its Value where client_secret is "
        "configured, and its end as secret_expires."
    )


@pytest.mark.parametrize(
    ("error", "code", "words"),
    [
        ("invalid_client", 7000215, "Value, not its Secret ID"),
        ("invalid_client", 700027, "Upload the one in certificate_file"),
        ("unauthorized_client", 700016, "Application ID"),
        ("invalid_client", 7000218, "Allow public client flows"),
    ],
)
def test_what_is_wrong_with_the_registration_is_named(account, error, code, words):
    refuse(account, error=error, error_codes=[50000, code])
    assert words in refusal(account)


@pytest.mark.parametrize("codes", [[1], [], None, "7000222", [[7000222]], {"7000222": 1}, [True]])
def test_without_a_known_number_all_that_may_be_wrong_is_named(account, codes):
    refuse(account, error_codes=codes)
    assert "Check client_id, tenant and the secret or certificate" in refusal(account)


def test_the_configuration_knows_when_the_secret_expired_even_if_microsoft_does_not_say(account):
    refuse(account)
    yesterday = NOW.date() - timedelta(days=1)
    assert "secret has expired" in refusal(account, secret_expires=yesterday)
    assert "secret has expired" not in refusal(account, secret_expires=NOW.date())


# -- before --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("expires", "ok", "problem"),
    [
        ("2026-04-04", True, ""),
        ("2026-04-03", True, "it expires on 2026-04-03"),
        ("2026-03-04", True, "it expires on 2026-03-04"),
        ("2026-03-03", False, "it expired on 2026-03-03"),
    ],
)
def test_a_secret_is_warned_of_a_month_before_its_end(opened, expires, ok, problem):
    finding, *others = opened(secret_expires=expires).probe()
    assert finding.name == f"client_secret until {expires}"
    assert (finding.ok, finding.problem) == (ok, problem)
    assert ("make a new client secret" in finding.advice) is bool(problem)
    assert others
    assert all(other.ok for other in others)


@pytest.mark.parametrize(
    ("left", "ok", "problem"),
    [
        (timedelta(days=15), True, ""),
        (timedelta(days=14), True, "it expires on 2026-03-18"),
        (timedelta(hours=1), True, "it expires on 2026-03-04"),
        (timedelta(hours=-1), False, "it expired on 2026-03-04"),
    ],
)
def test_a_certificate_is_warned_of_14_days_before_its_end(opened, tmp_path, left, ok, problem):
    file = tmp_path / "app.pem"
    file.write_bytes(certificate(NOW + left))
    finding = next(opened(client_secret=None, certificate_file=file).probe())
    assert finding.name == f"certificate until {date.isoformat((NOW + left).date())}"
    assert (finding.ok, finding.problem) == (ok, problem)
    assert ("upload it in Entra" in finding.advice) is bool(problem)


def test_a_warning_comes_before_the_sign_in_that_fails(opened, account):
    refuse(account, error_codes=[7000222])
    warning, sign_in = opened(secret_expires="2026-03-03").probe()
    assert not warning.ok
    assert (sign_in.name, sign_in.ok) == ("sign in", False)
    assert "has expired" in sign_in.problem


def test_a_certificate_file_that_cannot_be_read_is_what_the_sign_in_fails_for(opened, tmp_path):
    (finding,) = opened(client_secret=None, certificate_file=tmp_path / "none.pem").probe()
    assert (finding.name, finding.ok) == ("sign in", False)
    assert "certificate_file" in finding.advice


def test_where_no_end_is_known_nothing_is_said_of_it(opened):
    assert next(iter(opened().probe())).name == "sign in"


@pytest.mark.parametrize(("days", "warns"), [(69, False), (70, True)])
def test_a_persons_sign_in_that_idles_is_warned_of(opened, account, days, warns):
    kept = {"client_id": "c", "environment": "login.example", "home_account_id": "u"}
    kept |= {"credential_type": "RefreshToken", "secret": "canary"}
    kept["last_modification_time"] = str(int((NOW - timedelta(days=days)).timestamp()))
    account.tokens.text = json.dumps({"RefreshToken": {"one": kept}})
    finding = next(opened(client_secret=None).probe())
    assert finding.ok
    assert finding.name == f"signed in, last renewed {days} days ago"
    assert (f"crm-sync login {ACCOUNT}" in finding.advice) is warns


def certificate(end: datetime) -> bytes:
    """A private key and its certificate, good until `end`."""
    key = rsa.generate_private_key(65537, 2048)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "crm-sync")])
    since = datetime(2026, 1, 1, tzinfo=UTC)
    built = x509.CertificateBuilder(name, name, key.public_key(), 1, since, end)
    private = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    return private + built.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
