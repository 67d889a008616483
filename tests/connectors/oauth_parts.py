"""Sign-ins by OAuth 2.0 as tests use them: what they leave behind, and where it is kept."""

from contextlib import AbstractContextManager, nullcontext
from datetime import datetime, timedelta

from connectors.oauth.grant import AccessToken, Grant
from tests.servers.oauth_server import CLIENT, OAuthServer

ACCOUNT = "karin@acme.example/imap"
MAIL = b"From: Lena <lena@nordvik.example>\r\nSubject: Hi\r\nMessage-ID: <%d@x.example>\r\n\r\ntext\r\n"


class MemoryTokens:
    """A place for tokens that may lose its power just before it has saved."""

    def __init__(self, text: str | None = None) -> None:
        self.text, self.loses_power = text, False

    def load(self) -> str | None:
        return self.text

    def save(self, text: str) -> None:
        if self.loses_power:
            raise KeyboardInterrupt
        self.text = text

    def lock(self) -> AbstractContextManager[None]:
        return nullcontext()


def signed_in(
    provider: OAuthServer, now: datetime, *, minutes: int = 60, access: str | None = None
) -> Grant:
    """What a sign-in ten minutes ago left behind; its access token lasts so many minutes more."""
    token = AccessToken(access or provider.jwt(), now + timedelta(minutes=minutes))
    return Grant(CLIENT, provider.refresh_token(), token, now - timedelta(minutes=10))
