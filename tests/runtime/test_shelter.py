"""Hostile content costs the child that reads it, within limits, and nobody else."""

import contextlib
import os
import pickle
import resource
import signal
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from crm_sync.core.absence import read_absence
from crm_sync.core.bounces import read_bounce
from crm_sync.core.complaints import read_complaint
from crm_sync.core.errors import Unreadable
from crm_sync.core.meetings import read_events
from crm_sync.core.sheltered import part_text
from crm_sync.core.text import html_to_text, read_message
from crm_sync.runtime.answers import BadAnswer, read_answer
from crm_sync.runtime.shelter import ProcessShelter
from crm_sync.runtime.shelter_child import CPU_SECONDS, MEMORY, RESULT
from tests.runtime import bombs

SERIES = b"""BEGIN:VCALENDAR
BEGIN:VEVENT
UID:weekly@acme.example
DTSTART;TZID=Europe/Stockholm:20260105T090000
DURATION:PT1H
RRULE:FREQ=DAILY;COUNT=60
SUMMARY:Standup
ORGANIZER:mailto:karin@acme.example
ATTENDEE;CN=Anna:mailto:anna@customer.example
END:VEVENT
END:VCALENDAR
"""
BOUNCE = b"""From: MAILER-DAEMON@customer.example
Content-Type: multipart/report; report-type=delivery-status; boundary=x

--x
Content-Type: message/delivery-status

Reporting-MTA: dns; mx.customer.example

Final-Recipient: rfc822; anna@customer.example
Action: failed
Status: 5.1.1
--x--
"""
COMPLAINT = b"""From: abuse@provider.example
Content-Type: multipart/report; report-type=feedback-report; boundary=x

--x
Content-Type: message/feedback-report

Feedback-Type: abuse
Original-Rcpt-To: <anna@customer.example>
--x--
"""
ABSENCE = b"""From: Anna <anna@customer.example>
Subject: Out of office

I am out of the office until 14 March and back on 15 March.
"""
PAGE = "<p>Dear Karin,</p><p>Grüße</p>"


@pytest.fixture
def shelter():
    found = ProcessShelter(1)
    yield found
    found.close()


def child_of(shelter):
    (child,) = shelter._idle
    return child.pid


def seconds_of_children():
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def is_running(pid):
    try:
        return ") Z " not in Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False


def test_results_are_the_same_as_without_a_shelter(shelter):
    raw = bombs.mail(
        "fine",
        b"Content-Type: multipart/mixed; boundary=x\r\n\r\n--x\r\n\r\nHello\r\n--x\r\n"
        b"Content-Type: application/pdf; name=a.pdf\r\n\r\nxyz\r\n--x--\r\n",
    )
    window = datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 6, 1, tzinfo=UTC)
    zone = ZoneInfo("Europe/Stockholm")
    assert shelter.call(read_message, raw) == read_message(raw)
    assert shelter.call(html_to_text, PAGE) == html_to_text(PAGE)
    meetings = shelter.call(read_events, SERIES, *window, zone)
    assert meetings == read_events(SERIES, *window, zone)
    assert len(meetings.occurrences) == 60


@pytest.mark.parametrize(
    ("read", "raw", "more"),
    [
        (read_bounce, BOUNCE, ()),
        (read_complaint, COMPLAINT, ()),
        (read_absence, ABSENCE, (date(2026, 3, 2),)),
        (read_complaint, ABSENCE, ()),
    ],
)
def test_notices_are_the_same_as_without_a_shelter(shelter, read, raw, more):
    assert shelter.call(read, raw, *more) == read(raw, *more)


def test_a_child_that_takes_too_much_is_ended_and_the_next_mail_is_read(shelter):
    for name, content in bombs.large():
        before = seconds_of_children()
        with pytest.raises(Unreadable, match="too much time or memory"):
            shelter.call(read_message, bombs.mail(name, content))
        assert seconds_of_children() - before < CPU_SECONDS + 0.5
        assert shelter.call(html_to_text, PAGE) == html_to_text(PAGE)


def test_no_small_bomb_needs_more_than_a_child_may_have(shelter):
    for name, content in bombs.small():
        assert isinstance(shelter.call(read_message, bombs.mail(name, content)).text, str), name


def test_an_ordinary_large_mail_is_read_within_the_limits(shelter):
    line = b"QUJD" * 18 + b"\r\n"
    attached = b"Content-Type: application/zip\r\nContent-Transfer-Encoding: base64\r\n\r\n"
    size = bombs.LARGEST // len(line)
    raw = b"Content-Type: multipart/mixed; boundary=x\r\n\r\n--x\r\n\r\nHello\r\n--x\r\n"
    found = shelter.call(read_message, raw + attached + line * size + b"--x--\r\n")
    assert found.text == "Hello"
    assert found.attachments[0].size == 54 * size
    page = b"<p>Hello <b>Karin</b></p>\r\n" * 38_000
    assert "Hello Karin" in shelter.call(read_message, bombs.html(page)).text


def test_a_child_has_limits_and_none_of_our_secrets(shelter, monkeypatch):
    monkeypatch.setenv("CRM_SYNC_SECRET_MASTER", "planted")
    shelter.call(html_to_text, PAGE)
    pid = child_of(shelter)
    assert resource.prlimit(pid, resource.RLIMIT_AS) == (MEMORY, MEMORY)
    assert MEMORY <= 200 * 1024 * 1024
    for none in (resource.RLIMIT_FSIZE, resource.RLIMIT_CORE, resource.RLIMIT_NPROC):
        assert resource.prlimit(pid, none) == (0, 0)
    assert resource.prlimit(pid, resource.RLIMIT_NOFILE)[1] <= 32
    assert 1 <= resource.prlimit(pid, resource.RLIMIT_CPU)[0] <= CPU_SECONDS + 1
    assert Path(f"/proc/{pid}/oom_score_adj").read_text().strip() == "1000"
    assert b"planted" not in Path(f"/proc/{pid}/environ").read_bytes()
    status = Path(f"/proc/{pid}/status").read_text().split()
    assert int(status[status.index("VmHWM:") + 1]) < 30 * 1024


def test_its_processor_time_is_counted_for_each_mail_anew(shelter):
    page = "<" * 1_000_000
    for _ in range(8):  # more than a child may use for one
        shelter.call(html_to_text, page[:-1])
    assert shelter.call(html_to_text, PAGE) == html_to_text(PAGE)


def test_words_of_ours_come_back_with_an_error_and_no_others(shelter):
    zone, start = ZoneInfo("UTC"), datetime(2026, 1, 1, tzinfo=UTC)
    with pytest.raises(Unreadable, match="no event in this calendar object can be read"):
        shelter.call(
            read_events, b"BEGIN:VCALENDAR\nBEGIN:VEVENT\nUID:x\nEND:VEVENT\n", start, start, zone
        )
    with pytest.raises(Unreadable) as raised:
        shelter.call(html_to_text, b"words of a stranger")
    assert raised.value.sentence() == "it can't be understood"


def test_only_functions_of_the_core_are_called(shelter):
    with pytest.raises(TypeError):
        shelter.call(os.getpid)


class Reduced:
    def __reduce__(self):
        return os.system, ("touch planted",)


@pytest.mark.parametrize(
    "answer",
    [
        pickle.dumps(Reduced()),
        pickle.dumps(os.system),
        pickle.dumps(eval),
        pickle.dumps(read_message),
        pickle.dumps(Path("x")),
        b"ccrm_sync.core.text\nturbohtml.parse\n.",
        b"ccrm_sync.core.charsets\ncodecs\n.",
        # A place far out in the memo, and an attribute for a class of ours.
        b"\x80\x05)r\x80\xf0\xfa\x02.",
        b"ccrm_sync.core.calendar_text\nCalendarText\nN}\x8c\x09zone_nameNs\x86b.",
        b"no pickle",
        b"",
    ],
)
def test_an_answer_of_a_child_that_was_taken_over_does_nothing_here(answer, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(BadAnswer):
        read_answer(RESULT + answer, read_message)
    assert list(tmp_path.iterdir()) == []


def test_a_child_that_somebody_killed_is_replaced(shelter):
    shelter.call(html_to_text, PAGE)
    pid = child_of(shelter)
    os.kill(pid, signal.SIGKILL)
    assert shelter.call(html_to_text, PAGE) == html_to_text(PAGE)
    assert child_of(shelter) != pid


def test_work_under_way_outlives_the_signals_that_ask_the_program_to_end(shelter):
    shelter.call(html_to_text, PAGE)
    pid = child_of(shelter)
    os.kill(pid, signal.SIGTERM)
    os.kill(pid, signal.SIGINT)
    assert shelter.call(html_to_text, PAGE) == html_to_text(PAGE)
    assert child_of(shelter) == pid


def test_children_end_with_a_parent_that_was_killed():
    code = (
        "import sys\nfrom crm_sync.core.text import html_to_text\n"
        "from crm_sync.runtime.shelter import ProcessShelter\n"
        "s = ProcessShelter()\ns.call(html_to_text, 'x')\n"
        "print(s._idle[0].pid, flush=True)\nsys.stdin.read()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as parent:
        child = int(parent.stdout.readline())
        assert is_running(child)
        parent.kill()
    never = threading.Event()
    for _ in range(200):
        if not is_running(child):
            return
        never.wait(0.05)
    pytest.fail("the child is still there")


def test_threads_share_a_few_children():
    shelter = ProcessShelter(2)
    pages = [f"<p>Order {number}</p>" for number in range(200)]
    try:
        with ThreadPoolExecutor(8) as pool:
            texts = list(pool.map(lambda page: shelter.call(html_to_text, page), pages))
        assert texts == [html_to_text(page) for page in pages]
        assert 1 <= len(shelter._idle) <= 2
        pids = [child.pid for child in shelter._idle]
    finally:
        shelter.close()
    assert not any(map(is_running, pids))


@pytest.mark.parametrize(
    ("charset", "media_type", "size", "starts"),
    [
        ("utf-8", "text/plain", 1000, False),
        ("", "text/plain", 1000, False),
        ("iso-8859-1", "text/plain", 60_000, False),
        ("utf-8", "text/plain", 100_000, True),
        ("hz", "text/plain", 1000, True),
        ("utf-8", "text/html", 10, True),
    ],
)
def test_short_plain_text_needs_no_child(shelter, charset, media_type, size, starts):
    text = part_text(
        shelter, b"a" * size, transfer_encoding="", charset=charset, media_type=media_type
    )
    assert text == "a" * size
    assert bool(shelter._idle) is starts


def test_nothing_is_left_open_by_children_that_were_ended(shelter):
    def open_files():
        return len(list(Path("/proc/self/fd").iterdir()))

    shelter.call(html_to_text, PAGE)
    before = open_files()
    for _ in range(2):
        with contextlib.suppress(Unreadable):
            shelter.call(read_message, bombs.much_below_many_levels())
    shelter.call(html_to_text, PAGE)
    assert open_files() == before
