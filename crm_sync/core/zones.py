"""Whose clock counts, and which moment a wall clock means."""

from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from typing import Final
from zoneinfo import ZoneInfo

from babel import Locale, UnknownLocaleError
from babel.core import get_global

# The tz database keeps Asia/Urumqi for a custom; in law all of China has the time of Beijing.
_BY_LAW: Final = {"CN": "Asia/Shanghai"}

# Rules settled today are in force there; a sample a week sees every season of every zone.
_SAMPLES: Final = tuple(datetime(2030, 1, 1, tzinfo=UTC) + timedelta(weeks=n) for n in range(53))


def zone_for(contact_zone: str, country: str, owner_zone: str, team_zone: str) -> ZoneInfo:
    """The zone in which a contact's day is meant, from IANA names and an ISO 3166 country code.

    The contact's own, else that of its country where it has one only, else its owner's, else the
    team's. An empty or unknown name counts as none; ValueError when the team's is unknown too.
    """
    candidates = (contact_zone, zone_of_country(country), owner_zone)
    for name in candidates:
        zone = find_zone(name)
        if zone is not None:
            return zone
    zone = find_zone(team_zone)
    if zone is None:
        raise ValueError(f'"{team_zone}" is not a time zone; write it like Europe/Stockholm')
    return zone


def find_zone(name: str) -> ZoneInfo | None:
    """The zone of that IANA name ("Europe/Stockholm"); None when there is none."""
    try:
        return ZoneInfo(name) if name else None
    except (KeyError, ValueError, OSError):  # unknown, not a name, or one the file system refuses
        return None


@lru_cache(maxsize=512)
def zone_of_country(country: str) -> str:
    """The IANA name of the one zone of a country (ISO 3166, any case); "" when it has several.

    Zones whose clocks have come to agree all year count as one: Berlin and Büsingen, Madrid and
    Ceuta (not the Canaries).
    """
    code = country.strip().upper()
    if code in _BY_LAW:
        return _BY_LAW[code]
    # Babel's table also has regions of the world, under three digits.
    names: list[str] = get_global("territory_zones").get(code, []) if code.isalpha() else []
    zones = [zone for zone in map(find_zone, names) if zone is not None]
    clocks = {tuple(moment.astimezone(zone).utcoffset() for moment in _SAMPLES) for zone in zones}
    return zones[0].key if len(clocks) == 1 else ""


def utc_of(day: date, at: time, zone: ZoneInfo) -> datetime:
    """The moment (aware UTC) at which the clocks of `zone` show `at` on `day`.

    A time that clocks skip is taken by the offset before the change, so it moves forward; of a time
    that comes twice the first is meant (RFC 5545 section 3.3.5).
    """
    return datetime.combine(day, at.replace(fold=0), tzinfo=zone).astimezone(UTC)


def language_or_default(language: str, default: str) -> str:
    """`language` (BCP 47: "sv", "zh-Hant-TW", also "pt_BR") when it is known, else `default`."""
    tag = language.strip().replace("_", "-")
    try:
        Locale.parse(tag, sep="-")
    except (ValueError, UnknownLocaleError):
        return default
    return tag
