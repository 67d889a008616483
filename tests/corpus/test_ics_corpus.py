"""Calendar files collected from the tests of others: each is read or refused, none hangs."""

import os
import re
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from crm_sync.core.errors import Unreadable
from crm_sync.core.meetings import ParsedObject, read_events

CORPUS = Path(__file__).parents[2].parent / "shared" / "corpus" / "ics"
FILES = sorted(CORPUS.glob("*.ics"))
MISSING = "the calendar corpus is not beside the checkout (../shared/corpus/ics)"

pytestmark = pytest.mark.corpus

# Meetings in the year from the first date on, where the collection's own index names a number.
EXPECTED = {
    "ical4j__invalid_groupwise": 1,
    "ical4j__valid_Standup": 262,
    "ical4j__valid_blankTzid": 1,
    "ical4j__valid_friday13": 2,
    "icalendar__bom_calendar": 0,
    "icalendar__issue_1081_invalid_rrule_freq": 1,
    "icalendar__issue_218_bad_tzid": 1,
    "icalendar__issue_237_fail_to_parse_timezone_with_non_ascii_tzid": 1,
    "icalendar__issue_466_respect_unique_timezone": 53,
    "icalendar__issue_722_missing_timezones": 1,
    "khal__event_d_same_start_end": 1,
    "khal__event_dt_mixed_awareness": 2,
    "khal__event_dt_multi_uid": 2,
    "khal__event_rrule_recuid_cancelled": 6,
    "khal__event_rrule_recuid_invalid_tzid": 6,
    "khal__mult_uids_and_recuid_no_order": 6,
    "khal__non_dst_error": 2,
    "rie__duplicated_rrule": 20,
    "rie__issue_117_until_before_dtstart": 1,
    "rie__issue_128_only_first_event": 7,
    "rie__issue_15_duplicated_events": 3,
    "rie__issue_163_deleted_modification": 17,
    "rie__issue_18_cancel_status": 3,
    "rie__issue_201_mixed_datetime_and_date": 1,
    "rie__issue_36_recurrence_ID_format": 105,
    "rie__issue_4_rrule_until": 12,
    "rie__issue_75_range_parameter": 184,
    "rie__issue_97_todo_nodtstart": 0,
    "thunderbird__importLatin1": 4,
    "xwr__moved-event-RECURRENCE-ID.in": 13,
}


def read(file: Path) -> ParsedObject:
    raw = file.read_bytes()
    events = re.findall(rb"BEGIN:VEVENT.*?END:VEVENT", raw, re.DOTALL)
    found = [re.search(rb"DTSTART[^\r\n]*:(\d{4})(\d\d)(\d\d)", event) for event in events]
    days = [datetime(*map(int, match.groups()), tzinfo=UTC) for match in found if match]
    zone = ZoneInfo("Europe/Stockholm")
    first = min(days, default=datetime(2020, 1, 1, tzinfo=UTC)).replace(tzinfo=zone)
    return read_events(raw, first, first + timedelta(days=366), zone)


@pytest.fixture(autouse=True)
def _corpus() -> None:
    if not FILES:
        if os.environ.get("CI") == "true":
            pytest.fail(MISSING)
        pytest.skip(MISSING)


@pytest.mark.timeout(60)
def test_every_file_is_read_or_refused(capsys):
    counts: Counter[str] = Counter()
    for file in FILES:
        try:
            found = read(file)
        except Unreadable:
            counts["unreadable"] += 1
        else:
            counts["read"] += 1
            counts["meetings"] += len(found.occurrences)
            counts["with problems"] += bool(found.problems)
    with capsys.disabled():
        print(f"\n{len(FILES)} calendar files: {dict(counts)}")
    assert counts["read"] + counts["unreadable"] == len(FILES)
    assert counts["read"] >= 40


@pytest.mark.timeout(20)
@pytest.mark.parametrize("name", EXPECTED)
def test_a_file_gives_the_meetings_its_collection_names(name):
    assert len(read(CORPUS / f"{name}.ics").occurrences) == EXPECTED[name]


def test_one_cancelled_occurrence_is_found_where_the_collection_has_one():
    for name in ("khal__event_rrule_recuid_cancelled", "rie__issue_18_cancel_status"):
        assert sum(o.cancelled for o in read(CORPUS / f"{name}.ics").occurrences) == 1
