"""The demo's team: the same in every build, as large as promised, true to itself."""

import csv
import io
import json
import tomllib
from collections import Counter
from datetime import UTC, datetime, timedelta
from email import message_from_bytes, policy
from email.utils import parsedate_to_datetime

import icalendar
import pytest
import recurring_ical_events

from crm_sync.demo import truth
from crm_sync.demo.meetings import AHEAD
from crm_sync.demo.people import DATA
from crm_sync.demo.team import build

NOW = datetime(2026, 3, 4, 22, 30, 15, 123456, tzinfo=UTC)
TEAM = build(NOW)


def read(raw):
    return message_from_bytes(raw, policy=policy.default)


def rows(expected):
    return [{**e.as_json(), "id": n} for n, e in enumerate(expected)]


def test_two_builds_of_one_moment_are_equal_to_the_byte():
    assert build(NOW) == TEAM
    assert build(NOW, seed=8) != TEAM


def test_the_team_is_as_large_as_promised():
    contacts = list(csv.DictReader(io.StringIO(TEAM.customers_csv)))
    customers = {row["company"] or row["name"] for row in contacts}
    assert len(TEAM.reps) == 3
    assert len(customers) == 12
    assert len(contacts) == 18
    assert Counter(row["language"] for row in contacts) == {
        "sv": 3, "da": 3, "fa": 3, "vi": 3, "zh": 3, "en": 3,
    }  # fmt: skip
    assert 140 <= len({mail.raw.partition(b"From:")[2] for mail in TEAM.mails}) <= 160
    assert len({event.href for event in TEAM.events}) == 30


def test_one_contact_has_a_birthday_today_and_agreed_to_be_greeted():
    contacts = csv.DictReader(io.StringIO(TEAM.customers_csv))
    today = [row for row in contacts if row["birthday"].endswith("-03-04")]
    assert [(row["name"], row["greeting_basis"]) for row in today] == [("Lena Nordvik", "consent")]


def test_the_birthday_is_the_day_in_the_contacts_zone_when_utc_has_another():
    late = build(datetime(2026, 3, 4, 23, 30, tzinfo=UTC))
    assert "1984-03-05" in late.customers_csv


def test_each_logged_mail_lies_in_the_mailbox_of_each_of_its_reps():
    users = {rep.email: rep.user for rep in TEAM.reps}
    places = {}
    for mail in TEAM.mails:
        message = read(mail.raw)
        key = message["Message-ID"], message["Subject"], message.get("Date")
        places.setdefault(key, []).append(mail.user)
    for expected in (*TEAM.truth, *TEAM.truth_later):
        if expected.kind == "email":
            found = [
                users_of
                for (message_id, subject, _), users_of in places.items()
                if (message_id or "") == expected.message_id and subject == expected.subject
            ]
            assert sorted(users[rep] for rep in expected.reps) in [sorted(f) for f in found]


def test_the_headers_read_by_another_parser_say_what_the_truth_says():
    by_id = {e.message_id: e for e in (*TEAM.truth, *TEAM.truth_later) if e.kind == "email"}
    seen = set()
    for mail in TEAM.mails:
        message = read(mail.raw)
        expected = by_id.get(message["Message-ID"])
        if expected is None or expected.message_id == "<0@scanner.local>":
            continue
        seen.add(expected.message_id)
        assert message["Subject"] == expected.subject
        assert tuple(p.get_filename() for p in message.iter_attachments()) == expected.attachments
        written = message["Date"] and parsedate_to_datetime(message["Date"])
        if written and written <= mail.arrived_at + timedelta(days=1):
            assert written == expected.occurred_at
        else:
            assert mail.arrived_at == expected.occurred_at
    assert seen == set(by_id) - {"", "<0@scanner.local>"}


def test_a_thread_holds_exactly_the_mails_that_refer_to_each_other():
    thread_of = {e.message_id: e.thread for e in (*TEAM.truth, *TEAM.truth_later) if e.thread}
    for mail in TEAM.mails:
        message = read(mail.raw)
        answered = message["In-Reply-To"]
        if answered is not None:
            assert thread_of[answered] == thread_of[message["Message-ID"]]
    assert Counter(thread_of.values()).most_common(1)[0][1] == 4


def test_mail_of_no_concern_is_in_the_mailboxes_but_not_in_the_truth():
    table = tomllib.loads((DATA / "mails.toml").read_text(encoding="utf-8"))
    reasons = Counter(mail.get("fate", "logged") for mail in table["mail"])
    assert set(reasons) == {
        "logged", "before_since", "internal", "bulk", "automatic", "bounce", "private",
    }  # fmt: skip
    subjects = {e.subject for e in (*TEAM.truth, *TEAM.truth_later) if e.kind == "email"}
    in_mailboxes = {str(read(mail.raw)["Subject"]) for mail in TEAM.mails}
    for mail in table["mail"]:
        assert mail["subject"] in in_mailboxes
        assert (mail["subject"] in subjects) == (mail.get("fate", "logged") == "logged")


def test_no_private_word_occurs_in_anything_that_is_kept():
    kept = truth.lines((*TEAM.truth, *TEAM.truth_later)) + TEAM.customers_csv + TEAM.later_csv
    kept += "".join(
        text
        for mail in TEAM.mails
        if (text := read(mail.raw).get_body(("plain",)).get_content())
        and str(read(mail.raw)["Subject"]) in {e.subject for e in TEAM.truth}
    )
    planted = "".join(
        f"{read(m.raw)['Subject']} {read(m.raw)['From']} {read(m.raw)['To']} "
        f"{read(m.raw).get_body(('plain',)).get_content()}"
        for m in TEAM.mails
    ) + "".join(event.ics.decode().replace("\r\n ", "") for event in TEAM.events)
    assert [word for word in TEAM.private_words if word in kept] == []
    assert [word for word in TEAM.private_words if word not in planted] == []
    assert len(TEAM.private_words) > 30


@pytest.mark.parametrize("moment", [NOW, datetime(2026, 10, 20, 6, 0, tzinfo=UTC)])
def test_a_recurrence_library_lays_the_calendars_out_as_the_truth_tells(moment):
    team = build(moment)
    objects = {event.href: icalendar.Calendar.from_ical(event.ics) for event in team.events}
    laid_out = Counter()
    for calendar in objects.values():
        for event in recurring_ical_events.of(calendar).between(
            moment - timedelta(days=365), moment + AHEAD
        ):
            start = event.start if isinstance(event.start, datetime) else None
            laid_out[str(event["UID"]), start and start.astimezone(UTC)] += 1
    told = Counter(
        (e.uid, None if e.all_day else e.occurred_at.astimezone(UTC))
        for e in (*team.truth, *team.truth_later)
        if e.kind == "meeting"
    )
    logged = {uid for uid, _ in told}
    assert {key: n for key, n in laid_out.items() if key[0] in logged} == told


def test_meetings_are_planned_held_and_cancelled_and_one_moved():
    meetings = [e for e in TEAM.truth if e.kind == "meeting"]
    assert {e.status for e in meetings} == {"planned", "held", "cancelled"}
    assert all(
        (e.status == "held") == (e.ends_at <= NOW) for e in meetings if e.status != "cancelled"
    )
    moved = [e for e in meetings if e.recurrence_id and e.recurrence_id != e.occurred_at]
    assert len(moved) == 1
    shared = [e for e in meetings if len(e.reps) == 2]
    assert len(shared) == 3
    copies = Counter(event.href for event in TEAM.events)
    assert all(copies[f"{e.uid.split('@')[0]}.ics"] == 2 for e in shared)


def test_the_truth_file_is_json_lines_in_the_shape_of_the_command(tmp_path):
    TEAM.write_truth(tmp_path / "truth.jsonl", TEAM.truth, TEAM.truth_waiting)
    lines = (tmp_path / "truth.jsonl").read_text(encoding="utf-8").splitlines()
    assert len(lines) == len(TEAM.truth) + 1
    newest = json.loads(lines[0])
    assert list(newest) == [
        "kind", "direction", "occurred_at", "ends_at", "all_day", "subject", "customers",
        "contacts", "reps", "message_id", "uid", "recurrence_id", "thread", "status", "attachments",
    ]  # fmt: skip
    assert newest["occurred_at"] > json.loads(lines[-1])["occurred_at"]


def test_a_slot_is_told_by_its_original_start_in_utc():
    weekly = [e.as_json() for e in TEAM.truth if e.subject == "Veckoavstämning Nordvik"]
    assert len(weekly) == 14
    winter, *_, summer = sorted(row["recurrence_id"] for row in weekly)
    assert (winter[10:], summer[10:]) == ("T08:30:00Z", "T07:30:00Z")


def test_an_address_is_told_as_recorded_and_not_as_spelt():
    present = next(e for e in TEAM.truth if e.subject == "A chair as a present")
    assert (present.contacts, present.reps) == (
        ("olivia.brandt.demo@gmail.com",),
        ("dara@acme.example",),
    )
    cafe = next(e for e in TEAM.truth if "kassan" in e.subject)
    assert cafe.contacts == ("asa@blåbäret.example",)


def test_comparing_finds_what_is_missing_extra_twice_or_in_the_wrong_thread():
    told = rows(TEAM.truth)
    assert truth.compare(told, TEAM.truth) == []
    assert [d.split(":")[0] for d in truth.compare(told[1:], TEAM.truth)] == ["missing"]
    assert [d.split(":")[0] for d in truth.compare([*told, told[0]], TEAM.truth)] == [
        "extra or twice"
    ]
    merged = [{**row, "thread": "one"} for row in told]
    assert truth.compare(merged, TEAM.truth) == ["thread one mixes several"]
    torn = [{**row, "thread": row["id"]} for row in told]
    assert all(d.endswith("is torn") for d in truth.compare(torn, TEAM.truth))
    greeting = {**told[0], "kind": "greeting"}
    assert truth.compare([*told, greeting], TEAM.truth) == []


def test_the_birthday_exists_on_a_leap_day_and_no_meeting_is_under_way_in_any_month():
    assert "1984-02-29" in build(datetime(2028, 2, 29, 12, tzinfo=UTC)).customers_csv
    for day in (0, 122, 244):
        now = datetime(2028, 1, 1, 12, tzinfo=UTC) + timedelta(days=day)
        meetings = [e for e in build(now).truth if e.kind == "meeting"]
        assert not [e for e in meetings if e.occurred_at <= now < e.ends_at]
