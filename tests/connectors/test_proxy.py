"""Mailbox and sender behind an HTTP proxy that lets nothing out but what it is asked to carry."""

from datetime import UTC, datetime

import pytest
from pydantic import SecretStr, ValidationError

from connectors.imap import KIND as MAILBOX
from connectors.smtp import KIND as SENDER
from crm_sync.core.errors import Unreachable
from crm_sync.ports import Surroundings
from crm_sync.testing.clock import FixedClock
from tests.servers.connect_proxy import connect_proxy
from tests.servers.dovecot import PASSWORD
from tests.servers.smtp import SmtpServer

SURROUNDINGS = Surroundings("karin/imap", FixedClock(datetime(2026, 3, 4, tzinfo=UTC)), UTC)


def mailbox(dovecot, proxy):
    options = MAILBOX.options(
        host="localhost",
        port=dovecot.tls_port,
        ca_file=dovecot.ca_file,
        username="karin",
        password=PASSWORD,
        proxy=proxy,
    )
    return MAILBOX.build(options, SURROUNDINGS)


def test_a_mailbox_is_read_through_the_proxy_in_tls_with_the_servers_own_name(dovecot):
    with connect_proxy("crm", "wo:rd") as proxy:
        source = mailbox(dovecot, proxy.url.replace("//", "//crm:wo%3Ard@"))
        assert "INBOX" in [stream.name for stream in source.streams()]
        source.close()
        assert set(proxy.asked) == {f"localhost:{dovecot.tls_port}"}


def test_a_proxy_that_refuses_is_no_wrong_password(dovecot):
    with connect_proxy("crm", "word") as proxy:
        source = mailbox(dovecot, proxy.url)
        with pytest.raises(Unreachable) as raised:
            source.streams()
        source.close()
        assert proxy.asked == []
        assert "word" not in raised.value.sentence()


def test_mails_are_handed_over_through_the_proxy():
    with connect_proxy() as proxy, SmtpServer(users={"crm": "pass"}) as server:
        options = SENDER.options(
            host=server.host,
            port=server.port,
            security="none",
            username="crm",
            password="pass",
            proxy=proxy.url,
        )
        sender = SENDER.build(options, SURROUNDINGS)
        assert all(finding.ok for finding in sender.probe())
        sender.close()
        assert proxy.asked == [f"{server.host}:{server.port}"]


@pytest.mark.parametrize("written", ["proxy:3128", "https://proxy:3128", "http://proxy", "http://"])
def test_what_is_no_address_of_a_proxy_is_refused_and_not_repeated(written):
    with pytest.raises(ValidationError, match="write it like http://proxy") as raised:
        MAILBOX.options(host="h", username="u", password="p", proxy=written)
    assert raised.value.error_count() == 1


def test_a_proxys_password_is_a_secret():
    proxy = "http://crm:hush@proxy.example:3128"
    options = MAILBOX.options(host="h", username="u", password="p", proxy=proxy)
    assert "hush" not in repr(options)
    assert isinstance(options.proxy, SecretStr)
