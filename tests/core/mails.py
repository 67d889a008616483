"""One mail of each kind, written from the templates that ship, for tests to look at."""

from dataclasses import replace
from datetime import date, datetime
from html.parser import HTMLParser
from pathlib import Path
from zoneinfo import ZoneInfo

from crm_sync.core import alarm_lines
from crm_sync.core.rendering import DigestLine, Renderer

FOLDER = Path(__file__).parents[2] / "config" / "templates"
TEMPLATES = {
    path.relative_to(FOLDER).as_posix(): path.read_text(encoding="utf-8")
    for path in FOLDER.rglob("*")
    if path.is_file()
}
STOCKHOLM = ZoneInfo("Europe/Stockholm")
LANGUAGES = ["sv", "da", "fa", "vi", "zh", "en"]
RENDERER = Renderer(TEMPLATES)
LINE = DigestLine(
    reminder_id=17,
    contact_name="Lena Nordvik",
    customer_name="Nordvik AB",
    address="lena@nordvik.example",
    subject="Offert 2026-118",
    since_local=datetime(2026, 3, 10, 9, 5, tzinfo=STOCKHOLM),
    days_waited=2,
    context="Kan ni leverera före påsk?",
)


def greeting(language="sv", name="Lena Nordvik", rep="Karin Ek", renderer=RENDERER):
    return renderer.greeting(
        language, "birthday", contact_name=name, rep_name=rep, team_name="Acme AB"
    )


def approval(language="sv", **changed):
    known = {
        "outbox_id": 12,
        "contact_name": "Lena Nordvik",
        "customer_name": "Nordvik AB",
        "address": "lena@nordvik.example",
        "greeting": greeting(),
        "closes_at_local": datetime(2026, 3, 13, 0, 0, tzinfo=STOCKHOLM),
        "zone_name": "Europe/Stockholm",
        "sender": "Karin Ek <karin@acme.example>",
    }
    return RENDERER.approval(language, **(known | changed))


def digest(*lines, language="sv", older=0):
    return RENDERER.digest(
        language,
        rep_name="Karin Ek",
        day=date(2026, 3, 12),
        lines=lines,
        older=older,
        team_name="Acme AB",
        zone_name="Europe/Stockholm",
    )


def notice(language="sv", reason="no_basis", name="Lena Nordvik", customer="Nordvik AB"):
    return RENDERER.notice(language, contact_name=name, customer_name=customer, reason=reason)


def mails(language):
    return [
        greeting(language),
        greeting(language, name="", rep=""),
        approval(language),
        approval(language, contact_name="", customer_name="", sender=""),
        digest(LINE, language=language),
        digest(
            LINE, replace(LINE, days_waited=0, subject="", context=""), language=language, older=3
        ),
        digest(language=language, older=1),
        *(RENDERER.alarm(language, kind, lines) for kind, lines in alarm_lines.samples()),
        notice(language),
        notice(language, reason="no_address", name=""),
    ]


class Page(HTMLParser):
    """What a reader sees, and what a careful reader checks in the source."""

    def __init__(self, html):
        super().__init__()
        self.tags, self.shown, self.hidden = [], "", False
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        self.hidden = tag in {"style", "title"}

    def handle_endtag(self, tag):
        self.hidden = False

    def handle_data(self, data):
        if not self.hidden:
            self.shown += data

    def all(self, tag):
        return [attrs for name, attrs in self.tags if name == tag]
