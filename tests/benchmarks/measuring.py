"""What a process and its descendants use: processor time and memory, as Linux tells it."""

import os
import re
import subprocess
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Self

_SAMPLE_EVERY = 0.05


@dataclass(frozen=True, slots=True)
class Run:
    """What one run took: messages, wall and processor seconds, peak memory of the tree in MB.

    `logged` messages concern a customer; `start` are seconds before anything was connected.
    """

    seen: int
    seconds: float
    cpu: float
    peak: float
    logged: int = 0
    start: float = 0.0

    @property
    def rate(self) -> float:
        """Messages a second."""
        return self.seen / self.seconds


def peak_of_this_process() -> float:
    """Largest resident memory so far, in MB."""
    found = re.search(r"VmHWM:\s*(\d+)", Path("/proc/self/status").read_text())
    return int(found[1]) / 1024 if found else 0.0


class TreePeak:
    """Watches the resident memory of a process and its descendants; use as a context manager."""

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self.megabytes = 0.0

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._done.wait(_SAMPLE_EVERY):
            self.megabytes = max(self.megabytes, sum(map(_resident, _tree(self._pid))))


def _tree(pid: int) -> Iterator[int]:
    yield pid
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        try:
            children = task.read_text().split()
        except OSError:
            continue
        for child in children:
            yield from _tree(int(child))


def _resident(pid: int) -> float:
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    except OSError:
        return 0.0
    return pages * os.sysconf("SC_PAGE_SIZE") / 1024 / 1024


def run_command(command: list[str]) -> Run:
    """Runs a foreign program to its end; `seen` is left at 0. Raises when it fails."""
    started = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    with TreePeak(process.pid) as peak:
        _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, command)
    seconds = time.perf_counter() - started
    return Run(0, seconds, used.ru_utime + used.ru_stime, peak.megabytes)
