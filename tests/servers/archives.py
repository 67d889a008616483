"""Mail archives on disk as other programs make and change them, and a count of who opens them."""

import os
import sys
import time
from pathlib import Path

_seen: list[str] = []


def _listen(event: str, args: tuple[object, ...]) -> None:
    if event in {"open", "os.scandir", "os.listdir"} and isinstance(args[0], str | bytes | Path):
        _seen.append(os.fsdecode(args[0]))


def opened_below(path: Path, count_from: int = 0) -> list[str]:
    """Which files and folders below `path` this process has opened since the first call."""
    if _listen not in _listening:
        _listening.append(_listen)
        sys.addaudithook(_listen)
    return [name for name in _seen[count_from:] if name.startswith(str(path))]


_listening: list[object] = []


def a_mail(number: int, *, header: str = "", text: str = "") -> bytes:
    """Mail number so and so, with bare line feeds as archives have them."""
    return (
        f"From: Lena <lena@nordvik.example>\nTo: karin@acme.example\nSubject: item {number}\n"
        f"Message-ID: <{number}@nordvik.example>\nDate: Sun, 1 Mar 2026 09:30:00 +0100\n{header}\n"
        f"text of item {number}\n{text}"
    ).encode()


class Maildir:
    """A maildir and the programs that deliver to it and read it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        for folder in ("new", "cur", "tmp"):
            (path / folder).mkdir(parents=True)

    def deliver(
        self,
        raw: bytes,
        name: str,
        *,
        folder: str = "new",
        arrived: float = 1_772_352_000,
    ) -> Path:
        """A delivery; `name` is the file's."""
        target = self.path / folder / name
        partial = self.path / "tmp" / name
        partial.write_bytes(raw)
        os.utime(partial, (arrived, arrived))
        partial.rename(target)
        return target

    def mark(self, name: str, flags: str) -> None:
        """A mail program shows the message: it moves to `cur` and gets flags."""
        for folder in ("new", "cur"):
            for path in (self.path / folder).glob(f"{name}*"):
                path.rename(self.path / "cur" / f"{name}:2,{flags}")

    def files(self) -> dict[str, tuple[int, float, float]]:
        """Every file with inode, time of change and time of access."""
        found = (p for p in self.path.rglob("*"))
        return {
            str(p): (s.st_ino, s.st_mtime_ns, s.st_atime_ns if p.is_file() else 0)
            for p in found
            for s in [p.stat()]
        }


class Mbox:
    """An mbox file and the programs that write it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.mails: list[tuple[bytes, bytes]] = []
        path.touch()

    def append(
        self, raw: bytes, from_line: bytes = b"From lena@nordvik.example Sun Mar  1 08:30:00 2026"
    ) -> None:
        """A delivery at the end."""
        self.mails.append((from_line, raw))
        with self.path.open("ab") as file:
            file.write(_stored(from_line, raw))

    def rewrite(self) -> None:
        """The whole file anew, as after compacting."""
        self.path.write_bytes(b"".join(_stored(line, raw) for line, raw in self.mails))


def _stored(from_line: bytes, raw: bytes) -> bytes:
    raw += b"" if raw.endswith(b"\n") else b"\n"
    lines = (b">" + li if li.lstrip(b">").startswith(b"From ") else li for li in raw.split(b"\n"))
    return from_line + b"\n" + b"\n".join(lines) + b"\n"


def wall_clock() -> float:
    """Seconds since 1970 as files' times tell them."""
    return time.clock_gettime(time.CLOCK_REALTIME)
