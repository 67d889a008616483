"""What a valid file gives: defaults, places, names, and what the environment changes."""

from datetime import time, timedelta
from pathlib import Path

import pytest

from crm_sync.core.durations import Duration
from crm_sync.core.errors import ConfigError
from crm_sync.core.records import Address
from crm_sync.settings import find_config

FULL = """
[database]
url = "sqlite:///data/diary.db"

[team]
name = "Acme AB"
domains = ["ACME.example", "bücher.example"]
language = "sv"
timezone = "Europe/Stockholm"
country = "se"
working_hours = "Mon-Fri 08:00-17:00"

[[reps]]
email = "Karin@acme.example"
name = "Karin Ek"
aliases = ["k.ek@acme.example"]
manager = "daniel@acme.example"
language = "zh-Hans"
timezone = "Asia/Shanghai"

[[reps]]
email = "daniel@acme.example"

[[mailboxes]]
rep = "karin@acme.example"
connector = "imap"
host = "imap.acme.example"
ca_file = "our-ca.pem"
password = "env:KARIN"

[[mailboxes]]
connector = "imap"
address = "info@acme.example"
host = "imap.acme.example"

[[mailboxes]]
name = "support"
connector = "imap"
host = "imap.acme.example"

[[calendars]]
rep = "karin@acme.example"
connector = "caldav"
url = "https://dav.acme.example/karin/"

[sender]
connector = "smtp"
host = "smtp.acme.example"
from = "Acme CRM <crm@acme.example>"

[[senders]]
rep = "karin@acme.example"
connector = "smtp"
host = "smtp.acme.example"

[sending]
digest_at = "07:30"

[[greetings]]
occasion = "birthday"
customers = "auto"

[[reminders]]
kind = "unanswered"
after = "3 business days"

[daemon]
poll_interval = "2m"
"""


def test_a_full_file_gives_everything_resolved(workspace):
    (workspace.folder / "our-ca.pem").write_text("")

    settings = workspace.load(FULL, KARIN="hemligt\n")

    database = workspace.folder / "data" / "diary.db"
    assert settings.database.path == database
    assert settings.database.url == f"sqlite:///{database}"
    assert settings.team.domains == ("acme.example", "xn--bcher-kva.example")
    assert settings.team.country == "SE"
    karin, daniel = settings.reps
    assert (karin.language, karin.timezone.key) == ("zh-Hans", "Asia/Shanghai")
    assert (daniel.language, daniel.timezone.key) == ("sv", "Europe/Stockholm")
    assert [(a.name, a.kind, a.rep) for a in settings.accounts] == [
        ("Karin@acme.example/imap", "mailbox", "Karin@acme.example"),
        ("team/imap", "mailbox", None),
        ("support", "mailbox", None),
        ("Karin@acme.example/caldav", "calendar", "Karin@acme.example"),
    ]
    mailbox = settings.accounts[0].options
    assert mailbox.ca_file == workspace.folder / "our-ca.pem"
    assert mailbox.password.get_secret_value() == "hemligt"
    assert settings.accounts[1].address == "info@acme.example"
    assert settings.sender.from_ == Address("crm@acme.example", "Acme CRM")
    assert settings.senders[0].from_ == Address("Karin@acme.example", "Karin Ek")
    assert settings.sending.digest_at == time(7, 30)
    assert settings.greetings[0].send_at == time(9, 0)
    assert settings.greetings[0].customers == "auto"
    assert settings.reminders[0].after == Duration(business_days=3)
    assert settings.daemon.poll_interval == timedelta(minutes=2)


def test_a_team_alone_is_enough(workspace):
    settings = workspace.load("[team]\n")

    assert settings.accounts == ()
    assert settings.sender is None
    assert settings.sending.customers == "ask"
    assert settings.greetings == ()
    assert settings.reminders == ()
    assert settings.matching.domains == "inferred"
    assert settings.database.path == workspace.folder / "crm-sync.db"


def test_systemds_state_directory_holds_the_database_by_default(workspace, team):
    settings = workspace.load(team, STATE_DIRECTORY="/var/lib/crm-sync:/var/lib/other")

    assert settings.database.url == "sqlite:////var/lib/crm-sync/crm-sync.db"


def test_an_absolute_database_path_stays_where_it_is(workspace, team):
    settings = workspace.load(team + '[database]\nurl = "sqlite:////srv/diary.db"\n')

    assert settings.database.path == Path("/srv/diary.db")


def test_nothing_is_written_by_reading(workspace, team):
    workspace.load(team)

    assert [entry.name for entry in workspace.folder.iterdir()] == ["crm-sync.toml"]


def test_off_for_all_customers_wins_over_an_occasion_that_is_auto(workspace, team):
    text = team + (
        '[sending]\ncustomers = "off"\n[[greetings]]\noccasion = "birthday"\ncustomers = "auto"\n'
    )

    assert workspace.load(text).greetings[0].customers == "off"


def test_the_environment_overrides_scalars_and_lists(workspace, team):
    settings = workspace.load(
        team,
        CRM_SYNC_TEAM__LANGUAGE="fa",
        CRM_SYNC_TEAM__DOMAINS="acme.example, acme.test",
        CRM_SYNC_SENDING__REPS="false",
        CRM_SYNC_DAEMON__WORKERS="3",
        CRM_SYNC_DATABASE__URL="sqlite:///other.db",
    )

    assert settings.team.language == "fa"
    assert settings.team.domains == ("acme.example", "acme.test")
    assert settings.sending.reps is False
    assert settings.daemon.workers == 3
    assert settings.database.path == workspace.folder / "other.db"
    assert settings.team.name == "Acme AB"


def test_the_environment_can_give_the_whole_sender(workspace, team):
    settings = workspace.load(
        team,
        CRM_SYNC_SENDER__CONNECTOR="smtp",
        CRM_SYNC_SENDER__HOST="localhost",
        CRM_SYNC_SENDER__PORT="2525",
        CRM_SYNC_SENDER__FROM="crm@acme.example",
        CRM_SYNC_SENDER__PASSWORD="secret:smtp",
        CRM_SYNC_SECRET_SMTP="x",
    )

    assert settings.sender.options.port == 2525
    assert settings.sender.from_ == Address("crm@acme.example")
    assert settings.sender.options.password.get_secret_value() == "x"


def test_the_environment_of_the_process_itself_is_not_read(workspace, team, monkeypatch):
    monkeypatch.setenv("CRM_SYNC_TEAM__NAME", "Somebody else")

    assert workspace.load(team).team.name == "Acme AB"


@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_a_byte_order_mark_and_windows_line_ends_are_no_hindrance(workspace, team, mark):
    assert workspace.load(mark + team.replace("\n", "\r\n")).team.name == "Acme AB"


def test_the_file_is_found_where_it_is_named_first_then_in_the_folder(tmp_path):
    here = tmp_path / "crm-sync.toml"
    here.write_text("")

    assert find_config(Path("a.toml"), {"CRM_SYNC_CONFIG": "b.toml"}, tmp_path) == (
        tmp_path / "a.toml"
    )
    assert find_config(None, {"CRM_SYNC_CONFIG": "/x/b.toml"}, tmp_path) == Path("/x/b.toml")
    assert find_config(None, {}, tmp_path) == here


def test_without_any_file_init_is_advised(tmp_path):
    with pytest.raises(ConfigError, match="`crm-sync init` writes a commented one"):
        find_config(None, {}, tmp_path)


def test_one_table_may_stand_for_several_reps(workspace, team):
    settings = workspace.load(
        f"""{team}
        [[reps]]
        email = "karin@acme.example"
        [[reps]]
        email = "daniel@acme.example"
        [[mailboxes]]
        reps = ["Karin@acme.example", "daniel@acme.example"]
        connector = "imap"
        host = "imap.acme.example"
        """
    )
    accounts = settings.accounts
    assert [a.name for a in accounts] == ["karin@acme.example/imap", "daniel@acme.example/imap"]
    assert [a.options.username for a in accounts] == [a.rep for a in accounts]


TWICE = """reps = ["karin@acme.example"]
[[mailboxes]]
connector = "imap"
host = "imap.acme.example"
rep = "karin@acme.example"
"""


@pytest.mark.parametrize(
    ("lines", "told"),
    [
        ('reps = ["nobody@acme.example"]', '"nobody@acme.example" is not declared as a rep'),
        ("reps = []", "names nobody"),
        ('reps = ["karin@acme.example"]\nusername = "k"', "can't stand beside reps"),
        (TWICE, "is the name of mailboxes number 1 already"),
    ],
)
def test_faults_of_a_table_for_several_reps_are_told(workspace, team, lines, told):
    problems = workspace.problems(
        f"""{team}
[[reps]]
email = "karin@acme.example"
[[mailboxes]]
connector = "imap"
host = "imap.acme.example"
{lines}
"""
    )
    assert len(problems) == 1
    assert told in problems[0]
