"""Customers in a vCard file, versions 3.0 (RFC 2426) and 4.0 (RFC 6350).

The grammar of a line is small, and libraries for it are not made for hostile files: their
patterns take exponential time on some lines.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Final, NamedTuple

from crm_sync.core.clean import clean
from crm_sync.core.customer_rows import CustomerRow, Rejected, check_row
from crm_sync.core.errors import UsageError
from crm_sync.core.zones import find_zone

_LONGEST_CARD: Final = 100_000
_BEGIN: Final = re.compile(r"BEGIN:VCARD\s*", re.IGNORECASE)
_END: Final = re.compile(r"END:VCARD\s*", re.IGNORECASE)
# Pictures, keys and extensions can be large and say nothing we keep.
_LEFT_OUT: Final = re.compile(
    r"(?:[A-Za-z0-9-]+\.)?(?:PHOTO|LOGO|SOUND|KEY|AGENT|X-[A-Za-z0-9-]*)[;:]", re.IGNORECASE
)
_PARAM_VALUE: Final = r'(?:"[^"]*"|[^";:,]*)'
_PROPERTY: Final = re.compile(
    r"(?:[A-Za-z0-9-]+\.)?(?P<name>[A-Za-z0-9-]+)"
    rf"(?P<params>(?:;[A-Za-z0-9-]+(?:={_PARAM_VALUE}(?:,{_PARAM_VALUE})*)?)*)"
    r":(?P<value>.*)",
    re.DOTALL,
)
_BIRTHDAY: Final = re.compile(r"(?:(?P<year>\d{4})-?|--)(?P<month>\d\d)-?(?P<day>\d\d)(?:T.*)?")
_OMITTED_YEAR: Final = re.compile(r"X-APPLE-OMIT-YEAR=(\d{4})", re.IGNORECASE)


class _Property(NamedTuple):
    params: str
    value: str


_Properties = Mapping[str, list[_Property]]


def read_vcards(text: str) -> tuple[list[CustomerRow], list[Rejected], list[str]]:
    """The contacts of a file, the cards rejected by the line they begin on, and warnings.

    Raises `UsageError` when there is no card in it.
    """
    rows: list[CustomerRow] = []
    rejected: list[Rejected] = []
    warnings: list[str] = []
    for card in _cards(text):
        try:
            result = card if isinstance(card, Rejected) else _row(*card, warnings)
        except ValueError as error:
            assert not isinstance(card, Rejected)
            result = Rejected(card[0], str(error))
        if isinstance(result, Rejected):
            rejected.append(result)
        else:
            rows.append(result)
    if not rows and not rejected:
        raise UsageError("the file holds no vCard", advice="One begins with the line BEGIN:VCARD.")
    return rows, rejected, warnings


def _cards(text: str) -> Iterator[tuple[int, list[str]] | Rejected]:
    """The unfolded lines of each card, with the line it begins on."""
    card: list[list[str]] | None = None  # the pieces of each line
    start = 0
    for number, line in enumerate(text.replace("\r\n", "\n").split("\n"), 1):
        if _BEGIN.fullmatch(line):
            if card is not None:
                yield Rejected(start, "the card has no END:VCARD")
            card, start = [], number
        elif card is not None and _END.fullmatch(line):
            yield start, ["".join(pieces) for pieces in card]
            card = None
        elif card is not None and line[:1] in {" ", "\t"} and card:
            card[-1].append(line[1:])
        elif card is not None:
            card.append([line])
    if card is not None:
        yield Rejected(start, "the card has no END:VCARD")


def _row(start: int, lines: list[str], warnings: list[str]) -> CustomerRow | Rejected:
    """Raises ValueError, with a sentence, for a card that can't be read."""
    properties = _properties(lines)
    birthday, zone = _birthday(properties), _zone(properties)
    if birthday is None:
        warnings.append(f"line {start}: the birthday has no month and day and is left out")
    if zone is None:
        warnings.append(f"line {start}: the time zone is no name of a zone and is left out")
    cells = {
        "name": [_name(properties)],
        "company": _split(_first(properties, "ORG"), ";")[:1],
        "emails": [email.removeprefix("mailto:") for email in _texts(properties, "EMAIL")],
        "phones": [phone.removeprefix("tel:") for phone in _texts(properties, "TEL")],
        "address": [_address(properties)],
        "website": _texts(properties, "URL")[:1],
        "notes": _texts(properties, "NOTE"),
        "tags": [
            tag
            for category in properties.get("CATEGORIES", ())
            for tag in _split(category.value, ",")
        ],
        "language": _texts(properties, "LANG")[:1],
        "birthday": [birthday or ""],
        "timezone": [zone or ""],
    }
    return check_row(start, cells, {})


def _properties(lines: list[str]) -> _Properties:
    kept = [line for line in lines if line.strip() and not _LEFT_OUT.match(line)]
    if sum(map(len, kept)) > _LONGEST_CARD:
        raise ValueError(f"the card is longer than {_LONGEST_CARD:,} characters")
    properties: dict[str, list[_Property]] = {}
    for line in kept:
        found = _PROPERTY.fullmatch(line)
        if found is None:
            raise ValueError(f'the line "{clean(line, 40)}" is no property of a vCard')
        if "QUOTED-PRINTABLE" in found["params"].upper():
            raise ValueError("the card is of version 2.1, export it as 3.0 or 4.0")
        prop = _Property(found["params"], found["value"])
        properties.setdefault(found["name"].upper(), []).append(prop)
    return properties


def _first(properties: _Properties, name: str) -> str:
    return properties[name][0].value if name in properties else ""


def _texts(properties: _Properties, name: str) -> list[str]:
    return [_unescaped(prop.value) for prop in properties.get(name, ())]


def _name(properties: _Properties) -> str:
    """The formatted name, else given, additional and family name."""
    formatted = _unescaped(_first(properties, "FN")).strip()
    if formatted:
        return formatted
    family, given, additional, *_ = [*_split(_first(properties, "N"), ";"), "", "", ""]
    return " ".join(part for part in (given, additional, family) if part.strip())


def _address(properties: _Properties) -> str:
    """The first postal address on lines of its own, as it goes on a letter."""
    parts = [part.strip() for part in _split(_first(properties, "ADR"), ";")]
    box, extended, street, city, region, code, country, *_ = [*parts, *[""] * 7]
    town = " ".join(part for part in (code, city) if part)
    return "\n".join(part for part in (box, extended, street, town, region, country) if part)


def _birthday(properties: _Properties) -> str | None:
    """The birthday as `parse_day` reads it, "" without one, None when month or day is missing."""
    if "BDAY" not in properties:
        return ""
    params, value = properties["BDAY"][0]
    value = _unescaped(value).strip()
    form = _BIRTHDAY.fullmatch(value)
    if form is None:
        is_partial = re.fullmatch(r"\d{4}(?:-\d\d)?|--\d\d|---\d\d|", value)
        return None if is_partial or "VALUE=TEXT" in params.upper() else value
    omitted = _OMITTED_YEAR.search(params)
    has_year = form["year"] and (omitted is None or omitted[1] != form["year"])
    return f"{form['year'] if has_year else '-'}-{form['month']}-{form['day']}"


def _zone(properties: _Properties) -> str | None:
    """The name of the zone, "" without one, None for an offset: it is no zone in summer."""
    zone = _unescaped(_first(properties, "TZ")).strip()
    return zone if not zone or find_zone(zone) else None


def _split(value: str, separator: str) -> list[str]:
    """The parts of a structured value (RFC 6350 section 3.4), unescaped."""
    parts, position = [], 0
    part = re.compile(rf"(?:\\.|[^\\{separator}])*", re.DOTALL)
    while position <= len(value):
        found = part.match(value, position)
        assert found is not None
        parts.append(_unescaped(found[0]))
        position = found.end() + 1
    return parts


def _unescaped(value: str) -> str:
    return re.sub(
        r"\\(.)", lambda found: "\n" if found[1] in "nN" else found[1], value, flags=re.DOTALL
    )
