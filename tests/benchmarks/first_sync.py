"""How fast the first sync is, beside a bare loop, in one run against one Dovecot.

Run as `python -m tests.benchmarks.first_sync` (`--help` tells the options). Ours and the bare loop
are processes of their own that run in turn; each figure is the median of the pairs. Ours is counted
from the first connection until the text of everything that matched is stored.
"""

import argparse
import shutil
import signal
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

from tests.benchmarks import mails, report
from tests.benchmarks.measuring import Run
from tests.benchmarks.sides import Office, OurSync, bare_loop, mbsync
from tests.servers.dovecot import MISSING, Dovecot, binary
from tests.servers.recording_proxy import RecordingProxy


def main() -> int:
    """Runs what was asked for and prints a table as it grows."""
    options = _options()
    if binary() is None:
        print(MISSING, file=sys.stderr)
        return 1
    # Ended by a signal too, the server goes with us.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    server = Dovecot()
    try:
        server.start()
        with tempfile.TemporaryDirectory(prefix="benchmark-") as folder:
            Benchmark(server, Path(folder), options).run(options.only)
    finally:
        server.remove()
    return 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Our first sync beside a bare loop.")
    parser.add_argument("--messages", type=int, default=20_000, help="size of the mailbox")
    parser.add_argument("--pairs", type=int, default=5, help="runs of each side, in turn")
    parser.add_argument("--latency", type=float, default=30, help="of the slow line, in ms")
    parser.add_argument("--only", nargs="*", choices=sorted(PARTS), help="these parts alone")
    return parser.parse_args()


class Benchmark:
    """The parts of the table, each measured on its own."""

    def __init__(self, server: Dovecot, folder: Path, options: argparse.Namespace) -> None:
        self._server = server
        self._folder = folder
        self._messages: int = options.messages
        self._pairs: int = options.pairs
        self._latency: float = options.latency
        self._office = Office(folder, server.host, server.port)

    def run(self, only: Sequence[str] | None) -> None:
        """Measures and prints; the first run of each mailbox warms the server's index."""
        for user, seed in (("karin", "mailbox"), ("daniel", "another")):
            self._deliver(user, list(mails.mailbox(self._messages, seed)))
            bare_loop(self._server.port, user)
        report.head(self._messages, self._pairs)
        for name, part in PARTS.items():
            if not only or name in only:
                part(self)

    def first_sync(self) -> None:
        """Ours and the bare loop on the loopback line."""
        ours, bare = self._pairs_of(self._first_sync, lambda: bare_loop(self._server.port))
        report.pair("first sync", "bare loop", ours, bare, "≥ 1.25")
        report.memory(ours, bare, "≤ 100 MB")
        report.apart(ours)
        if shutil.which("mbsync"):
            synced = [
                mbsync(self._office.mbsync_config(), self._messages)
                for _ in range(min(self._pairs, 2))
            ]
            report.pair("first sync", "mbsync", ours, synced, "-")
        else:
            print("  mbsync: not installed (apt-get install isync)")

    def slow_line(self) -> None:
        """The same with a delay on the line."""
        with RecordingProxy(
            self._server.host, self._server.port, delay=self._latency / 2000
        ) as proxy:
            office = Office(self._folder, proxy.host, proxy.port)
            ours, bare = self._pairs_of(
                lambda: self._first_sync(office), lambda: bare_loop(proxy.port)
            )
        name = f"first sync, {self._latency:.0f} ms line"
        report.pair(name, "bare loop", ours, bare, "≥ 1.0")

    def customers(self) -> None:
        """The same mailbox with 200 customers and with 100,000 more that never write."""
        few, many = self._pairs_of(self._first_sync, lambda: self._first_sync(further=100_000))
        report.pair("200 + 100,000 customers", "200", many, few, "≥ 0.85")
        report.memory(many, few, "-")

    def two_mailboxes(self) -> None:
        """Two mailboxes at the same time beside one."""
        one, two = self._pairs_of(
            self._first_sync, lambda: self._first_sync(accounts=("karin", "daniel"))
        )
        report.rate("two mailboxes at once", "one", two, one, "≥ 1.7")

    def new_mail(self) -> None:
        """1 % new messages beside the same ones in an empty mailbox, both on kept connections."""
        count = max(self._messages // 100, 1)
        added, alone = [], []
        for turn in range(self._pairs):
            new = list(mails.mailbox(count, f"new{turn}"))
            added.append(self._delivered("karin", "karin", new))
            warm, empty = f"warm{turn}", f"empty{turn}"
            self._deliver(warm, list(mails.mailbox(count, warm)))
            self._deliver(empty, [])
            alone.append(self._delivered(empty, warm, new))
        report.cost(f"{count} new messages", "in an empty mailbox", added, alone, "< 2.0")

    def idle_poll(self) -> None:
        """A poll with nothing new, over a line that counts."""
        with RecordingProxy(self._server.host, self._server.port) as proxy:
            office = Office(self._folder, proxy.host, proxy.port)
            with OurSync(office, accounts=("karin",)) as ours:
                ours.pull()
                ours.pull()
                before = ours.facts()
                proxy.forget()
                polled = ours.pull()
                report.poll(
                    polled,
                    proxy.round_trips,
                    proxy.bytes_from_client + proxy.bytes_from_server,
                    len(mails.FOLDERS),
                    unchanged=ours.facts() == before,
                )

    # -- how ---------------------------------------------------------------------------------

    def _deliver(self, user: str, new: Sequence[mails.Mail]) -> None:
        self._server.add_user(user)
        for folder in mails.FOLDERS:
            mine = [(mail.raw, mail.arrived_at) for mail in new if mail.folder == folder]
            self._server.seed(user, folder, mine)

    def _pairs_of(
        self, left: Callable[[], Run], right: Callable[[], Run]
    ) -> tuple[list[Run], list[Run]]:
        runs = [(left(), right()) for _ in range(self._pairs)]
        return [pair[0] for pair in runs], [pair[1] for pair in runs]

    def _delivered(self, user: str, beside: str, new: Sequence[mails.Mail]) -> Run:
        """The pull of mails that arrive when all there was, `beside` too, has been pulled."""
        with OurSync(self._office, accounts=tuple(dict.fromkeys((beside, user)))) as ours:
            ours.pull()
            self._deliver(user, new)
            run = ours.pull(user)
        if run.seen != len(new):
            raise RuntimeError(f"saw {run.seen} of {len(new)} new messages")
        return run

    def _first_sync(
        self,
        office: Office | None = None,
        *,
        further: int = 0,
        accounts: tuple[str, ...] = ("karin",),
    ) -> Run:
        with OurSync(office or self._office, accounts=accounts, further=further) as ours:
            run = ours.pull()
        expected = self._messages * len(accounts)
        if run.seen != expected:
            raise RuntimeError(f"saw {run.seen} of {expected} messages")
        return run


PARTS: dict[str, Callable[[Benchmark], None]] = {
    "first": Benchmark.first_sync,
    "latency": Benchmark.slow_line,
    "customers": Benchmark.customers,
    "two": Benchmark.two_mailboxes,
    "poll": Benchmark.idle_poll,
    "new": Benchmark.new_mail,
}

if __name__ == "__main__":
    sys.exit(main())
