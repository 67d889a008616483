"""What every Sender must do: a test for each sentence of `crm_sync.ports.Sender`.

A connector inherits `SenderContract` in a class whose name begins with Test, gives the fixtures
`sender`, `mailbox` and `make_trouble`, and names in `troubles` what `make_trouble` can do.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from email import message_from_bytes, policy
from typing import ClassVar, Literal

import pytest

from crm_sync.core.errors import CrmSyncError, InDoubt, Refused, Throttled, Unreachable
from crm_sync.core.records import Address, Draft
from crm_sync.ports import Sender

Trouble = Literal[
    "unreachable",
    "throttled",
    "refuses_mail",
    "refuses_account",
    "refuses_copy",
    "silent_after_end",
    "gone_after_end",
    "throttled_after_end",
    "refuses_after_end",
]
"""What can go wrong with the next mail only; without "after", before its end is given.

"refuses_copy": the blind recipient `COPY` is not taken, the others are.
"""

COPY = "log@acme.example"
SECRET = "kept between us"  # noqa: S105  # words of a mail, no password

DRAFT = Draft(
    message_id="<contract.1@acme.example>",
    date=datetime(2026, 3, 4, 9, 12, tzinfo=UTC),
    from_=Address("crm@acme.example", "Acme CRM"),
    to=(Address("lena@nordvik.example", "Åsa Lena Nordvik"),),
    subject=f"Grattis, {SECRET}",
    text=f"Hej!\n.\n..två punkter\n{SECRET}\n",
    html=f"<p>Hej! {SECRET}</p>",
    language="sv",
    bcc=(COPY,),
)


@dataclass(frozen=True, slots=True)
class Mailed:
    """A mail that arrived: recipients of its envelope and its octets."""

    recipients: tuple[str, ...]
    data: bytes


Mailbox = Callable[[], Sequence[Mailed]]
MakeTrouble = Callable[[Trouble], None]


class _Witness:
    """A `sending` that counts its calls and looks what had arrived by then."""

    def __init__(self, mailbox: Mailbox, error: BaseException | None = None) -> None:
        self.calls = 0
        self.arrived_before = 0
        self._mailbox = mailbox
        self._error = error

    def __call__(self) -> None:
        self.calls += 1
        self.arrived_before = len(self._mailbox())
        if self._error is not None:
            raise self._error


class _Killed(BaseException):
    """Stands for an interrupt in the middle of `sending`."""


class SenderContract:
    """The tests. `mailbox()` gives all that has arrived; `make_trouble(t)` spoils the next mail."""

    troubles: ClassVar[frozenset[Trouble]] = frozenset()

    @pytest.fixture
    def sender(self) -> Sender:
        """A new sender, not yet connected."""
        raise NotImplementedError

    @pytest.fixture
    def mailbox(self) -> Mailbox:
        """Gives what has arrived at the other side, in order."""
        raise NotImplementedError

    @pytest.fixture
    def make_trouble(self) -> MakeTrouble:
        """Spoils the next mail."""
        raise NotImplementedError

    def _need(self, trouble: Trouble) -> None:
        if trouble not in self.troubles:
            pytest.skip(f"can't make the other side do: {trouble}")

    def test_a_mail_is_handed_over_once_as_drafted(self, sender: Sender, mailbox: Mailbox) -> None:
        """Hands one mail over."""
        receipt = sender.send(DRAFT, _Witness(mailbox))
        (mailed,) = mailbox()
        message = message_from_bytes(mailed.data, policy=policy.default)
        assert receipt.answer
        assert receipt.refused == ()
        assert message["Message-ID"] == DRAFT.message_id
        assert message["Subject"] == DRAFT.subject
        body = message.get_body(("plain",))
        assert body is not None
        assert body.get_content().replace("\r\n", "\n") == DRAFT.text

    def test_the_envelope_names_exactly_the_recipients(
        self, sender: Sender, mailbox: Mailbox
    ) -> None:
        """Blind recipients are in the envelope and in no header."""
        sender.send(DRAFT, _Witness(mailbox))
        (mailed,) = mailbox()
        assert sorted(mailed.recipients) == sorted([DRAFT.to[0].address, COPY])
        assert COPY.encode() not in mailed.data

    def test_several_mails_arrive_in_order(self, sender: Sender, mailbox: Mailbox) -> None:
        """A sender serves a whole run of mails."""
        for number in range(3):
            sender.send(replace(DRAFT, message_id=f"<{number}@acme.example>"), _Witness(mailbox))
        ids = [message_from_bytes(mailed.data)["Message-ID"] for mailed in mailbox()]
        assert ids == ["<0@acme.example>", "<1@acme.example>", "<2@acme.example>"]

    def test_sending_is_called_once_before_anything_arrives(
        self, sender: Sender, mailbox: Mailbox
    ) -> None:
        """Calls `sending` once, just before the end of the data is given."""
        witness = _Witness(mailbox)
        sender.send(DRAFT, witness)
        assert witness.calls == 1
        assert witness.arrived_before == 0

    @pytest.mark.parametrize("error", [RuntimeError("disk full"), _Killed()])
    def test_an_error_of_sending_passes_and_nothing_leaves(
        self, sender: Sender, mailbox: Mailbox, error: BaseException
    ) -> None:
        """What `sending` raises comes out as it is; the mail's end is never given."""
        with pytest.raises(type(error)) as caught:
            sender.send(DRAFT, _Witness(mailbox, error))
        assert caught.value is error
        sender.send(replace(DRAFT, message_id="<next@acme.example>"), _Witness(mailbox))
        assert [message_from_bytes(m.data)["Message-ID"] for m in mailbox()] == [
            "<next@acme.example>"
        ]

    @pytest.mark.parametrize(
        ("trouble", "kind", "scope"),
        [
            ("unreachable", Unreachable, None),
            ("throttled", Throttled, None),
            ("refuses_mail", Refused, "item"),
            ("refuses_account", Refused, "account"),
        ],
    )
    def test_an_error_before_the_end_means_that_nothing_left(
        self,
        sender: Sender,
        mailbox: Mailbox,
        make_trouble: MakeTrouble,
        trouble: Trouble,
        kind: type[CrmSyncError],
        scope: str | None,
    ) -> None:
        """Before the call of `sending` any error means that nothing left."""
        self._need(trouble)
        make_trouble(trouble)
        witness = _Witness(mailbox)
        with pytest.raises(kind) as caught:
            sender.send(DRAFT, witness)
        assert scope in {None, caught.value.scope}
        assert witness.calls == 0
        assert not mailbox()
        self._assert_discreet(caught.value)

    def test_a_draft_that_can_not_be_mailed_is_refused(
        self, sender: Sender, mailbox: Mailbox
    ) -> None:
        """Refused with scope "item" stands for this mail alone."""
        witness = _Witness(mailbox)
        for draft in (replace(DRAFT, to=(Address("nobody"),)), replace(DRAFT, bcc=("a\nb@c.d",))):
            with pytest.raises(Refused) as caught:
                sender.send(draft, witness)
            assert caught.value.scope == "item"
        assert witness.calls == 0
        assert not mailbox()

    @pytest.mark.parametrize("trouble", ["silent_after_end", "gone_after_end"])
    def test_no_clear_answer_after_the_end_is_in_doubt(
        self, sender: Sender, mailbox: Mailbox, make_trouble: MakeTrouble, trouble: Trouble
    ) -> None:
        """After `sending`, no clear answer raises InDoubt."""
        self._need(trouble)
        make_trouble(trouble)
        witness = _Witness(mailbox)
        with pytest.raises(InDoubt) as caught:
            sender.send(DRAFT, witness)
        assert witness.calls == 1
        self._assert_discreet(caught.value)

    @pytest.mark.parametrize(
        ("trouble", "kind"), [("throttled_after_end", Throttled), ("refuses_after_end", Refused)]
    )
    def test_a_clear_no_after_the_end_is_raised_as_before(
        self,
        sender: Sender,
        mailbox: Mailbox,
        make_trouble: MakeTrouble,
        trouble: Trouble,
        kind: type[CrmSyncError],
    ) -> None:
        """A clear no after `sending` is no doubt: the mail did not leave."""
        self._need(trouble)
        make_trouble(trouble)
        witness = _Witness(mailbox)
        with pytest.raises(kind) as caught:
            sender.send(DRAFT, witness)
        assert witness.calls == 1
        assert not mailbox()
        self._assert_discreet(caught.value)

    def test_after_each_trouble_the_next_mail_arrives(
        self, sender: Sender, mailbox: Mailbox, make_trouble: MakeTrouble
    ) -> None:
        """An error spoils one mail; the sender can be used again."""
        for number, trouble in enumerate(sorted(self.troubles - {"refuses_copy"})):
            make_trouble(trouble)
            with pytest.raises(CrmSyncError):
                sender.send(DRAFT, _Witness(mailbox))
            sender.send(replace(DRAFT, message_id=f"<{number}@acme.example>"), _Witness(mailbox))
            newest = message_from_bytes(mailbox()[-1].data)
            assert newest["Message-ID"] == f"<{number}@acme.example>"

    def test_a_refused_copy_does_not_stop_the_mail(
        self, sender: Sender, mailbox: Mailbox, make_trouble: MakeTrouble
    ) -> None:
        """The receipt names the recipients that the server would not take."""
        self._need("refuses_copy")
        make_trouble("refuses_copy")
        receipt = sender.send(DRAFT, _Witness(mailbox))
        assert receipt.refused == (COPY,)
        (mailed,) = mailbox()
        assert mailed.recipients == (DRAFT.to[0].address,)

    def test_find_tells_of_each_id_and_denies_nothing_that_was_sent(
        self, sender: Sender, mailbox: Mailbox
    ) -> None:
        """Whether mails of ours are among those sent, as far as this sender can see."""
        sender.send(DRAFT, _Witness(mailbox))
        other = "<never@acme.example>"
        found = sender.find([DRAFT.message_id, other])
        assert set(found) == {DRAFT.message_id, other}
        assert found[DRAFT.message_id] in {"found", "cannot_tell"}
        assert found[other] in {"absent", "cannot_tell"}
        assert dict(sender.find([])) == {}

    def test_probe_tries_without_sending(self, sender: Sender, mailbox: Mailbox) -> None:
        """Tries sign-in without sending anything."""
        findings = list(sender.probe())
        assert findings
        assert all(finding.ok and finding.name and not finding.problem for finding in findings)
        assert not mailbox()

    def test_probe_tells_of_trouble_in_a_sentence(
        self, sender: Sender, make_trouble: MakeTrouble
    ) -> None:
        """A failed step is a finding, not an error."""
        self._need("unreachable")
        make_trouble("unreachable")
        *_, last = sender.probe()
        assert not last.ok
        assert last.problem

    def test_close_never_raises(self, sender: Sender, mailbox: Mailbox) -> None:
        """Lets go of the connection, whether there is one or not."""
        sender.close()
        sender.send(DRAFT, _Witness(mailbox))
        sender.close()
        sender.close()

    @staticmethod
    def _assert_discreet(error: CrmSyncError) -> None:
        sentence = error.sentence()
        assert SECRET not in sentence
        assert DRAFT.to[0].address not in sentence
