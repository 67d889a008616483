"""What goes over the wire, octet for octet."""

import re
from dataclasses import replace
from datetime import UTC

import pytest

from connectors.smtp import KIND
from crm_sync.core.compose import compose
from crm_sync.core.errors import Refused
from crm_sync.core.records import Address
from crm_sync.ports import Surroundings
from tests.connectors.smtp_parts import DRAFT
from tests.servers.smtp import SmtpServer, smtp_server  # noqa: F401  # a fixture

BARE = re.compile(rb"\r(?!\n)|(?<!\r)\n")


def sender_for(server):
    options = KIND.options(host=server.host, port=server.port, security="none", command_timeout=10)
    return KIND.build(options, Surroundings("team/smtp", clock=None, zone=UTC))


@pytest.fixture
def send(smtp_server):  # noqa: F811  # the fixture above
    sender = sender_for(smtp_server)
    yield lambda draft: sender.send(draft, lambda: None)
    sender.close()


@pytest.mark.parametrize(
    "text",
    [
        ".",
        ".\n",
        "a\n.\nb",
        "..\n...\n.a",
        "a\r\n.\r\nMAIL FROM:<x@evil.example>\r\nRCPT TO:<y@evil.example>\r\nDATA\r\n",
        "a\n.\r\nRSET\n",
        "a\r.\rb",
        "a\0\n.\nb",
        "å\n.\n王" * 40,
        "x" * 5000,
        "",
    ],
)
def test_a_body_arrives_whole_and_smuggles_nothing(smtp_server, send, text):  # noqa: F811
    draft = replace(DRAFT, text=text, html=text)
    send(draft)
    assert [data for _, _, data in smtp_server.messages] == [compose(draft)]
    assert not BARE.search(smtp_server.wire)
    assert smtp_server.wire.count(b"\r\n.\r\n") == 1
    assert smtp_server.said == ["EHLO", "MAIL", "RCPT", "DATA"]
    assert max(len(line) for line in bytes(smtp_server.wire).split(b"\r\n")) <= 999


def test_dots_at_the_start_of_a_line_are_doubled(smtp_server, send):  # noqa: F811
    send(replace(DRAFT, text="a\n.\n..b\n"))
    assert b"\r\na\r\n..\r\n...b\r\n" in smtp_server.wire


def test_the_envelope_is_exactly_the_planned_one(smtp_server, send):  # noqa: F811
    send(
        replace(
            DRAFT,
            from_=Address("crm@bücher.example", "crm@evil.example"),
            to=(
                Address("lena+crm@nordvik.example", '"x@evil.example" <y@evil.example>,'),
                Address("a b@例え.example"),
            ),
            bcc=("log@acme.example", "lena+crm@nordvik.example", "log@acme.example"),
        )
    )
    ((sender, recipients, data),) = smtp_server.messages
    assert sender == "crm@xn--bcher-kva.example"
    assert recipients == [
        "lena+crm@nordvik.example",
        '"a b"@xn--r8jz45g.example',
        "log@acme.example",
    ]
    assert b"log@acme.example" not in data


def test_our_name_is_an_address_literal_and_needs_no_look_up(smtp_server, send):  # noqa: F811
    send(DRAFT)
    assert bytes(smtp_server.wire).lower().startswith(b"ehlo [127.0.0.1]\r\n")


def test_an_internationalised_address_is_sent_where_the_server_can(smtp_server, send):  # noqa: F811
    send(replace(DRAFT, to=(Address("örjan@nordvik.example", "Örjan"),)))
    send(DRAFT)
    assert [to for _, to, _ in smtp_server.messages] == [
        ["örjan@nordvik.example"],
        ["lena@nordvik.example"],
    ]
    mails = [line for line in bytes(smtp_server.wire).split(b"\r\n") if line.startswith(b"MAIL")]
    assert b"SMTPUTF8" in mails[0]
    assert b"SMTPUTF8" not in mails[1]


def test_an_internationalised_address_is_refused_where_the_server_can_not():
    with SmtpServer(utf8=False) as server:
        sender = sender_for(server)
        with pytest.raises(Refused, match="SMTPUTF8") as caught:
            sender.send(replace(DRAFT, to=(Address("örjan@nordvik.example"),)), lambda: None)
        assert caught.value.scope == "item"
        sender.send(DRAFT, lambda: None)
        sender.close()
        assert len(server.messages) == 1


def test_a_mail_beyond_the_servers_size_is_refused_before_it_is_sent():
    with SmtpServer(size_limit=1000) as server:
        sender = sender_for(server)
        with pytest.raises(Refused, match="larger") as caught:
            sender.send(replace(DRAFT, text="lång\n" * 1000), lambda: None)
        sender.close()
        assert caught.value.scope == "item"
        assert "MAIL" not in server.said


def test_the_size_is_announced(smtp_server, send):  # noqa: F811
    send(DRAFT)
    assert f"SIZE={len(compose(DRAFT))}".encode() in smtp_server.wire
