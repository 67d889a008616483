"""Stands in for a child of the shelter that a mail has taken over.

It does the work it is given, unless that is on the name of an attack: then it answers with it.
"""

import os
import pickle
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from threading import Event
from typing import Any

from crm_sync.core.meetings import ParsedObject, read_events
from crm_sync.core.records import Attachment, Attendee, Occurrence
from crm_sync.core.text import MessageText, html_to_text, read_message
from crm_sync.runtime import shelter_child
from crm_sync.runtime.shelter_child import PREFIX, RAISED, RESULT

BEGIN = b"\x80\x05"
ATTACHMENT = pickle.dumps(Attachment, 4)[len(BEGIN) + 9 : -1]
"""Puts the class on the stack, and into the memo as number 2."""

MEETING = Occurrence("uid", None, datetime(2026, 3, 2, tzinfo=UTC), None, "Standup", None, ())
SHARED = 100_000


def result(*opcodes: bytes) -> bytes:
    return RESULT + BEGIN + b"".join(opcodes) + pickle.STOP


def dumped(value: object) -> bytes:
    return RESULT + pickle.dumps(value, pickle.HIGHEST_PROTOCOL)


def attached(attachment: object) -> bytes:
    return dumped(MessageText("Hello", (attachment,)))


def meeting(**changes: Any) -> bytes:
    return dumped(ParsedObject("uid", (replace(MEETING, **changes),), recurring=False))


def records_in_records() -> bytes:
    new = b"h\x02" + pickle.EMPTY_TUPLE + pickle.NEWOBJ
    fill = pickle.TUPLE1 + pickle.BUILD
    layers = 99_000
    return result(ATTACHMENT, new * layers, pickle.NONE, fill * layers)


def shared_without_end() -> bytes:
    everybody = (Attendee("", "", "", "", ""),) * SHARED
    return dumped(ParsedObject("uid", (replace(MEETING, attendees=everybody),) * SHARED, False))


def long_and_shared() -> bytes:
    return dumped(ParsedObject("uid", (replace(MEETING, summary="a" * 1_000_000),) * 1_000, False))


ATTACKS: dict[str, tuple[Callable[..., Any], Callable[[], bytes]]] = {
    # Deeper than anybody can go who compares, hashes or shows it.
    "tuples in tuples": (
        html_to_text,
        lambda: result(pickle.EMPTY_TUPLE, pickle.TUPLE1 * 3_000_000),
    ),
    "fewer tuples in tuples": (
        html_to_text,
        lambda: result(pickle.EMPTY_TUPLE, pickle.TUPLE1 * 450_000),
    ),
    "lists in lists": (
        html_to_text,
        lambda: result(pickle.EMPTY_LIST * 200_000, pickle.APPEND * 199_999),
    ),
    "records in records": (read_message, records_in_records),
    "a key of tuples in tuples": (
        html_to_text,
        lambda: result(b"})", pickle.TUPLE1 * 400_000, b"Ns"),
    ),
    "a set of tuples in tuples": (
        html_to_text,
        lambda: result(b"\x8f()", pickle.TUPLE1 * 400_000, b"\x90"),
    ),
    "marks": (html_to_text, lambda: result(pickle.MARK * 3_000_000)),
    # Cycles.
    "a list in itself": (html_to_text, lambda: result(b"]\x94h\x00a")),
    "a record in itself": (read_message, lambda: result(ATTACHMENT, b")\x81\x94h\x03h\x03\x85b")),
    # Much of something.
    "many lists": (html_to_text, lambda: result(pickle.EMPTY_LIST * 14_000_000)),
    "many texts": (html_to_text, lambda: result(b"(", b"\x8c\x01a" * 5_000_000, b"t")),
    "shared without end": (read_events, shared_without_end),
    "long and shared": (read_events, long_and_shared),
    "a large number": (read_message, lambda: attached(Attachment("a", "b", 1 << 100_000_000))),
    "a number that no database takes": (
        read_message,
        lambda: attached(Attachment("", "", 1 << 63)),
    ),
    "a number in digits": (html_to_text, lambda: result(b"I" + b"9" * 10_000_000 + b"\n")),
    # Not what the function promises.
    "nothing": (html_to_text, lambda: dumped(None)),
    "bytes for a text": (html_to_text, lambda: dumped(b"Hello")),
    "a record for a text": (html_to_text, lambda: dumped(MessageText("Hello"))),
    "a text for a record": (read_message, lambda: dumped("Hello")),
    "a text for a number": (read_message, lambda: attached(Attachment("a.pdf", "b", "1"))),  # type: ignore[arg-type]
    "a yes for a number": (read_message, lambda: attached(Attachment("a.pdf", "b", True))),
    "a number for a text": (read_message, lambda: attached(Attachment(1, "b", 1))),  # type: ignore[arg-type]
    "another record": (read_message, lambda: attached(Attendee("anna@customer.example"))),
    "a class": (read_message, lambda: attached(Attachment)),
    "a list for a tuple": (read_message, lambda: dumped(MessageText("Hello", []))),  # type: ignore[arg-type]
    "a record without its fields": (read_message, lambda: result(ATTACHMENT, b")\x81")),
    "a day for a moment": (read_events, lambda: meeting(starts_at=MEETING.starts_at.date())),
    "a moment without a zone": (
        read_events,
        lambda: meeting(starts_at=MEETING.starts_at.replace(tzinfo=None)),
    ),
    "a moment before all time in UTC": (
        read_events,
        lambda: meeting(starts_at=datetime.min.replace(tzinfo=timezone(timedelta(hours=9)))),
    ),
    "half a surrogate pair": (html_to_text, lambda: dumped("Hello \ud83d")),
    "a zero character": (html_to_text, lambda: dumped("Hello\0")),
    # No whole answer.
    "cut off": (read_message, lambda: attached(Attachment("a.pdf", "b", 1))[:-8]),
    "no pickle": (html_to_text, lambda: RESULT + b"Hello"),
    "no result": (html_to_text, lambda: RESULT),
}


def main() -> None:
    """Serves until the parent is gone."""
    shelter_child._send(b"")
    while (request := shelter_child._receive()) is not None:
        wanted = pickle.loads(request)[1][0]
        if wanted in ATTACKS:
            shelter_child._send(ATTACKS[wanted][1]())
        elif wanted == "more than there is":
            os.write(1, (1_000_000).to_bytes(PREFIX, "big") + RESULT)
            os._exit(0)
        elif wanted == "more than anybody has":
            os.write(1, (1 << 62).to_bytes(PREFIX, "big") + RESULT)
        elif wanted == "drop by drop":
            os.write(1, (1_000_000).to_bytes(PREFIX, "big"))
            while not Event().wait(0.05):
                os.write(1, b"a")
        elif wanted == "words that steer a terminal":
            shelter_child._send(RAISED + b"Unreadable\0\x1b[2J\r\n" + b"words " * 10_000)
        else:
            shelter_child._send(shelter_child._answer(request))


if __name__ == "__main__":
    main()
