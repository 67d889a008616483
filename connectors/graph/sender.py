"""The Microsoft 365 sender: whole messages in MIME, in one request or by way of a draft."""

import base64
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final
from urllib.parse import quote

from connectors.graph import permissions
from connectors.graph.answers import UNAUTHORIZED, Answer, text
from connectors.graph.client import IMMUTABLE, Ask, GraphClient
from connectors.graph.options import SenderOptions
from crm_sync.core.compose import addr_spec, compose
from crm_sync.core.errors import CrmSyncError, InDoubt, Refused, Throttled, Unreachable
from crm_sync.core.records import Draft, Finding, Receipt
from crm_sync.ports import Found, Place, Surroundings

ID_FIELD: Final = "X-CRM-Sync-Id"
"""The field of ours that holds the Message-ID, which Exchange may replace by one of its own."""

_HEADERS: Final = "String {00020386-0000-0000-C000-000000000046} Name "
"""The property set in which Exchange files the fields of a header (PS_INTERNET_HEADERS).

A field of ours thus becomes a property by which the copy in Sent Items is found.
"""

_MINUTE: Final = timedelta(minutes=1)
_MIME: Final = "text/plain"
_SERVER_ERRORS: Final = 500
_TIMEOUT: Final = 408
_THIS_MAIL: Final = frozenset({400, 413, 422})
_ACCOUNT_CODES: Final = frozenset(
    {
        "erroraccountsuspend",
        "erroraccountsuspendshowtierupgrade",
        "errormessagesubmissionblocked",
        "errorquotaexceeded",
        "errorsendasdenied",
        "errorsendonbehalfofdenied",
    }
)


@dataclass(frozen=True, slots=True)
class _Letter:
    """A draft as octets, and the blind recipients that no field of it names."""

    message_id: str
    mime: bytes
    bcc: tuple[str, ...]


@dataclass(slots=True)
class _LastOctet:
    """A body of a request that calls `sending` when all but its last octet has been written."""

    octets: bytes
    sending: Callable[[], None]
    reached: bool = False
    error: BaseException | None = field(default=None, repr=False)

    def __iter__(self) -> Iterator[bytes]:
        yield self.octets[:-1]
        self.reached = True
        try:
            self.sending()
        except BaseException as error:
            self.error = error
            raise
        yield self.octets[-1:]


class GraphSender:
    """See `crm_sync.ports.Sender`. Exchange itself keeps a copy of what is sent.

    `find` raises as the account's other verbs do when Graph can't be asked.
    """

    def __init__(self, options: SenderOptions, surroundings: Surroundings) -> None:
        self._options = options
        self._account = surroundings.account
        self._clock = surroundings.clock
        self._client = GraphClient(options, surroundings)
        self._sent: deque[datetime] = deque(maxlen=options.per_minute)

    def send(self, draft: Draft, sending: Callable[[], None]) -> Receipt:
        """See `crm_sync.ports.Sender.send`."""
        letter = self._letter(draft)
        self._take_turn()
        if self._options.drafts:
            return self._send_draft(letter, sending)
        return self._send_at_once(letter, sending)

    def draft(self, draft: Draft) -> Receipt:
        """Files a mail as a draft in the mailbox and sends nothing; needs `drafts = true`."""
        self._file(self._letter(draft))
        return Receipt("filed as a draft")

    def keep(self, draft: Draft, place: Place) -> bool:
        """See `crm_sync.ports.Filing.keep`; needs `drafts = true`. Exchange itself keeps the sent.

        Looks in all folders: a draft may have been sent, or moved, since it was filed.
        """
        letter = self._letter(draft)
        if place == "sent":
            return False
        answers = self._client.batch(self._searches(letter.message_id, self._all_folders))
        found = self._found(answers)
        if found == "cannot_tell":
            raise self._client.failure(next(answer for answer in answers if not answer.ok))
        if found == "absent":
            self._file(letter)
        return found == "absent"

    def find(self, message_ids: Sequence[str]) -> Mapping[str, Found]:
        """See `crm_sync.ports.Sender.find`: looks in Sent Items, by our property first.

        The copy may be filed some seconds after the sending.
        """
        if not (self._options.look_in_sent or self._options.drafts):
            return dict.fromkeys(message_ids, "cannot_tell")
        wanted = dict.fromkeys(message_ids)
        searches = [
            ask for message_id in wanted for ask in self._searches(message_id, self._sent_items)
        ]
        answers = self._client.batch(searches)
        each = len(searches) // len(wanted) if wanted else 1
        parts = (answers[at : at + each] for at in range(0, len(answers), each))
        return {
            message_id: self._found(part) for message_id, part in zip(wanted, parts, strict=True)
        }

    def probe(self) -> Iterator[Finding]:
        """See `crm_sync.ports.Sender.probe`. The right to send shows in the token alone."""
        step = "sign in"
        try:
            yield from self._client.sign_in.findings()
            token = self._client.sign_in.token()
            yield Finding(step, ok=True)
            yield from permissions.findings(self._options, token, self._account)
            if not (self._options.look_in_sent or self._options.drafts):
                return
            step = "sent items"
            answer = self._client.get(Ask(f"{self._sent_items}?$top=1&$select=id"))
            if not answer.ok:
                raise self._client.failure(answer)
            yield Finding(step, ok=True)
        except CrmSyncError as error:
            yield Finding(step, ok=False, problem=error.what, advice=error.advice)

    def close(self) -> None:
        """See `crm_sync.ports.Sender.close`."""
        self._client.close()

    # -- ways of sending ---------------------------------------------------------------------

    def _send_at_once(self, letter: _Letter, sending: Callable[[], None]) -> Receipt:
        """One request; its last octet is to Graph what the final dot is to SMTP."""
        body = _LastOctet(base64.b64encode(_with_bcc(letter)), sending)
        headers = {"Content-Type": _MIME, "Content-Length": str(len(body.octets))}
        path = f"{self._client.mailbox}/sendMail"
        try:
            answer = self._client.post(path, body, headers)
            if answer.status == UNAUTHORIZED:
                # A clear no: the token ended early. `sending` has been called and is not again.
                self._client.sign_in.renew()
                answer = self._client.post(path, body.octets, headers)
        except Unreachable as error:
            if body.error is not None:
                raise body.error from None
            if body.reached and not isinstance(error, Throttled):
                raise self._doubt() from error
            raise
        return self._receipt(answer)

    def _send_draft(self, letter: _Letter, sending: Callable[[], None]) -> Receipt:
        """Files the mail, gives it our property, and sends it when all has been accepted."""
        key = self._file(letter)
        path = f"{self._client.mailbox}/messages/{quote(key, safe='')}"
        try:
            self._client.sign_in.token()  # so that nothing but the sending itself can go wrong
            sending()
        except BaseException:
            self._discard(path)
            raise
        try:
            answer = self._client.post(f"{path}/send", b"", {"Prefer": IMMUTABLE})
        except Unreachable as error:
            raise self._doubt() from error
        try:
            return self._receipt(answer)
        except InDoubt:
            raise
        except CrmSyncError:
            self._discard(path)
            raise

    def _file(self, letter: _Letter) -> str:
        """Files a draft; its id. What goes wrong here means that nothing was sent."""
        content = base64.b64encode(letter.mime)
        headers = {"Content-Type": _MIME, "Prefer": IMMUTABLE}
        mailbox = self._client.mailbox
        answer = self._client.post(f"{mailbox}/messages", content, headers)
        if answer.status == UNAUTHORIZED:
            self._client.sign_in.renew()
            answer = self._client.post(f"{mailbox}/messages", content, headers)
        if not answer.ok:
            raise self._complaint(answer)
        key = text(answer.body.get("id"))
        if not key:
            raise self._client.senseless()
        path = f"{mailbox}/messages/{quote(key, safe='')}"
        answer = self._client.patch(path, _additions(letter))
        if not answer.ok:
            self._discard(path)
            raise self._complaint(answer)
        return key

    def _discard(self, path: str) -> None:
        """Deletes a draft that will not be sent; left lying it would only be untidy."""
        with suppress(CrmSyncError):
            self._client.delete(path)

    # -- before and after --------------------------------------------------------------------

    def _letter(self, draft: Draft) -> _Letter:
        try:
            to = {addr_spec(address.address) for address in draft.to}
            bcc = dict.fromkeys(addr_spec(address) for address in draft.bcc)
            hidden = tuple(address for address in bcc if address not in to)
            return _Letter(draft.message_id, compose(draft), hidden)
        except ValueError as error:
            what = f"the mail can't be sent: {error}"
            raise Refused(what, where=self._account, scope="item") from error

    def _take_turn(self) -> None:
        """Keeps to the mails a minute that are configured."""
        now = self._clock.now()
        if len(self._sent) == self._sent.maxlen and now - self._sent[0] < _MINUTE:
            what = f"{self._options.per_minute} mails have been sent within a minute"
            raise Throttled(what, retry_at=self._sent[0] + _MINUTE, where=self._account)
        self._sent.append(now)

    def _receipt(self, answer: Answer) -> Receipt:
        """The receipt for an answer to the sending itself; raises what else it means."""
        if answer.ok:
            return Receipt(f"{answer.status} accepted by Microsoft Graph")
        unclear = answer.status >= _SERVER_ERRORS or answer.status == _TIMEOUT
        if unclear and not answer.is_throttled:
            raise self._doubt()
        raise self._complaint(answer)

    def _complaint(self, answer: Answer) -> CrmSyncError:
        """The error for a clear no. The server's own words are left out."""
        if answer.status in _THIS_MAIL and answer.code not in _ACCOUNT_CODES:
            what = f"Microsoft refuses the mail (status {answer.status})"
            advice = "Check the recipient's address, and the mail's size."
            return Refused(what, where=self._account, advice=advice, scope="item")
        if answer.code in _ACCOUNT_CODES and "denied" not in answer.code:
            what = "Microsoft keeps this mailbox from sending for now"
            advice = (
                "It is full or blocked; an administrator sees why in the Exchange admin centre."
            )
            return Refused(what, where=self._account, advice=advice)
        return self._client.failure(answer)

    def _doubt(self) -> InDoubt:
        what = "the connection ended before Microsoft's answer: the mail may have been sent"
        return InDoubt(what, where=self._account, advice="Look into Sent Items.")

    # -- looking back ------------------------------------------------------------------------

    @property
    def _sent_items(self) -> str:
        return f"{self._client.mailbox}/mailFolders/sentitems/messages"

    @property
    def _all_folders(self) -> str:
        return f"{self._client.mailbox}/messages"

    def _searches(self, message_id: str, where: str) -> list[Ask]:
        """The name of a property is compared with case, and Exchange may have lowered it."""
        value = message_id.replace("'", "''")
        filters = [
            "singleValueExtendedProperties/Any(ep: "
            f"ep/id eq '{_HEADERS}{name}' and ep/value eq '{value}')"
            for name in (ID_FIELD, ID_FIELD.lower())
        ]
        filters.append(f"internetMessageId eq '{value}'")
        query = "$top=1&$select=id&$filter="
        return [Ask(f"{where}?{query}{quote(one, safe='')}") for one in filters]

    def _found(self, answers: Sequence[Answer]) -> Found:
        for answer in answers:
            if answer.is_throttled or answer.status == UNAUTHORIZED:
                raise self._client.failure(answer)
        if any(answer.rows for answer in answers if answer.ok):
            return "found"
        return "absent" if all(answer.ok for answer in answers) else "cannot_tell"


def _with_bcc(letter: _Letter) -> bytes:
    """The message with the blind recipients in a field that Exchange takes out when it sends."""
    if not letter.bcc:
        return letter.mime
    return b"Bcc: " + ",\r\n ".join(letter.bcc).encode() + b"\r\n" + letter.mime


def _additions(letter: _Letter) -> dict[str, object]:
    """What a draft has besides its MIME content."""
    name = f"{_HEADERS}{ID_FIELD}"
    return {
        "bccRecipients": [{"emailAddress": {"address": address}} for address in letter.bcc],
        "singleValueExtendedProperties": [{"id": name, "value": letter.message_id}],
    }
