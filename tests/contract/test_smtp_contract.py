from datetime import UTC
from typing import ClassVar

import pytest
from pydantic import SecretStr

from connectors.smtp import KIND
from crm_sync.ports import Surroundings
from crm_sync.testing.sender_contract import Mailed, SenderContract
from tests.servers.smtp import Fault, SmtpServer

FAULTS = {
    "unreachable": Fault("EHLO", "close"),
    "throttled": Fault("RCPT", "reply", "450 4.2.0 Greylisted, lena@nordvik.example"),
    "refuses_mail": Fault("RCPT", "reply", "550 5.1.1 No lena@nordvik.example here"),
    "refuses_account": Fault("MAIL", "reply", "550 5.7.60 Not as crm@acme.example"),
    "refuses_copy": Fault("RCPT", "reply", "550 5.1.1 No such user", skip=1),
    "silent_after_end": Fault("dot", "stall", taken=True),
    "gone_after_end": Fault("dot", "close"),
    "throttled_after_end": Fault("dot", "reply", "451 4.3.0 lena@nordvik.example is busy"),
    "refuses_after_end": Fault("dot", "reply", "554 5.7.1 Spam for lena@nordvik.example"),
}


class TestSmtpSender(SenderContract):
    troubles: ClassVar = frozenset(FAULTS)

    @pytest.fixture
    def server(self):
        with SmtpServer(users={"crm": "planted-password"}) as server:
            yield server

    @pytest.fixture
    def sender(self, server):
        options = KIND.options(
            host=server.host,
            port=server.port,
            security="none",
            username="crm",
            password=SecretStr("planted-password"),
            command_timeout=5,
            dot_timeout=0.3,
        )
        sender = KIND.build(options, Surroundings("team/smtp", clock=None, zone=UTC))
        yield sender
        sender.close()

    @pytest.fixture
    def mailbox(self, server):
        return lambda: [Mailed(tuple(to), data) for _, to, data in server.messages]

    @pytest.fixture
    def make_trouble(self, server, sender):
        def make(trouble):
            if trouble == "unreachable":
                sender.close()  # the next mail has to say EHLO again
            server.script(FAULTS[trouble])

        return make
