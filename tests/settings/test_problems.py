"""Whatever is wrong is told at once: the key, the line, what was found, what to do."""

import pytest

from crm_sync.core.errors import ConfigError
from crm_sync.settings import load


def _rep(email="karin@acme.example"):
    return f'[[reps]]\nemail = "{email}"\n'


def _mailbox(*lines):
    return "\n".join(['[[mailboxes]]\nconnector = "imap"\nhost = "localhost"', *lines, ""])


@pytest.mark.parametrize(
    ("added", "sentence"),
    [
        (
            '[databse]\nurl = "x"\n',
            'databse (line 7): is not a known table. Did you mean "database"?',
        ),
        (
            '[sending]\ndigestat = "08:00"\n',
            'sending.digestat (line 8): is not a known key. Did you mean "digest_at"?',
        ),
        (
            '[sending]\nreps = "yes"\n',
            'sending.reps (line 8): found the text "yes", expected true or false.',
        ),
        (
            "[daemon]\nworkers = 0\n",
            "daemon.workers (line 8): found the number 0, it should be greater than or equal to 1.",
        ),
        (
            '[daemon]\npoll_interval = "often"\n',
            (
                'daemon.poll_interval (line 8): "often" is not an interval. '
                "Write it like 30s, 5m or 1h."
            ),
        ),
        (
            '[matching]\ndomains = "infered"\n',
            (
                'matching.domains (line 8): "infered" is none of "inferred", "listed" or "off". '
                'Did you mean "inferred"?'
            ),
        ),
        (
            '[sending]\ndigest_at = "8 am"\n',
            'sending.digest_at (line 8): "8 am" is not a time of day. Write it like "08:00".',
        ),
        (
            '[[greetings]]\noccasion = "holiday"\n',
            (
                'greetings[holiday].occasion (line 8): "holiday" is not available in this '
                "version yet. "
                'Use "birthday".'
            ),
        ),
        (
            '[[greetings]]\noccasion = "birthdays"\n',
            (
                'greetings[birthdays].occasion (line 8): "birthdays" is none of "birthday", '
                '"purchase_anniversary", "customer_anniversary" or "holiday". '
                'Did you mean "birthday"?'
            ),
        ),
        (
            '[[reminders]]\nkind = "stale"\n',
            (
                'reminders[stale].kind (line 8): "stale" is not available in this version. '
                'Use "unanswered".'
            ),
        ),
        (
            '[[reminders]]\nkind = "unanswered"\nafter = "soon"\n',
            (
                'reminders[unanswered].after (line 9): "soon" is not a length of time. '
                "Write it like 90d, 36h, 2 weeks or 2 business days."
            ),
        ),
        (
            '[database]\nurl = "postgresql+psycopg://u:hunter2@db/crm"\n',
            (
                "database.url (line 8): PostgreSQL is not available in this version yet. "
                'Write "sqlite:///crm-sync.db", or four slashes before an absolute path.'
            ),
        ),
        (
            '[database]\nurl = "mssql+pymssql://u:hunter2@db/crm"\n',
            (
                "database.url (line 8): is not the URL of an SQLite file. "
                'Write "sqlite:///crm-sync.db", or four slashes before an absolute path.'
            ),
        ),
        (
            "[[reps]]\nname = 'Karin'\n",
            "reps[1].email (line 7): is missing.",
        ),
        (
            _rep("karin"),
            (
                'reps[karin].email (line 8): "karin" is not an address. '
                'Write it like "karin@acme.example".'
            ),
        ),
        (
            _rep() + 'manager = "daniel@acme.example"\n',
            (
                'reps[karin@acme.example].manager (line 9): "daniel@acme.example" is not declared '
                "as a rep. Add it under [[reps]]."
            ),
        ),
        (
            _rep() + 'manager = "Karin@ACME.example"\n',
            (
                "reps[karin@acme.example].manager (line 9): is the rep's own address. "
                "Name somebody else, or nobody."
            ),
        ),
        (
            _rep() + _rep("daniel@acme.example") + 'aliases = ["KARIN@acme.example"]\n',
            (
                'reps[daniel@acme.example].aliases (line 11): "KARIN@acme.example" belongs to '
                "the rep "
                '"karin@acme.example" already. An address belongs to one rep.'
            ),
        ),
        (
            _rep() + _rep(),
            (
                'reps[2].email (line 10): "karin@acme.example" belongs to the rep '
                '"karin@acme.example" already. An address belongs to one rep.'
            ),
        ),
        (
            _rep() + _mailbox('rep = "karim@acme.example"'),
            (
                'mailboxes[karim@acme.example/imap].rep (line 12): "karim@acme.example" is not '
                'declared as a rep. Did you mean "karin@acme.example"?'
            ),
        ),
        (
            _rep() + 'aliases = ["k@acme.example"]\n' + _mailbox('rep = "k@acme.example"'),
            (
                'mailboxes[k@acme.example/imap].rep (line 13): "k@acme.example" is not declared '
                "as a "
                'rep. It is an alias of "karin@acme.example": write that.'
            ),
        ),
        (
            '[[senders]]\nrep = "k@acme.example"\nconnector = "smtp"\nhost = "localhost"\n',
            (
                'senders[k@acme.example/smtp].rep (line 8): "k@acme.example" is not declared as '
                "a rep. "
                "Add it under [[reps]]."
            ),
        ),
        (
            _mailbox() + _mailbox(),
            (
                'mailboxes[2].name (line 10): "team/imap" is the name of mailboxes number 1 '
                "already. "
                "Give one of them a `name` of its own."
            ),
        ),
        (
            _mailbox('pasword = "hunter2"'),
            'mailboxes[team/imap].pasword (line 10): is not a known key. Did you mean "password"?',
        ),
        (
            _mailbox('port = "993"'),
            (
                'mailboxes[team/imap].port (line 10): found the text "993", '
                "expected a number without quotes."
            ),
        ),
        (
            _mailbox("port = 70000"),
            (
                "mailboxes[team/imap].port (line 10): found the number 70000, "
                "it should be less than or equal to 65535."
            ),
        ),
        (
            _mailbox('since = "yesterday"'),
            "mailboxes[team/imap].since (line 10): it is no length of time. Write it like 90d.",
        ),
        (
            _mailbox('folders = "Inbox"'),
            (
                'mailboxes[team/imap].folders (line 10): found the text "Inbox", '
                "expected a list in square brackets."
            ),
        ),
        (
            _mailbox("timeouts = { conect = 3 }"),
            (
                "mailboxes[team/imap].timeouts.conect (line 10): is not a known key. "
                'Did you mean "connect"?'
            ),
        ),
        (
            _mailbox('security = "ssl"'),
            (
                'mailboxes[team/imap].security (line 10): "ssl" is none of "tls", "starttls" or '
                '"none".'
            ),
        ),
        (
            _mailbox('password = "secret:karin-imap"'),
            (
                'mailboxes[team/imap].password (line 10): the secret "karin-imap" is nowhere. '
                "Put it in the variable CRM_SYNC_SECRET_KARIN_IMAP."
            ),
        ),
        (
            _mailbox("password = 12345"),
            "mailboxes[team/imap].password (line 10): found a value, expected text in quotes.",
        ),
        (
            _mailbox('ca_file = "our-ca.pem"'),
            (
                'mailboxes[team/imap].ca_file (line 10): "our-ca.pem" is not there. '
                "A relative path starts at the configuration's folder."
            ),
        ),
        (
            _rep() + _mailbox('rep = "karin@acme.example"', 'address = "info@acme.example"'),
            (
                "mailboxes[karin@acme.example/imap].address (line 13): is for mailboxes without "
                "a rep. "
                "The addresses of a rep stand under [[reps]]."
            ),
        ),
        (
            '[[mailboxes]]\nhost = "localhost"\n',
            "mailboxes[team/?].connector (line 7): is missing.",
        ),
        (
            '[[mailboxes]]\nconnector = "imp"\n',
            (
                'mailboxes[team/imp].connector (line 8): "imp" is not an installed connector. '
                'Did you mean "imap"?'
            ),
        ),
        (
            '[[mailboxes]]\nconnector = "ics"\n',
            (
                'mailboxes[team/ics].connector (line 8): "ics" is not available yet. '
                'Available here: "imap".'
            ),
        ),
        (
            '[[mailboxes]]\nconnector = "caldav"\nurl = "https://dav.acme.example/"\n',
            (
                'mailboxes[team/caldav].connector (line 8): "caldav" reads calendars. '
                "Write [[calendars]]."
            ),
        ),
        (
            '[sender]\nconnector = "smtp"\nhost = "localhost"\n',
            "sender.from (line 7): is missing.",
        ),
        (
            '[sender]\nconnector = "smtp"\nhost = "localhost"\nfrom = "Acme CRM"\n',
            (
                'sender.from (line 10): "Acme CRM" is not one address. '
                'Write it like "Acme CRM <crm@acme.example>".'
            ),
        ),
        (
            (
                '[sender]\nrep = "k@acme.example"\nconnector = "smtp"\nhost = "localhost"\n'
                'from = "crm@acme.example"\n'
            ),
            "sender.rep (line 8): is not a known key. A rep's own sender stands under [[senders]].",
        ),
        (
            '[[greetings]]\noccasion = "birthday"\n' * 2,
            (
                'greetings[2].occasion (line 10): "birthday" is listed twice. '
                "Keep one [[greetings]] for it."
            ),
        ),
        ("reps = 3\n", "team.reps (line 7): is not a known key."),
    ],
)
def test_a_fault_is_named_with_its_line_and_the_way_out(workspace, team, added, sentence):
    assert workspace.problems(team + added) == [sentence]


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        (
            'timezone = "Europe/Stokholm"',
            (
                'team.timezone (line 2): "Europe/Stokholm" is not a time zone. '
                'Did you mean "Europe/Stockholm"?'
            ),
        ),
        (
            'language = "swedish"',
            (
                'team.language (line 2): "swedish" is not a known language. '
                'Write a language tag, such as "sv" or "pt-BR".'
            ),
        ),
        (
            'country = "UK"',
            'team.country (line 2): "UK" is not a country code. Did you mean "GB"?',
        ),
        (
            'country = "Sweden"',
            (
                'team.country (line 2): "SWEDEN" is not a country code. '
                'Write two letters, such as "SE".'
            ),
        ),
        (
            'domains = ["gmail.com"]',
            (
                'team.domains[1] (line 2): "gmail.com" is a freemail domain: '
                "not all who write from it are ours. "
                "Declare the team's addresses there under [[reps]] instead."
            ),
        ),
        (
            'domains = ["co.uk"]',
            (
                'team.domains[1] (line 2): "co.uk" is a public suffix: '
                "anybody may have a domain under it."
            ),
        ),
        (
            'domains = "acme.example"',
            (
                'team.domains (line 2): found the text "acme.example", '
                "expected a list in square brackets."
            ),
        ),
        (
            'domains = ["karin@acme.example"]',
            (
                'team.domains[1] (line 2): "karin@acme.example" is not a domain. '
                'Write it like "acme.example".'
            ),
        ),
    ],
)
def test_a_fault_in_the_team_is_named_likewise(workspace, line, sentence):
    assert workspace.problems(f"[team]\n{line}\n") == [sentence]


def test_bad_working_hours_say_how_to_write_them(workspace):
    (problem,) = workspace.problems('[team]\nworking_hours = "nine to five"\n')

    assert problem.startswith("team.working_hours (line 2): ")
    assert '"Mon-Fri 08:00-17:00"' in problem


def test_all_problems_come_at_once_in_the_order_of_the_file(workspace):
    problems = workspace.problems(
        '[team]\ntimezone = "Mars"\ndomains = ["gmail.com", "acme.example"]\n'
        + _mailbox('rep = "nobody@acme.example"', 'pasword = "x"', "port = 0")
        + '[snder]\nconnector = "smtp"\n'
        + '[[calendars]]\nconnector = "caldav"\n',
        CRM_SYNC_TEAM_NAME="x",
    )

    assert [problem.partition(":")[0] for problem in problems] == [
        "CRM_SYNC_TEAM_NAME",
        "team.timezone (line 2)",
        "team.domains[1] (line 3)",
        "mailboxes[nobody@acme.example/imap].rep (line 7)",
        "mailboxes[nobody@acme.example/imap].pasword (line 8)",
        "mailboxes[nobody@acme.example/imap].port (line 9)",
        "snder (line 10)",
        "calendars[team/caldav].url (line 12)",
    ]


def test_the_error_names_the_file(workspace):
    assert str(workspace.path) in workspace.refusal("").sentence()


def test_an_empty_file_is_told_what_it_lacks(workspace):
    assert workspace.problems("") == [
        "team: is missing. Write a table [team] with name, domains and timezone."
    ]


@pytest.mark.parametrize(
    ("variable", "sentence"),
    [
        (
            "CRM_SYNC_DATABASE_URL",
            (
                "CRM_SYNC_DATABASE_URL: is not a variable of crm-sync. "
                'Did you mean "CRM_SYNC_DATABASE__URL"?'
            ),
        ),
        ("CRM_SYNC_", "CRM_SYNC_: is not a variable of crm-sync."),
        (
            "CRM_SYNC_TEAM",
            'CRM_SYNC_TEAM: is not a variable of crm-sync. Did you mean "CRM_SYNC_TEAM__NAME"?',
        ),
        (
            "CRM_SYNC_REPS__EMAIL",
            (
                "CRM_SYNC_REPS__EMAIL: lists of tables can't be set by the environment. "
                "Write [[reps]] in the file; a secret there can be named `secret:NAME`."
            ),
        ),
        (
            "CRM_SYNC_SENDING__DIGEST_AT",
            'CRM_SYNC_SENDING__DIGEST_AT: "noon" is not a time of day. Write it like "08:00".',
        ),
        (
            "CRM_SYNC_DAEMON__WORKERS",
            'CRM_SYNC_DAEMON__WORKERS: found the text "noon", expected a whole number.',
        ),
    ],
)
def test_variables_are_checked_like_keys(workspace, team, variable, sentence):
    assert workspace.problems(team, **{variable: "noon"}) == [sentence]


def test_a_connectors_unknown_key_in_the_environment_is_told_by_its_variable(workspace, team):
    text = team + '[sender]\nconnector = "smtp"\nhost = "localhost"\nfrom = "crm@acme.example"\n'

    assert workspace.problems(text, CRM_SYNC_SENDER__PASWORD="hunter2") == [
        'CRM_SYNC_SENDER__PASWORD: is not a known key. Did you mean "password"?'
    ]


def test_variables_of_others_and_of_secrets_are_left_alone(workspace, team):
    workspace.load(team, CRM_SYNCER="x", CRM_SYNC_CONFIG="x", CRM_SYNC_SECRET_ANY="x", HOME="/")


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"[team]\nname = Acme\n", "(line 2): is not valid TOML: invalid value."),
        (b"[team]\n[team]\n", "(line 2): is not valid TOML: cannot declare ('team',) twice."),
        (b"[team\n", "(line 1): is not valid TOML"),
        (b"[team]\nname = '", "(line 2): is not valid TOML"),
        (b"[team]\nname = '\xe5'\n", "(line 2): is not UTF-8 text. Save it as UTF-8."),
        (b"\xff\xfe[\0t\0", "(line 1): is not UTF-8 text"),
        (b"a = " + b"[" * 100_000, "is nested too deeply"),
        (b"#" * 1_000_001, "is larger than 1 MB"),
    ],
)
def test_what_is_no_toml_is_refused_with_its_line(workspace, content, sentence):
    workspace.path.write_bytes(content)

    with pytest.raises(ConfigError) as raised:
        load(workspace.path, environ={}, source_kinds={}, sender_kinds={})

    (problem,) = raised.value.problems
    assert problem.sentence().startswith(str(workspace.path))
    assert sentence in problem.sentence()


def test_a_missing_file_and_a_folder_are_told_apart(tmp_path):
    with pytest.raises(ConfigError, match=r"there is no such file\. `crm-sync init` writes"):
        load(tmp_path / "no.toml", environ={}, source_kinds={}, sender_kinds={})
    with pytest.raises(ConfigError, match=r"is a folder\. Name the file in it"):
        load(tmp_path, environ={}, source_kinds={}, sender_kinds={})


def test_lines_are_right_behind_values_of_several_lines(workspace):
    text = (
        '[team]\nname = """\n[[reps]]\nx = 1\n"""\ndomains = [ # ] "\n  "a.example",\n]\n'
        'zone = "x"\n[[reps]]\n"email" = 3\n[[reps]]\nemail = \'[x]\'\n'
    )

    assert [problem.partition(":")[0] for problem in workspace.problems(text)] == [
        "team.zone (line 9)",
        "reps[1].email (line 11)",
        "reps[[x]].email (line 13)",
    ]


def test_no_problem_shows_a_secret(workspace, team):
    error = workspace.refusal(
        team
        + _mailbox('password = "hunter2"', 'passwd = "hunter2"', "port = 0")
        + '[sender]\nconnector = "smtp"\npassword = ["hunter2"]\nfrom = 3\n',
        CRM_SYNC_SENDER__TOKEN="hunter2",
    )

    assert len(error.problems) >= 5
    assert "hunter2" not in str(error)
    assert "hunter2" not in repr(error.__cause__) + repr(error.__context__)
