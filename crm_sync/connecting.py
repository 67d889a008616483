"""Sources, senders and filings of a configuration, made by their connectors as they are needed."""

import threading
from typing import cast

from crm_sync.core.errors import UsageError
from crm_sync.core.records import Finding
from crm_sync.ports import (
    Clock,
    Filing,
    Prompt,
    Sender,
    SenderKind,
    Shelter,
    Source,
    SourceKind,
    Surroundings,
)
from crm_sync.runtime import plugins
from crm_sync.runtime.tokens import StoredTokens
from crm_sync.settings import AccountSettings, SenderSettings, Settings
from crm_sync.store import tokens
from crm_sync.store.engine import Store


class Connectors:
    """Opens what a configuration names; nothing is connected before it is used."""

    def __init__(self, settings: Settings, store: Store, clock: Clock, shelter: Shelter) -> None:
        self._settings = settings
        self._store = store
        self._clock = clock
        self._shelter = shelter
        self._sources: dict[str, Source] = {}
        self._guard = threading.Lock()

    def close(self) -> None:
        """Lets go of the sources' connections."""
        for source in self._sources.values():
            source.close()

    def open_sender(self, sender: SenderSettings) -> Sender:
        """A new sender; nothing is connected yet."""
        kind = plugins.sender_kinds()[sender.connector]
        return kind.build(sender.options, self._surroundings(sender.name))

    def open_filing(self, account: AccountSettings | SenderSettings) -> Filing:
        """What keeps drafts and copies in Sent, on a connection of its own, not made yet."""
        if isinstance(account, SenderSettings):
            return cast("Filing", self.open_sender(account))  # its options say `drafts = true`
        build = plugins.source_kinds()[account.connector].filing
        assert build is not None  # as the settings make sure
        return build(account.options, self._surroundings(account.name))

    def open_source(self, account: AccountSettings) -> Source:
        """The source of an account, kept between pulls; nothing is connected yet."""
        with self._guard:
            source = self._sources.get(account.name)
            if source is None:
                kind = plugins.source_kinds()[account.connector]
                source = kind.build(account.options, self._surroundings(account.name))
                self._sources[account.name] = source
            return source

    def _surroundings(self, name: str) -> Surroundings:
        kept = StoredTokens(self._store, name, self._clock)
        return Surroundings(name, self._clock, self._settings.team.timezone, kept, self._shelter)

    def login(self, name: str, prompt: Prompt) -> None:
        """Signs a person in to an account or sender, which is then pulled at the next tick.

        Raises `UsageError` for an unknown name and for one that needs no sign-in.
        """
        found, kind = self._connection(name)
        if kind.login is None:
            raise UsageError(
                f"{name} signs in with what the configuration holds",
                advice="`crm-sync doctor` tries it.",
            )
        kind.login(found.options, self._surroundings(name), prompt)
        with self._store.write() as tx:
            tokens.pull_soon(tx, name, self._clock.now())

    def probe(self, name: str) -> list[Finding]:
        """Tries an account or sender for real."""
        found, kind = self._connection(name)
        opened = kind.build(found.options, self._surroundings(name))
        try:
            return list(opened.probe())
        finally:
            opened.close()

    def _connection(
        self, name: str
    ) -> tuple[AccountSettings | SenderSettings, SourceKind | SenderKind]:
        """An account or sender by its name, and the kind of its connector."""
        sources = {a.name: a for a in self._settings.accounts}
        senders = {s.name: s for s in (self._settings.sender, *self._settings.senders) if s}
        if name in sources:
            return sources[name], plugins.source_kinds()[sources[name].connector]
        if name in senders:
            return senders[name], plugins.sender_kinds()[senders[name].connector]
        known = ", ".join((*sources, *senders)) or "none"
        raise UsageError(f"there is no account {name!r}", advice=f"Configured: {known}.")
