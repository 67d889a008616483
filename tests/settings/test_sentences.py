"""What an admin reads about a slip in a table of a connector that ships with crm-sync."""

import pytest

from connectors import caldav, graph, imap, smtp
from connectors.imap import gmail as gmail_mailbox
from connectors.smtp import gmail as gmail_sender
from crm_sync.core.errors import ConfigError
from crm_sync.settings import load

SOURCES = {
    "imap": imap.KIND,
    "gmail": gmail_mailbox.KIND,
    "microsoft365": graph.MAILBOX,
    "caldav": caldav.KIND,
}
SENDERS = {"smtp": smtp.KIND, "gmail": gmail_sender.KIND}
TEAM = """[team]
domains = ["acme.example"]

[[reps]]
email = "karin@acme.example"

"""
MAILBOX = '[[mailboxes]]\nrep = "karin@acme.example"\n'
IMAP = f'{MAILBOX}connector = "imap"\nusername = "karin"\npassword = "env:PASSWORD"\n'
GMAIL = f'{MAILBOX}connector = "gmail"\nusername = "karin@acme.example"\n'
GRAPH = f'{MAILBOX}connector = "microsoft365"\n'
CALDAV = (
    '[[calendars]]\nrep = "karin@acme.example"\nconnector = "caldav"\nusername = "karin"\n'
    'url = "https://dav.acme.example"\npassword = "env:PASSWORD"\n'
)
SMTP = '[sender]\nconnector = "smtp"\nfrom = "crm@acme.example"\n'


@pytest.fixture
def told(tmp_path):
    """The sentences about a configuration."""

    def read(text):
        path = tmp_path / "crm-sync.toml"
        path.write_text(TEAM + text, encoding="utf-8")
        environ = {"PASSWORD": "planted"}
        try:
            load(path, environ=environ, source_kinds=SOURCES, sender_kinds=SENDERS)
        except ConfigError as error:
            return [problem.sentence() for problem in error.problems]
        return []

    return read


@pytest.mark.parametrize(
    ("written", "sentence"),
    [
        (
            IMAP.replace("[[", "[").replace("]]", "]") + 'host = "imap.acme.example"\n',
            (
                "mailboxes (line 7): is one table, and there may be several. "
                "Write [[mailboxes]] for each, with two brackets on either side."
            ),
        ),
        (
            '[[sender]]\nconnector = "smtp"\nfrom = "crm@acme.example"\nhost = "h"\n',
            (
                "sender (line 7): is a list, and there is only one table. "
                "Write [sender], with one bracket on either side."
            ),
        ),
    ],
)
def test_brackets_too_few_or_too_many_are_told_as_such(told, written, sentence):
    assert told(written) == [sentence]


MICROSOFT = {
    "username": ("karin@acme.example", "karin", "an address", "one such as karin@acme.example"),
    "tenant": (
        "acme.example",
        "Acme AB",
        "a tenant",
        "a domain of yours, such as acme.example, or the Directory (tenant) ID",
    ),
    "client_id": (
        "6f1c0a52-0000-0000-0000-000000000000",
        "crm sync",
        "a client id",
        "the Application (client) ID, 8-4-4-4-12 hex digits",
    ),
}


@pytest.mark.parametrize("key", MICROSOFT)
def test_what_microsoft_needs_is_said_in_words(told, key):
    values = {name: right for name, (right, *_) in MICROSOFT.items()}
    assert told(GRAPH + "".join(f'{n} = "{v}"\n' for n, v in values.items())) == []
    _, wrong, what, advice = MICROSOFT[key]
    for written in (wrong, ""):
        values[key] = written
        (sentence,) = told(GRAPH + "".join(f'{n} = "{v}"\n' for n, v in values.items()))
        assert f".{key} (line " in sentence
        assert sentence.endswith(f'): "{written}" is not {what}. Write {advice}.')


def test_a_tenant_is_told_in_words_with_imap_too(told):
    oauth = 'host = "outlook.office365.com"\nauth = "xoauth2"\nclient_id = "x"\ntenant = "a b"\n'
    (sentence,) = told(IMAP.replace('password = "env:PASSWORD"\n', "") + oauth)
    assert '"a b" is not a tenant. Write a domain of yours' in sentence


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ("", 'password is not what signs in here. For an app password add auth = "password".'),
        ('auth = "xoauth2"\n', 'password has no meaning with auth = "xoauth2".'),
        (
            'client_id = "x"\n',
            "password has no meaning beside client_id. Leave one of them out.",
        ),
        ('auth = "password"\n', None),
    ],
)
@pytest.mark.parametrize(
    "table", [GMAIL, f'{SMTP.replace("smtp", "gmail")}username = "a@b.example"\n']
)
def test_an_app_password_at_gmail_says_which_key_is_missing(told, table, more, words):
    sentences = told(f'{table}password = "env:PASSWORD"\n{more}')
    assert [s.partition("): ")[2] for s in sentences] == ([words] if words else [])


@pytest.mark.parametrize("table", [f'{IMAP}host = "h"\n', GMAIL + 'client_id = "x"\n'])
def test_a_date_is_no_length_of_time_and_only_what_fits_is_proposed(told, table):
    (sentence,) = told(f'{table}since = "2026-01-01"\n')
    assert sentence.endswith(
        '"2026-01-01" is not a length of time. Write it like 90d, 36h or 2 weeks, or "all".'
    )
    (sentence,) = told(f'{table}since = "2 business days"\n')
    assert sentence.endswith(
        'business days do not fit here. Write it like 90d, 36h or 2 weeks, or "all".'
    )


@pytest.mark.parametrize("key", ["since", "ahead"])
def test_a_calendar_proposes_lengths_that_it_takes(told, key):
    (sentence,) = told(f'{CALDAV}{key} = "2026-01-01"\n')
    assert sentence.endswith("is not a length of time. Write it like 120d, 36h or 2 weeks.")
    assert told(f'{CALDAV}{key} = "2 weeks"\n') == []


@pytest.mark.parametrize(
    ("host", "advice"),
    [
        ("127.0.0.1:993", "holds a port. Write the port as port = 993."),
        ("mail.acme.example:587", "holds a port. Write the port as port = 587."),
        ("[::1]:993", "holds a port. Write the port as port = 993."),
        ("imaps://mail.acme.example", "is no host name. Write it without scheme, path"),
        ("mail.acme.example/inbox", "is no host name. Write it without scheme, path"),
        ("mail acme", "is no host name."),
    ],
)
@pytest.mark.parametrize("table", [IMAP, SMTP])
def test_a_host_is_a_name_and_no_more(told, table, host, advice):
    (sentence,) = told(f'{table}host = "{host}"\n')
    assert ".host (line " in sentence
    assert f'"{host}" {advice}' in sentence


@pytest.mark.parametrize("host", ["::1", "fe80::1", "127.0.0.1", "mail.acme.example"])
@pytest.mark.parametrize("table", [IMAP, SMTP])
def test_names_and_addresses_of_both_kinds_are_hosts(told, table, host):
    assert told(f'{table}host = "{host}"\n') == []
