"""Whose clock counts."""

from datetime import UTC, date, datetime, time
from zoneinfo import ZoneInfo

import pytest

from crm_sync.core.zones import find_zone, language_or_default, utc_of, zone_for, zone_of_country

STOCKHOLM = ZoneInfo("Europe/Stockholm")


def test_the_contacts_own_zone_goes_before_everything():
    assert zone_for("Asia/Tokyo", "SE", "Europe/Paris", "Europe/London").key == "Asia/Tokyo"


def test_without_one_the_only_zone_of_its_country_counts():
    assert zone_for("", "vn", "Europe/Paris", "Europe/London").key == "Asia/Ho_Chi_Minh"


def test_a_country_of_several_zones_leaves_it_to_the_owner():
    assert zone_for("", "US", "Europe/Paris", "Europe/London").key == "Europe/Paris"


def test_without_an_owners_zone_the_teams_counts():
    assert zone_for("", "BR", "", "Europe/London").key == "Europe/London"


def test_an_unknown_zone_or_country_counts_as_none():
    assert zone_for("Mars/Olympus", "XX", "Nowhere", "Europe/London").key == "Europe/London"


def test_an_unknown_zone_of_the_team_is_refused_with_an_example():
    with pytest.raises(ValueError, match="is not a time zone; write it like Europe/Stockholm"):
        zone_for("", "", "", "Stockholm")


@pytest.mark.parametrize(
    "name", ["", "/etc/passwd", "../zone", "Europe", "a\x00b", "x" * 9999, "é"]
)
def test_hostile_zone_names_are_no_zones(name):
    assert find_zone(name) is None


@pytest.mark.parametrize(
    ("country", "zone"),
    [
        ("SE", "Europe/Stockholm"),
        ("DK", "Europe/Copenhagen"),
        ("IR", "Asia/Tehran"),
        ("VN", "Asia/Ho_Chi_Minh"),
        ("DE", "Europe/Berlin"),  # Büsingen shows the same time
        ("CN", "Asia/Shanghai"),  # one time by law
        ("US", ""),
        ("ES", ""),  # the Canaries
        ("RU", ""),
        ("XX", ""),
        ("", ""),
        ("001", ""),
        ("ZZ", ""),
    ],
)
def test_countries_of_one_zone(country, zone):
    assert zone_of_country(country) == zone


def test_a_time_the_clocks_skip_moves_forward():
    assert utc_of(date(2026, 3, 29), time(2, 30), STOCKHOLM).astimezone(STOCKHOLM).hour == 3


def test_a_time_that_comes_twice_is_the_first():
    first = datetime(2026, 10, 25, 0, 30, tzinfo=UTC)
    assert utc_of(date(2026, 10, 25), time(2, 30), STOCKHOLM) == first
    assert utc_of(date(2026, 10, 25), time(2, 30, fold=1), STOCKHOLM) == first


@pytest.mark.parametrize(
    ("language", "kept"),
    [
        ("fa", "fa"),
        ("sv-SE", "sv-SE"),
        ("zh_Hant_TW", "zh-Hant-TW"),
        ("", "sv"),
        ("Swedish!", "sv"),
        ("xx", "sv"),
        ("../..", "sv"),
        ("-", "sv"),
    ],
)
def test_an_unknown_language_gives_way_to_the_default(language, kept):
    assert language_or_default(language, "sv") == kept
