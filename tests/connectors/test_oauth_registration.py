"""A provider that does not take the application any more: what an admin is told to do."""

from datetime import UTC, datetime

import pytest

from connectors.oauth import failures, wire
from crm_sync.core.errors import Refused
from tests.servers.oauth_server import CLIENT, Fault, OAuthServer

NOW = datetime(2026, 3, 4, 12, tzinfo=UTC)


@pytest.mark.parametrize("fault", [None, Fault.error("invalid_client", 401)])
def test_a_secret_that_is_not_taken_any_more_is_told_with_what_mends_it(fault):
    with OAuthServer() as server:
        server.faults = [fault] if fault else []
        form = {"grant_type": "refresh_token", "refresh_token": server.refresh_token()}
        form |= {"client_id": CLIENT, "client_secret": "of last year"}
        answer = wire.post(f"{server.url}/token", form, ca_file=None, where="karin/imap")
    error = failures.refusal(answer, where="karin/imap", now=NOW)
    assert isinstance(error, Refused)
    assert error.kind == "registration"
    assert "does not accept the application's client_id or client_secret" in error.what
    assert "makes a new secret there and puts it into the configuration" in error.advice
    assert "of last year" not in error.sentence()
    assert "canary" not in error.sentence()
