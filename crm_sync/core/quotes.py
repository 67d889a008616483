"""What the author of a reply wrote anew, told from what is quoted below it and from signatures.

Nothing here is certain: the whole text is what is stored, and the new part is derived from it.
Where signs are weak the text stays: a quote that is left costs less than an answer that is lost.
"""

import re
from collections.abc import Sequence
from typing import Final

from crm_sync.core import quote_phrases as phrases
from crm_sync.core.phrases import anywhere

LONGEST_TEXT: Final = 64 * 1024
"""Characters that are looked at; what lies beyond belongs to the rest."""

_LONGEST_LINE: Final = 400
_LONGEST_INTRODUCTION: Final = 3  # lines over which programs wrap "On ... wrote:"
_LONGEST_HEADER: Final = 12  # lines, with fields that are folded and such as Cc
_BLANKS_BEFORE_QUOTE: Final = 3
_ROLES_OF_A_HEADER: Final = 3


_WROTE: Final = re.compile(
    rf"\b(?:{anywhere(phrases.WROTE)})\b|{anywhere(phrases.WROTE_UNSPACED)}", re.IGNORECASE
)
_ADDRESS: Final = re.compile(r"[<(\"\[]\s?[^\s<>()\[\]\"@]{0,100}+@")
_TIME: Final = re.compile(r"(?<!\d)\d{1,2} ?[:.h] ?\d{2}(?!\d)|[时時点點시]\s?\d{1,2}[分분]")
_DATE: Final = re.compile(r"(?<!\d)(?:19|20)\d\d(?!\d)|(?<!\d)\d{1,2}[./-]\d{1,2}[./-]\d{2}(?!\d)")
_DATED_BY_PROGRAM: Final = re.compile(r"\d{4}-\d\d-\d\d \d{1,2}:\d\d GMT[+-]\d{1,2}:\d\d \S")
_SIGNATURE: Final = re.compile(r"-- ?")
_RULE: Final = re.compile(r"[-_=*\u2014\u2500]{3,}(?:.{0,80}[-_=*\u2014\u2500]{3,})?")
_SENT_FROM: Final = re.compile(
    rf"(?:{anywhere(phrases.SENT_FROM)}).{{0,40}}?(?:{anywhere(phrases.DEVICE)}).{{0,60}}",
    re.IGNORECASE,
)
_SEPARATOR: Final = re.compile(
    rf"[-_=*]{{2,}} ?(?:{anywhere(phrases.SEPARATOR)}) ?[-_=*]{{2,}}:?", re.IGNORECASE
)
_FORWARDED: Final = re.compile(rf"(?:{anywhere(phrases.FORWARDED)}) ?[:：]", re.IGNORECASE)
_ROLES: Final = {
    name: role
    for role, names in (
        ("from", phrases.FROM),
        ("date", phrases.DATE),
        ("to", phrases.TO),
        ("subject", phrases.SUBJECT),
    )
    for name in anywhere(names).split("|")
}
_FIELD: Final = re.compile(r"[*_ ]{0,3}([^\W\d_][^:：*_]{0,24}?)[*_ ]{0,3}[:：]")
_UNSEEN: Final[dict[int, str | None]] = {
    **dict.fromkeys([*range(0x200B, 0x2010), *range(0x202A, 0x202F), 0xFEFF]),
    0xA0: " ",
}


def split_reply(text: str) -> tuple[str, str]:
    """The new part of a text, and the rest: quoted text, its introductions, the signature.

    A reply may stand above what it quotes, below it, or between; lines quoted by hand or answered
    one by one stay. Where nothing but a forwarded or quoted text is there, that is the new part,
    without the lines that introduce it. Looks at 64 kB, in time that grows with the length only.
    """
    lines = text[:LONGEST_TEXT].splitlines()
    seen = [line[:_LONGEST_LINE].translate(_UNSEEN).strip() for line in lines]
    kept = _kept(seen)
    new = "\n".join(line for line, is_new in zip(lines, kept, strict=True) if is_new)
    rest = "\n".join(line for line, is_new in zip(lines, kept, strict=True) if not is_new)
    return new.strip("\n").rstrip(), (rest + text[LONGEST_TEXT:]).strip("\n").rstrip()


def _kept(lines: Sequence[str]) -> list[bool]:
    """For each line whether it belongs to the new part."""
    kept = [True] * len(lines)
    at, said = 0, False

    def drop(end: int) -> int:
        kept[at:end] = [False] * (end - at)
        return end

    while at < len(lines):
        if said and _SIGNATURE.fullmatch(lines[at]):
            at = drop(len(lines))
        elif end := _introduction(lines, at):
            first = _next_text(lines, end)
            if _is_quoted(lines, first):
                at = drop(_end_of_quote(lines, first))
            else:
                at = drop(len(lines) if said else end)
        else:
            said = said or (bool(lines[at]) and not _is_quoted(lines, at))
            at += 1
    _drop_end(lines, kept)
    return kept


def _drop_end(lines: Sequence[str], kept: list[bool]) -> None:
    """Drops what is left over at the end: a quote nobody answers, a rule, a device's signature."""
    own = [i for i, line in enumerate(lines) if kept[i] and line and not _is_quoted(lines, i)]
    while own and _RULE.fullmatch(lines[own[-1]]):
        own.pop()
    if len(own) > 1 and _SENT_FROM.fullmatch(lines[own[-1]]) and lines[own[-1]][-1] not in ".!?":
        own.pop()
    last = own[-1] + 1 if own else 0
    kept[last:] = [False] * (len(lines) - last)


def _introduction(lines: Sequence[str], at: int) -> int:
    """Where the lines end that introduce a quoted text and begin at `at`; 0 when none do."""
    line = lines[at]
    if not line or _is_quoted(lines, at):
        return 0
    if _SEPARATOR.fullmatch(line) or _FORWARDED.fullmatch(line):
        below = _next_text(lines, at + 1)
        return _header(lines, below) or at + 1
    return _header(lines, at) or _attribution(lines, at)


def _header(lines: Sequence[str], at: int) -> int:
    """Where a header (From, Sent, To, Subject in any language) that begins at `at` ends, or 0.

    People fill in "From: ... To: ... Date: ..." as well, for a journey: without a subject, an
    address has to be there.
    """
    roles: set[str] = set()
    end = at
    for place in range(at, min(at + _LONGEST_HEADER, len(lines))):
        field = _FIELD.match(lines[place])
        role = _ROLES.get(field[1].strip().lower()) if field else None
        if role is None and (not lines[place] or place == at):
            break
        if role is not None:
            roles.add(role)
        end = place + 1
    if "from" not in roles or not ("subject" in roles or "@" in "".join(lines[at:end])):
        return 0
    enough = _ROLES_OF_A_HEADER - _is_quoted(lines, _next_text(lines, end))
    return end if len(roles) >= enough else 0


def _attribution(lines: Sequence[str], at: int) -> int:
    """Where a sentence "On ... wrote:" that begins at `at` ends, or 0."""
    for end in range(at + 1, min(at + _LONGEST_INTRODUCTION, len(lines)) + 1):
        if not lines[end - 1] or (end > at + 1 and _is_quoted(lines, end - 1)):
            return 0
        if _names_author(lines, at, end):
            return end if end == at + 1 or _belongs(lines, at, end) else 0
    return 0


def _names_author(lines: Sequence[str], at: int, end: int) -> bool:
    """Whether the lines together say who wrote what follows, and when.

    One sign is enough before a quote; before plain text there have to be two.
    """
    sentence = " ".join(lines[at:end]).rstrip("*_ ")
    if _DATED_BY_PROGRAM.match(sentence) and (end == at + 1 or sentence.endswith(":")):
        return not (end == at + 1 and _goes_on(lines, end))
    if not sentence.endswith((":", "：")):
        return False
    wrote, address = _WROTE.search(sentence), _ADDRESS.search(sentence)
    time = _TIME.search(sentence)
    if sum(sign is not None for sign in (wrote, address, time)) > 1:
        return True
    dated = time is not None and _DATE.search(sentence) is not None
    return bool(wrote or address or dated) and _is_quoted(lines, _next_text(lines, end))


def _goes_on(lines: Sequence[str], at: int) -> bool:
    """Whether the line before `at` was wrapped."""
    return at < len(lines) and bool(lines[at]) and lines[at].endswith((":", "："))


def _belongs(lines: Sequence[str], at: int, end: int) -> bool:
    """Whether the first line belongs to the sentence, and is not the last of the text above it."""
    if not _names_author(lines, at + 1, end):
        return True
    if _is_open(lines[at]):
        return True
    dated = (_TIME, _DATE)
    below = " ".join(lines[at + 1 : end])
    return any(d.search(lines[at]) for d in dated) and not any(d.search(below) for d in dated)


def _is_open(line: str) -> bool:
    """Whether a bracket is open at the end of a line: programs wrap within addresses."""
    return line.rfind("<") > line.rfind(">") or line.rfind("(") > line.rfind(")")


def _is_quoted(lines: Sequence[str], at: int) -> bool:
    """Whether a line is marked as quoted, and is not the end of a wrapped `<address>:`."""
    if at >= len(lines) or not lines[at].startswith((">", "|>")):
        return False
    wrapped = at > 0 and lines[at].endswith((":", "：")) and _is_open(lines[at - 1])
    return not (wrapped and not lines[at - 1].startswith(">"))


def _next_text(lines: Sequence[str], at: int) -> int:
    """The next line with anything in it, a few lines ahead."""
    for place in range(at, min(at + _BLANKS_BEFORE_QUOTE + 1, len(lines))):
        if lines[place]:
            return place
    return len(lines)


def _end_of_quote(lines: Sequence[str], at: int) -> int:
    """Where a quoted text that begins at `at` ends; empty lines within it belong to it."""
    end = at
    while _is_quoted(lines, at):
        end = at + 1
        at = _next_text(lines, end)
    return end
