"""A customer as an import file describes one, checked column by column."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from types import MappingProxyType
from typing import Final, Literal, TypeVar, cast

from crm_sync.core.addresses import canonical, canonical_domain
from crm_sync.core.clean import clean, clean_text
from crm_sync.core.occasions import YearlyDay, parse_day
from crm_sync.core.zones import find_zone

GreetingBasis = Literal["consent", "soft_opt_in", "b2b", "none"]
T = TypeVar("T")

COLUMNS: Final = (
    "name", "company", "emails", "domains", "phones", "address", "website", "owner", "language",
    "timezone", "country", "birthday", "customer_since", "last_purchase", "greeting_basis",
    "source", "tags", "preferred_channel", "notes",
)  # fmt: skip
SEVERAL: Final = frozenset({"emails", "domains", "phones", "tags"})
"""Columns that hold several values."""

LONGEST_CELL: Final = 10_000
MOST_VALUES: Final = 100

_BASES: Final = ("consent", "soft_opt_in", "b2b", "none")
_LINES: Final = frozenset({"address", "notes"})
_DATE: Final = re.compile(r"\d{4}-\d\d-\d\d")
_LANGUAGE: Final = re.compile(r"[A-Za-z]{2,3}(?:-[A-Za-z0-9]{1,8}){0,5}")
_DOMAIN: Final = re.compile(r"[^\s@/,;|<>]+\.[^\s@/,;|<>]+")
_NO_CUSTOM: Final[Mapping[str, str]] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class CustomerRow:
    """One contact, and what the file says of the customer it belongs to.

    `line` is where it begins, from 1. None means that the file says nothing: what is stored stays.
    Addresses and domains have passed the syntax check; addresses keep their spelling. `country` is
    in upper case, `custom` holds the columns we don't know.
    """

    line: int
    name: str | None = None
    company: str | None = None
    emails: tuple[str, ...] | None = None
    domains: tuple[str, ...] | None = None
    phones: tuple[str, ...] | None = None
    address: str | None = None
    website: str | None = None
    owner: str | None = None
    language: str | None = None
    timezone: str | None = None
    country: str | None = None
    birthday: YearlyDay | None = None
    customer_since: date | None = None
    last_purchase: date | None = None
    greeting_basis: GreetingBasis | None = None
    source: str | None = None
    tags: tuple[str, ...] | None = None
    preferred_channel: str | None = None
    notes: str | None = None
    custom: Mapping[str, str] = field(default_factory=lambda: _NO_CUSTOM)


@dataclass(frozen=True, slots=True)
class Rejected:
    """A part of the file that was not taken: its first line, and why, as a sentence."""

    line: int
    reason: str


def check_row(
    line: int, cells: Mapping[str, Sequence[str]], custom: Mapping[str, str]
) -> CustomerRow | Rejected:
    """The row that `cells` make (column -> values as written), or all that is wrong with it."""
    reader = _Cells(cells, custom)
    row = CustomerRow(
        line=line,
        name=reader.text("name"),
        company=reader.text("company"),
        emails=reader.several("emails", _email, canonical),
        domains=reader.several("domains", _domain, str),
        phones=reader.several("phones", str, str),
        address=reader.text("address"),
        website=reader.text("website"),
        owner=reader.parsed("owner", _email),
        language=reader.parsed("language", _language),
        timezone=reader.parsed("timezone", _timezone),
        country=reader.parsed("country", _country),
        birthday=reader.parsed("birthday", parse_day),
        customer_since=reader.parsed("customer_since", _date),
        last_purchase=reader.parsed("last_purchase", _date),
        greeting_basis=reader.parsed("greeting_basis", _greeting_basis),
        source=reader.text("source"),
        tags=reader.several("tags", str, str.casefold),
        preferred_channel=reader.text("preferred_channel"),
        notes=reader.text("notes"),
        custom=MappingProxyType({k: clean_text(v, LONGEST_CELL) for k, v in custom.items() if v}),
    )
    reasons = reader.reasons
    if not reasons and not row.name and not row.emails:
        reasons = ["needs a name or an email address"]
    return Rejected(line, "; ".join(reasons)) if reasons else row


class _Cells:
    """Reads cells one by one and keeps the reasons against them."""

    def __init__(self, cells: Mapping[str, Sequence[str]], custom: Mapping[str, str]) -> None:
        self.reasons: list[str] = []
        self._cells = cells
        for column, values in (*cells.items(), *((k, (v,)) for k, v in custom.items())):
            if sum(map(len, values)) > LONGEST_CELL:
                self.reasons.append(f"{column}: longer than {LONGEST_CELL:,} characters")
            elif any("\0" in value for value in values):
                self.reasons.append(f"{column}: holds a NUL character")
            elif len(values) > MOST_VALUES:
                self.reasons.append(f"{column}: more than {MOST_VALUES} values")
        if self.reasons:
            self._cells = {}

    def text(self, column: str) -> str | None:
        """The cell as harmless text; None when it is empty."""
        values = self._cells.get(column)
        if not values:
            return None
        keep = clean_text if column in _LINES else clean
        return keep("\n".join(values), LONGEST_CELL).strip() or None

    def parsed(self, column: str, parse: Callable[[str], T]) -> T | None:
        """What `parse` makes of the cell; its ValueError is a reason against the row."""
        written = self.text(column)
        if written is None:
            return None
        try:
            return parse(written)
        except ValueError as error:
            self.reasons.append(f"{column}: {error}")
            return None

    def several(
        self, column: str, parse: Callable[[str], str], identity: Callable[[str], str | None]
    ) -> tuple[str, ...] | None:
        """The values of the cell, each once; None when there is none."""
        found: dict[str | None, str] = {}
        for written in self._cells.get(column, ()):
            value = clean(written).strip()
            if not value:
                continue
            try:
                parsed = parse(value)
                found.setdefault(identity(parsed), parsed)
            except ValueError as error:
                self.reasons.append(f"{column}: {error}")
        return tuple(found.values()) or None


def _email(value: str) -> str:
    if canonical(value) is None:
        raise ValueError(f"not an address {_shown(value)}")
    return value


def _domain(value: str) -> str:
    domain = canonical_domain(value.removeprefix("@"))
    if not _DOMAIN.fullmatch(domain):
        raise ValueError(f"not a domain {_shown(value)}")
    return domain


def _language(value: str) -> str:
    tag = value.replace("_", "-")
    if not _LANGUAGE.fullmatch(tag):
        raise ValueError(f"not a language tag {_shown(value)}, write it like sv or pt-BR")
    return tag


def _timezone(value: str) -> str:
    if find_zone(value) is None:
        raise ValueError(f"not a time zone {_shown(value)}, write it like Europe/Stockholm")
    return value


def _country(value: str) -> str:
    code = value.upper()
    if not re.fullmatch("[A-Z]{2}", code):
        raise ValueError(f"not a country code {_shown(value)}, write two letters like SE")
    return code


def _date(value: str) -> date:
    try:
        if _DATE.fullmatch(value):
            return date.fromisoformat(value)
    except ValueError:
        pass
    raise ValueError(f"not a date {_shown(value)}, write it like 2019-04-30")


def _greeting_basis(value: str) -> GreetingBasis:
    basis = value.lower()
    if basis not in _BASES:
        raise ValueError(f"not a greeting basis {_shown(value)}, write one of {', '.join(_BASES)}")
    return cast("GreetingBasis", basis)


def _shown(value: str) -> str:
    return f'"{clean(value, 60)}"'
