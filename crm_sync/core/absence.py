"""What an automatic reply says about its author: until when she is away, and who answers instead.

Dates are found first, whatever the language, and then judged by the words right around them. A
date that can be read in two ways is left out: no end is better than a wrong one.
"""

import re
import unicodedata
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from functools import lru_cache
from itertools import islice
from typing import Final, Literal

from babel import Locale
from persiantools.jdatetime import MONTH_NAMES_FA, JalaliDate

from crm_sync.core import absence_phrases as phrases
from crm_sync.core.addresses import canonical
from crm_sync.core.errors import Unreadable
from crm_sync.core.headers import parse_envelope
from crm_sync.core.occasions import CalendarName, next_date, parse_day
from crm_sync.core.phrases import ABSENCE, OUT_OF_OFFICE, anywhere
from crm_sync.core.quotes import split_reply
from crm_sync.core.text import read_message

LONGEST_TEXT: Final = 32 * 1024
"""Characters of a reply that are read."""

LATEST: Final = timedelta(days=731)
"""An absence that is said to last longer is a slip of the pen."""

_LATEST_WITHOUT_YEAR: Final = timedelta(days=330)  # what lies further on is a date just past
_NEAR: Final = timedelta(days=60)
_BEFORE, _AFTER = 80, 45
_LONGEST_GAP, _LONGEST_GAP_IN_RANGE = 45, 18
_DEPUTY_BEFORE, _DEPUTY_AFTER = 160, 60
_PERSIAN_YEARS: Final = range(1300, 1500)
_LOCALES: Final = (
    "en", "de", "nl", "sv", "da", "nb", "fi", "fr", "es", "it", "pt", "pl", "cs", "ru", "uk", "tr",
    "hu", "ro", "el", "fa", "ar", "ar_SY", "id",
)  # fmt: skip
_NO_MONTHS: Final = frozenset({"out", "set", "pro", "led", "lis", "dub", "sie", "maa"})
"""Abbreviations that are words, too."""

_LETTERS: Final = {
    **{0x660 + n: str(n) for n in range(10)},
    **{0x6F0 + n: str(n) for n in range(10)},
    **{ord(c): "ی" for c in "يىۍ"},
    ord("ك"): "ک",
    **dict.fromkeys([*range(0x64B, 0x653), 0x654, 0x640, 0x307, *range(0x200B, 0x2010), 0xFEFF]),
    **{ord(c): "'" for c in "’‘´`ʼ"},
    **{ord(c): "-" for c in "‐‑‒–—−"},
}
_SPACES: Final = re.compile(r"[^\S\n]+")
_PARAGRAPH: Final = re.compile(r"\n[ \n]*\n")
_END_OF_SENTENCE: Final = re.compile(r"[!?。！？\n]|(?<=[^\W\d]{4})\. ")
_ADDRESS: Final = re.compile(r"[\w.+'-]{1,64}+@[\w-]{1,63}+(?:\.[\w-]{1,63}+){1,8}")
_NOBODY: Final = re.compile(r"(?:no-?reply|do-?not-?reply|mailer-daemon|postmaster)[@+]")

_ENGLISH: Final = re.compile(r"(?<!\w)(?:the|will|and|until|back|office|your|away)(?!\w)")
_MOST_DATES: Final = 60

_Role = Literal["until", "back"]


@dataclass(frozen=True, slots=True)
class Absence:
    """That the owner of `address` (canonical) is away.

    `until` is the first day back, None where none is said; `deputy` the canonical address of whom
    to write to meanwhile, "" where there is none.
    """

    address: str
    until: date | None = None
    deputy: str = ""


def read_absence(octets: bytes, on: date) -> Absence | None:
    """What an automatic reply sent on the day `on` says, None when nobody says to be away.

    Takes the raw message; looks at 32 kB of its text, in time that grows with the length only.
    "until the 14th" makes the 15th the first day back, "back on the 14th" the 14th. A day without
    a year is the next such day. Never raises.
    """
    try:
        envelope = parse_envelope(octets)
    except Unreadable:
        return None
    author = canonical(envelope.from_[0].address) if envelope.from_ else None
    if author is None:
        return None
    # What follows a colon is the subject that is answered: words of ours.
    subject = plain(re.split("[:：]", envelope.subject)[0])
    text = plain(split_reply(read_message(octets).text[:LONGEST_TEXT])[0])
    role, until = _end(text, on)
    if until is None:
        role, until = _end(subject, on)
    if role != "back" and not _away().search(f"{subject}\n{text}"):
        return None
    own = {canonical(a.address) for a in (*envelope.from_, *envelope.to, *envelope.reply_to)}
    return Absence(author, until, _deputy(text, own))


def plain(text: str) -> str:
    """A text in the form in which it is searched: lower case, one form of each letter and digit."""
    text = unicodedata.normalize("NFKC", text).translate(_LETTERS).lower().translate(_LETTERS)
    text = _PARAGRAPH.sub("\0", _SPACES.sub(" ", text))
    return text.replace("\n", " ").replace("\0", "\n")[:LONGEST_TEXT].strip()


def _end(text: str, on: date) -> tuple[_Role | None, date | None]:
    """The first day back that the text names, and how: by that day, or by the last one away."""
    found: dict[_Role, date] = {}
    for pattern in (_dates(), _nearby_days()):
        for role, day in _judged(text, pattern, on):
            first = day + timedelta(days=1) if role == "until" else day
            if on <= first <= on + LATEST:
                found.setdefault(role, first)
        if "back" in found:
            return "back", found["back"]
        if "until" in found:
            return "until", found["until"]
    return None, None


def _judged(text: str, pattern: re.Pattern[str], on: date) -> Iterator[tuple[_Role, date]]:
    """Each date with a word at its side that makes it the end of an absence."""
    spans = list(islice(pattern.finditer(text), _MOST_DATES))
    is_english = _ENGLISH.search(text) is not None
    for number, span in enumerate(spans):
        previous = spans[number - 1].end() if number else 0
        following = spans[number + 1].start() if number + 1 < len(spans) else len(text)
        context = _last_sentence(text[max(0, span.start() - _BEFORE) : span.start()])
        before = context[-max(span.start() - previous, 0) :] if previous < span.start() else ""
        after = _END_OF_SENTENCE.split(text[span.end() : span.end() + _AFTER], maxsplit=1)[0]
        alone = following >= span.end() + len(after)
        role = _role(before, after[: following - span.end()], context, alone=alone)
        named = span.groupdict()
        if role is None and (named.get("e2") or named.get("e6")):
            role = "until"
        day = None if role is None else _day(named, on, is_english=is_english)
        if role is not None and day is not None:
            yield role, day


def _last_sentence(text: str) -> str:
    return _END_OF_SENTENCE.split(text)[-1]


def _role(before: str, after: str, context: str, *, alone: bool) -> _Role | None:
    """What the words before and after a date make of it.

    `context` reaches over earlier dates; `alone` says that no other date follows soon, to which
    the words after this one might belong.
    """
    if _after(phrases.UNTIL_AFTER, phrases.UNTIL_AFTER_UNSPACED).match(after):
        return "until"
    near = [c.lastgroup for c in _cues().finditer(before) if len(before) - c.end() <= _LONGEST_GAP]
    if near and "back" in near:
        return "back"  # "back on", "not back until", "back from ... on"
    if near and near[-1] == "until":
        return "until"
    if alone and _after(phrases.BACK_AFTER, phrases.BACK_AFTER_UNSPACED).match(after):
        return "back"
    return "until" if _is_range(context) else None


def _is_range(context: str) -> bool:
    """Whether another date and a word for "to" stand before a date."""
    ends = [found.end() for found in _range().finditer(context)]
    return bool(ends) and len(context) - ends[-1] <= _LONGEST_GAP_IN_RANGE


def _day(named: Mapping[str, str | None], on: date, *, is_english: bool) -> date | None:
    """The date that was found, None where there is no such day or two readings are left.

    Who writes English may put the month first: 4/5 is what lies ahead, and near where both do.
    """
    if (weekday := named.get("w")) is not None:
        ahead = (_weekday_names()[weekday] - on.weekday() - 1) % 7 + 1
        return on + timedelta(days=ahead)
    if (ordinal := named.get("md")) is not None:
        ahead_days = (on + timedelta(days=n) for n in range(62))
        return next((day for day in ahead_days if day.day == int(ordinal)), None)
    year, month, day, calendar = _numbers(named)
    readings = {_dated(year, month, day, calendar, on)}
    if named.get("s") == "/" and (is_english or month > 12):  # noqa: PLR2004  # months
        readings.add(_dated(year, day, month, calendar, on))
    possible = {reading for reading in readings if reading is not None and reading >= on}
    near = {reading for reading in possible if reading <= on + _NEAR}
    likely = near if len(possible) > 1 else possible
    return likely.pop() if len(likely) == 1 else None


def _numbers(named: Mapping[str, str | None]) -> tuple[int | None, int, int, CalendarName]:
    """Year, month, day and calendar of a date, whichever form it was written in."""
    form = next(n for n in "1234567" if named.get(f"d{n}") is not None)
    last = named.get(f"e{form}") if form in "26" else None
    day, written = int(last or named[f"d{form}"] or 0), named.get(f"y{form}") or named.get("y")
    year = None if written is None else int(written)
    if year is not None and year < 100:  # noqa: PLR2004  # two digits
        year += 2000
    calendar: CalendarName = "persian" if year in _PERSIAN_YEARS else "gregorian"
    name = named.get(f"n{form}") if form in "56" else None
    if name is None:
        return year, int(named[f"m{form}"] or 0), day, calendar
    month = _month_names()[name]
    return year, abs(month), day, "persian" if month < 0 else calendar


def _dated(year: int | None, month: int, day: int, calendar: CalendarName, on: date) -> date | None:
    prefix = "persian:" if calendar == "persian" else ""
    written = "-" if year is None else f"{year:04}"
    try:
        yearly = parse_day(f"{prefix}{written}-{month:02}-{day:02}")
        if year is None:
            found = next_date(yearly, on - timedelta(days=1))
            return found if found <= on + _LATEST_WITHOUT_YEAR else None
        if calendar == "gregorian":
            return date(year, month, day)
        exact: date = JalaliDate(year, month, day).to_gregorian()  # type: ignore[no-untyped-call]
    except (ValueError, OverflowError):
        return None
    return exact


def _deputy(text: str, own: set[str | None]) -> str:
    """The first address of somebody else that stands near a word for writing to somebody."""
    end = 0
    for found in _ADDRESS.finditer(text):
        before = text[max(end, found.start() - _DEPUTY_BEFORE) : found.start()]
        after = text[found.end() : found.end() + _DEPUTY_AFTER]
        end = found.end()
        address = canonical(found[0].rstrip(".'-"))
        if address is None or address in own or _NOBODY.match(address):
            continue
        if _for_a_deputy().search(before) or _for_a_deputy().search(after):
            return address
    return ""


@lru_cache(maxsize=1)
def _month_names() -> dict[str, int]:
    """Month by its plain name in any of the languages; those of the Persian calendar below zero."""
    names: dict[str, set[int]] = {}
    for code in _LOCALES:
        forms = Locale.parse(code).months["format"]
        for width in ("wide", "abbreviated"):
            for month, name in forms[width].items():
                names.setdefault(plain(name).rstrip("."), set()).add(month)
                # "elokuuta" is "elokuun" in other sentences
                if code == "fi" and width == "wide":
                    names.setdefault(plain(name).removesuffix("ta") + "n", set()).add(month)
    for month, name in enumerate(MONTH_NAMES_FA):
        if name is not None:
            names.setdefault(plain(name), set()).add(-month)
    return {n: m.pop() for n, m in names.items() if len(m) == 1 and n not in _NO_MONTHS}


@lru_cache(maxsize=1)
def _weekday_names() -> dict[str, int]:
    """Weekday (Monday is 0) by its plain name."""
    names: dict[str, int] = {}
    for code in _LOCALES:
        days = Locale.parse(code).days["format"]["wide"]
        names |= {plain(name): number for number, name in days.items()}
        if code == "fi":  # "perjantaina" is "perjantaihin" before "asti"
            for number, name in days.items():
                stem = plain(name).removesuffix("na")
                names[stem + ("on" if stem.endswith("o") else "hin")] = number
    return names


@lru_cache(maxsize=1)
def _dates() -> re.Pattern[str]:
    """Everything that may be a day and a month, with or without a year; "klo 16.00" is a time."""
    names = "|".join(sorted(map(re.escape, _month_names()), key=len, reverse=True))
    return re.compile(
        r"(?<!\d)(?<!\d[.,:/])(?<!klo )(?<!\bkl )(?<!\bkl\. )(?:"
        r"(?P<y1>\d{4}) ?[-/.] ?(?P<m1>\d{1,2}) ?[-/.] ?(?P<d1>\d{1,2})"
        r"|(?:(?P<y2>\d{4}) ?[年년] ?)?(?P<m2>\d{1,2}) ?[月월] ?(?P<d2>\d{1,2}) ?"
        r"(?:[日号號일]|(?=[~-]))"
        r"(?: ?(?:[-~〜至到]|から) ?(?P<e2>\d{1,2}) ?[日号號일])?"
        r"|(?P<d3>\d{1,2}) ?tháng ?(?P<m3>\d{1,2})(?:,? ?(?:năm )?(?P<y3>\d{4}))?"
        r"|(?P<d5>\d{1,2})(?:st|nd|rd|th|er|[oae]|\.|-?(?:го|е|ого))?(?: of)?(?: de| del| d')? ?"
        rf"(?P<n5>{names})\b\.?(?:,? (?:de |del )?(?P<y5>\d{{4}}))?"
        rf"|(?P<n6>{names})\b\.? (?:den |the )?(?P<d6>\d{{1,2}})(?:st|nd|rd|th|\.)?(?![\d:])"
        r"(?: ?- ?(?P<e6>\d{1,2})(?:st|nd|rd|th)?(?![\d:]))?(?:,? (?P<y6>\d{4}))?"
        r"|(?P<d7>\d{1,2})-(?P<m7>\d{1,2})-(?P<y7>\d{4}|\d{2})"
        r"|(?P<d4>\d{1,2}) ?(?P<s>[./]) ?(?P<m4>\d{1,2})"
        r"(?: ?(?P=s) ?(?P<y4>\d{4})|(?P=s)(?P<y>\d{2}))?"
        r")(?!\d)"
    )


@lru_cache(maxsize=1)
def _nearby_days() -> re.Pattern[str]:
    """Days that are named by their weekday alone, or in English by their number."""
    names = "|".join(sorted(map(re.escape, _weekday_names()), key=len, reverse=True))
    return re.compile(rf"(?<!\w)(?:(?P<w>{names})(?!\w)|the (?P<md>\d{{1,2}})(?:st|nd|rd|th)\b)")


def _any(spaced: str, unspaced: str) -> str:
    """A regular expression for one of the phrases, in the form that `plain` gives to texts."""
    lists = (unicodedata.normalize("NFKC", text).translate(_LETTERS) for text in (spaced, unspaced))
    words, runs = map(anywhere, lists)
    return rf"(?<!\w)(?:{words})(?!\w)|{runs}" if runs else rf"(?<!\w)(?:{words})(?!\w)"


@lru_cache(maxsize=1)
def _cues() -> re.Pattern[str]:
    """The words before a date that say what happens on it."""
    start = _any(phrases.START, phrases.START_UNSPACED)
    back = _any(phrases.BACK, phrases.BACK_UNSPACED)
    until = _any(phrases.UNTIL, phrases.UNTIL_UNSPACED)
    return re.compile(rf"(?P<start>{start})|(?P<back>{back})|(?P<until>{until})")


@lru_cache(maxsize=4)
def _after(spaced: str, unspaced: str) -> re.Pattern[str]:
    """The words after a date, a little way off; a time of day may stand between."""
    time = r"\D{0,10}\d{1,2}(?:[:.]\d\d)?(?![\d.])"
    return re.compile(rf"(?:{time})?\D{{0,30}}?(?:{_any(spaced, unspaced)})")


@lru_cache(maxsize=1)
def _range() -> re.Pattern[str]:
    names = "|".join(map(re.escape, _month_names()))
    words = _any(phrases.RANGE, "")
    return re.compile(
        rf"(?:\d(?:st|nd|rd|th|er)?|{names}|[日号號일])\.?(?: \d{{4}})?"
        rf"(?: ?\([^()\d]{{1,12}}\))?(?: ?(?:[-~〜至到]|から)| (?:{words}))"
    )


@lru_cache(maxsize=1)
def _away() -> re.Pattern[str]:
    known = f"{phrases.AWAY}\n{ABSENCE}\n{OUT_OF_OFFICE}"
    return re.compile(_any(anywhere(re.sub(r"\n{2,}", "\n", known)), phrases.AWAY_UNSPACED))


@lru_cache(maxsize=1)
def _for_a_deputy() -> re.Pattern[str]:
    return re.compile(_any(phrases.DEPUTY, phrases.DEPUTY_UNSPACED))
