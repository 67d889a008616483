"""The metronome: says when now would be a good time; the diary says what is due (DESIGN §2)."""

import os
import signal
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import UTC
from typing import Any

from apscheduler.events import EVENT_JOB_ERROR, EVENT_JOB_MISSED, JobExecutionEvent
from apscheduler.executors.pool import ThreadPoolExecutor as JobExecutor
from apscheduler.jobstores.memory import MemoryJobStore
from apscheduler.schedulers.background import BackgroundScheduler

from crm_sync.runtime import systemd
from crm_sync.runtime.logs import logger

TICK_SECONDS = 5
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
        self._running: dict[str, Future[None]] = {}
        self._stop = threading.Event()
        self._failed: BaseException | None = None

    @property
    def stopping(self) -> bool:
        """Whether the end was asked for."""
        return self._stop.is_set()

    def run(self) -> None:
        """Runs until a signal comes. Raises what ended the work early, if anything did."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: self._stop.set())
        scheduler = _scheduler()
        scheduler.add_listener(_report, EVENT_JOB_ERROR | EVENT_JOB_MISSED)
        scheduler.add_job(self._beat, "interval", seconds=TICK_SECONDS, id="tick")
        scheduler.start()
        self._beat()
        systemd.notify(READY="1", STATUS="Running")
        self._stop.wait()
        systemd.notify(STOPPING="1", STATUS="Finishing what runs")
        scheduler.shutdown(wait=False)
        self._finish()
        if self._failed is not None:
            raise self._failed

    def _beat(self) -> None:
        if self._stop.is_set():
            return
        try:
            status = self._tick(self._submit)
        except Exception as error:  # noqa: BLE001  # whatever it is, it ends the daemon, with a sentence
            self._failed = error
            self._stop.set()
            return
        systemd.notify(STATUS=status, WATCHDOG="1")

    def _submit(self, name: str, work: Callable[[], None]) -> None:
        before = self._running.get(name)
        if before is not None and not before.done():
            return
        if before is not None and (error := before.exception()) is not None:
            self._failed = error
            self._stop.set()
            return
        self._running[name] = self._pool.submit(work)

    def _finish(self) -> None:
        """Waits for running work, but not for a server that hangs: what it holds is harmless."""
        self._pool.shutdown(wait=False, cancel_futures=True)
        done = threading.Event()
        waiter = threading.Thread(target=self._await_all, args=(done,), daemon=True)
        waiter.start()
        if not done.wait(_STOP_SECONDS):
            logger().warning("stop", reason="work did not end in time; it is left, nothing is lost")
            os._exit(0)

    def _await_all(self, done: threading.Event) -> None:
        for future in list(self._running.values()):
            if not future.cancelled():
                future.exception()
        done.set()


Submit = Callable[[str, Callable[[], None]], None]


def _scheduler() -> Any:
    return BackgroundScheduler(
        jobstores={"default": MemoryJobStore()},
        executors={"default": JobExecutor(1)},
        job_defaults={"misfire_grace_time": 3600, "coalesce": True, "max_instances": 1},
        timezone=UTC,
    )


def _report(event: JobExecutionEvent) -> None:
    error = getattr(event, "exception", None)
    logger().error("tick", missed=error is None, error=type(error).__name__ if error else None)
