"""How mails leave by Microsoft 365, and what is known when they may have left."""

from dataclasses import replace
from datetime import timedelta

import pytest

from crm_sync.core.errors import InDoubt, Refused, Throttled, Unreachable
from crm_sync.testing.sender_contract import COPY, DRAFT
from crm_sync.testing.source_contract import Ledger
from tests.servers.graph_account import NOW, poll
from tests.servers.graph_http import Reply, problem

OURS = replace(DRAFT, headers=(("X-CRM-Sync-Id", DRAFT.message_id),))
DRAFTS = "AQMk-drafts"


class Sending:
    def __init__(self, error=None):
        self.calls, self.error = 0, error

    def __call__(self):
        self.calls += 1
        if self.error:
            raise self.error


def drafts_left(graph):
    return [mail for mail in graph.mails.values() if mail.folder == DRAFTS]


@pytest.mark.parametrize("drafts", [True, False])
def test_a_mail_whose_id_exchange_rewrote_is_found_by_our_property(account, graph, drafts):
    graph.rewrites_ids = True
    sender = account.sender(drafts=drafts)
    sender.send(OURS, Sending())
    other = "<never's@acme.example>"
    assert sender.find([DRAFT.message_id, other, DRAFT.message_id]) == {
        DRAFT.message_id: "found",
        other: "absent",
    }


def test_our_copy_in_sent_items_tells_the_id_it_was_sent_with(account, graph):
    graph.rewrites_ids = True
    account.sender().send(OURS, Sending())
    (mail,) = graph.mails.values()
    mail.row |= {
        "receivedDateTime": NOW.isoformat(),
        "from": {"emailAddress": {"address": "a@b.c"}},
    }
    ledger = Ledger()
    poll(account.source(), ledger, "Skickat")

    (item,) = ledger.items
    assert item.envelope.message_id == "<rewritten@outlook.example>"
    assert item.envelope.signs["x-crm-sync-id"] == DRAFT.message_id


def test_a_property_filed_in_lower_case_is_found_too(account, graph):
    graph.rewrites_ids = True
    sender = account.sender()
    sender.send(OURS, Sending())
    for mail in graph.mails.values():
        for one in mail.row["singleValueExtendedProperties"]:
            one["id"] = one["id"].replace("X-CRM-Sync-Id", "x-crm-sync-id")
    assert sender.find([DRAFT.message_id]) == {DRAFT.message_id: "found"}


def test_who_may_not_look_can_not_tell(account, graph):
    graph.entra.permissions = {"Mail.Send"}
    assert account.sender().find(["<a@b.example>"]) == {"<a@b.example>": "cannot_tell"}
    sender = account.sender(look_in_sent=False)
    assert sender.find(["<a@b.example>"]) == {"<a@b.example>": "cannot_tell"}
    sender.send(OURS, Sending())
    assert len(graph.mailed) == 1


@pytest.mark.parametrize(("drafts", "missing"), [(True, "Mail.ReadWrite"), (False, "Mail.Send")])
def test_a_missing_permission_is_named(account, graph, drafts, missing):
    graph.entra.permissions = {"Mail.Read"}
    with pytest.raises(Refused) as caught:
        account.sender(drafts=drafts).send(OURS, Sending())
    assert caught.value.scope == "account"
    assert missing in caught.value.sentence()
    assert drafts_left(graph) == []


@pytest.mark.parametrize(("drafts", "path"), [(True, "/send"), (False, "/sendMail")])
@pytest.mark.parametrize("status", [500, 502, 504, 408])
def test_an_answer_that_is_neither_yes_nor_no_is_doubt(account, graph, drafts, path, status):
    graph.script_once(path, Reply(status, b"<html>gateway"))
    sending = Sending()
    with pytest.raises(InDoubt):
        account.sender(drafts=drafts).send(OURS, sending)
    assert sending.calls == 1


@pytest.mark.parametrize("drafts", [True, False])
def test_a_token_that_ends_early_is_renewed_and_the_mail_leaves_once(account, graph, drafts):
    sender = account.sender(drafts=drafts)
    assert all(finding.ok for finding in sender.probe())
    graph.entra.expire_tokens()
    sending = Sending()
    sender.send(OURS, sending)
    assert (sending.calls, len(graph.mailed)) == (1, 1)


@pytest.mark.parametrize("drafts", [True, False])
@pytest.mark.parametrize("error", [OSError("disk full"), KeyboardInterrupt()])
def test_what_sending_raises_comes_out_as_it_is_and_leaves_nothing_behind(
    account, graph, drafts, error
):
    with pytest.raises(type(error)) as caught:
        account.sender(drafts=drafts).send(OURS, Sending(error))
    assert caught.value is error
    assert not graph.mailed
    assert drafts_left(graph) == []


@pytest.mark.parametrize(
    ("path", "reply"),
    [
        ("/send", problem(400, "ErrorMessageSizeExceeded")),
        ("/send", problem(403, "ErrorSendAsDenied")),
    ],
)
def test_a_draft_that_is_refused_is_taken_away(account, graph, path, reply):
    graph.script_once(path, reply)
    with pytest.raises(Refused):
        account.sender(drafts=True).send(OURS, Sending())
    assert drafts_left(graph) == []


@pytest.mark.parametrize(
    ("code", "scope"),
    [
        ("ErrorInvalidRecipients", "item"),
        ("ErrorSendAsDenied", "account"),
        ("ErrorMessageSubmissionBlocked", "account"),
        ("ErrorQuotaExceeded", "account"),
    ],
)
def test_a_no_says_whether_it_is_about_this_mail_or_about_all(account, graph, code, scope):
    graph.script_once("/sendMail", problem(400, code))
    with pytest.raises(Refused) as caught:
        account.sender().send(OURS, Sending())
    assert caught.value.scope == scope
    assert "words" not in caught.value.sentence()


def test_nobody_listening_means_that_nothing_left(account, graph):
    sender = account.sender()
    graph.go_away()
    sending = Sending()
    with pytest.raises(Unreachable):
        sender.send(OURS, sending)
    assert sending.calls == 0


def test_no_more_mails_leave_in_a_minute_than_configured(account, graph):
    sender = account.sender(per_minute=2)
    sender.send(OURS, Sending())
    account.clock.advance(timedelta(seconds=20))
    sender.send(OURS, Sending())
    with pytest.raises(Throttled) as caught:
        sender.send(OURS, Sending())
    assert caught.value.retry_at == NOW + timedelta(seconds=60)
    account.clock.advance(timedelta(seconds=41))
    sender.send(OURS, Sending())
    assert len(graph.mailed) == 3


def test_a_draft_is_kept_once_until_it_was_sent_and_after(account, graph):
    sender = account.sender(drafts=True)
    assert sender.keep(OURS, "drafts") is True
    assert account.sender(drafts=True).keep(OURS, "drafts") is False
    (mail,) = drafts_left(graph)
    graph._send_draft(mail.key)
    assert sender.keep(OURS, "drafts") is False
    assert drafts_left(graph) == []
    assert sender.find([DRAFT.message_id]) == {DRAFT.message_id: "found"}


def test_a_draft_waits_while_nobody_can_look_whether_it_is_there(account, graph):
    graph.on_request = lambda asked: (
        problem(500, "InternalServerError") if asked.method == "GET" else None
    )
    with pytest.raises(Unreachable):
        account.sender(drafts=True).keep(OURS, "drafts")
    assert drafts_left(graph) == []


def test_a_copy_in_sent_is_left_to_exchange(account, graph):
    assert account.sender(drafts=True).keep(OURS, "sent") is False
    assert not graph.mails


def test_a_draft_is_filed_with_its_blind_recipients_and_stays(account, graph):
    account.sender(drafts=True).draft(OURS)
    (mail,) = drafts_left(graph)
    assert mail.row["bccRecipients"] == [{"emailAddress": {"address": COPY}}]
    assert not graph.mailed
