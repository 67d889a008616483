"""The mails we write: wording in the reader's language, in one shared shape, as text and HTML.

Two kinds of templates. A *wording* file, "sv/digest.txt", holds the passages of one kind of mail in
one language as Jinja blocks; it is what an administrator edits. A *shape*, "digest.txt" and
"digest.html", puts passages and values together for all languages. Passages are rendered as plain
text and only then, as values, put into a shape: so nothing a stranger wrote is ever a template, and
everything is escaped once, in the HTML.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from functools import partial
from typing import Final, Literal, get_args

from jinja2 import DictLoader, Environment, Template, TemplateError, TemplateNotFound

from crm_sync.core import alarm_lines
from crm_sync.core.alarm_lines import ALARM_LIMIT, AlarmKind, AlarmLine
from crm_sync.core.clean import clean
from crm_sync.core.errors import ConfigError, Problem
from crm_sync.core.wording import (
    FALLBACK_LANGUAGE,
    Wording,
    environment,
    language_chain,
    locale_of,
    template_error,
    write_day,
    write_moment,
)

NoticeReason = Literal["no_basis", "no_address"]

SUBJECT_LIMIT: Final = 60
DIGEST_LIMIT: Final = 40
"""Mails shown in one digest: more would pass the size at which mail programs cut HTML."""

_NAME_LIMIT: Final = 80
_ADDRESS_LIMIT: Final = 254
_LINE_LIMIT: Final = 160
_GREETING_SUBJECT_LIMIT: Final = 120

_PASSAGES: Final = {
    "alarm": ("label_detail", "more", "footer"),
    "greeting": ("subject", "heading", "message", "closing", "footer"),
    "notice": ("subject", "heading", "no_basis", "no_address", "footer"),
    "approval": (
        *("subject", "heading", "action", "otherwise", "silence", "shown"),
        *("label_to", "label_from", "label_subject", "footer"),
    ),
    "digest": (
        *("subject", "heading", "intro", "waited", "waiting", "label_done", "label_snooze"),
        *("more", "older", "footer"),
    ),
}


@dataclass(frozen=True, slots=True)
class Rendered:
    """A mail, ready but for its envelope; `language` is the one it was written in (BCP 47)."""

    subject: str
    text: str
    html: str
    language: str


@dataclass(frozen=True, slots=True)
class DigestLine:
    """One mail that waits for an answer.

    `since_local` is the reader's wall time; `days_waited` counts business days; `context` is a line
    of what was written, as received.
    """

    reminder_id: int
    contact_name: str
    customer_name: str
    address: str
    subject: str
    since_local: datetime
    days_waited: int
    context: str = ""


class Renderer:
    """Writes mails from `templates`: path below the template folder -> source text.

    Languages fall back: "zh-Hant-TW" to "zh-Hant", to "zh", to English. A template that can't be
    used raises ConfigError when a mail needs it; `check` finds all of them beforehand.
    """

    def __init__(self, templates: Mapping[str, str]) -> None:
        self._paths = {path.lower(): path for path in templates}
        self._wordings = environment(DictLoader(templates))
        # In shapes tags stand on lines of their own, which must not become empty lines.
        self._shapes = self._wordings.overlay(trim_blocks=True, lstrip_blocks=True)

    @property
    def occasions(self) -> frozenset[str]:
        """The occasions for which there is a greeting in English, and so in every language."""
        prefix, suffix = f"{FALLBACK_LANGUAGE}/greeting_", ".txt"
        paths = (path for path in self._paths if path.startswith(prefix) and path.endswith(suffix))
        return frozenset(path.removeprefix(prefix).removesuffix(suffix) for path in paths)

    def greeting(
        self, language: str, occasion: str, *, contact_name: str, rep_name: str, team_name: str
    ) -> Rendered:
        """The greeting to a contact, signed by rep and team; names may be empty."""
        rep, team = _name(rep_name), _name(team_name)
        words = self._wording(language, "greeting", f"greeting_{occasion}")
        words.know(contact_name=_name(contact_name), rep_name=rep, team_name=team)
        passages = words.passages()
        signature = [name for name in (rep, team) if name]
        return self._put_together(
            "greeting", words, passages | {"signature": signature}, _GREETING_SUBJECT_LIMIT
        )

    def notice(
        self, language: str, *, contact_name: str, customer_name: str, reason: NoticeReason
    ) -> Rendered:
        """Tells the owner that a contact has a birthday today and why it gets no mail."""
        words = self._wording(language, "notice")
        words.know(who=_who(contact_name, customer_name, "", words))
        passages = words.passages()
        return self._put_together("notice", words, passages | {"message": passages[reason]})

    def approval(
        self,
        language: str,
        *,
        outbox_id: int,
        contact_name: str,
        customer_name: str,
        address: str,
        greeting: Rendered,
        closes_at_local: datetime,
        zone_name: str,
        sender: str = "",
    ) -> Rendered:
        """Shows the owner a greeting as it will look, and how to approve it.

        `closes_at_local` is the owner's wall time in `zone_name` from which it is too late;
        `sender` is what the greeting's From will say.
        """
        words = self._wording(language, "approval")
        words.know(
            who=_who(contact_name, customer_name, address, words),
            closes=write_moment(_last_minute(closes_at_local), words.locale),
            zone_name=zone_name,
        )
        name, recipient = _name(contact_name), clean(address, _ADDRESS_LIMIT)
        values = {
            "approve": f"crm-sync outbox approve {outbox_id}",
            "cancel": f"crm-sync outbox cancel {outbox_id}",
            "recipient": words.isolated(f"{name} <{recipient}>" if name else recipient),
            "sender": words.isolated(clean(sender, _NAME_LIMIT + _ADDRESS_LIMIT)),
            "greeting": {
                "subject": words.isolated(greeting.subject, greeting.language),
                "text": greeting.text,
                **_direction(greeting.language),
            },
        }
        return self._put_together("approval", words, words.passages() | values)

    def digest(
        self,
        language: str,
        *,
        rep_name: str,
        day: date,
        lines: Sequence[DigestLine],
        older: int,
        team_name: str,
        zone_name: str,
    ) -> Rendered:
        """The rep's list of mails that wait, oldest first, with the commands to act on them.

        `older` mails are counted, not listed. `day` and the lines' times are of `zone_name`.
        """
        ordered = sorted(lines, key=lambda line: line.since_local)
        words = self._wording(language, "digest")
        shown = [_shown(line, words) for line in ordered[:DIGEST_LIMIT]]
        words.know(
            count=len(ordered),
            oldest=shown[0]["who"] if shown else "",
            waited=shown[0]["waited"] if shown else "",
            older=older,
            hidden=len(ordered) - len(shown),
            rep_name=_name(rep_name),
            day=write_day(day, words.locale),
            team_name=_name(team_name),
            zone_name=zone_name,
        )
        passages = words.passages(apart=("waited", "waiting"))
        if not shown:
            passages["intro"] = ""
        if not older:
            passages["older"] = ""
        if len(ordered) == len(shown):
            passages["more"] = ""
        return self._put_together("digest", words, passages | {"lines": shown})

    def alarm(self, language: str, kind: AlarmKind, lines: Sequence[AlarmLine]) -> Rendered:
        """Tells one of us of accounts that stopped, fail, work again, or whose access ends soon."""
        words = self._wording(language, "alarm")
        hidden = len(lines) - ALARM_LIMIT
        words.know(count=len(lines), account=lines[0].account, hidden=max(hidden, 0))
        passages = words.passages()
        if hidden <= 0:
            passages["more"] = ""
        for part in ("subject", "heading", "intro"):
            passages[part] = words.passage(f"{kind}_{part}")
        shown = [alarm_lines.shown(line, kind, words) for line in lines[:ALARM_LIMIT]]
        return self._put_together("alarm", words, passages | {"lines": shown})

    def check(self) -> tuple[Problem, ...]:
        """What is wrong with the templates, found by writing every mail in every language."""
        languages = {path.split("/")[0] for path in self._paths.values() if "/" in path}
        problems: dict[str, Problem] = {}
        for language in sorted(languages | {FALLBACK_LANGUAGE}):
            for write in _samples(self, language):
                try:
                    write()
                except ConfigError as error:
                    problems |= {problem.key: problem for problem in error.problems}
        return tuple(problems.values())

    def _wording(self, language: str, kind: str, name: str = "") -> Wording:
        for tag in language_chain(language):
            path = self._paths.get(f"{tag}/{name or kind}.txt".lower())
            if path is not None:
                template = _get(self._wordings, path)
                return Wording(template, path.partition("/")[0], _PASSAGES[kind])
        raise template_error(f"{FALLBACK_LANGUAGE}/{name or kind}.txt", "it is missing")

    def _put_together(
        self, shape: str, words: Wording, values: Mapping[str, object], limit: int = SUBJECT_LIMIT
    ) -> Rendered:
        # Cleaned: isolates around names would be shown as boxes in a list of mails.
        subject = cut(clean(str(values["subject"])), limit)
        known = {
            **values,
            **_direction(words.language),
            "subject": subject,
            "locale": words.locale,
        }
        parts = {}
        for part in ("txt", "html"):
            template = _get(self._shapes, f"{shape}.{part}")
            try:
                parts[part] = template.render(known)
            except TemplateError as error:
                raise template_error(f"{shape}.{part}", f"it can't be used: {error}") from error
        return Rendered(subject, _tidy(parts["txt"]), parts["html"] + "\n", words.language)


def _get(templates: Environment, path: str) -> Template:
    try:
        return templates.get_template(path)
    except TemplateNotFound:
        raise template_error(path, "it is missing") from None
    except TemplateError as error:
        raise template_error(path, f"it is no template: {error}") from error


def cut(text: str, limit: int) -> str:
    """`text`, or its beginning and an ellipsis, in at most `limit` characters."""
    return text if len(text) <= limit else text[: limit - 1].rstrip() + "…"


def _name(name: str) -> str:
    return cut(" ".join(clean(name).split()), _NAME_LIMIT)


def _who(contact_name: str, customer_name: str, address: str, words: Wording) -> str:
    """A contact for a rep's eye: "Lena Nordvik (Nordvik AB)", or what is known of it."""
    contact, customer = _name(contact_name) or _name(address), _name(customer_name)
    if contact and customer and contact != customer:
        # Chinese has brackets of full width, which bring their own space along.
        shape = "{}（{}）" if words.locale.language == "zh" else "{} ({})"
        return shape.format(contact, customer)
    return contact or customer


def _shown(line: DigestLine, words: Wording) -> dict[str, str]:
    since = write_moment(line.since_local, words.locale)
    waited = words.passage("waited", days=line.days_waited)
    subject = cut(clean(line.subject), _LINE_LIMIT)
    return {
        "who": _who(line.contact_name, line.customer_name, line.address, words),
        "waited": waited,
        "waiting": words.passage("waiting", subject=subject, since=since, waited=waited),
        "context": cut(" ".join(clean(line.context).split()), _LINE_LIMIT),
        "address": clean(line.address, _ADDRESS_LIMIT),
        "done": f"crm-sync reminders done {line.reminder_id}",
        "snooze": f"crm-sync reminders snooze {line.reminder_id} 3d",
    }


def _direction(language: str) -> dict[str, str]:
    direction = locale_of(language).text_direction
    start = "right" if direction == "rtl" else "left"
    return {"language": language, "direction": direction, "start": start}


def _last_minute(closes_at: datetime) -> datetime:
    """Midnight as the last minute of the day it ends: "until 13 March 00:00" is misread."""
    return closes_at - timedelta(minutes=1) if closes_at.time() == time.min else closes_at


def _tidy(text: str) -> str:
    """At most one empty line in a row, none at either end."""
    lines = [line.rstrip() for line in text.strip().splitlines()]
    kept = [line for line, before in zip(lines, ["", *lines], strict=False) if line or before]
    return "\n".join(kept) + "\n"


def _samples(renderer: Renderer, language: str) -> Iterator[Callable[[], Rendered]]:
    """Every mail there is, once with all values and once with as few as there can be."""
    noon = datetime(2026, 3, 12, 12, tzinfo=UTC)
    line = DigestLine(1, "Name", "Customer", "a@customer.example", "Subject", noon, 2, "Context")
    draft = Rendered("Subject", "Text\n", "<p>Text</p>\n", language)
    for kind, accounts in alarm_lines.samples():
        yield partial(renderer.alarm, language, kind, accounts)
    for name, lines in (("Name", [line, line]), ("", [])):
        for occasion in sorted(renderer.occasions):
            yield partial(
                renderer.greeting, language, occasion,
                contact_name=name, rep_name=name, team_name=name,
            )  # fmt: skip
        for reason in get_args(NoticeReason):
            yield partial(
                renderer.notice, language, contact_name=name, customer_name=name, reason=reason
            )
        yield partial(
            renderer.approval, language, outbox_id=1, contact_name=name, customer_name=name,
            address=line.address, greeting=draft, closes_at_local=noon, zone_name="UTC",
        )  # fmt: skip
        yield partial(
            renderer.digest, language, rep_name=name, day=noon.date(), lines=lines,
            older=len(lines), team_name=name, zone_name="UTC",
        )  # fmt: skip
