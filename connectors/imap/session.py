"""Commands over one connection: sent without waiting where that is possible, answers sorted."""

import re
import socket
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Final

from imapclient.exceptions import LoginError

from connectors.imap import uids as uid_sets
from connectors.imap.connection import Connection
from connectors.imap.tokens import Token, Unparsable, number, tokens
from connectors.imap.uids import Ranges
from connectors.imap.wire import ConnectionLost, Garbled, Reply, line, quoted

_STATUS: Final = re.compile(rb"([A-Za-z0-9]+) (OK|NO|BAD)\b ?(.*)", re.DOTALL | re.IGNORECASE)
_UNTAGGED_FETCH: Final = re.compile(rb"\* \d+ FETCH \(", re.IGNORECASE)
_UID_FIRST: Final = re.compile(rb"\* \d+ FETCH \(UID (\d{1,10})\b", re.IGNORECASE)
_ONE_SECTION: Final = re.compile(
    rb"\* \d+ FETCH \(UID (\d{1,10}) (BODY\[[\w.]{0,100}\](?:<\d+>)?) \{\d+\}", re.IGNORECASE
)
_UID: Final = re.compile(rb"\bUID (\d{1,10})\b", re.IGNORECASE)
_CAPABILITY: Final = re.compile(rb"\[?CAPABILITY ([^\]]*)", re.IGNORECASE)
_NUMBERS: Final = re.compile(rb"\[(UIDVALIDITY|UIDNEXT) (\d{1,10})\]", re.IGNORECASE)
_EXISTS: Final = re.compile(rb"\* (\d{1,10}) EXISTS", re.IGNORECASE)
_MOST_UNTAGGED: Final = 200_000


@dataclass(frozen=True, slots=True)
class Answer:
    """The tagged response to a command: OK, NO or BAD, and its text."""

    status: str
    text: bytes

    @property
    def ok(self) -> bool:
        """Whether the command succeeded."""
        return self.status == "OK"


@dataclass(slots=True)
class Fetch:
    """A UID FETCH under way, and the responses that came for its UIDs so far."""

    tag: bytes
    uids: frozenset[int]
    replies: dict[int, list[Reply]] = field(default_factory=dict)
    answer: Answer | None = None


@dataclass(frozen=True, slots=True)
class Selected:
    """A folder opened for reading; `uidvalidity` is 0 and `uidnext` None when not told."""

    name: bytes
    uidvalidity: int
    uidnext: int | None
    exists: int


class Session:
    """A signed-in connection. One command or several at a time, FETCHes beside them.

    Methods raise what a connection raises (`failures.LOST`); then it is of no more use.
    """

    def __init__(self, connection: Connection) -> None:
        self.selected: Selected | None = None
        self.capabilities = connection.capabilities
        self._connection = connection
        self._count = 0
        self._fetches: dict[bytes, Fetch] = {}
        self._answers: dict[bytes, Answer] = {}
        self._untagged: list[Reply] = []

    # -- any commands ------------------------------------------------------------------------

    def run(self, *commands: bytes) -> tuple[list[Answer], list[Reply]]:
        """Sends commands in one go and waits for all; their answers and all untagged responses.

        FETCHes under way are completed first: their answers could not be told apart for certain.
        """
        self.settle()
        self._untagged = []
        tags = [self._new_tag() for _ in commands]
        self._connection.send(b"".join(line(t, c) for t, c in zip(tags, commands, strict=True)))
        answers = [self._wait(tag) for tag in tags]
        untagged, self._untagged = self._untagged, []
        return answers, untagged

    def settle(self) -> None:
        """Waits for all FETCHes under way."""
        for fetch in list(self._fetches.values()):
            self.finish(fetch)

    @property
    def received(self) -> int:
        """See `Connection.received`."""
        return self._connection.received

    def detach(self) -> tuple[socket.socket, bytes]:
        """See `Connection.detach`."""
        return self._connection.detach()

    def close(self) -> None:
        """Closes the connection."""
        self._connection.close()

    # -- signing in --------------------------------------------------------------------------

    def sign_in(self, username: str, password: str) -> Answer:
        """LOGIN, or SASL PLAIN for what is not ASCII; learns the capabilities that hold then."""
        words = [quoted(word.encode()) for word in (username, password)]
        command = b" ".join([b"LOGIN", *words])
        line(command)
        told: list[Reply] = []
        if not command.isascii():
            answer = self._sign_in_plain(username, password)
        else:
            (answer,), told = self.run(command)
        return self._signed_in(answer, told)

    def authenticate(self, mechanism: bytes, message: bytes, after_error: bytes) -> Answer:
        """SASL with one message of ours (RFC 3501 section 6.2.2), at once where SASL-IR allows.

        A server explains its no in a challenge and waits for `after_error` before it says it.
        """
        at_once = "SASL-IR" in self.capabilities
        tag, answers = self._new_tag(), [after_error] if at_once else [message, after_error]
        words = (b"AUTHENTICATE", mechanism, *([message] if at_once else []))
        self._untagged = []
        self._connection.send(line(tag, *words))
        while tag not in self._answers:
            reply = self._connection.reply()
            if not reply[0].startswith(b"+"):
                self._sort(reply)
            elif answers:
                self._connection.send(line(answers.pop(0)))
            else:
                raise Garbled("a sign-in without end")
        return self._signed_in(self._answers.pop(tag), self._untagged)

    def _signed_in(self, answer: Answer, told: Sequence[Reply]) -> Answer:
        if answer.ok and not self._learn([*told, (answer.text,)]):
            self._learn(self.run(b"CAPABILITY")[1])
        return answer

    def _sign_in_plain(self, username: str, password: str) -> Answer:
        try:
            self._connection.sign_in_plain(username, password)
        except LoginError as error:
            return Answer("NO", str(error).encode("utf-8", "replace"))
        return Answer("OK", b"")

    def _learn(self, replies: Sequence[Reply]) -> bool:
        for reply in replies:
            text = reply[0].removeprefix(b"* ").lstrip()
            if found := _CAPABILITY.match(text):
                self.capabilities = frozenset(found[1].decode("ascii", "replace").upper().split())
                return True
        return False

    # -- folders -----------------------------------------------------------------------------

    def examine(self, name: bytes) -> Selected | Answer:
        """Opens a folder for reading only (EXAMINE, never SELECT); the answer when it won't."""
        self.settle()
        self.selected = None
        (answer,), untagged = self.run(b"EXAMINE " + quoted(name))
        if not answer.ok:
            return answer
        numbers, exists = {b"UIDVALIDITY": 0, b"UIDNEXT": 0}, 0
        for text, *_ in untagged:
            for found in _NUMBERS.finditer(text):
                numbers[found[1].upper()] = int(found[2])
            if count := _EXISTS.match(text):
                exists = int(count[1])
        uidnext = numbers[b"UIDNEXT"] or None
        self.selected = Selected(name, numbers[b"UIDVALIDITY"], uidnext, exists)
        return self.selected

    def unselect_command(self) -> list[bytes]:
        """What closes the open folder, if any: STATUS of an open folder would be stale."""
        if self.selected is None:
            return []
        self.selected = None
        # CLOSE deletes nothing after EXAMINE (RFC 3501 section 6.4.2).
        return [b"UNSELECT" if "UNSELECT" in self.capabilities else b"CLOSE"]

    def search(self, criteria: bytes) -> Ranges | Answer:
        """The UIDs that meet `criteria`, in the short form where the server knows it (RFC 4731)."""
        how = b"UID SEARCH RETURN (ALL) " if "ESEARCH" in self.capabilities else b"UID SEARCH "
        (answer,), untagged = self.run(how + criteria)
        if not answer.ok:
            return answer
        try:
            return uid_sets.union(part for reply in untagged for part in _found(reply))
        except ValueError as error:
            raise Garbled("a SEARCH answer that is none") from error

    # -- messages ----------------------------------------------------------------------------

    def append(self, folder: bytes, how: bytes, message: bytes) -> Answer:
        """APPEND (RFC 3501 section 6.3.11); `how` are flags and date. Only a `Filing` writes.

        The message goes when the server asks for it, once.
        """
        self.settle()
        self._untagged = []
        tag, size = self._new_tag(), b"{%d}" % len(message)
        self._connection.send(line(tag, b"APPEND", quoted(folder), how, size))
        handed_over = False
        while tag not in self._answers:
            reply = self._connection.reply()
            if not reply[0].startswith(b"+"):
                self._sort(reply)
            elif handed_over:
                raise Garbled("a message asked for twice")
            else:
                self._connection.send(message + b"\r\n")
                handed_over = True
        return self._answers.pop(tag)

    def fetch(self, uids: Sequence[int], items: bytes) -> Fetch:
        """Asks for `items` of messages and returns at once; UIDs of two FETCHes must differ."""
        fetch = Fetch(self._new_tag(), frozenset(uids))
        command = line(fetch.tag, b"UID FETCH", uid_sets.write_set(uids), items)
        self._connection.send(command)
        self._fetches[fetch.tag] = fetch
        return fetch

    def finish(self, fetch: Fetch) -> Answer:
        """Waits until a FETCH is complete."""
        while fetch.answer is None:
            self._sort(self._connection.reply())
        return fetch.answer

    # -- what comes --------------------------------------------------------------------------

    def _new_tag(self) -> bytes:
        self._count += 1
        return b"C%d" % self._count

    def _wait(self, tag: bytes) -> Answer:
        while tag not in self._answers:
            self._sort(self._connection.reply())
        return self._answers.pop(tag)

    def _sort(self, reply: Reply) -> None:
        text = reply[0]
        if text.startswith(b"* "):
            if _UNTAGGED_FETCH.match(text):
                self._sort_fetch(reply)
            elif text[2:5].upper() == b"BYE":
                raise ConnectionLost(text[6:500].decode("latin-1"))
            elif len(self._untagged) < _MOST_UNTAGGED:
                self._untagged.append(reply)
            return
        found = _STATUS.match(text)
        if found is None or not found[1].startswith(b"C"):
            raise Garbled("a response that is none")
        answer = Answer(found[2].decode("ascii").upper(), found[3])
        fetch = self._fetches.pop(found[1], None)
        if fetch is None:
            self._answers[found[1]] = answer
        else:
            fetch.answer = answer

    def _sort_fetch(self, reply: Reply) -> None:
        """Servers mix the answers to FETCHes under way: only the UID tells whose one is."""
        found = _UID_FIRST.match(reply[0])
        uid = int(found[1]) if found else _uid_somewhere(reply)
        for fetch in self._fetches.values():
            if uid in fetch.uids:
                fetch.replies.setdefault(uid, []).append(reply)


def _uid_somewhere(reply: Reply) -> int:
    """The UID of a response that does not begin with it; -1 when it names none.

    Only the parsed response is to be trusted: a file name may hold "UID 7" too.
    """
    try:
        return uid_of(items_of(reply))
    except Unparsable:
        found = _UID.search(b" ".join(reply[::2]))
        return int(found[1]) if found else -1


def _found(reply: Reply) -> Ranges:
    """UIDs in a SEARCH or ESEARCH response; raises ValueError."""
    text = reply[0]
    if text[:8].upper() == b"* SEARCH":
        return uid_sets.ranges(int(w) for w in text[8:].split() if w.isdigit() and len(w) < 11)  # noqa: PLR2004  # 32 bits have 10 digits
    if text[:9].upper() != b"* ESEARCH":
        return []
    for name, value in pairwise(text.split()):
        if name.upper() == b"ALL":
            return uid_sets.read_set(value.decode("ascii", "replace"))
    return []


def items_of(reply: Reply) -> dict[bytes, Token]:
    """The data items of a FETCH response by name in upper case; raises `Unparsable`."""
    if len(reply) == 3 and reply[2] == b")" and (usual := _ONE_SECTION.fullmatch(reply[0])):  # noqa: PLR2004  # text, literal, text
        return {b"UID": usual[1], usual[2].upper(): reply[1]}
    found = tokens(reply)
    if len(found) < 4 or not isinstance(found[3], list):  # noqa: PLR2004  # * n FETCH (…)
        raise Unparsable("no FETCH response")
    data = iter(found[3])
    pairs = zip(data, data, strict=False)
    return {key.upper(): value for key, value in pairs if isinstance(key, bytes)}


def uid_of(items: dict[bytes, Token]) -> int:
    """The UID among data items; -1 when there is none."""
    return number(items.get(b"UID"))
