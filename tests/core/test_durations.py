"""Lengths of time as people write them."""

from datetime import timedelta

import pytest

from crm_sync.core.durations import Duration, parse_duration


@pytest.mark.parametrize(
    ("text", "delta"),
    [
        ("90d", timedelta(days=90)),
        ("36h", timedelta(hours=36)),
        ("15 min", timedelta(minutes=15)),
        ("15m", timedelta(minutes=15)),
        ("1 day", timedelta(days=1)),
        ("2 weeks", timedelta(days=14)),
        ("  2   Weeks ", timedelta(days=14)),
        ("36500d", timedelta(days=36500)),
    ],
)
def test_plain_lengths_become_timedeltas(text, delta):
    assert parse_duration(text) == Duration(delta=delta)


@pytest.mark.parametrize("text", ["2 business days", "2 Business Days", "2 working days"])
def test_business_days_have_no_timedelta(text):
    duration = parse_duration(text)
    assert duration.business_days == 2
    assert duration.delta is None


@pytest.mark.parametrize(
    "text",
    [
        "",
        "d",
        "90",
        "-3d",
        "1.5h",
        "3 moons",
        "1d 2h",
        "٣d",
        "all",
        "d" * 100_000,
        "9" * 5000 + "d",
    ],
)
def test_what_is_no_length_is_refused_with_examples(text):
    with pytest.raises(ValueError, match="is not a length of time; write it like 90d") as refusal:
        parse_duration(text)
    assert len(str(refusal.value)) < 200


@pytest.mark.parametrize(
    "text", ["0d", "0 business days", "36501d", "999999999w", "99999 business days"]
)
def test_nothing_and_more_than_a_century_are_out_of_range(text):
    with pytest.raises(ValueError, match="is out of range"):
        parse_duration(text)


def test_the_refusal_of_hostile_text_stays_on_one_line():
    with pytest.raises(ValueError, match="not a length") as refusal:
        parse_duration("3d\r\nBcc: x@evil.example\x00")
    assert str(refusal.value).isprintable()
