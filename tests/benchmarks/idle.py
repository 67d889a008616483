"""Accounts that wait by IDLE over TLS: memory, processor time, connecting, delivery to hint.

python -m tests.benchmarks.idle [--accounts 500] [--seconds 60] [--deliveries 100] [--json]
"""

import argparse
import gc
import json
import resource
import statistics
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

from connectors.imap import KIND, ImapSource
from crm_sync.ports import Surroundings
from crm_sync.runtime.watcher import Watcher
from crm_sync.testing.clock import FixedClock
from tests.servers.dovecot import PASSWORD, Dovecot

WORKERS = 8
TARGETS = {
    "watcher_threads": "1",
    "connected_seconds": "≤ 15",
    "kilobytes_each": "≤ 60",
    "idle_cpu_percent": "< 0.1",
}
NOW = datetime(2026, 3, 4, 12, tzinfo=UTC)
LIMITS = """
default_client_limit = 4000
default_process_limit = 4000
default_vsz_limit = 0
"""


INOTIFY = Path("/proc/sys/fs/inotify/max_user_instances")


def watched_at_once(accounts: int) -> int:
    """How many mailboxes Dovecot can watch here; it looks at the others every half minute only."""
    most = int(INOTIFY.read_text()) // 2 if INOTIFY.exists() else accounts
    if most < accounts:
        print(f"mails go to the first {most} accounts: {INOTIFY} is {INOTIFY.read_text().strip()}")
    return min(most, accounts)


def resident() -> int:
    """Bytes of memory that this process occupies."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize()


def processor() -> float:
    """Seconds of processor time that this process has used."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


class Hints:
    """When each account was hinted at last."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._at: dict[str, float] = {}

    def __call__(self, name: str) -> None:
        with self._changed:
            self._at[name] = time.monotonic()
            self._changed.notify_all()

    def wait(self, name: str, since: float, seconds: float = 10) -> float:
        """Seconds from `since` to the hint."""
        with self._changed:
            if not self._changed.wait_for(lambda: self._at.get(name, 0) > since, seconds):
                raise TimeoutError(name)
            return self._at[name] - since


def source(server: Dovecot, user: str) -> ImapSource:
    options = KIND.options(
        host="localhost",
        port=server.tls_port,
        ca_file=server.ca_file,
        username=user,
        password=PASSWORD,
    )
    found = KIND.build(options, Surroundings(user, FixedClock(NOW), UTC))
    assert isinstance(found, ImapSource)
    return found


def measure(server: Dovecot, accounts: int, seconds: float, deliveries: int) -> dict[str, float]:
    """Connects, waits in silence, then delivers to one account after the other."""
    users = [f"rep{number}" for number in range(accounts)]
    sources = {user: source(server, user) for user in users}
    hints = Hints()
    watcher = Watcher(hints)
    watcher.start()

    def poll(user: str) -> None:
        sources[user].streams()

    def watch(user: str) -> None:
        watcher.add(user, sources[user].watch())

    with ThreadPoolExecutor(WORKERS) as pool:
        poll("rep0")
        list(pool.map(poll, users))
        gc.collect()
        before, began = resident(), time.monotonic()
        list(pool.map(watch, users))
        connected = time.monotonic() - began
    gc.collect()
    memory = resident() - before
    settled = threading.Event()
    settled.wait(35)  # each line proves once that it lives
    assert len(watcher) == accounts, len(watcher)
    threads = [t for t in threading.enumerate() if t is not threading.main_thread()]
    used, began = processor(), time.monotonic()
    settled.wait(seconds)
    idle = (processor() - used) / (time.monotonic() - began)
    delays = []
    watched = watched_at_once(accounts)
    for number in range(deliveries):
        user = users[number * 37 % watched]
        since = time.monotonic()
        server.append(user, "INBOX", b"From: lena@nordvik.example\r\n\r\nHello\r\n")
        delays.append(hints.wait(user, since))
    watcher.stop()
    for each in sources.values():
        each.close()
    return {
        "accounts": accounts,
        "watcher_threads": len(threads),
        "connected_seconds": round(connected, 2),
        "kilobytes_each": round(memory / accounts / 1000, 1),
        "idle_cpu_percent": round(100 * idle, 3),
        "hint_median_seconds": round(statistics.median(delays), 3),
        "hint_p95_seconds": round(statistics.quantiles(delays, n=20)[-1], 3),
    }


def main() -> None:
    words = argparse.ArgumentParser(description=__doc__)
    words.add_argument("--accounts", type=int, default=500)
    words.add_argument("--seconds", type=float, default=60)
    words.add_argument("--deliveries", type=int, default=100)
    words.add_argument("--json", action="store_true")
    said = words.parse_args()
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    server = Dovecot(extra=LIMITS)
    try:
        server.start()
        figures = measure(server, said.accounts, said.seconds, said.deliveries)
    finally:
        server.remove()
    if said.json:
        print(json.dumps(figures))
    else:
        for name, value in figures.items():
            print(f"{name:22} {value:>8}   {TARGETS.get(name, '-')}")


if __name__ == "__main__":
    main()
