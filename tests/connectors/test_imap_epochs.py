"""Numbers that change their meaning: UIDVALIDITY in circles, recycled UIDs, stand-ins for mails."""

import re
from datetime import UTC, datetime, timedelta

import pytest

from connectors.imap.cursor import Cursor
from crm_sync.core.errors import Unreachable
from crm_sync.core.records import UnreadableItem
from crm_sync.testing.source_contract import Ledger, pull
from tests.connectors.imap_parts import numbered_mail, poll, subjects, swap_inbox

NOW = datetime(2026, 3, 4, 12, tzinfo=UTC)
MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)


@pytest.fixture
def user(user, dovecot):
    for number in range(1, 6):
        dovecot.append(user, "INBOX", numbered_mail(number), NOW)
    return user


@pytest.fixture
def source(connect):
    return connect(page_size=2, folders=["INBOX"])


def sorted_subjects(items):
    return sorted(subjects(items))


class Validity:
    """Makes a server tell another UIDVALIDITY."""

    def __init__(self, proxy):
        self.value = 0
        proxy.on_answer = self._tell

    def _tell(self, line: bytes) -> bytes | None:
        if not self.value:
            return None
        return re.sub(rb"UIDVALIDITY \d+", b"UIDVALIDITY %d" % self.value, line) + b"\r\n"


# -- UIDVALIDITY in circles ------------------------------------------------------------------------


def test_five_changes_a_day_are_followed_and_then_the_folder_rests(source, proxy, clock):
    validity, ledger = Validity(proxy), Ledger()
    poll(source, ledger)
    for value in range(1, 6):
        validity.value = value
        clock.advance(HOUR)
        assert poll(source, ledger)[0].reset
    validity.value = 6
    pulled = len(ledger.items)
    with pytest.raises(Unreachable) as error:
        poll(source, ledger)
    assert error.value.scope == "stream"
    assert "UIDVALIDITY" in error.value.what
    assert error.value.advice
    assert len(ledger.items) == pulled
    assert set(ledger.versions) == {i.key for i in ledger.items[-5:]}


def flapped(source, proxy, clock):
    """A folder that has just begun to rest, told to be 6."""
    validity, ledger = Validity(proxy), Ledger()
    poll(source, ledger)
    for validity.value in range(1, 6):
        poll(source, ledger)
    validity.value = 6
    with pytest.raises(Unreachable):
        poll(source, ledger)
    ledger.items.clear()
    return validity, ledger


def test_while_it_rests_nothing_is_pulled_or_stored(source, proxy, clock, dovecot, user):
    _, ledger = flapped(source, proxy, clock)
    dovecot.append(user, "INBOX", numbered_mail(6), NOW)
    before = ledger.cursor
    for _ in range(3):
        clock.advance(MINUTE)
        with pytest.raises(Unreachable):
            poll(source, ledger)
    assert ledger.cursor == before
    assert ledger.items == []


def test_a_number_that_holds_still_is_believed_and_everything_comes_once(
    source, proxy, clock, dovecot, user
):
    _, ledger = flapped(source, proxy, clock)
    dovecot.append(user, "INBOX", numbered_mail(6), NOW)
    clock.advance(HOUR)
    assert poll(source, ledger)[0].reset
    assert sorted_subjects(ledger.items) == [f"m{n}" for n in range(1, 7)]
    assert poll(source, ledger) == []


def test_the_number_we_know_is_pulled_at_once_when_it_is_told_again(
    source, proxy, clock, dovecot, user
):
    validity, ledger = flapped(source, proxy, clock)
    dovecot.append(user, "INBOX", numbered_mail(6), NOW)
    validity.value = 5
    assert not any(page.reset for page in poll(source, ledger))
    assert sorted_subjects(ledger.items) == ["m6"]


def test_a_folder_that_goes_on_flapping_rests_longer_and_longer(source, proxy, clock):
    validity, ledger = flapped(source, proxy, clock)
    untils = []
    for validity.value in (5, 6, 5, 6, 7, 8, 9):
        clock.advance(timedelta(seconds=1))
        if validity.value == 5:
            poll(source, ledger)
            continue
        with pytest.raises(Unreachable):
            poll(source, ledger)
        untils.append(Cursor.loads(ledger.cursor).rest.until - clock.now())
    assert ledger.items == []
    assert untils == sorted(untils)
    assert untils[0] > 30 * MINUTE
    assert untils[-1] > 6 * HOUR
    clock.advance(13 * HOUR)
    poll(source, ledger)
    assert sorted_subjects(ledger.items) == [f"m{n}" for n in range(1, 6)]


def test_changes_on_different_days_are_no_flapping(source, proxy, clock):
    validity, ledger = Validity(proxy), Ledger()
    poll(source, ledger)
    for validity.value in range(1, 12):
        clock.advance(6 * HOUR)
        assert poll(source, ledger)[0].reset


def test_a_renumbered_folder_is_read_as_far_back_as_at_first(source, proxy, clock):
    validity, ledger = Validity(proxy), Ledger()
    poll(source, ledger)
    clock.advance(200 * DAY)
    validity.value = 7
    ledger.items.clear()
    poll(source, ledger)
    assert sorted_subjects(ledger.items) == [f"m{n}" for n in range(1, 6)]


# -- the same UIDVALIDITY, other mails ---------------------------------------------------------------


def recycled(dovecot, user, proxy, numbers):
    """A folder of the same UIDVALIDITY with mails of these numbers stands in for INBOX."""
    for number in numbers:
        dovecot.append(user, "Other", numbered_mail(number), NOW)
    swap_inbox(dovecot, user, proxy)
    proxy.rewrite = lambda line: line.replace(b'"INBOX"', b'"Other"')


@pytest.mark.parametrize("count", [1, 3, 5, 8])
def test_other_mails_under_the_same_numbers_are_noticed_and_pulled(
    source, proxy, dovecot, user, count
):
    ledger = Ledger()
    poll(source, ledger)
    dovecot.append(user, "INBOX", numbered_mail(6), NOW)
    poll(source, ledger)
    ledger.items.clear()
    recycled(dovecot, user, proxy, range(50, 50 + count))
    pages = poll(source, ledger)
    assert pages[0].reset
    assert sorted_subjects(ledger.items) == [f"m{n}" for n in range(50, 50 + count)]


def lower_uidnext(proxy, uidnext):
    """A server that reckons UIDNEXT from the mails that are left."""
    proxy.on_answer = lambda line: (
        re.sub(rb"UIDNEXT \d+", b"UIDNEXT %d" % uidnext(), line) + b"\r\n"
    )


def test_numbers_of_deleted_mails_that_are_given_out_again_hide_nothing(
    source, proxy, dovecot, user
):
    ledger = Ledger()
    poll(source, ledger)
    top = [5]
    lower_uidnext(proxy, lambda: top[0])
    dovecot.expunge(user, "INBOX", [5])
    ledger.items.clear()
    (page,) = poll(source, ledger)
    validity = Cursor.loads(ledger.cursor).uidvalidity
    assert page.gone == (f"{validity}:5",)
    assert not page.reset
    assert ledger.items == []
    assert poll(source, ledger) == []
    # The next mail gets the number of the deleted one.
    dovecot.append(user, "INBOX", numbered_mail(6), NOW)
    proxy.rewrite = lambda line: line.replace(b"UID FETCH 5 ", b"UID FETCH 6 ")
    proxy.on_answer = lambda line: (
        re.sub(rb"UIDNEXT \d+", b"UIDNEXT 6", line)
        .replace(b"ALL 6", b"ALL 5")
        .replace(b"(UID 6 ", b"(UID 5 ")
        + b"\r\n"
    )
    poll(source, ledger)
    assert sorted_subjects(ledger.items) == ["m6"]


def test_a_uidnext_that_lags_behind_is_no_new_beginning(source, proxy, dovecot, user):
    ledger = Ledger()
    poll(source, ledger)
    lower_uidnext(proxy, lambda: 4)
    assert poll(source, ledger) == []
    dovecot.append(user, "INBOX", numbered_mail(6), NOW)
    (page,) = poll(source, ledger)
    assert sorted_subjects(page.items) == ["m6"]


def test_a_folder_that_was_emptied_begins_anew_without_a_loss(source, proxy, dovecot, user):
    ledger = Ledger()
    poll(source, ledger)
    dovecot.expunge(user, "INBOX", [1, 2, 3, 4, 5])
    lower_uidnext(proxy, lambda: 1)
    poll(source, ledger)
    proxy.on_answer = None
    dovecot.append(user, "INBOX", numbered_mail(6), NOW)
    ledger.items.clear()
    poll(source, ledger)
    assert sorted_subjects(ledger.items) == ["m6"]


def test_a_known_mail_that_breaks_the_conversation_now_keeps_no_other_back(
    source, proxy, dovecot, user
):
    ledger = Ledger()
    poll(source, ledger)
    ledger.items.clear()
    dovecot.append(user, "INBOX", numbered_mail(6), NOW)
    proxy.on_answer = lambda line: b"* BYE internal error\r\n" if b"(UID 4 " in line else None
    poll(source, ledger)
    assert sorted_subjects(ledger.items) == ["m6"]
    assert poll(source, ledger) == []


@pytest.mark.parametrize(
    "header",
    [
        b"Message-ID: <caf\xe9@mallory.example>\r\nContent-Type: text/plain; charset=koi8-r\r\n",
        b"X-Mailer: "
        + b"x " * 32_700
        + b"\r\nMessage-ID: <"
        + b"y" * 500
        + b"@mallory.example>\r\n",
    ],
    ids=["charset", "cut"],
)
def test_no_message_id_that_a_sender_can_think_of_makes_a_folder_begin_anew(
    source, dovecot, user, header
):
    dovecot.append(user, "INBOX", b"Subject: hostile\r\n" + header + b"\r\ntext\r\n", NOW)
    ledger = Ledger()
    poll(source, ledger)
    ledger.items.clear()
    dovecot.append(user, "INBOX", numbered_mail(6), NOW)
    (page,) = poll(source, ledger)
    assert not page.reset
    assert sorted_subjects(ledger.items) == ["m6"]


# -- stand-ins -------------------------------------------------------------------------------------

STAND_IN = (
    b"From: Microsoft Exchange Server 2016 <exchange@acme.example>\r\n"
    b"To: karin@acme.example\r\n"
    b"Subject: Retrieval using the IMAP4 protocol failed for the following message: 2469\r\n"
    b"Message-ID: <stand-in@acme.example>\r\n\r\nThe server couldn't retrieve it.\r\n"
)


def test_a_stand_in_of_exchange_is_unreadable_and_the_mail_comes_when_it_is_there(
    source, proxy, clock, dovecot, user
):
    dovecot.append(user, "INBOX", STAND_IN, NOW)
    ledger = Ledger()
    poll(source, ledger)
    assert len(sorted_subjects(ledger.items)) == 5
    (stand_in,) = [i for i in ledger.items if isinstance(i, UnreadableItem)]
    assert "placeholder" in stand_in.reason
    assert poll(source, ledger) == []
    ledger.items.clear()
    clock.advance(2 * MINUTE)
    poll(source, ledger)
    assert ledger.items == []
    proxy.on_answer = same_length(b"Retrieval using the IMAP4 protocol failed", b"Offert")
    clock.advance(DAY)
    poll(source, ledger)
    assert [i.key for i in ledger.items] == [stand_in.key]
    assert sorted_subjects(ledger.items)[0].startswith("Offert")


def same_length(old: bytes, new: bytes):
    return lambda line: line.replace(old, new.ljust(len(old), b"-")) + b"\r\n"


def test_a_mail_about_such_a_failure_is_a_mail(source, dovecot, user):
    subject = (
        "Subject: Re: Retrieval using the IMAP4 protocol failed for the following message: 7\r\n"
    )
    raw = numbered_mail(6).replace(b"Subject: m6\r\n", subject.encode())
    dovecot.append(user, "INBOX", raw, NOW)
    ledger = Ledger()
    poll(source, ledger)
    assert len(sorted_subjects(ledger.items)) == 6


@pytest.mark.parametrize("size", [0, 7, 999_999_999])
def test_a_wrong_size_does_no_harm(source, proxy, size):
    proxy.on_answer = lambda line: (
        re.sub(rb"RFC822\.SIZE \d+", b"RFC822.SIZE %d" % size, line) + b"\r\n"
    )
    ledger = Ledger()
    (inbox,) = source.streams()
    pull(source, inbox, ledger)
    bodies = source.read(ledger.locators(inbox))
    assert sorted(body.text for body in bodies) == [f"text {n}" for n in range(1, 6)]
