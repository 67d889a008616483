from typing import ClassVar

import pytest

from connectors.memory.sender import MemorySender
from crm_sync.core.errors import InDoubt, Refused, Throttled, Unreachable
from crm_sync.testing.sender_contract import COPY, Mailed, SenderContract


class TestMemorySender(SenderContract):
    troubles: ClassVar = frozenset(
        {
            "unreachable",
            "throttled",
            "refuses_mail",
            "refuses_account",
            "refuses_copy",
            "silent_after_end",
            "gone_after_end",
            "throttled_after_end",
            "refuses_after_end",
        }
    )

    @pytest.fixture
    def sender(self):
        return MemorySender()

    @pytest.fixture
    def mailbox(self, sender):
        return lambda: [Mailed(mail.recipients, mail.data) for mail in sender.delivered]

    @pytest.fixture
    def make_trouble(self, sender):
        verbs = {
            "unreachable": lambda: sender.fail_before(Unreachable("nothing listens")),
            "throttled": lambda: sender.fail_before(Throttled("wait")),
            "refuses_mail": lambda: sender.fail_before(Refused("no such mailbox", scope="item")),
            "refuses_account": lambda: sender.fail_before(Refused("wrong password")),
            "refuses_copy": lambda: sender.refused.add(COPY),
            "silent_after_end": lambda: sender.fail_after(InDoubt("silence"), delivered=True),
            "gone_after_end": lambda: sender.fail_after(InDoubt("gone")),
            "throttled_after_end": lambda: sender.fail_after(Throttled("wait")),
            "refuses_after_end": lambda: sender.fail_after(Refused("spam", scope="item")),
        }
        return lambda trouble: verbs[trouble]()


def test_a_clear_no_can_not_have_delivered():
    with pytest.raises(ValueError):
        MemorySender().fail_after(Refused("no"), delivered=True)
