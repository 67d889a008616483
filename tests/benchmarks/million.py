"""A mailbox of a million messages: memory stays flat, and a killed pull goes on where it was.

The messages are made up by a server of ours and concern nobody: headers only. The process is killed
by surprise a few times on the way; afterwards the diary must hold each message exactly once.
"""

import argparse
import random
import sqlite3
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.benchmarks.measuring import TreePeak
from tests.benchmarks.sides import Office

_LOOK_EVERY = 0.5


def main() -> int:
    """Prints memory and rate at each tenth, and whether anything was lost or came twice."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--messages", type=int, default=1_000_000)
    parser.add_argument("--kills", type=int, default=5)
    parser.add_argument("--seed", type=int, default=random.randrange(10**6))
    options = parser.parse_args()
    print(f"{options.messages} messages, {options.kills} kills, seed {options.seed}", flush=True)
    server = subprocess.Popen(
        [sys.executable, "-m", "tests.benchmarks.synthetic", str(options.messages)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        assert server.stdout is not None
        port = int(server.stdout.readline())
        with tempfile.TemporaryDirectory(prefix="million-") as folder:
            return _measure(Office(Path(folder), "127.0.0.1", port), options)
    finally:
        server.kill()
        server.wait()


def _measure(office: Office, options: argparse.Namespace) -> int:
    config, listed = office.install(("karin",))
    command = [sys.executable, "-m", "tests.benchmarks.our_sync"]
    subprocess.run([*command, "prepare", config, listed, "0"], check=True)
    diary = config.with_name("crm-sync.db")
    dice = random.Random(options.seed)
    deaths = sorted(dice.randrange(options.messages) for _ in range(options.kills))
    began, tenth, ended = time.monotonic(), options.messages // 10, False
    while not ended:
        death = deaths.pop(0) if deaths else None
        ended = _run([*command, "pull", str(config)], diary, tenth, death, began)
    stored = _stored(diary)
    doubled, streams = _once(diary)
    whole = time.monotonic() - began
    print(f"stored {stored} of {options.messages}, doubled {doubled}, in {whole:.0f} s")
    return 0 if (stored, doubled, streams) == (options.messages, 0, 1) else 1


def _run(command: list[str], diary: Path, tenth: int, death: int | None, began: float) -> bool:
    """One process until it ends, or until it dies by our hand; whether it ended."""
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdin is not None
    assert process.stdout is not None
    with TreePeak(process.pid) as peak:
        process.stdout.readline()
        start, told = _stored(diary), _stored(diary) // tenth
        process.stdin.write("\n")
        process.stdin.close()
        while process.poll() is None:
            time.sleep(_LOOK_EVERY)  # noqa: TID251  # a benchmark measures the real clock
            stored = _stored(diary)
            if stored // tenth > told:
                told = stored // tenth
                seconds = time.monotonic() - began
                print(
                    f"{stored:9} after {seconds:5.0f} s, peak {peak.megabytes:4.0f} MB", flush=True
                )
            if death is not None and stored >= max(death, start + 1):
                process.kill()
                process.wait()
                print(f"{stored:9} killed", flush=True)
                return False
    if process.returncode or '"errors": []' not in process.stdout.read():
        raise RuntimeError("our program failed")
    return True


def _stored(diary: Path) -> int:
    with sqlite3.connect(diary) as connection:
        found: int = connection.execute("SELECT coalesce(max(id), 0) FROM sighting").fetchone()[0]
        return found


def _once(diary: Path) -> tuple[int, int]:
    """Messages beyond the witnesses' number, and the number of folders."""
    with sqlite3.connect(diary) as connection:
        sightings = connection.execute("SELECT count(*) FROM sighting").fetchone()[0]
        witnesses = connection.execute("SELECT count(*) FROM witness").fetchone()[0]
        streams = connection.execute("SELECT count(*) FROM stream").fetchone()[0]
    return abs(sightings - witnesses), streams


if __name__ == "__main__":
    sys.exit(main())
