"""The sealed place of OAuth tokens: Fernet over the diary, with a key of its own (law 13)."""

import json
import shlex
from base64 import urlsafe_b64encode
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Final

from cryptography.fernet import Fernet, InvalidToken, MultiFernet

from crm_sync.core.errors import Refused, Unreachable
from crm_sync.ports import Clock
from crm_sync.store import tokens
from crm_sync.store.engine import Store

PATIENCE: Final = 120.0
"""Seconds to wait for another thread or process that is renewing; that takes a minute at most."""


class StoredTokens:
    """See `crm_sync.ports.Tokens`.

    `older_keys` (32 bytes each) open what was sealed before the master secret was changed; what is
    saved is sealed with the present key.
    """

    def __init__(
        self,
        store: Store,
        account: str,
        clock: Clock,
        *,
        older_keys: Sequence[bytes] = (),
        patience: float = PATIENCE,
    ) -> None:
        keys = (store.keys.token_key, *older_keys)
        self._seal = MultiFernet([Fernet(urlsafe_b64encode(key)) for key in keys])
        self._store = store
        self._account = account
        self._clock = clock
        self._patience = patience

    def load(self) -> str | None:
        """See `crm_sync.ports.Tokens.load`. Raises `Refused` for what another key has sealed."""
        with self._store.read() as tx:
            sealed = tokens.load(tx, self._account)
        if sealed is None:
            return None
        try:
            owner, text = json.loads(self._seal.decrypt(sealed))
        except (InvalidToken, ValueError):
            owner, text = "", ""
        # The name inside the seal: a row copied to another account must not sign that one in.
        if owner != self._account:
            raise Refused(
                "the stored sign-in was sealed with another key",
                where=self._account,
                advice=f"Run: crm-sync login {shlex.quote(self._account)}",
            )
        return str(text)

    def save(self, text: str) -> None:
        """See `crm_sync.ports.Tokens.save`."""
        sealed = self._seal.encrypt(json.dumps([self._account, text]).encode())
        with self._store.write(durable=True) as tx:
            tokens.save(tx, self._account, sealed, self._clock.now())

    @contextmanager
    def lock(self) -> Iterator[None]:
        """See `crm_sync.ports.Tokens.lock`. Raises `Unreachable` when it is not to be had."""
        if not self._store.lock_token(self._account, self._patience):
            raise Unreachable(
                "another process has been renewing the sign-in for too long",
                where=self._account,
                advice="Trying again later.",
            )
        try:
            yield
        finally:
            self._store.unlock_token(self._account)
