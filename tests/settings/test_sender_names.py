"""What accounts and senders are called, and what they were called before."""

import pytest

from crm_sync.app import App
from crm_sync.runtime import plugins
from crm_sync.settings import load, people, rep_addresses

KARIN = '[[reps]]\nemail = "karin.ek@acme.example"\naliases = ["Karin@acme.example"]\n'
GRAPH = 'connector = "microsoft365"\nusername = "k@acme.example"\ntenant = "t"\nclient_id = "c"\n'
MAILBOX = f'[[mailboxes]]\nrep = "karin.ek@acme.example"\n{GRAPH}'
SENDER = f'[[senders]]\nrep = "karin.ek@acme.example"\n{GRAPH}'
TEAMS = f'[sender]\nfrom = "crm@acme.example"\n{GRAPH}'
INFO = f'[[mailboxes]]\nname = "Info"\n{GRAPH}'


@pytest.fixture
def read(workspace, team):
    def read(*parts):
        return load(
            workspace.write(team + "".join(parts)),
            environ={},
            source_kinds=plugins.source_kinds(),
            sender_kinds=plugins.sender_kinds(),
        )

    return read


def test_a_sender_is_named_for_its_rep_or_the_team(read):
    settings = read(KARIN, MAILBOX, SENDER, TEAMS)
    assert settings.sender.name == "team/sender"
    assert settings.senders[0].name == "karin.ek@acme.example/sender"
    assert settings.accounts[0].name == "karin.ek@acme.example/microsoft365"


def test_a_sender_never_has_the_name_of_an_account(read):
    settings = read(KARIN, INFO, TEAMS, 'name = "info"\n')
    assert settings.sender.name == "info/sender"
    assert settings.sender.formerly == ("info",)
    own = read(KARIN, INFO, TEAMS, 'name = "out"\n').sender
    assert (own.name, own.formerly) == ("out", ())


def test_names_by_an_alias_and_those_of_earlier_versions_are_known(read):
    settings = read(KARIN, MAILBOX, SENDER, TEAMS)
    (mailbox,) = settings.accounts
    assert mailbox.formerly == ("Karin@acme.example/microsoft365",)
    assert settings.sender.formerly == ("team/microsoft365",)
    assert settings.senders[0].formerly == (
        "Karin@acme.example/sender",
        "karin.ek@acme.example/microsoft365",
        "Karin@acme.example/microsoft365",
    )
    named = read(KARIN, MAILBOX, 'name = "k"\n')
    assert named.accounts[0].formerly == ()


def test_an_admin_who_is_named_by_an_alias_is_the_rep(read, workspace, team):
    with_admin = team.replace("[team]", '[team]\nadmin = "karin@acme.example"', 1)
    settings = load(
        workspace.write(with_admin + KARIN),
        environ={},
        source_kinds=plugins.source_kinds(),
        sender_kinds=plugins.sender_kinds(),
    )
    reps, admin = people(settings)
    assert admin is reps[0]
    assert rep_addresses(settings)["karin@acme.example"] == "karin.ek@acme.example"


def test_what_left_under_the_old_address_is_looked_for_by_the_same_way_out(read):
    app = App(read(KARIN, TEAMS, SENDER))
    try:
        post = app.post
        assert post.way("Karin@acme.example") is post.way("karin.ek@acme.example")
        assert post.way("Karin@acme.example").from_.address == "karin.ek@acme.example"
        ways = post.vias(post.way("karin.ek@acme.example").account)
        assert {"Karin@acme.example", "karin.ek@acme.example"} <= set(ways)
        assert post.way("daniel@acme.example") is None
    finally:
        app.close()
