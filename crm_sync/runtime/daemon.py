"""The metronome: says when now would be a good time; the diary says what is due."""

import signal
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from datetime import UTC
from time import monotonic
from typing import TYPE_CHECKING, Any

from crm_sync.runtime import systemd
from crm_sync.runtime.logs import logger

if TYPE_CHECKING:
    from apscheduler.events import JobExecutionEvent

TICK_SECONDS = 5
_MISSED_TICKS = 3
DISPATCH = "dispatch"
"""The name of the work that sends; it has a thread of its own."""

_STOP_SECONDS = 8.0
"""How long running work may go on after SIGTERM; the contract gives ten seconds for all of it."""


class Daemon:
    """Runs `tick` every few seconds and its work in a bounded pool, until SIGTERM or SIGINT.

    `tick(submit)` is quick: it asks the diary which accounts are due and hands each to
    `submit(name, work)`. Work of a name that is still running is not started again.
    """

    def __init__(self, tick: Callable[["Submit"], str], workers: int) -> None:
        self._tick = tick
        self._pool = ThreadPoolExecutor(workers, thread_name_prefix="pull")
        # Mail leaves though all workers wait for servers that hang.
        self._sending = ThreadPoolExecutor(1, thread_name_prefix=DISPATCH)
        self._last_beat = monotonic()
        self._running: dict[str, Future[None]] = {}
        self._again: dict[str, Callable[[], None]] = {}
        self._guard = threading.RLock()
        self._stop = threading.Event()
        self._failed: BaseException | None = None

    @property
    def stopping(self) -> bool:
        """Whether the end was asked for."""
        return self._stop.is_set()

    def run(self) -> None:
        """Runs until a signal comes. Raises what ended the work early, if anything did.

        Threads may be left that wait for a server: only the end of the process ends them.
        """
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: self._stop.set())
        scheduler = _scheduler()
        scheduler.add_job(self._beat, "interval", seconds=TICK_SECONDS, id="tick")
        scheduler.start()
        self._beat()
        if not self._stop.is_set():
            systemd.notify(READY="1", STATUS="Running")
        while not self._stop.wait(TICK_SECONDS):
            if monotonic() - self._last_beat > _MISSED_TICKS * TICK_SECONDS:
                # The wall clock was set back, and the scheduler waits for it to come round again.
                scheduler.reschedule_job("tick", trigger="interval", seconds=TICK_SECONDS)
        systemd.notify(STOPPING="1", STATUS="Finishing what runs")
        scheduler.shutdown(wait=False)
        self._finish()
        if self._failed is not None:
            raise self._failed

    def _beat(self) -> None:
        if self._stop.is_set():
            return
        self._last_beat = monotonic()
        try:
            self._reap()
            status = self._tick(self._submit)
        except Exception as error:  # noqa: BLE001  # whatever it is, it ends the daemon, with a sentence
            if not self._stop.is_set():  # else there is just no pool any more
                self._failed = error
                self._stop.set()
            return
        systemd.notify(STATUS=status, WATCHDOG="1")

    def _reap(self) -> None:
        """Raises what finished work raised: that is no trouble of one account, which is noted."""
        with self._guard:
            for name, future in list(self._running.items()):
                if future.done():
                    del self._running[name]
                    future.result()

    def _submit(self, name: str, work: Callable[[], None]) -> None:
        with self._guard:
            if name not in self._running:
                self._start(name, work)

    def hurry(self, name: str, work: Callable[[], None]) -> None:
        """As `submit`, from any thread, and once more after work of that name that runs already."""
        with self._guard:
            running = self._running.get(name)
            if running is not None and not running.done():
                self._again[name] = work
            elif not self._stop.is_set() and (running is None or running.exception() is None):
                self._start(name, work)

    def _start(self, name: str, work: Callable[[], None]) -> None:
        pool = self._sending if name == DISPATCH else self._pool
        future = self._running[name] = pool.submit(work)
        future.add_done_callback(lambda _: self._once_more(name))

    def _once_more(self, name: str) -> None:
        with self._guard:
            work = self._again.pop(name, None)
            if work is not None:
                self.hurry(name, work)

    def _finish(self) -> None:
        """Waits for running work, but not for a server that hangs: what it holds is harmless."""
        for pool in (self._pool, self._sending):
            pool.shutdown(wait=False, cancel_futures=True)
        started = [future for future in self._running.values() if not future.cancelled()]
        if wait(started, _STOP_SECONDS).not_done:
            logger().warning("stop", reason="work did not end in time; it is left, nothing is lost")


Submit = Callable[[str, Callable[[], None]], None]


def _scheduler() -> Any:
    """APScheduler, loaded here: only the daemon has need of it."""
    from apscheduler.events import EVENT_JOB_ERROR, EVENT_JOB_MISSED  # noqa: PLC0415
    from apscheduler.executors.pool import ThreadPoolExecutor as JobExecutor  # noqa: PLC0415
    from apscheduler.jobstores.memory import MemoryJobStore  # noqa: PLC0415
    from apscheduler.schedulers.background import BackgroundScheduler  # noqa: PLC0415

    scheduler = BackgroundScheduler(
        jobstores={"default": MemoryJobStore()},
        executors={"default": JobExecutor(1)},
        job_defaults={"misfire_grace_time": 3600, "coalesce": True, "max_instances": 1},
        timezone=UTC,
    )
    scheduler.add_listener(_report, EVENT_JOB_ERROR | EVENT_JOB_MISSED)
    return scheduler


def _report(event: "JobExecutionEvent") -> None:
    error = getattr(event, "exception", None)
    logger().error("tick", missed=error is None, error=type(error).__name__ if error else None)
