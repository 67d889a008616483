"""Answers of a child that read hostile bytes, and may have been taken over by them.

An answer is a pickle, because the parts of one result share strings and records. Three steps, each
bounded in time and memory, make it harmless:

1. Its opcodes are counted without obeying them. There may be so many, and only those that our own
   pickler writes for records of texts, numbers and dates. No dict and no set is among them: while
   an answer is built nothing in it is hashed, compared or shown, however deep it goes.
2. It is built by an unpickler that knows dates and the records of `core`, and nothing else.
3. What was built must have the very shape that the function promises in its return type. That has
   an end, so the look at it goes no deeper than the type and meets no cycle.
"""

import io
import pickle
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, is_dataclass
from datetime import UTC, date, datetime, time, timedelta, timezone
from functools import cache, partial
from types import NoneType, UnionType
from typing import Any, Final, Literal, Union, get_args, get_origin, get_type_hints

from crm_sync.core.clean import clean
from crm_sync.runtime.shelter_child import RESULT

LARGEST_ANSWER: Final = 16 * 1024 * 1024
"""Bytes of an answer; the longest text that the core makes is a fourth of it."""

CORE: Final = "crm_sync.core."

_MOST_STEPS: Final = 500_000
# What is shared is used again at each place: counted there, nobody can share without end.
_LARGEST_UNFOLDED: Final = 32 * 1024 * 1024
_VALUE: Final = 16
_LARGEST_INT: Final = 2**63 - 1
_LONGEST_WORDS: Final = 200

# The bytes that follow opcodes.
_FIXED: Final = {
    opcode[0]: size
    for size, opcodes in {
        0: (
            *(pickle.NONE, pickle.NEWTRUE, pickle.NEWFALSE, pickle.MARK, pickle.EMPTY_TUPLE),
            *(pickle.TUPLE, pickle.TUPLE1, pickle.TUPLE2, pickle.TUPLE3),
            *(pickle.EMPTY_LIST, pickle.APPEND, pickle.APPENDS, pickle.MEMOIZE),
            *(pickle.STACK_GLOBAL, pickle.NEWOBJ, pickle.REDUCE, pickle.BUILD),
        ),
        1: (pickle.PROTO, pickle.BININT1, pickle.BINGET),
        2: (pickle.BININT2,),
        4: (pickle.BININT, pickle.LONG_BINGET),
        8: (pickle.FRAME,),
    }.items()
    for opcode in opcodes
}
# The bytes of a length that follows opcodes; so many more come after it.
_COUNTED: Final = {
    pickle.SHORT_BINUNICODE[0]: 1,
    pickle.SHORT_BINBYTES[0]: 1,
    pickle.LONG1[0]: 1,
    pickle.BINUNICODE[0]: 4,
}
_STOP: Final = pickle.STOP[0]


class BadAnswer(Exception):  # noqa: N818  # the error is the child's
    """No answer that our own code in a child could have given."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a function returned; or, where it raised, `problem`: a few words about that."""

    value: Any = None
    problem: str = ""


def read_answer(answer: bytes, function: Callable[..., Any]) -> Answer:
    """What a child says that `function` did. Raises `BadAnswer`."""
    if answer[:1] != RESULT:
        _, _, words = answer[1 : 8 * _LONGEST_WORDS].partition(b"\0")
        said = clean(words.decode("ascii", "replace"), _LONGEST_WORDS)
        return Answer(problem=said or "it can't be understood")
    shape = _promised(function)
    pickled = answer[1:]
    try:
        _look_through(pickled)
        value = _Records(io.BytesIO(pickled)).load()
        _check(value, shape, _Room())
    except Exception:  # noqa: BLE001  # no answer of ours can raise here
        raise BadAnswer from None
    return Answer(value)


def _look_through(pickled: bytes) -> None:
    """Raises `BadAnswer` for opcodes that our pickler doesn't write, and for too many of them."""
    at = 0
    for _ in range(_MOST_STEPS):
        opcode = pickled[at]
        at += 1
        if opcode in _FIXED:
            at += _FIXED[opcode]
        elif opcode in _COUNTED:
            end = at + _COUNTED[opcode]
            at = end + int.from_bytes(pickled[at:end], "little")
        else:
            break
    else:
        raise BadAnswer
    if opcode != _STOP:
        raise BadAnswer


class _Records(pickle.Unpickler):
    """Reads dates and the dataclasses of `core` that this process has loaded, and nothing else."""

    def find_class(self, module: str, name: str) -> Any:
        """The class of that name. Raises `BadAnswer` for any other object."""
        if module == "datetime":
            found = _DATES.get(name)
        else:
            loaded = sys.modules.get(module) if module.startswith(CORE) else None
            found = vars(loaded).get(name) if loaded is not None else None
        if isinstance(found, type) and (_is_record(found) or name in _DATES):
            return found
        raise BadAnswer


def _is_record(found: type) -> bool:
    # Frozen with slots: others could be given attributes here that hold for all of the class.
    return is_dataclass(found) and "__setstate__" in vars(found)


_DATES: Final[dict[str, type]] = {
    kind.__name__: kind for kind in (date, datetime, time, timedelta, timezone)
}


@dataclass(slots=True)
class _Room:
    """How many bytes an answer may still have, were nothing in it shared."""

    left: int = _LARGEST_UNFOLDED

    def take(self, size: int) -> None:
        """Raises `BadAnswer` when there is no room left."""
        self.left -= size
        if self.left < 0:
            raise BadAnswer


_Look = Callable[[Any, _Room], None]
_Shape = Mapping[type, _Look]
"""The types a value may have, and how to look at one of each."""


def _check(value: Any, shape: _Shape, room: _Room) -> None:
    """Raises for a value of another shape: `KeyError` for its type, else `BadAnswer`."""
    room.take(_VALUE)
    shape[type(value)](value, room)


@cache
def _promised(function: Callable[..., Any]) -> _Shape:
    return _shape(get_type_hints(function)["return"])


@cache
def _shape(kind: Any) -> _Shape:
    """The shape of a type. Raises `TypeError` for one that no answer may have."""
    origin, inner = get_origin(kind), get_args(kind)
    if kind in _PLAIN:
        return {kind: _PLAIN[kind]}
    if origin in {Union, UnionType}:
        return {one: look for part in inner for one, look in _shape(part).items()}
    if origin is Literal:
        return {str: partial(_look_at_word, frozenset(inner))}
    if origin is tuple and inner[1:] == (...,):
        return {tuple: partial(_look_at_each, _shape(inner[0]))}
    if isinstance(kind, type) and _is_record(kind):
        fields = get_type_hints(kind)
        return {kind: partial(_look_at_fields, [(name, _shape(fields[name])) for name in fields])}
    raise TypeError(f"{kind} can't be the answer of a child")


def _look_at_text(value: str, room: _Room) -> None:
    room.take(len(value))
    # A half surrogate pair can't be stored; it would fail far from here, and take others along.
    if "\0" in value or not (value.isascii() or value.encode()):
        raise BadAnswer


def _look_at_number(value: int, _room: _Room) -> None:
    if abs(value) > _LARGEST_INT:
        raise BadAnswer


def _look_at_moment(value: datetime, _room: _Room) -> None:
    if value.tzinfo is not UTC:
        raise BadAnswer


def _look_at_word(words: frozenset[str], value: str, _room: _Room) -> None:
    if value not in words:
        raise BadAnswer


def _look_at_each(shape: _Shape, values: tuple[Any, ...], room: _Room) -> None:
    for value in values:
        _check(value, shape, room)


def _look_at_fields(shapes: Sequence[tuple[str, _Shape]], record: Any, room: _Room) -> None:
    for name, shape in shapes:
        _check(getattr(record, name), shape, room)


def _nothing_to_see(_value: object, _room: _Room) -> None:
    """None, booleans and dates are fine as they are."""


_PLAIN: Final[dict[Any, _Look]] = {
    str: _look_at_text,
    int: _look_at_number,
    datetime: _look_at_moment,
    **dict.fromkeys((bool, date, NoneType), _nothing_to_see),
}
