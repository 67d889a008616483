"""How an account proves to a server who it is: by a password, or by an access token."""

from base64 import b64encode
from datetime import datetime, timedelta
from typing import Final

from connectors.imap import failures
from connectors.imap.options import ImapOptions
from connectors.imap.session import Answer, Session
from connectors.imap.wire import Forbidden
from connectors.oauth.access import TokenSource, spread
from connectors.oauth.grant import AccessToken
from connectors.oauth.sasl import MECHANISMS, initial_response
from crm_sync.core.errors import Refused

_BEFORE_THE_END: Final = timedelta(minutes=5)
"""Gmail ends a session with the token it began with: one of an hour is given up at 55 minutes."""


_ONLY_OVER_TLS: Final = Answer("NO", b"[PRIVACYREQUIRED]")
"""What the server would say to a password; it is not sent to hear it."""


class Credentials:
    """Signs sessions of one account in; `tokens` is None where a password does it."""

    def __init__(
        self, options: ImapOptions, account: str, tokens: TokenSource | None = None
    ) -> None:
        self.tokens = tokens
        self._options = options
        self._early = _BEFORE_THE_END + spread(account, timedelta(minutes=1))
        self._used: AccessToken | None = None

    @property
    def ends_at(self) -> datetime | None:
        """When to give up the session that was signed in last; None when it may stay."""
        return self._used.expires_at - self._early if self._used is not None else None

    @property
    def remedy(self) -> str:
        """What a person can do when the server refuses the account's tokens."""
        return self.tokens.remedy if self.tokens is not None else ""

    def sign_in(self, session: Session) -> Answer:
        """One try. Raises what a session raises, and `TokenSource.access`."""
        options = self._options
        if self.tokens is None:
            assert options.password is not None  # as the options make sure
            return self._by_password(session, options.password.get_secret_value())
        mechanism = MECHANISMS[options.auth]
        if f"AUTH={mechanism.name}" not in session.capabilities:
            raise Refused(
                f"the server offers no sign-in by {mechanism.name}",
                where=options.where,
                advice="Check host, and auth; it may want TLS first.",
                kind="settings",
            )
        self._used = self.tokens.access()
        message = initial_response(
            mechanism, options.username, self._used, options.host, options.effective_port
        )
        return session.authenticate(mechanism.name.encode(), message, mechanism.after_error)

    def are_better_now(self, answer: Answer) -> bool:
        """Whether there is another token after a no that was about this one; asked once a no.

        More tries than two would lock accounts.
        """
        if self.tokens is None or self._used is None or not failures.rejects_token(answer.text):
            return False
        return self.tokens.access(rejected=self._used.text) != self._used

    def _by_password(self, session: Session, password: str) -> Answer:
        """LOGIN, which must not be sent where the server says so (RFC 3501 section 6.2.3)."""
        options = self._options
        if "LOGINDISABLED" not in session.capabilities:
            return session.sign_in(options.username, password)
        if options.security == "none":
            return _ONLY_OVER_TLS
        if "AUTH=PLAIN" not in session.capabilities:
            raise Refused(
                "the server offers no sign-in by password",
                where=options.where,
                advice='It may want OAuth 2.0: auth = "xoauth2".',
                kind="settings",
            )
        if "\0" in options.username + password:
            raise Forbidden("a user name or password holds NUL, which parts them in SASL PLAIN")
        message = f"\0{options.username}\0{password}".encode()
        return session.authenticate(b"PLAIN", b64encode(message), b"*")
