"""How an account proves to a server who it is: by a password, or by an access token."""

from datetime import datetime, timedelta
from typing import Final

from connectors.imap import failures
from connectors.imap.options import ImapOptions
from connectors.imap.session import Answer, Session
from connectors.oauth.access import TokenSource, spread
from connectors.oauth.grant import AccessToken
from connectors.oauth.sasl import MECHANISMS, initial_response
from crm_sync.core.errors import Refused

_BEFORE_THE_END: Final = timedelta(minutes=5)
"""Gmail ends a session with the token it began with: one of an hour is given up at 55 minutes."""


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
            return session.sign_in(options.username, options.password.get_secret_value())
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
