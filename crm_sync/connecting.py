"""Sources, senders and filings of a configuration, made by their connectors as they are needed."""

import threading
from typing import cast

from crm_sync.core.errors import UsageError
from crm_sync.core.records import Finding
from crm_sync.flow.post import TEAM
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
from crm_sync.store import outbox, tokens
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
        return kind.build(sender.options, self._surroundings(sender))

    def open_filing(self, account: AccountSettings | SenderSettings) -> Filing:
        """What keeps drafts and copies in Sent, on a connection of its own, not made yet."""
        if isinstance(account, SenderSettings):
            return cast("Filing", self.open_sender(account))  # its options say `drafts = true`
        build = plugins.source_kinds()[account.connector].filing
        assert build is not None  # as the settings make sure
        return build(account.options, self._surroundings(account))

    def open_source(self, account: AccountSettings) -> Source:
        """The source of an account, kept between pulls; nothing is connected yet."""
        with self._guard:
            source = self._sources.get(account.name)
            if source is None:
                kind = plugins.source_kinds()[account.connector]
                source = kind.build(account.options, self._surroundings(account))
                self._sources[account.name] = source
            return source

    def _surroundings(
        self, one: AccountSettings | SenderSettings, *, anew: bool = False
    ) -> Surroundings:
        """What its connector may know; with `anew` no earlier sign-in, which another may share."""
        formerly = () if anew else one.formerly
        kept = StoredTokens(self._store, one.name, self._clock, formerly=formerly)
        zone = self._settings.team.timezone
        return Surroundings(one.name, self._clock, zone, kept, self._shelter)

    def login(self, name: str, prompt: Prompt) -> None:
        """Signs a person in to an account, which is pulled at the next tick, or to a sender.

        What waited for the sender goes with the next turn.
        Raises `UsageError` for an unknown name and for one that needs no sign-in.
        """
        found, kind = self._connection(name)
        if kind.login is None:
            raise UsageError(
                f"{found.name} signs in with what the configuration holds",
                advice="`crm-sync doctor` tries it.",
            )
        kind.login(found.options, self._surroundings(found, anew=True), prompt)
        with self._store.write() as tx:
            if isinstance(found, SenderSettings):
                whose = self._settings.addresses_of(found.rep) if found.rep else [TEAM]
                outbox.try_soon(tx, whose)
            else:
                tokens.pull_soon(tx, found.name, self._clock.now())

    def probe(self, name: str) -> list[Finding]:
        """Tries an account or sender for real."""
        found, kind = self._connection(name)
        opened = kind.build(found.options, self._surroundings(found))
        try:
            return list(opened.probe())
        finally:
            opened.close()

    def _connection(
        self, name: str
    ) -> tuple[AccountSettings | SenderSettings, SourceKind | SenderKind]:
        """An account or sender by its name, and the kind of its connector.

        The name that a sender had in earlier versions will do where no account has it.
        """
        sources = {a.name: a for a in self._settings.accounts}
        senders = {s.name: s for s in (self._settings.sender, *self._settings.senders) if s}
        earlier = {name: s for s in senders.values() for name in s.formerly}
        if name in sources:
            return sources[name], plugins.source_kinds()[sources[name].connector]
        sender = senders.get(name) or earlier.get(name)
        if sender is not None:
            return sender, plugins.sender_kinds()[sender.connector]
        known = ", ".join((*sources, *senders)) or "none"
        problem = f"there is no account or sender {name!r}"
        raise UsageError(problem, advice=f"Configured: {known}.")
