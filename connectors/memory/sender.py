"""A sender that keeps what it is given: for tests and trials of what calls senders."""

from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from crm_sync.core.clean import clean
from crm_sync.core.compose import addr_spec, compose
from crm_sync.core.errors import CrmSyncError, InDoubt, Refused
from crm_sync.core.records import Draft, Finding, Receipt
from crm_sync.ports import Found


@dataclass(frozen=True, slots=True)
class Delivered:
    """A mail that arrived: its draft, its octets, and whom the envelope named."""

    draft: Draft
    data: bytes
    recipients: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Fate:
    error: CrmSyncError
    after: bool
    delivered: bool


class MemorySender:
    """Delivers into `delivered`. What else shall happen is said before, mail by mail.

    `refused` holds addresses that are not taken: a To stops the mail, a Bcc does not. One that does
    not look back can't tell what it sent, as SMTP can't.
    """

    def __init__(self, *, looks_back: bool = True) -> None:
        self._looks_back = looks_back
        self.delivered: list[Delivered] = []
        self.refused: set[str] = set()
        self._fates: deque[_Fate] = deque()

    def fail_before(self, error: CrmSyncError) -> None:
        """The next mail fails with `error` before its end is given: nothing leaves."""
        self._fates.append(_Fate(error, after=False, delivered=False))

    def fail_after(self, error: CrmSyncError, *, delivered: bool = False) -> None:
        """The next mail fails with `error` after its end was given; it may arrive all the same."""
        if delivered and not isinstance(error, InDoubt):
            raise ValueError("a clear no means that nothing was delivered")
        self._fates.append(_Fate(error, after=True, delivered=delivered))

    def send(self, draft: Draft, sending: Callable[[], None]) -> Receipt:
        """See `crm_sync.ports.Sender.send`."""
        mail, refused = self._address(draft)
        fate = self._fates.popleft() if self._fates else None
        if fate and not fate.after:
            raise fate.error
        sending()
        if fate is None or fate.delivered:
            self.delivered.append(mail)
        if fate:
            raise fate.error
        return Receipt(clean(f"250 kept as number {len(self.delivered)}"), refused)

    def find(self, message_ids: Sequence[str]) -> Mapping[str, Found]:
        """It knows all that it ever delivered."""
        if not self._looks_back:
            return dict.fromkeys(message_ids, "cannot_tell")
        known = {mail.draft.message_id for mail in self.delivered}
        return {mid: "found" if mid in known else "absent" for mid in message_ids}

    def probe(self) -> Iterator[Finding]:
        """Tells what would happen to the next mail."""
        error = self._fates[0].error if self._fates else None
        if error is None:
            yield Finding("memory", ok=True)
        else:
            yield Finding("memory", ok=False, problem=error.what, advice=error.advice)

    def close(self) -> None:
        """There is nothing to let go of."""

    def _address(self, draft: Draft) -> tuple[Delivered, tuple[str, ...]]:
        try:
            data = compose(draft)
            to = [addr_spec(address.address) for address in draft.to]
            bcc = [addr_spec(address) for address in draft.bcc]
        except ValueError as error:
            raise Refused(f"the mail can't be sent: {error}", scope="item") from error
        if not self.refused.isdisjoint(to):
            raise Refused("the recipient is not taken", scope="item")
        taken = [address for address in dict.fromkeys([*to, *bcc]) if address not in self.refused]
        refused = tuple(address for address in bcc if address in self.refused)
        return Delivered(draft, data, tuple(taken)), refused
