"""The SMTP sender: drafts in, receipts out, and certainty about the final dot."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from connectors.hosts import in_clear
from connectors.oauth.access import TokenSource
from connectors.smtp.options import SmtpOptions
from connectors.smtp.replies import complaint
from connectors.smtp.session import Session
from crm_sync.core.clean import clean
from crm_sync.core.compose import addr_spec, compose, needs_smtputf8
from crm_sync.core.errors import CrmSyncError, Refused, Unreachable
from crm_sync.core.records import Draft, Finding, Receipt
from crm_sync.ports import Found, Surroundings

_LONGEST_ANSWER = 200


@dataclass(frozen=True, slots=True)
class _Letter:
    """A draft in its envelope: octets and addresses as they go over the wire."""

    data: bytes
    sender: str
    to: tuple[str, ...]
    bcc: tuple[str, ...]
    utf8: bool


class SmtpSender:
    """Hands mails to one submission server; keeps its connection between mails until `close`."""

    def __init__(
        self,
        options: SmtpOptions,
        surroundings: Surroundings,
        tokens: TokenSource | None = None,
    ) -> None:
        self._options = options
        self._account = surroundings.account
        self._tokens = tokens
        self._session = Session(options, surroundings.account, tokens)

    def send(self, draft: Draft, sending: Callable[[], None]) -> Receipt:
        """See `crm_sync.ports.Sender.send`. A refused Bcc recipient doesn't stop the mail."""
        letter = self._letter(draft)
        self._begin(letter)
        refused = self._address(letter)
        self._session.data(letter.data)
        try:
            sending()
        except BaseException:
            # Without its dot the server must discard the mail (RFC 5321 section 4.1.1.4).
            self._session.drop()
            raise
        reply = self._session.end()
        return Receipt(clean(f"{reply.code} {reply.text}", _LONGEST_ANSWER), refused)

    def find(self, message_ids: Sequence[str]) -> Mapping[str, Found]:
        """SMTP can't look back."""
        return dict.fromkeys(message_ids, "cannot_tell")

    def probe(self) -> Iterator[Finding]:
        """Connects, secures and signs in on a connection of its own."""
        session = Session(self._options, self._account, self._tokens)
        steps = [("connection", session.open)]
        if self._options.security == "starttls":
            steps.append(("encryption", session.secure))
        if self._options.username:
            steps.append(("sign-in", session.sign_in))
            yield from in_clear(self._options.host, self._options.security, self._options.auth)
        name = "sign-in by OAuth 2.0"
        try:
            if self._tokens is not None:
                yield from self._tokens.findings()
            for name, step in steps:
                step()
                yield Finding(name, ok=True)
        except CrmSyncError as error:
            yield Finding(name, ok=False, problem=error.what, advice=error.advice)
        finally:
            session.quit()

    def close(self) -> None:
        """Says QUIT and lets go of the connection."""
        self._session.quit()

    def _letter(self, draft: Draft) -> _Letter:
        try:
            to = tuple(dict.fromkeys(addr_spec(address.address) for address in draft.to))
            bcc = tuple(dict.fromkeys(addr_spec(address) for address in draft.bcc))
            return _Letter(
                data=compose(draft),
                sender=addr_spec(draft.from_.address),
                to=to,
                bcc=tuple(address for address in bcc if address not in to),
                utf8=needs_smtputf8(draft),
            )
        except ValueError as error:
            raise Refused(
                f"the mail can't be sent: {error}", where=self._account, scope="item"
            ) from error

    def _begin(self, letter: _Letter) -> None:
        """MAIL, on the kept connection or, once, on a new one where the kept one is dead."""
        if self._session.still_stands():
            try:
                self._session.mail(letter.sender, len(letter.data), utf8=letter.utf8)
            except Unreachable:
                if self._session.alive:
                    raise
            else:
                return
        self._session.connect()
        self._session.mail(letter.sender, len(letter.data), utf8=letter.utf8)

    def _address(self, letter: _Letter) -> tuple[str, ...]:
        """RCPT for all; the Bcc recipients that were refused. Raises when a To is refused."""
        for recipient in letter.to:
            reply = self._session.rcpt(recipient)
            if not reply.ok:
                raise complaint("RCPT", reply, self._account)
        return tuple(address for address in letter.bcc if not self._session.rcpt(address).ok)
