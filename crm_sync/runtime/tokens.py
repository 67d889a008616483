"""The sealed place of OAuth tokens: Fernet over the diary, with a key of its own (law 13)."""

import json
import shlex
from base64 import urlsafe_b64encode
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
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

    `formerly` are other names, whose tokens serve as long as there are none of this one: they may
    be an account's that signs in alike, so they are renewed in their place and under its lock too.
    `older_keys` (32 bytes each) open what was sealed before the master secret was changed; what is
    saved is sealed with the present key.
    """

    def __init__(
        self,
        store: Store,
        account: str,
        clock: Clock,
        *,
        formerly: Sequence[str] = (),
        older_keys: Sequence[bytes] = (),
        patience: float = PATIENCE,
    ) -> None:
        keys = (store.keys.token_key, *older_keys)
        self._seal = MultiFernet([Fernet(urlsafe_b64encode(key)) for key in keys])
        self._store = store
        self._account = account
        self._names = (account, *formerly)
        self._clock = clock
        self._patience = patience

    def load(self) -> str | None:
        """See `crm_sync.ports.Tokens.load`. Raises `Refused` for what another key has sealed."""
        place = self._place()
        with self._store.read() as tx:
            sealed = tokens.load(tx, place)
        if sealed is None:
            return None
        try:
            owner, text = json.loads(self._seal.decrypt(sealed))
        except (InvalidToken, ValueError):
            owner, text = "", ""
        # The name inside the seal: a row copied to another account must not sign that one in.
        if owner != place:
            raise Refused(
                "the stored sign-in was sealed with another key",
                where=self._account,
                advice=f"Run: crm-sync login {shlex.quote(self._account)}",
            )
        return str(text)

    def save(self, text: str) -> None:
        """See `crm_sync.ports.Tokens.save`."""
        place = self._place()
        sealed = self._seal.encrypt(json.dumps([place, text]).encode())
        with self._store.write(durable=True) as tx:
            tokens.save(tx, place, sealed, self._clock.now())

    @contextmanager
    def lock(self) -> Iterator[None]:
        """See `crm_sync.ports.Tokens.lock`. Raises `Unreachable` when it is not to be had."""
        with self._locked(self._account):
            # Nobody signs in under the own name from here on, so the place stays what it is.
            place = self._place()
            with self._locked(place) if place != self._account else nullcontext():
                yield

    @contextmanager
    def _locked(self, name: str) -> Iterator[None]:
        if not self._store.lock_token(name, self._patience):
            raise Unreachable(
                "another process has been renewing the sign-in for too long",
                where=self._account,
                advice="Trying again later.",
            )
        try:
            yield
        finally:
            self._store.unlock_token(name)

    def _place(self) -> str:
        """The name under which the tokens are kept."""
        if len(self._names) == 1:
            return self._account
        with self._store.read() as tx:
            kept = (name for name in self._names if tokens.load(tx, name) is not None)
            return next(kept, self._account)
