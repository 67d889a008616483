"""What every Filing must do: a test for each sentence of `crm_sync.ports.Filing`.

A connector inherits `FilingContract` in a class whose name begins with Test, and gives the fixtures
`filing` and `backstage`.
"""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from email import message_from_bytes, policy
from typing import Protocol

import pytest

from crm_sync.core.compose import compose
from crm_sync.core.errors import CrmSyncError, Refused
from crm_sync.core.records import Address, Draft
from crm_sync.ports import Filing, Place

MESSAGE_ID = "<contract.1@acme.example>"
SECRET = "kept between us"  # noqa: S105  # words of a mail, no password

DRAFT = Draft(
    message_id=MESSAGE_ID,
    date=datetime(2026, 3, 4, 9, 12, tzinfo=UTC),
    from_=Address("karin@acme.example", "Karin Ek"),
    to=(Address("lena@nordvik.example", "Åsa Lena Nordvik"),),
    subject=f"Grattis, {SECRET}",
    text=f"Hej!\n.\n{SECRET}\n",
    html=f"<p>Hej! {SECRET}</p>",
    language="sv",
    bcc=("log@acme.example",),
    headers=(("X-CRM-Sync-Id", MESSAGE_ID),),
)

HOSTILE = 'a"\\\r\nX-Injected: yes\r\n\r\nA1 DELETE INBOX\r\n{3+}\r\n'
"""What a customer may be called: with it nobody must get a header or a command of his own."""

PLACES: tuple[Place, ...] = ("drafts", "sent")


class Backstage(Protocol):
    """The mailbox as its owner sees it."""

    def kept(self, place: Place) -> Sequence[bytes]:
        """The messages in a folder, in order."""
        ...

    def put(self, place: Place, message: bytes) -> None:
        """Somebody else puts a message into a folder."""
        ...

    def break_connection(self) -> None:
        """Ends connections without a word; new ones are welcome."""
        ...

    def go_away(self) -> None:
        """From now on nobody answers."""
        ...


class FilingContract:
    """The tests."""

    @pytest.fixture
    def backstage(self) -> Backstage:
        """The other side, with empty folders for drafts and for sent mail."""
        raise NotImplementedError

    @pytest.fixture
    def filing(self) -> Filing:
        """A new filing, not yet connected."""
        raise NotImplementedError

    @pytest.mark.parametrize("place", PLACES)
    def test_a_mail_is_put_into_the_folder_with_the_octets_it_was_sent_with(
        self, filing: Filing, backstage: Backstage, place: Place
    ) -> None:
        """Puts a mail into the folder; whether it was put."""
        assert filing.keep(DRAFT, place) is True
        assert list(backstage.kept(place)) == [compose(DRAFT)]
        (other,) = {*PLACES} - {place}
        assert not backstage.kept(other)

    @pytest.mark.parametrize("place", PLACES)
    def test_it_is_put_once_however_often_it_is_asked_for(
        self, filing: Filing, backstage: Backstage, place: Place
    ) -> None:
        """Unless one with its ids is there."""
        assert [filing.keep(DRAFT, place) for _ in range(3)] == [True, False, False]
        filing.close()
        assert filing.keep(DRAFT, place) is False
        assert len(backstage.kept(place)) == 1

    def test_a_draft_that_was_sent_meanwhile_is_not_put_again(
        self, filing: Filing, backstage: Backstage
    ) -> None:
        """A person may have sent it before we knew that it had been put."""
        backstage.put("sent", compose(DRAFT))
        assert filing.keep(DRAFT, "drafts") is False
        assert not backstage.kept("drafts")

    @pytest.mark.parametrize("field", ["X-Microsoft-Original-Message-ID", "X-CRM-Sync-Id"])
    def test_a_copy_whose_id_a_server_rewrote_is_known_by_the_fields_that_keep_it(
        self, filing: Filing, backstage: Backstage, field: str
    ) -> None:
        """A message whose id a server rewrote is found by these."""
        other = replace(
            DRAFT, message_id="<rewritten@outlook.example>", headers=((field, MESSAGE_ID),)
        )
        backstage.put("sent", compose(other))
        assert filing.keep(DRAFT, "sent") is False
        assert dict(filing.find([MESSAGE_ID])) == {MESSAGE_ID: "found"}

    def test_different_mails_are_all_kept(self, filing: Filing, backstage: Backstage) -> None:
        """One mail is never taken for another."""
        for number in range(3):
            message_id = f"<{number}@acme.example>"
            ours = (("X-CRM-Sync-Id", message_id),)
            assert filing.keep(replace(DRAFT, message_id=message_id, headers=ours), "sent")
        assert len(backstage.kept("sent")) == 3

    def test_find_tells_of_each_id_and_looks_into_sent_alone(
        self, filing: Filing, backstage: Backstage
    ) -> None:
        """Whether mails of ours are among those sent."""
        never, drafted = "<never@acme.example>", "<drafted@acme.example>"
        filing.keep(replace(DRAFT, message_id=drafted, headers=()), "drafts")
        backstage.put("sent", compose(DRAFT))
        found = dict(filing.find([MESSAGE_ID, never, drafted]))
        assert found == {MESSAGE_ID: "found", never: "absent", drafted: "absent"}
        assert dict(filing.find([])) == {}

    def test_what_came_a_moment_ago_is_found(self, filing: Filing, backstage: Backstage) -> None:
        """On a kept connection too."""
        assert dict(filing.find([MESSAGE_ID])) == {MESSAGE_ID: "absent"}
        backstage.put("sent", compose(DRAFT))
        assert dict(filing.find([MESSAGE_ID])) == {MESSAGE_ID: "found"}

    @pytest.mark.parametrize("place", PLACES)
    def test_hostile_names_and_subjects_become_no_second_header_and_no_command(
        self, filing: Filing, backstage: Backstage, place: Place
    ) -> None:
        """What a stranger is called ends in the text of one field."""
        to = (Address("lena@nordvik.example", HOSTILE),)
        filing.keep(replace(DRAFT, subject=HOSTILE, to=to), place)
        (message,) = (message_from_bytes(m, policy=policy.default) for m in backstage.kept(place))
        assert "X-Injected" not in message
        assert [a.addr_spec for a in message["To"].addresses] == ["lena@nordvik.example"]
        assert message["Message-ID"] == MESSAGE_ID

    @pytest.mark.parametrize(
        "bad", ["<a\r\nA1 DELETE INBOX@x.example>", "<a\0b@x.example>", "a\nb"]
    )
    def test_an_id_with_a_line_break_or_nul_reaches_nobody(
        self, filing: Filing, backstage: Backstage, bad: str
    ) -> None:
        """It is refused, as this mail's own trouble; the next one is served."""
        for ask in (
            lambda: filing.find([bad]),
            lambda: filing.keep(replace(DRAFT, message_id=bad), "sent"),
        ):
            with pytest.raises(Refused) as caught:
                ask()
            assert caught.value.scope == "item"
        assert not backstage.kept("sent")
        assert filing.keep(DRAFT, "sent") is True

    def test_a_mail_that_can_not_be_written_is_refused_as_its_own_trouble(
        self, filing: Filing, backstage: Backstage
    ) -> None:
        """Errors are those of a `Sender`."""
        with pytest.raises(Refused) as caught:
            filing.keep(replace(DRAFT, to=(Address("nobody"),)), "drafts")
        assert caught.value.scope == "item"
        assert not backstage.kept("drafts")

    def test_a_dead_connection_is_replaced(self, filing: Filing, backstage: Backstage) -> None:
        """Servers end what is idle for long."""
        filing.find([MESSAGE_ID])
        backstage.break_connection()
        assert filing.keep(DRAFT, "sent") is True
        assert len(backstage.kept("sent")) == 1

    def test_trouble_is_an_error_of_the_house_without_words_of_the_mail(
        self, filing: Filing, backstage: Backstage
    ) -> None:
        """No library's own exception leaves a connector."""
        backstage.go_away()
        with pytest.raises(CrmSyncError) as caught:
            filing.keep(DRAFT, "sent")
        sentence = caught.value.sentence()
        assert caught.value.scope in {"account", "host"}
        assert SECRET not in sentence
        assert DRAFT.to[0].address not in sentence

    def test_close_never_raises(self, filing: Filing, backstage: Backstage) -> None:
        """Lets go of the connection, whether there is one or not."""
        filing.close()
        filing.keep(DRAFT, "sent")
        filing.close()
        filing.close()
        assert len(backstage.kept("sent")) == 1
