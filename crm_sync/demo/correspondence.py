"""Who wrote to whom and when: conversations in six languages, and mails of every other kind."""

import random
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from crm_sync.demo.mails import Mail
from crm_sync.demo.people import DATA, Contact, Party, People, as_party

LANGUAGES = ("sv", "da", "fa", "vi", "zh", "en")
_SECOND_READER = {"karin": "dara", "dara": "mai", "mai": "karin"}


def conversations(people: People, now: datetime, rng: random.Random) -> Iterator[Mail]:
    """The threads between customers and their reps, all more than a week old.

    The first customer of a language has all conversations of that language, the second one two.
    """
    for language in LANGUAGES:
        path = DATA / "conversations" / f"{language}.toml"
        words = tomllib.loads(path.read_text(encoding="utf-8"))
        for place, customer in enumerate(words["customers"]):
            contacts = people.of_customer(customer)
            limit = None if place == 0 else 2
            for number, conversation in enumerate(words["conversation"][:limit]):
                setting = _Setting(
                    people=people,
                    contact=contacts[number % len(contacts)],
                    words=words,
                    fill=_fill(words, place, rng),
                    label=f"{language}{place}{number}",
                )
                yield from _conversation(setting, conversation, now, rng)


@dataclass(frozen=True, slots=True)
class _Setting:
    """Who talks in a conversation, and what fills the gaps in its texts."""

    people: People
    contact: Contact
    words: Mapping[str, Any]
    fill: Mapping[str, str]
    label: str

    @property
    def customer(self) -> Party:
        return as_party(self.contact)

    @property
    def rep(self) -> Party:
        return self.people.rep(self.contact.owner)

    def say(self, text: str) -> str:
        rep = self.words.get("rep", self.rep.name.split()[0])
        return text.format(rep=rep, salutation=self.contact.salutation, **self.fill)


def _fill(words: Mapping[str, Any], place: int, rng: random.Random) -> dict[str, str]:
    return {
        "product": words["products"][place],
        "quantity": str(rng.randrange(6, 41, 2)),
        "reference": str(rng.randrange(2100, 9900)),
    }


def _conversation(
    setting: _Setting, conversation: Mapping[str, Any], now: datetime, rng: random.Random
) -> Iterator[Mail]:
    day = now - timedelta(days=rng.randrange(15, 80))
    earlier: list[Mail] = []
    for step in conversation["mails"]:
        author = setting.rep if step["by"] == "rep" else setting.customer
        mail = Mail(
            author=author,
            at=_office_hour(day, author, rng),
            html=rng.random() < 0.4,
            **_contents(setting, step, setting.say(conversation["subject"]), earlier),
        )
        earlier.append(mail)
        yield mail
        day += timedelta(days=rng.randrange(1, 3))


def _contents(
    setting: _Setting, step: Mapping[str, str], subject: str, earlier: list[Mail]
) -> dict[str, Any]:
    """What the next mail of a conversation says, to whom, and what it answers."""
    author, reader = setting.customer, setting.rep
    if step["by"] == "rep":
        author, reader = reader, author
    opens = not earlier
    text = f"{setting.say(step['text'])}\n\n{setting.words['sign_off']}\n{author.name}"
    if earlier:
        text += _quote(setting.words["wrote"], earlier[-1])
    second = setting.people.party(_SECOND_READER[setting.rep.rep])
    return {
        "to": (reader,),
        "cc": (second,) if opens and setting.label.endswith("00") else (),
        "subject": subject if opens else f"Re: {subject}",
        "text": text,
        "message_id": f"<{setting.label}.{len(earlier)}@{_domain(author)}>",
        "thread": setting.label,
        "references": tuple(mail.message_id for mail in earlier),
        "attachment": setting.say(step.get("attachment", "")),
    }


def _quote(wrote: str, mail: Mail) -> str:
    own_words = mail.text.split("\n>", 1)[0].rsplit("\n\n", 1)[0]
    quoted = "\n".join(f"> {line}".rstrip() for line in own_words.splitlines())
    return f"\n\n{wrote.format(name=mail.author.name)}\n{quoted}"


def _office_hour(day: datetime, author: Party, rng: random.Random) -> datetime:
    zone = ZoneInfo(author.timezone)
    clock = time(rng.randrange(8, 17), rng.randrange(60), rng.randrange(60))
    return datetime.combine(day.astimezone(zone).date(), clock, zone)


def other_mails(people: People, now: datetime, rng: random.Random) -> Iterator[Mail]:
    """Everything else in the mailboxes, as `data/mails.toml` tells it."""
    table = tomllib.loads((DATA / "mails.toml").read_text(encoding="utf-8"))
    last_in_thread: dict[str, Mail] = {}
    for number, spec in enumerate(table["mail"]):
        author = people.party(spec["from"])
        before = last_in_thread.get(spec.get("thread", ""))
        mail = Mail(
            author=author,
            to=_parties(people, spec["to"]),
            cc=_parties(people, spec.get("cc", ())),
            subject=spec["subject"],
            text=spec["text"],
            at=_office_hour(now - timedelta(days=spec["days"]), author, rng),
            message_id=spec.get("message_id", f"<m{number}@{_domain(author)}>"),
            thread=spec.get("thread", ""),
            references=(*before.references, before.message_id) if before else (),
            attachment=spec.get("attachment", ""),
            html=spec.get("html", False),
            charset=spec.get("charset", "utf-8"),
            headers=tuple(spec.get("headers", {}).items()),
            bounce=spec.get("bounce", ""),
            date=spec.get("date", "true"),
            fate=spec.get("fate", "logged"),
            words=tuple(spec.get("words", ())),
        )
        if mail.thread:
            last_in_thread[mail.thread] = mail
        yield mail


def waiting_mail(people: People, at: datetime) -> Mail:
    """A customer's question that arrives after the first sync and that nobody answers."""
    return Mail(
        author=people.party("Emily Carter"),
        to=(people.party("dara"),),
        subject="Twelve more chairs before the opening?",
        text=(
            "Hi Dara,\n\nthe opening is three weeks from now and we are short of twelve chairs. "
            "Can you still make it? If not, I have to look elsewhere.\n\nKind regards\nEmily Carter"
        ),
        at=at,
        message_id=f"<waiting.{at:%Y%m%d%H%M%S}@harbourpine.example>",
        thread="waiting",
    )


def _parties(people: People, words: Any) -> tuple[Party, ...]:
    return tuple(people.party(word) for word in words)


def _domain(party: Party) -> str:
    return party.address.rpartition("@")[2]
