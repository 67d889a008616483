"""The table: our figure beside each peer's and the target. Rates are messages a second."""

import os
import platform
from collections.abc import Callable, Sequence
from statistics import median

from tests.benchmarks.measuring import Run

_LINE = "{:<32} {:>12} {:>12} {:>9}  {:<22} {}"


def head(messages: int, pairs: int) -> None:
    """What was run where, and the columns."""
    cores = len(os.sched_getaffinity(0))
    print(f"{messages} messages, medians of {pairs} pairs run in turn; ", end="")
    print(f"Python {platform.python_version()}, {cores} cores, load {os.getloadavg()[0]:.1f}")
    _print("", "ours", "peer", "ratio", "target", "beside")


def pair(name: str, peer: str, ours: Sequence[Run], theirs: Sequence[Run], target: str) -> None:
    """Rates and processor time; the ratio is the median of the pairs' ratios."""
    rate(name, peer, ours, theirs, target)
    seconds = [f"{_median(side, _cpu):.2f} s" for side in (ours, theirs)]
    _print("  processor time", *seconds, "", "-", peer)


def rate(name: str, peer: str, ours: Sequence[Run], theirs: Sequence[Run], target: str) -> None:
    """Rates alone."""
    ratio = median(a.rate / b.rate for a, b in zip(ours, theirs, strict=False))
    rates = [f"{_median(side, _rate):,.0f}/s" for side in (ours, theirs)]
    _print(name, *rates, f"{ratio:.2f} x", target, peer)


def memory(ours: Sequence[Run], theirs: Sequence[Run], target: str) -> None:
    """Peak memory of the process and its descendants: the largest of all runs."""
    peaks = [f"{max(run.peak for run in side):.0f} MB" for side in (ours, theirs)]
    _print("  peak memory of the tree", *peaks, "", target, "")


def apart(ours: Sequence[Run]) -> None:
    """What is not in the rate: starting; and how much of the mailbox concerned a customer."""
    _print("  starting, not counted above", f"{1000 * median(r.start for r in ours):.0f} ms")
    _print("  matched", f"{100 * ours[0].logged / ours[0].seen:.0f} %")


def cost(name: str, peer: str, ours: Sequence[Run], theirs: Sequence[Run], target: str) -> None:
    """Wall and processor time of the same work, by the pairs."""
    for what, of in (("", _seconds), (", processor time", _cpu)):
        ratio = median(of(a) / of(b) for a, b in zip(ours, theirs, strict=True))
        sides = [f"{1000 * _median(side, of):.0f} ms" for side in (ours, theirs)]
        _print(f"{name}{what}", *sides, f"{ratio:.2f} x", target, peer)


def poll(polled: Run, round_trips: int, size: int, folders: int, *, unchanged: bool) -> None:
    """What a poll with nothing new costs on a kept connection."""
    _print("poll with nothing new", f"{round_trips} trip", "-", "", "1 trip", f"{folders} folders")
    _print("  bytes both ways", f"{size}", "-", "", "< 450", "")
    _print("  wall", f"{1000 * polled.seconds:.1f} ms", "-", "", "-", "")
    _print("  facts and cursors written", "none" if unchanged else "SOME", "-", "", "none", "")


def _median(runs: Sequence[Run], of: Callable[[Run], float]) -> float:
    return median(of(run) for run in runs)


def _rate(run: Run) -> float:
    return run.rate


def _cpu(run: Run) -> float:
    return run.cpu


def _seconds(run: Run) -> float:
    return run.seconds


def _print(*words: str) -> None:
    print(_LINE.format(*words, *[""] * (6 - len(words))).rstrip(), flush=True)
