"""Messages in an mbox file (RFC 4155 and what programs really write), in flat memory.

A message begins with a From_ line after an empty line. Lines of text that would look like one are
marked with ">" by whoever writes an mbox; the marks are taken off again (mboxrd). Content-Length
is not believed.
"""

import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from connectors.files.messages import HEADER, LONG_HEADER, header_of, lasting
from connectors.files.opening import read_at
from crm_sync.core.dates import parse_date

_CHUNK: Final = 1024 * 1024
_LINE: Final = 1000
_AHEAD: Final = _LINE + 200
_BACK: Final = 4
_MARK: Final = b"\nFrom "
_ZONE: Final = rb"(?: {1,3}(?:[A-Z]{1,5}|[+-][0-9]{4}))?"
_DATE: Final = (
    rb"(?:(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun),? {1,3})?[A-Z][a-z]{2} {1,3}[0-9]{1,2} {1,3}"
    rb"[0-9]{1,2}:[0-9]{2}(?::[0-9]{2})?" + _ZONE + rb" {1,3}[12][0-9]{3}" + _ZONE
)
_FROM_LINE: Final = re.compile(
    rb"From (?:"
    # The usual form: sender and date; senders may hold blanks, and some programs add words.
    rb"[^\r\n]{0,300}?(?P<date>" + _DATE + rb")(?: [^\r\n]{0,200})?\r?\n"
    # Thunderbird's short form: only a header tells it from a sentence.
    rb"|(?:-|[^\s]{1,300})?[ \t]*\r?\n(?=[!-9;-~]{1,100}:)"
    rb")"
)
_QUOTED: Final = re.compile(rb"^>(?=>*From )", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Message:
    """A message and its place: `start` and `end` of all of it, From_ line included.

    `digest` stands for the header, as long as only notes of a message's state change in it.
    `complete` says that the end of the header has been written already.
    """

    start: int
    end: int
    from_line: bytes
    header: bytes
    digest: str
    complete: bool

    @property
    def size(self) -> int:
        """The size of the message in bytes, without From_ line and the empty line at its end."""
        return max(self.end - self.start - len(self.from_line) - 1, 0)

    @property
    def arrived_at(self) -> datetime | None:
        """The date in the From_ line, taken for UTC where it names no zone (RFC 4155)."""
        found = _FROM_LINE.match(self.from_line)
        if found is None or found["date"] is None:
            return None
        return parse_date(_rearranged(found["date"].decode("ascii")))


def is_mbox(descriptor: int) -> bool:
    """Whether a file begins like an mbox. Raises OSError."""
    start = read_at(descriptor, 0, _AHEAD)
    return not start or _FROM_LINE.match(start) is not None


def messages(descriptor: int, start: int, size: int) -> Iterator[Message]:
    """The messages from the From_ line at `start` on, in a file of `size` bytes. Raises OSError."""
    lines = from_lines(descriptor, start, size)
    begin = next(lines, None)
    while begin is not None:
        following = next(lines, None)
        yield _message(descriptor, begin, size if following is None else following)
        begin = following


def message_at(descriptor: int, start: int, size: int) -> Message | None:
    """The message that begins at `start`, if one does. Raises OSError."""
    if next(from_lines(descriptor, start, min(size, start + _AHEAD)), -1) != start:
        return None
    end = next(from_lines(descriptor, start + 1, size), size)
    return _message(descriptor, start, end)


def text_of(descriptor: int, message: Message, most: int) -> bytes:
    """The bytes of a message without From_ line and marks, `most` of them at most."""
    begin = message.start + len(message.from_line)
    raw = read_at(descriptor, begin, min(message.end - begin, most))
    return _QUOTED.sub(b"", raw)


def from_lines(descriptor: int, start: int, size: int) -> Iterator[int]:
    """Where From_ lines begin, from `start` on."""
    at = start
    while at < size:
        base = max(at - _BACK, 0)
        window = read_at(descriptor, base, min(_BACK + _CHUNK + _AHEAD, size - base))
        stop = min(at + _CHUNK, size)
        if at == 0 and _FROM_LINE.match(window):
            yield 0
        mark = window.find(_MARK, max(at - base - 1, 0))
        while mark >= 0 and base + mark + 1 < stop:
            if _after_empty_line(window, mark) and _FROM_LINE.match(window, mark + 1):
                yield base + mark + 1
            mark = window.find(_MARK, mark + 1)
        at = stop


def _after_empty_line(window: bytes, mark: int) -> bool:
    return window[mark - 1 : mark] == b"\n" or window[max(mark - 2, 0) : mark] == b"\n\r"


def _message(descriptor: int, start: int, end: int) -> Message:
    head = read_at(descriptor, start, min(end - start, _LINE + HEADER))
    from_line, _, rest = head.partition(b"\n")
    header, complete = header_of(rest[:HEADER])
    digest = hashlib.blake2b(lasting(header), digest_size=12).hexdigest()
    if not complete and len(rest) >= HEADER:
        at = start + len(from_line) + 1
        header, complete = header_of(read_at(descriptor, at, min(end - at, LONG_HEADER)))[0], True
    return Message(start, end, from_line + b"\n", header, digest, complete)


def _rearranged(date: str) -> str:
    """The date of a From_ line (asctime, with a zone in one of two places) as a mail's Date."""
    words = date.replace(",", "").split()
    if not words[1][0].isdigit():
        words = words[1:]
    month, day, time = words[:3]
    year = next(word for word in words[3:] if word.isdigit())
    zone = next((word for word in words[3:] if not word.isdigit()), "+0000")
    return f"{day} {month} {year} {time} {zone}"
