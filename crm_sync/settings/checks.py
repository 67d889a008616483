"""What a value may be: each check gives the value back, tidied, or says what is wrong with it.

Checks are pydantic validators. They raise through `fault`, which carries the two halves of a
`Problem`: what was found, and what to write instead.
"""

import re
from collections.abc import Callable, Iterable
from datetime import time, timedelta
from difflib import get_close_matches
from typing import Final
from zoneinfo import available_timezones

from babel import Locale, UnknownLocaleError
from pydantic_core import PydanticCustomError

from crm_sync.core.addresses import canonical, canonical_domain
from crm_sync.core.clean import clean
from crm_sync.core.domains import is_freemail, is_public_suffix
from crm_sync.core.durations import parse_duration
from crm_sync.core.mailboxes import parse_addresses
from crm_sync.core.worktime import parse_week
from crm_sync.core.zones import find_zone

FAULT = "crm_sync_fault"
SQLITE = "sqlite:///"

_LONGEST_NAME = 100
_LONGEST_SHOWN = 60
_TIME = re.compile(r"([01]\d|2[0-3]):[0-5]\d")
_INTERVAL = re.compile(r"(\d{1,5}) ?(s|m|h)")
_SECONDS = {"s": 1, "m": 60, "h": 3600}
_SECONDS_A_DAY = 86_400
# ISO 3166-1 and Kosovo, written out: Babel reads megabytes to tell them.
_COUNTRIES = frozenset(
    """
    AD AE AF AG AI AL AM AO AQ AR AS AT AU AW AX AZ BA BB BD BE BF BG BH BI BJ BL BM BN BO BQ BR
    BS BT BV BW BY BZ CA CC CD CF CG CH CI CK CL CM CN CO CR CU CV CW CX CY CZ DE DJ DK DM DO DZ
    EC EE EG EH ER ES ET FI FJ FK FM FO FR GA GB GD GE GF GG GH GI GL GM GN GP GQ GR GS GT GU GW
    GY HK HM HN HR HT HU ID IE IL IM IN IO IQ IR IS IT JE JM JO JP KE KG KH KI KM KN KP KR KW KY
    KZ LA LB LC LI LK LR LS LT LU LV LY MA MC MD ME MF MG MH MK ML MM MN MO MP MQ MR MS MT MU MV
    MW MX MY MZ NA NC NE NF NG NI NL NO NP NR NU NZ OM PA PE PF PG PH PK PL PM PN PR PS PT PW PY
    QA RE RO RS RU RW SA SB SC SD SE SG SH SI SJ SK SL SM SN SO SR SS ST SV SX SY SZ TC TD TF TG
    TH TJ TK TL TM TN TO TR TT TV TW TZ UA UG UM US UY UZ VA VC VE VG VI VN VU WF WS XK YE YT ZA
    ZM ZW
    """.split()  # noqa: SIM905  # codes read better than quoted codes
)


def fault(problem: str, advice: str = "") -> PydanticCustomError:
    """The error that a check raises; neither sentence may hold a secret."""
    return PydanticCustomError(FAULT, "{problem}", {"problem": problem, "advice": advice})


def in_two(sentence: str) -> tuple[str, str]:
    """Problem and advice of a sentence like "it is no date; write it like 2026-03-04"."""
    problem, _, advice = sentence.partition("; ")
    return problem, f"{advice[0].upper()}{advice[1:]}." if advice else ""


def quoted(value: str) -> str:
    """A written value as it is shown in a problem: one line, cut where it is long."""
    shown = clean(value)
    return f'"{shown[:_LONGEST_SHOWN]}…"' if len(shown) > _LONGEST_SHOWN else f'"{shown}"'


def one_of(names: Iterable[str]) -> str:
    """The names as people list them: "a", "b" or "c"."""
    *most, last = [quoted(name) for name in names]
    return f"{', '.join(most)} or {last}" if most else last


def nearest(found: str, names: Iterable[str], *, likeness: float = 0.6) -> str | None:
    """The valid name that `found` was probably meant to be; `likeness` is at most 1."""
    by_lower = {name.lower(): name for name in names}
    near = get_close_matches(found.lower(), by_lower, n=1, cutoff=likeness)
    return by_lower[near[0]] if near else None


def did_you_mean(found: str, names: Iterable[str]) -> str:
    """A question naming the nearest valid name, or nothing when none is near."""
    near = nearest(found, names)
    return f'Did you mean "{near}"?' if near else ""


def database_url(url: str) -> str:
    """An SQLite URL with a path; PostgreSQL is refused for now."""
    scheme = url.partition(":")[0].partition("+")[0]
    expected = 'Write "sqlite:///crm-sync.db", or four slashes before an absolute path.'
    if scheme in {"postgresql", "postgres"}:
        raise fault("PostgreSQL is not available in this version yet", expected)
    # SQLAlchemy reads what follows a question mark as options
    path = url.removeprefix(SQLITE)
    if not url.startswith(SQLITE) or not path or path == ":memory:" or "?" in path or "\0" in path:
        raise fault("is not the URL of an SQLite file", expected)
    return url


def own_domain(domain: str) -> str:
    """A domain of ours, in lower case as A-labels; freemail domains belong to everybody."""
    name = canonical_domain(domain.removeprefix("@"))
    if not name or not re.fullmatch(r"[^\s@/,;<>]+", name):
        raise fault(f"{quoted(domain)} is not a domain", 'Write it like "acme.example".')
    if is_public_suffix(name):
        raise fault(f'"{name}" is a public suffix: anybody may have a domain under it')
    if is_freemail(name):
        advice = "Declare the team's addresses there under [[reps]] instead."
        raise fault(f'"{name}" is a freemail domain: not all who write from it are ours', advice)
    return name


def email_address(address: str) -> str:
    """An addr-spec, trimmed; judged leniently."""
    if canonical(address) is None:
        raise fault(f"{quoted(address)} is not an address", 'Write it like "karin@acme.example".')
    return address.strip()


def account_name(name: str) -> str:
    """A name to be typed on a command line and shown in a list."""
    if clean(name, _LONGEST_NAME) != name or not name.strip():
        raise fault(f"{quoted(clean(name))} is not a name", "Write a short line of text.")
    return name.strip()


def from_address(value: str) -> str:
    """One mailbox, with a name or without."""
    addresses = parse_addresses(value)
    if len(addresses) != 1 or canonical(addresses[0].address) is None:
        raise fault(
            f"{quoted(value)} is not one address", 'Write it like "Acme CRM <crm@acme.example>".'
        )
    return value


def language(tag: str) -> str:
    """A language tag (BCP 47) that Babel knows."""
    try:
        locale = Locale.parse(tag.replace("_", "-"), sep="-")
    except (ValueError, UnknownLocaleError, TypeError):
        advice = 'Write a language tag, such as "sv" or "pt-BR".'
        raise fault(f"{quoted(tag)} is not a known language", advice) from None
    return str(locale).replace("_", "-")


def country(code: str) -> str:
    """An ISO 3166 code of two letters, in upper case."""
    code = code.upper()
    if code not in countries():
        advice = 'Write two letters, such as "SE".' if code != "UK" else 'Did you mean "GB"?'
        raise fault(f"{quoted(code)} is not a country code", advice)
    return code


def countries() -> frozenset[str]:
    """The codes of ISO 3166-1; the public holidays of all are known too."""
    return _COUNTRIES


def time_zone(name: str) -> str:
    """The name of a zone in the IANA database."""
    if find_zone(name) is None:
        near = did_you_mean(name, available_timezones())
        advice = near or 'Write a name such as "Europe/Stockholm".'
        raise fault(f"{quoted(name)} is not a time zone", advice)
    return name


def time_of_day(value: str) -> str:
    """Hours and minutes on a 24-hour clock."""
    if not _TIME.fullmatch(value):
        raise fault(f"{quoted(value)} is not a time of day", 'Write it like "08:00".')
    return time.fromisoformat(value).isoformat("minutes")


def working_hours(value: str) -> str:
    """Days and hours as `WorkingTime` reads them."""
    return _accepted(parse_week, value)


def duration(value: str) -> str:
    """A length of time, in calendar or working units."""
    return _accepted(parse_duration, value)


def interval(value: str) -> str:
    """A length of time in seconds, minutes or hours."""
    return _accepted(parse_interval, value)


def parse_interval(text: str) -> timedelta:
    """Seconds, minutes or hours, up to a day; ValueError, with a sentence, for anything else."""
    form = _INTERVAL.fullmatch(text.strip())
    length = int(form[1]) * _SECONDS[form[2]] if form else 0
    if not 1 <= length <= _SECONDS_A_DAY:
        raise ValueError(f"{quoted(text)} is not an interval; write it like 30s, 5m or 1h")
    return timedelta(seconds=length)


def _accepted(parse: Callable[[str], object], value: str) -> str:
    """The value itself, when `parse` takes it; its sentence is "what is wrong; what to do"."""
    try:
        parse(value)
    except ValueError as error:
        raise fault(*in_two(str(error))) from None
    return value


_SENT_COPIES: Final[dict[str, bool | str]] = {"true": True, "false": False, "auto": "auto"}


def sent_copy(value: bool | str) -> bool | str:
    """Whether a copy of what leaves is put into Sent; the environment says it as text."""
    if isinstance(value, str) and value not in _SENT_COPIES:
        raise fault(f'{quoted(value)} is none of true, false or "auto"')
    return _SENT_COPIES.get(str(value).lower(), value)


def occasion(value: str) -> str:
    """An occasion we can greet on."""
    if value != "birthday":
        raise fault(f'"{value}" is not available in this version yet', 'Use "birthday".')
    return value


def reminder_kind(value: str) -> str:
    """A kind of reminder we can make."""
    if value != "unanswered":
        problem = f"{quoted(value)} is not available in this version"
        raise fault(problem, 'Use "unanswered".')
    return value
