"""After each mail made to break its reader, in a real mailbox, the good mail is logged."""

from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import select

from crm_sync.app import App, read_settings
from crm_sync.core.customer_files import parse_customers
from crm_sync.flow import explain, intake
from crm_sync.store.tables import body, interaction, quarantine, wanted
from crm_sync.store.texts import WAITS
from crm_sync.testing.clock import FixedClock
from tests.runtime import bombs

ARRIVED = datetime(2026, 3, 1, 11, tzinfo=UTC)
CONFIGURATION = """
[database]
url = "sqlite:///crm-sync.db"
[team]
name = "Acme AB"
domains = ["acme.example"]
timezone = "Europe/Stockholm"
[[reps]]
email = "rep@acme.example"
[[mailboxes]]
rep = "rep@acme.example"
since = "all"
"""


def good(name: str) -> bytes:
    return bombs.mail(f"after-{name}", bombs.html(b"<p>Please send another one.</p>"))


def with_good_ones(found) -> list[bytes]:
    return [one for name, content in found for one in (bombs.mail(name, content), good(name))]


@pytest.fixture
def office(tmp_path):
    """Opens the program on a mailbox, with everybody who writes there as a customer."""
    apps = []

    def opened(mailbox: str) -> App:
        config = tmp_path / "crm-sync.toml"
        config.write_text(CONFIGURATION + mailbox)
        app = App(read_settings(config), FixedClock(ARRIVED + timedelta(days=1)))
        apps.append(app)
        listed = parse_customers(b"name,domains,company\nBombs,bombs.example,Bombs AB\n", ".csv")
        intake.take_in(app.setup, listed)
        return app

    yield opened
    for app in apps:
        app.close()


def texts(app: App) -> dict[str, str | None]:
    """Message-ID of what is logged -> its text, None where there is none."""
    rows = select(interaction.c.message_id, body.c.text).outerjoin(body)
    with app.store.read() as tx:
        return {row[0].strip("<>").partition("@")[0]: row[1] for row in tx.execute(rows)}


def check_good_ones(app: App, names: list[str]) -> dict[str, str | None]:
    found = texts(app)
    assert {n: found.get(f"after-{n}") for n in names} == dict.fromkeys(
        names, "Please send another one."
    )
    for name in names:
        (told,) = explain.explain(app.setup, f"<after-{name}@bombs.example>")
        assert told["outcome"] == "logged"
    return found


@pytest.mark.dovecot
def test_small_bombs_in_a_mailbox_on_a_server_cost_nothing_but_themselves(dovecot, office):
    names = [name for name, _ in bombs.small()]
    dovecot.add_user("bombed")
    dovecot.seed("bombed", "INBOX", [(raw, ARRIVED) for raw in with_good_ones(bombs.small())])
    app = office(
        f'connector = "imap"\nhost = "{dovecot.host}"\nport = {dovecot.port}\nsecurity = "none"\n'
        'username = "bombed"\npassword = "pass"\n'
    )
    (pulled,) = app.pull()
    assert pulled.error is None
    assert pulled.seen == 2 * len(names)
    found = check_good_ones(app, names)
    assert found.keys() >= set(names), "a bomb is lost"


def test_large_bombs_in_an_archive_are_logged_without_text_and_end_in_quarantine(tmp_path, office):
    names = [name for name, _ in bombs.large()]
    for folder in ("cur", "new", "tmp"):
        (tmp_path / "mail" / folder).mkdir(parents=True)
    for number, raw in enumerate(with_good_ones(bombs.large())):
        (tmp_path / "mail/cur" / f"177236{number:04}.M1P1.host:2,S").write_bytes(raw)
    app = office('connector = "maildir"\npath = "mail"\n')
    (pulled,) = app.pull()
    assert pulled.error is None
    found = check_good_ones(app, names)
    assert {name: found[name] for name in names} == dict.fromkeys(names)
    for wait in WAITS:
        app.clock.advance(wait)
        app.pull()
    with app.store.read() as tx:
        assert tx.execute(select(wanted)).all() == [], "it is tried for ever"
        held = tx.execute(select(quarantine.c.reason, quarantine.c.state)).all()
    assert held == [("it takes too much time or memory to read", "held")] * len(names)
    assert texts(app).keys() >= set(names), "the interactions stay"
