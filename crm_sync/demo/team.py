"""The demo's team: three reps, twelve customers, their mail and meetings, and the truth about them.

Everything here is computed from one moment and one seed, and touches neither clock, disk nor
network; so the same team can fill any server.
"""

import random
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from crm_sync.demo import mails, meetings, truth
from crm_sync.demo.correspondence import conversations, other_mails, waiting_mail
from crm_sync.demo.mails import Mail, Placed
from crm_sync.demo.meetings import TEAM_ZONE, PlacedEvent
from crm_sync.demo.people import (
    REPS,
    Contact,
    Party,
    People,
    Rep,
    contacts_of,
    customers_csv,
    later_csv,
)
from crm_sync.demo.truth import Expected

Append = Callable[[str, str, bytes, datetime], None]
"""Puts a mail into a mailbox: user, folder, bytes, date of arrival (aware UTC)."""

Put = Callable[[str, str, str, bytes], None]
"""Puts a calendar object into a calendar: user, calendar, name of the resource, bytes."""


@dataclass(frozen=True, slots=True)
class DemoTeam:
    """All sample data of one build.

    `truth` is what the diary holds after customers.csv and a sync; `truth_later` is what comes on
    top once later.csv is imported, and `truth_waiting` once `waiting` has arrived.
    `private_words` are names, addresses, subjects and words that no file of ours may hold.
    """

    now: datetime
    reps: tuple[Rep, ...]
    contacts: tuple[Contact, ...]
    customers_csv: str
    later_csv: str
    mails: tuple[Placed, ...]
    waiting: tuple[Placed, ...]
    events: tuple[PlacedEvent, ...]
    truth: tuple[Expected, ...]
    truth_later: tuple[Expected, ...]
    truth_waiting: tuple[Expected, ...]
    private_words: tuple[str, ...]

    def seed_imap(self, append: Append) -> None:
        """Hands over all mails but the waiting one, in order of arrival."""
        for mail in self.mails:
            append(mail.user, mail.folder, mail.raw, mail.arrived_at)

    def seed_caldav(self, put: Put) -> None:
        """Hands over all calendar objects; each user has one calendar, "work"."""
        for event in self.events:
            put(event.user, event.calendar, event.href, event.ics)

    def deliver_waiting(self, append: Append, arrived_at: datetime) -> None:
        """Hands over the mail that nobody answers, as arriving at that moment (aware UTC)."""
        for mail in self.waiting:
            append(mail.user, mail.folder, mail.raw, arrived_at)

    def write_truth(self, path: Path, *parts: Iterable[Expected]) -> None:
        """Writes the expected interactions as JSON Lines: `truth`, or the parts that are given."""
        told = [e for part in parts or (self.truth,) for e in part]
        path.write_text(truth.lines(told), encoding="utf-8")


def build(now: datetime, seed: int = 7) -> DemoTeam:
    """The team as it looks at `now` (aware; seconds count, fractions don't)."""
    now = now.replace(microsecond=0)
    customers = customers_csv(now.astimezone(TEAM_ZONE).date())
    later = later_csv()
    people = People((*contacts_of(customers), *contacts_of(later)))
    rng = random.Random(seed)
    letters = [*conversations(people, now, rng), *other_mails(people, now, rng)]
    appointments = list(meetings.meetings(people, now))
    waiting = waiting_mail(people, now)
    told = [
        *(mails.expected(mail) for mail in letters if mail.fate == "logged"),
        *(e for m in appointments if m.fate == "logged" for e in meetings.expected(m, now)),
    ]
    newcomers = {contact.customer for contact in contacts_of(later)}
    copies = [copy for mail in letters for copy in mails.place(mail)]
    return DemoTeam(
        now=now,
        reps=REPS,
        contacts=contacts_of(customers),
        customers_csv=customers,
        later_csv=later,
        mails=tuple(sorted(copies, key=lambda copy: copy.arrived_at)),
        waiting=tuple(mails.place(waiting)),
        events=tuple(e for meeting in appointments for e in meetings.place(meeting, now)),
        truth=tuple(e for e in told if not newcomers.intersection(e.customers)),
        truth_later=tuple(e for e in told if newcomers.intersection(e.customers)),
        truth_waiting=(mails.expected(waiting),),
        private_words=tuple(dict.fromkeys(_private(letters, appointments))),
    )


def _private(letters: Iterable[Mail], appointments: Iterable[meetings.Meeting]) -> Iterator[str]:
    for mail in letters:
        if mail.fate == "private":
            yield from (mail.subject, *mail.words, *_strangers(mail.parties))
    for meeting in appointments:
        if meeting.fate == "private":
            yield from (meeting.summary, *meeting.words, *_strangers(meeting.who))


def _strangers(parties: Iterable[Party]) -> Iterator[str]:
    for party in parties:
        if not party.rep and not party.customer:
            yield from (party.name, party.address, party.address.rpartition("@")[2])
