"""All figures, part by part, each in a process of its own.

python -m tests.benchmarks [sync] [delivery] [idle] [million]
"""

import subprocess
import sys

PARTS = {
    "sync": ("tests.benchmarks.first_sync",),
    "delivery": ("tests.benchmarks.delivery",),
    "idle": ("tests.benchmarks.idle", "--accounts", "500"),
    "million": ("tests.benchmarks.million",),
}


def main(wanted: list[str]) -> int:
    """Runs the parts that are wanted (none: all); 1 when one of them failed, 2 for none of ours."""
    if unknown := set(wanted) - PARTS.keys():
        print(f"no such part: {', '.join(unknown)}; there are {', '.join(PARTS)}", file=sys.stderr)
        return 2
    failed = [name for name in wanted or PARTS if not _done(name)]
    if failed:
        print(f"failed: {', '.join(failed)}", file=sys.stderr)
    return 1 if failed else 0


def _done(name: str) -> bool:
    print(f"\n== {name}", flush=True)
    return subprocess.run([sys.executable, "-m", *PARTS[name]], check=False).returncode == 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
