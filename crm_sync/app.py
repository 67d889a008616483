"""Where everything meets: settings become objects, objects do a turn of work."""

import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from functools import cache, cached_property, partial
from pathlib import Path
from typing import Any

from crm_sync.connecting import Connectors
from crm_sync.core.addresses import canonical
from crm_sync.core.errors import CrmSyncError, UsageError
from crm_sync.core.keys import Keys
from crm_sync.core.matching import Team
from crm_sync.core.rendering import Renderer
from crm_sync.core.worktime import WorkingTime
from crm_sync.flow import alarms, breaker, health
from crm_sync.flow import dispatch as dispatching
from crm_sync.flow import plan as planning
from crm_sync.flow.budget import Limits
from crm_sync.flow.dispatch import Dispatched
from crm_sync.flow.fetch import Progress
from crm_sync.flow.health import Pulled
from crm_sync.flow.post import GreetingRule, Post, Way
from crm_sync.flow.pull import pull_account
from crm_sync.flow.setup import FollowUpRule, Setup
from crm_sync.ports import (
    Clock,
    Filing,
    Source,
    Watchable,
)
from crm_sync.runtime import plugins, resources
from crm_sync.runtime.clock import SystemClock
from crm_sync.runtime.collecting import rare_collections
from crm_sync.runtime.daemon import DISPATCH, Daemon, Submit
from crm_sync.runtime.logs import logger
from crm_sync.runtime.shelter import ProcessShelter
from crm_sync.runtime.watcher import Watcher
from crm_sync.runtime.workers import Workers
from crm_sync.settings import (
    AccountSettings,
    SenderSettings,
    Settings,
    declaration,
    drafts_of,
    endings,
    ensure_master_key,
    find_config,
    load,
    people,
    rep_addresses,
    team_address,
)
from crm_sync.store import accounts, hosts
from crm_sync.store.accounts import Account
from crm_sync.store.directory import DirectoryCache
from crm_sync.store.engine import Store, open_store

AccountProgress = Callable[[str, str, int, int | None], None]
"""Told of long work: account, what is being done, how much is done, of how much."""


def read_settings(config: Path | None) -> Settings:
    """The configuration that a command uses. Raises `ConfigError` with all problems."""
    path = find_config(config, os.environ, Path.cwd())
    found = plugins.installed()
    return load(path, environ=os.environ, source_kinds=found.sources, sender_kinds=found.senders)


class App:
    """The program with one configuration: an open diary, and connectors made as they are needed."""

    def __init__(
        self, settings: Settings, clock: Clock | None = None, *, pulls: bool = False
    ) -> None:
        """`pulls`: several accounts may be pulled, for the first time in processes of their own."""
        self.settings = settings
        self.clock = clock or SystemClock()
        # Before anything is open. A clock of its own can't be had by another process.
        apart = pulls and clock is None and len(settings.accounts) > 1
        self._workers = Workers(settings.path, pull_apart, None if apart else 0)
        self._keys = Keys(ensure_master_key(settings))
        self.store: Store = open_store(settings.database.url, self._keys)
        self._shelter = ProcessShelter()
        self.connectors = Connectors(settings, self.store, self.clock, self._shelter)
        self._watcher: Watcher | None = None

    def close(self) -> None:
        """Lets go of connections and of the diary."""
        self._workers.close()
        self.connectors.close()
        self._shelter.close()
        self.store.close()

    @cached_property
    def setup(self) -> Setup:
        """What the use cases are given."""
        settings, team = self.settings, self.settings.team
        reps, admin = people(settings)

        @cache
        def working_time(rep: str) -> WorkingTime:
            zone = next((r.timezone for r in settings.reps if r.email == rep), team.timezone)
            return WorkingTime(team.working_hours, zone, team.country or "")

        return Setup(
            store=self.store,
            clock=self.clock,
            team=self._team(),
            zone=team.timezone,
            directory=DirectoryCache(settings.matching.domains, frozenset(team.domains)),
            reps=reps,
            rules=tuple(FollowUpRule(r.kind, r.after) for r in settings.reminders),
            working_time=working_time,
            shelter=self._shelter,
            admin=admin,
        )

    def _team(self) -> Team:
        settings = self.settings
        senders = [s.from_.address for s in (settings.sender, *settings.senders) if s]
        shared = [a for a in map(self._team_address, settings.accounts) if a]
        return Team(
            domains=frozenset(settings.team.domains),
            reps=rep_addresses(settings),
            shared=frozenset(c for a in (*senders, *shared) if (c := canonical(a))),
        )

    @cached_property
    def post(self) -> Post | None:
        """How mails are written; None when no sender is configured."""
        settings = self.settings
        if settings.sender is None:
            return None
        witness = next((a for a in settings.accounts if self._team_address(a)), None)
        filings = {
            a.name: partial(self.connectors.open_filing, a) for a in settings.accounts if a.can_file
        }
        return Post(
            renderer=Renderer(resources.templates()),
            team=self._way(settings.sender, filings),
            ways=self._ways(filings),
            drafts={
                rep.email: filings.get(place.name) or partial(self.connectors.open_filing, place)
                for rep in settings.reps
                if (place := drafts_of(settings, rep.email)) is not None
            },
            message_key=self._keys.message_key,
            team_name=settings.team.name,
            team_language=settings.team.language,
            team_zone=settings.team.timezone.key,
            digest_at=settings.sending.digest_at,
            to_reps=settings.sending.reps,
            to_customers=settings.sending.customers != "off",
            greetings=tuple(
                GreetingRule(g.occasion, g.send_at, g.customers) for g in settings.greetings
            ),
            witness=self._team_address(witness) if witness else None,
            witness_account=witness.name if witness else None,
        )

    def _team_address(self, account: AccountSettings) -> str | None:
        return team_address(account, next(iter(self.settings.team.domains), ""))

    def _ways(self, filings: Mapping[str, Callable[[], Filing]]) -> dict[str, Way]:
        """Those of reps, by each address a rep has or had: rows of the outbox name the old ones."""
        return {
            address: way
            for sender in self.settings.senders
            if sender.rep
            for way in [self._way(sender, filings)]
            for address in self.settings.addresses_of(sender.rep)
        }

    def _way(self, sender: SenderSettings, filings: Mapping[str, Callable[[], Filing]]) -> Way:
        return Way(
            from_=sender.from_,
            open_sender=partial(self.connectors.open_sender, sender),
            account=sender.account,
            limits=Limits(sender.per_minute, sender.per_day),
            open_filing=filings.get(sender.filing or ""),
            keeps_copy=sender.keeps_copy,
        )

    def declared(self, names: Sequence[str] = ()) -> list[tuple[AccountSettings, Account]]:
        """The configured accounts (all, or those of these names) with their rows in the diary."""
        configured = {account.name: account for account in self.settings.accounts}
        for name in names:
            if name not in configured:
                known = ", ".join(configured) or "none"
                raise UsageError(f"there is no account {name!r}", advice=f"Configured: {known}.")
        chosen = [configured[name] for name in names] if names else list(configured.values())
        with self.store.read() as tx:
            stored = {row.name: row for row in accounts.all_accounts(tx)}
        facts = self._declarations
        if all(a.name in stored and _agrees(facts[a.name], stored[a.name]) for a in chosen):
            return [(a, stored[a.name]) for a in chosen]
        with self.store.write() as tx:
            for account in chosen:
                accounts.rename(tx, account.formerly, account.name, facts[account.name])
            return [(a, accounts.declare(tx, **facts[a.name])) for a in chosen]

    @cached_property
    def _declarations(self) -> dict[str, dict[str, Any]]:
        return {a.name: declaration(a, self._keys) for a in self.settings.accounts}

    def pull(
        self, names: Sequence[str] = (), progress: AccountProgress = lambda *_: None
    ) -> list[Pulled]:
        """One pull of the accounts, side by side, in the order configured; paused ones if named."""
        chosen = self.declared(names)
        if not chosen:
            return []
        with self.store.write() as tx:
            hosts.forget_all(tx)  # a person asks, who may have mended one
        pool = ThreadPoolExecutor(self.settings.daemon.workers, "pull")
        try:
            apart = self._apart(chosen)
            work = [
                pool.submit(self._pull_one, a, r, progress, spare=not names, apart=apart)
                for a, r in chosen
            ]
            return [future.result() for future in work]
        finally:
            # Ctrl-C must not wait for a server that is silent.
            pool.shutdown(wait=False, cancel_futures=True)

    def _apart(self, chosen: Sequence[tuple[AccountSettings, Account]]) -> bool:
        """Whether first syncs are to have processes of their own; when not, none are kept ready."""
        apart = sum(health.is_first_sync(row) for _, row in chosen) > 1
        if not apart:
            self._workers.close()
        return apart

    def pull_alone(self, name: str, progress: AccountProgress) -> Pulled:
        """One pull of one account in this very process."""
        ((account, row),) = self.declared([name])
        return self._pull_one(account, row, progress)

    def _pull_one(
        self,
        account: AccountSettings,
        row: Account,
        progress: AccountProgress = lambda *_: None,
        *,
        spare: bool = False,
        apart: bool = False,
    ) -> Pulled:
        """One account, unless somebody else is pulling it.

        `spare` leaves a paused one alone, `apart` lets a first sync have a process of its own.
        """
        if spare and health.is_paused(row, self.clock.now()):
            return health.left_alone(row)
        interval = self.settings.daemon.poll_interval
        tell = partial(progress, row.name)
        if apart and health.is_first_sync(row):
            done = self._workers.pull(self.setup, row, interval, tell)
            if done is not None:
                return done
        if not self.store.lock_account(row.id):
            return health.taken(row)
        try:
            # Another process may have finished the first sync since the row was read.
            row = self._as_it_is_now(row)
            source = self.connectors.open_source(account)
            with rare_collections():
                pulled = pull_account(
                    self.setup, row, source, interval=interval, reach=account.reach, progress=tell
                )
            if pulled.spares_account:
                self._watch(row.name, source)
        finally:
            self.store.unlock_account(row.id)
        if pulled.missed:
            logger().warning("missed", account=row.name, found=pulled.missed, healed=pulled.healed)
        if pulled.error:
            logger().warning("pull", account=row.name, error=pulled.error)
        elif pulled.seen or pulled.found:
            logger().info(
                "pull", account=row.name, seen=pulled.seen, logged=pulled.logged, found=pulled.found
            )
        return pulled

    def _as_it_is_now(self, row: Account) -> Account:
        with self.store.read() as tx:
            return accounts.by_name(tx, row.name) or row

    def plan_and_dispatch(self, stop: Callable[[], bool] = lambda: False) -> Dispatched:
        """Plans what is due and sends what is ready."""
        if self.post is None:
            return Dispatched()
        planning.plan(self.setup, self.post)
        soon = partial(endings, self.settings, self.connectors.open_source)
        alarms.plan(self.setup, self.post, self._declarations, soon)
        done = dispatching.dispatch(self.setup, self.post, stop=stop)
        for error in done.errors:
            logger().warning("dispatch", error=error.sentence())
        if done.sent or done.drafted or done.in_doubt or done.failed:
            counts = {"sent": done.sent, "failed": done.failed, "in_doubt": done.in_doubt}
            logger().info("dispatch", **counts, drafted=done.drafted)
        return done

    def turn(self, progress: AccountProgress = lambda *_: None) -> tuple[list[Pulled], Dispatched]:
        """One whole turn: pull, plan, dispatch."""
        return self.pull((), progress), self.plan_and_dispatch()

    def run(self) -> None:
        """The daemon, until SIGTERM. Raises `CrmSyncError` when another one runs here."""
        if not self.store.lock_daemon():
            raise CrmSyncError(
                "another crm-sync daemon runs on this database",
                where=str(self.settings.database.path),
                advice="Stop it first (systemctl stop crm-sync), or use another database.",
            )
        logger().info("start", accounts=len(self.settings.accounts))
        with self.store.write() as tx:
            soon = self.clock.now() + health.SIGN_IN_PAUSE
            accounts.forgive(tx, soon, health.SIGN_IN_KINDS)
        daemon = Daemon(self._tick, self.settings.daemon.workers)
        self._stopping = self._workers.stopping = lambda: daemon.stopping
        self._workers.quiet = False
        self._watcher = Watcher(lambda name: self._hurry(daemon, name))
        self._watcher.start()
        try:
            daemon.run()
        finally:
            self._watcher.stop()
        logger().info("stop")

    def _hurry(self, daemon: Daemon, name: str) -> None:
        """Something may be new in an account: it is pulled now, unless it is in trouble."""
        ((account, row),) = self.declared([name])
        if health.is_in_touch(row):
            daemon.hurry(name, _work(self, account, row))

    def _watch(self, name: str, source: Source) -> None:
        """After a pull: has the server tell by itself what comes next, where it can."""
        watcher = self._watcher
        if watcher is not None and isinstance(source, Watchable) and watcher.wants(name):
            watcher.add(name, source.watch())

    def _tick(self, submit: Submit) -> str:
        chosen = self.declared()
        with self.store.read() as tx:
            due = accounts.due(tx, self.clock.now())
        crowd = breaker.Crowd()
        apart = self._apart(chosen)
        for account, row in chosen:
            if row.id in due and not self._polled_lately(row) and crowd.admits(row, self._polled):
                self._polled[row.id] = self.clock.now()
                submit(account.name, _work(self, account, row, apart=apart))
        submit(DISPATCH, lambda: _ignored(self.plan_and_dispatch(self._stopping)))
        red = [row.name for _, row in chosen if row.state not in ("ok", "new")]
        return f"{len(chosen)} accounts, red: {', '.join(red) or 'none'}"

    def _polled_lately(self, row: Account) -> bool:
        """Whether the last pull, of which the diary need not know, is younger than the interval."""
        last = self._polled.get(row.id)
        now = self.clock.now()
        return last is not None and abs(now - last) < self.settings.daemon.poll_interval

    @cached_property
    def _polled(self) -> dict[int, datetime]:
        return {}


def pull_apart(config: Path, name: str, progress: Progress) -> Pulled:
    """One pull of one account, in a process that has nothing open yet."""
    app = App(read_settings(config), SystemClock())
    try:
        return app.pull_alone(name, lambda _, *what: progress(*what))
    finally:
        app.close()


def _work(
    app: App, account: AccountSettings, row: Account, *, apart: bool = False
) -> Callable[[], None]:
    return lambda: _ignored(app._pull_one(account, row, apart=apart))  # noqa: SLF001  # ours


def _ignored(_result: object) -> None:
    """Work in the pool reports through the diary and the log."""


def _agrees(declared: Mapping[str, object], row: Account) -> bool:
    return all(getattr(row, column) == value for column, value in declared.items())
