"""What becomes of calendar objects: slots, changes, cancellations, zones, people, privacy."""

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from crm_sync.core.errors import Unreadable
from crm_sync.core.meetings import ParsedObject, normal_uid, read_events

STOCKHOLM = ZoneInfo("Europe/Stockholm")
START, END = datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 7, 1, tzinfo=UTC)


def read(*events: str, head: str = "", zone: ZoneInfo = STOCKHOLM) -> ParsedObject:
    body = "".join(f"BEGIN:VEVENT\n{event.strip()}\nEND:VEVENT\n" for event in events)
    text = f"BEGIN:VCALENDAR\nVERSION:2.0\n{head}{body}END:VCALENDAR\n"
    return read_events(text.replace("\n", "\r\n").encode(), START, END, zone)


def starts(found: ParsedObject) -> list[str]:
    return [
        o.starts_at.isoformat().replace("+00:00", "Z") if o.starts_at else str(o.first_day)
        for o in found.occurrences
    ]


def slots(found: ParsedObject) -> list[str | None]:
    return [o.slot for o in found.occurrences]


WEEKLY = """UID:w@nordvik.example
DTSTART;TZID=Europe/Stockholm:20260318T100000
DTEND;TZID=Europe/Stockholm:20260318T110000
RRULE:FREQ=WEEKLY;COUNT=4
SUMMARY:Weekly
ORGANIZER;CN=Karin Ek:mailto:karin@acme.example
ATTENDEE;PARTSTAT=accepted:mailto:lena@nordvik.example"""


def test_a_single_meeting_has_no_slot_however_often_it_is_moved():
    found = read(
        "UID:a\nDTSTART:20260305T090000Z\nDTEND:20260305T103000Z\nSUMMARY:Offert\nSEQUENCE:2"
    )
    (meeting,) = found.occurrences
    assert not found.recurring
    assert (meeting.slot, meeting.uid, meeting.summary, meeting.sequence) == (
        None,
        "a",
        "Offert",
        2,
    )
    assert meeting.starts_at == datetime(2026, 3, 5, 9, tzinfo=UTC)
    assert meeting.ends_at == datetime(2026, 3, 5, 10, 30, tzinfo=UTC)


def test_a_series_keeps_its_wall_clock_over_the_change_to_summer_time():
    found = read(WEEKLY)
    assert found.recurring
    assert starts(found) == [
        "2026-03-18T09:00:00Z",
        "2026-03-25T09:00:00Z",
        "2026-04-01T08:00:00Z",
        "2026-04-08T08:00:00Z",
    ]
    assert slots(found) == starts(found)


@pytest.mark.parametrize(
    "slot",
    [
        "RECURRENCE-ID;TZID=Europe/Stockholm:20260325T100000",
        "RECURRENCE-ID:20260325T090000Z",
        "RECURRENCE-ID:20260325T100000",
        "RECURRENCE-ID;VALUE=DATE:20260325",
    ],
)
def test_a_moved_occurrence_keeps_its_slot_and_what_its_override_leaves_out(slot):
    moved = f"UID:w@nordvik.example\n{slot}\nDTSTART:20260326T130000Z\nDTEND:20260326T140000Z"
    found = read(WEEKLY, moved)
    assert slots(found)[1] == "2026-03-25T09:00:00Z"
    assert starts(found)[1] == "2026-03-26T13:00:00Z"
    assert len(found.occurrences) == 4
    assert found.occurrences[1].summary == "Weekly"
    assert [a.address for a in found.occurrences[1].attendees] == ["lena@nordvik.example"]
    assert found.occurrences[1].organizer is not None


def test_a_cancelled_occurrence_is_marked_and_a_deleted_one_is_absent():
    series = WEEKLY + "\nEXDATE;TZID=Europe/Stockholm:20260401T100000"
    slot = "RECURRENCE-ID:20260325T090000Z\nDTSTART:20260325T090000Z"
    gone = f"UID:w@nordvik.example\n{slot}\nSTATUS:CANCELLED"
    found = read(series, gone)
    assert slots(found) == ["2026-03-18T09:00:00Z", "2026-03-25T09:00:00Z", "2026-04-08T08:00:00Z"]
    assert [o.cancelled for o in found.occurrences] == [False, True, False]


@pytest.mark.parametrize("exdate", ["EXDATE;VALUE=DATE:20260325", "EXDATE:20260325T090000Z"])
def test_an_excluded_date_in_any_form_deletes_the_slot_and_its_override(exdate):
    moved = "UID:w@nordvik.example\nRECURRENCE-ID:20260325T090000Z\nDTSTART:20260326T130000Z"
    assert "2026-03-25T09:00:00Z" not in slots(read(WEEKLY + "\n" + exdate, moved))


def test_an_excluded_date_that_hits_nothing_changes_nothing():
    assert len(read(WEEKLY + "\nEXDATE:20260325T000000Z").occurrences) == 4
    assert len(read(WEEKLY + "\nEXDATE;VALUE=DATE:").occurrences) == 4


def test_a_cancelled_series_is_cancelled_in_all_its_slots():
    assert [o.cancelled for o in read(WEEKLY + "\nSTATUS:CANCELLED").occurrences] == [True] * 4


def test_from_one_slot_on_all_are_moved_and_keep_their_slots():
    later = (
        "UID:w@nordvik.example\nRECURRENCE-ID;RANGE=THISANDFUTURE:20260325T090000Z\n"
        "DTSTART:20260325T110000Z\nDTEND:20260325T113000Z\nSUMMARY:Later"
    )
    found = read(WEEKLY, later)
    assert starts(found)[1:] == [
        "2026-03-25T11:00:00Z",
        "2026-04-01T10:00:00Z",
        "2026-04-08T10:00:00Z",
    ]
    assert slots(found) == slots(read(WEEKLY))
    assert [o.summary for o in found.occurrences] == ["Weekly", "Later", "Later", "Later"]
    assert found.occurrences[3].ends_at == datetime(2026, 4, 8, 10, 30, tzinfo=UTC)


def test_of_two_versions_of_an_override_the_newer_counts():
    head = "UID:w@nordvik.example\nRECURRENCE-ID:20260325T090000Z\n"
    old = head + "SEQUENCE:1\nDTSTART:20260325T120000Z"
    new = head + "SEQUENCE:2\nDTSTART:20260325T140000Z"
    assert starts(read(WEEKLY, new, old))[1] == "2026-03-25T14:00:00Z"


def test_an_occurrence_moved_out_of_sight_is_cancelled_at_its_slot():
    moved = "UID:w@nordvik.example\nRECURRENCE-ID:20260325T090000Z\nDTSTART:19700101T000000Z"
    found = read(WEEKLY, moved)
    assert [o.cancelled for o in found.occurrences] == [False, True, False, False]
    assert starts(found)[1] == "2026-03-25T09:00:00Z"
    assert "moved_too_far" in found.problems


def test_a_slot_that_was_moved_beyond_the_window_is_still_told():
    weekly = "UID:w\nDTSTART:20260603T090000Z\nRRULE:FREQ=WEEKLY"
    moved = "UID:w\nRECURRENCE-ID:20260610T090000Z\nDTSTART:20260915T090000Z"
    assert "2026-09-15T09:00:00Z" in starts(read(weekly, moved))


def test_overrides_without_their_series_are_meetings_with_slots():
    found = read("UID:x\nRECURRENCE-ID:20260325T090000Z\nDTSTART:20260325T100000Z\nSUMMARY:Invited")
    assert (slots(found), starts(found)) == (["2026-03-25T09:00:00Z"], ["2026-03-25T10:00:00Z"])


def test_additional_dates_are_slots_too():
    found = read("UID:x\nDTSTART:20260302T090000Z\nRDATE:20260304T090000Z,20260309T120000Z/PT1H")
    assert slots(found) == ["2026-03-02T09:00:00Z", "2026-03-04T09:00:00Z", "2026-03-09T12:00:00Z"]


@pytest.mark.parametrize(
    ("lines", "last"),
    [
        ("DTEND;VALUE=DATE:20260306", 5),
        ("DTEND;VALUE=DATE:20260305", 5),
        ("DURATION:P2D", 6),
        ("SUMMARY:without an end", 5),
    ],
)
def test_an_all_day_meeting_has_days_and_no_times(lines, last):
    (meeting,) = read(f"UID:d\nDTSTART;VALUE=DATE:20260305\n{lines}").occurrences
    assert meeting.all_day
    assert (meeting.starts_at, meeting.ends_at) == (None, None)
    assert (meeting.first_day, meeting.last_day) == (date(2026, 3, 5), date(2026, 3, last))


def test_an_all_day_series_has_dates_as_slots():
    found = read("UID:d\nDTSTART;VALUE=DATE:20260305\nRRULE:FREQ=DAILY;COUNT=2")
    assert slots(found) == ["2026-03-05", "2026-03-06"]


@pytest.mark.parametrize(
    ("name", "utc"),
    [
        ("Europe/Berlin", "08"),
        ("W. Europe Standard Time", "08"),
        ("/freeassociation.sourceforge.net/Europe/Helsinki", "07"),
        ("europe/london", "09"),
        ('"(UTC+01:00) Amsterdam, Berlin, Bern"', "08"),
        ('"Pacific Time (US & Canada)"', "17"),
        ("GMT+0200", "07"),
        ("tzone://Microsoft/Utc", "09"),
        ("Nobody Knows", "08"),
        ("../../etc/passwd", "08"),
        ("x" * 5000, "08"),
    ],
)
def test_the_names_that_programs_give_to_zones_are_understood(name, utc):
    found = read(f"UID:z\nDTSTART;TZID={name}:20260305T090000")
    assert starts(found) == [f"2026-03-05T{utc}:00:00Z"]


def test_a_zone_that_nobody_knows_is_guessed_and_said():
    assert read("UID:z\nDTSTART;TZID=Mars/North:20260305T090000").problems == ("zone_unknown",)
    assert read("UID:z\nDTSTART:20260305T090000").problems == ()


def test_a_floating_time_is_the_calendars_or_the_teams():
    event = "UID:f\nDTSTART:20260305T090000"
    assert starts(read(event, zone=ZoneInfo("Asia/Tehran"))) == ["2026-03-05T05:30:00Z"]
    assert starts(read(event, head="X-WR-TIMEZONE:Asia/Tokyo\n")) == ["2026-03-05T00:00:00Z"]
    assert starts(read(event, head="X-WR-TIMEZONE:\n")) == ["2026-03-05T08:00:00Z"]


def a_zone(name: str, offset: str, rule: str = "FREQ=YEARLY;BYMONTH=3;BYDAY=-1SU") -> str:
    return (
        f"BEGIN:VTIMEZONE\nTZID:{name}\nBEGIN:STANDARD\nDTSTART:16010101T030000\nRRULE:{rule}\n"
        f"TZOFFSETFROM:{offset}\nTZOFFSETTO:{offset}\nEND:STANDARD\nEND:VTIMEZONE\n"
    )


def test_a_zone_of_the_senders_own_holds_in_that_object_only():
    event = "UID:z\nDTSTART;TZID=Customized Time Zone:20260305T090000"
    assert starts(read(event, head=a_zone("Customized Time Zone", "+0500"))) == [
        "2026-03-05T04:00:00Z"
    ]
    assert starts(read(event, head=a_zone("Customized Time Zone", "-0500"))) == [
        "2026-03-05T14:00:00Z"
    ]
    assert read(event).problems == ("zone_unknown",)


@pytest.mark.parametrize(
    "rule", ["FREQ=YEARLY;INTERVAL=0", "FREQ=SECONDLY", "FREQ=YEARLY;BYDAY=4TH;BYMONTHDAY=24", "x"]
)
def test_a_zone_with_a_rule_without_end_is_used_without_the_rule(rule):
    event = "UID:z\nDTSTART;TZID=Own:20260305T090000"
    assert starts(read(event, head=a_zone("Own", "+0500", rule))) == ["2026-03-05T04:00:00Z"]


@pytest.mark.parametrize(
    "zone", ["BEGIN:VTIMEZONE\nTZID:\nEND:VTIMEZONE\n", "BEGIN:VTIMEZONE\nX\nBEGIN:STANDARD\n"]
)
def test_a_broken_zone_costs_no_meeting(zone):
    assert starts(read("UID:z\nDTSTART;TZID=:20260305T090000", head=zone)) == [
        "2026-03-05T08:00:00Z"
    ]


def test_who_takes_part_is_read_from_what_programs_write():
    found = read(
        "UID:p\nDTSTART:20260305T090000Z\nORGANIZER;CN=Karin:MAILTO:Karin@Acme.example\n"
        "ATTENDEE;CN=Lena;PARTSTAT=declined;ROLE=OPT-PARTICIPANT:mailto:mailto:Lena@Nordvik.example\n"
        "ATTENDEE;EMAIL=per@nordvik.example;CN=Per:/aMTI0/principal/\n"
        "ATTENDEE;CUTYPE=ROOM;CN=Room 4:mailto:room4@acme.example\n"
        "ATTENDEE:mailto:c_1@resource.calendar.google.com\n"
        "ATTENDEE:mailto:jo%40nordvik.example?subject=x\n"
        'ATTENDEE:"mailto:<eva@nordvik.example>"\n'
        "ATTENDEE;CN=Do, Jo:urn:uuid:3\n"
        "ATTENDEE;CN=Bo;mailto:bo@nordvik.example\n"
        "ATTENDEE:mailto:lena@nordvik.example\n"
    )
    (meeting,) = found.occurrences
    people = {who.address: who for who in meeting.attendees}
    assert meeting.organizer is not None
    assert meeting.organizer.address == "karin@acme.example"
    lena = people["lena@nordvik.example"]
    assert (lena.name, lena.partstat, lena.role) == ("Lena", "DECLINED", "OPT-PARTICIPANT")
    assert people["per@nordvik.example"].partstat == "NEEDS-ACTION"
    assert people["room4@acme.example"].cutype == "ROOM"
    assert people["c_1@resource.calendar.google.com"].cutype == "RESOURCE"
    assert {"jo@nordvik.example", "eva@nordvik.example", "bo@nordvik.example"} <= people.keys()
    assert people[""].name == "Do, Jo"
    assert len(meeting.attendees) == 8


def test_of_five_thousand_attendees_a_thousand_are_taken():
    lines = "".join(f"ATTENDEE:mailto:a{n}@nordvik.example\n" for n in range(5000))
    (meeting,) = read(f"UID:p\nDTSTART:20260305T090000Z\n{lines}").occurrences
    assert len(meeting.attendees) == 1000


def test_private_and_transparent_meetings_are_marked_and_private_text_is_kept_back():
    private = read("UID:a\nDTSTART:20260305T090000Z\nCLASS:confidential\nDESCRIPTION:secret")
    assert private.occurrences[0].private
    assert private.description == ""
    shown = read("UID:a\nDTSTART:20260305T090000Z\nTRANSP:TRANSPARENT\nDESCRIPTION:One\\nTwo")
    assert shown.occurrences[0].transparent
    assert shown.description == "One\nTwo"


@pytest.mark.parametrize("subject", ["Canceled: Offert", "Abgesagt: Offert", "INSTÄLLT: Offert"])
def test_outlooks_word_in_the_subject_cancels_only_what_is_free(subject):
    event = f"UID:a\nDTSTART:20260305T090000Z\nSTATUS:CONFIRMED\nSUMMARY:{subject}"
    free = event + "\nX-MICROSOFT-CDO-BUSYSTATUS:FREE"
    assert [read(e).occurrences[0].cancelled for e in (event, free)] == [False, True]


def test_only_a_cancel_among_the_methods_means_anything_and_answers_are_no_meetings():
    event = "UID:a\nDTSTART:20260305T090000Z"
    assert read(event, head="METHOD:CANCEL\n").occurrences[0].cancelled
    assert not read(event, head="METHOD:PUBLISH\n").occurrences[0].cancelled
    assert read(event, head="METHOD:REPLY\n").occurrences == ()


def test_text_comes_clean_and_in_one_line():
    (meeting,) = read("UID:a\nDTSTART:20260305T090000Z\nSUMMARY:One\\nTwo\0\\, three").occurrences
    assert meeting.summary == "One Two, three"


def test_what_was_over_before_the_window_is_left_out():
    found = read("UID:a\nDTSTART:20251231T090000Z\nDTEND:20251231T100000Z")
    assert (found.uid, found.occurrences) == ("a", ())


def test_a_single_meeting_far_ahead_is_told_though_series_are_not_laid_out_so_far():
    assert len(read("UID:a\nDTSTART:20270105T090000Z").occurrences) == 1
    assert read("UID:a\nDTSTART:20270105T090000Z\nRRULE:FREQ=DAILY").occurrences == ()


def test_an_end_before_the_start_is_no_length():
    found = read("UID:a\nDTSTART:20260305T090000Z\nDTEND:20260305T080000Z")
    assert found.occurrences[0].ends_at == found.occurrences[0].starts_at
    assert found.problems == ("ends_before_start",)


def test_one_broken_event_does_not_cost_the_others():
    found = read("UID:a\nSUMMARY:no start", "UID:b\nDTSTART:20260305T090000Z\nX;;=\nSEQUENCE:one")
    assert [o.uid for o in found.occurrences] == ["b"]
    assert found.problems == ("unreadable_event",)


def test_an_event_without_uid_gets_the_same_one_every_time():
    event = "DTSTART:20260305T090000Z\nSUMMARY:x"
    assert read(event).uid == read(event).uid
    assert read(event).uid.startswith("nouid-")
    assert read(event).uid != read(event + "y").uid


def test_events_that_nobody_closed_end_where_the_next_begins():
    text = (
        "BEGIN:VCALENDAR\nBEGIN:VEVENT\nUID:a\nDTSTART:20260305T090000Z\nBEGIN:VALARM\n"
        "TRIGGER:PT-2H\nEND:VALARM\nBEGIN:VEVENT\nUID:b\nDTSTART:20260306T090000Z\nEND:VEVENT\n"
    )
    found = read_events(text.encode(), START, END, STOCKHOLM)
    assert [o.uid for o in found.occurrences] == ["a", "b"]


def test_latin_1_and_a_byte_order_mark_are_read():
    text = (
        "BEGIN:VCALENDAR\nBEGIN:VEVENT\nUID:a\nDTSTART:20260305T090000Z\nSUMMARY:Möte\n"
        "END:VEVENT\nEND:VCALENDAR"
    )
    for raw in (
        text.encode("latin-1"),
        text.encode("utf-8-sig"),
        text.replace("\n", "\r").encode(),
    ):
        assert read_events(raw, START, END, STOCKHOLM).occurrences[0].summary == "Möte"


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"<html><body>Sign in</body></html>",
        b"\x00\xff" * 1000,
        b"BEGIN:VCALENDAR\nBEGIN:VEVENT\nUID:a\n",
        b"BEGIN:VCALENDAR\nBEGIN:VEVENT\nUID:secret\nEND:VEVENT\nEND:VCALENDAR",
        b"BEGIN:VCALENDAR\n" + b"X" * 1_000_001,
    ],
)
def test_what_holds_no_event_is_unreadable_in_words_of_ours(raw):
    with pytest.raises(Unreadable) as error:
        read_events(raw, START, END, STOCKHOLM)
    assert "secret" not in error.value.sentence()


def test_objects_without_events_are_read_and_empty():
    raw = b"BEGIN:VCALENDAR\nBEGIN:VTODO\nUID:a\nDTSTART:20260305T090000Z\nEND:VTODO\nEND:VCALENDAR"
    assert read_events(raw, START, END, STOCKHOLM).occurrences == ()


def test_all_copies_of_an_outlook_meeting_share_one_uid():
    head, tail = "040000008200E00074C5B7101A82E008", "B0E1" * 14
    series, occurrence = f"{head}00000000{tail}", f"{head}07EA0305{tail}"
    assert normal_uid(occurrence) == normal_uid(series.lower()) == series
    foreign = f"{head}00000000{'0' * 40}7643616C2D55696401000000{b'abc@google.example'.hex()}00"
    assert normal_uid(foreign) == "abc@google.example"
    assert normal_uid(" Mixed/Case #1 ") == "Mixed/Case #1"


def test_a_long_meeting_that_reaches_into_the_window_is_told():
    found = read("UID:a\nDTSTART:20251220T090000Z\nDURATION:P14D\nRRULE:FREQ=YEARLY")
    assert slots(found) == ["2025-12-20T09:00:00Z"]
    assert found.occurrences[0].ends_at == datetime(2026, 1, 3, 9, tzinfo=UTC)
    assert timedelta(days=14) == found.occurrences[0].ends_at - datetime(
        2025, 12, 20, 9, tzinfo=UTC
    )
