"""What `config show` and the warnings of `check` tell."""

import pytest

from crm_sync.settings import effective, warnings


def _problems(settings):
    return [(warning.name, warning.problem) for warning in warnings(settings)]


def test_each_value_is_shown_with_its_origin(workspace, team):
    settings = workspace.load(
        team
        + '[[reps]]\nemail = "karin@acme.example"\n'
        + '[[mailboxes]]\nrep = "karin@acme.example"\nconnector = "imap"\nhost = "localhost"\n'
        + 'folders = ["Inbox"]\n[[reminders]]\nkind = "unanswered"\n',
        CRM_SYNC_TEAM__LANGUAGE="sv",
        CRM_SYNC_SENDING__REPS="false",
    )

    shown = {key: (value, origin) for key, value, origin in effective(settings)}

    assert shown["team.name"] == ("Acme AB", "crm-sync.toml:3")
    assert shown["team.domains"] == (["acme.example"], "crm-sync.toml:4")
    assert shown["team.language"] == ("sv", "environment CRM_SYNC_TEAM__LANGUAGE")
    assert shown["sending.reps"] == (False, "environment CRM_SYNC_SENDING__REPS")
    assert shown["sending.digest_at"] == ("08:00", "default")
    assert shown["database.url"] == (settings.database.url, "default")
    assert shown["reminders[unanswered].after"] == ("2 business days", "default")
    mailbox = "mailboxes[karin@acme.example/imap]"
    assert shown[f"{mailbox}.host"] == ("localhost", "crm-sync.toml:12")
    assert shown[f"{mailbox}.folders"] == (["Inbox"], "crm-sync.toml:13")
    assert shown[f"{mailbox}.port"] == (993, "default")
    assert shown[f"{mailbox}.timeouts"] == ({"connect": 15.0}, "default")
    assert f"{mailbox}.password" not in shown


@pytest.mark.parametrize(
    ("host", "security", "is_warned"),
    [
        ("imap.acme.example", "none", True),
        ("192.0.2.7", "none", True),
        ("imap.acme.example", "tls", False),
        ("localhost", "none", False),
        ("127.0.0.2", "none", False),
        ("::1", "none", False),
    ],
)
def test_plain_text_to_another_machine_is_warned_of(workspace, team, host, security, is_warned):
    settings = workspace.load(
        team
        + f'[[mailboxes]]\nconnector = "imap"\nhost = "{host}"\nsecurity = "{security}"\n'
        + f'[sender]\nconnector = "smtp"\nhost = "{host}"\nsecurity = "{security}"\n'
        + 'name = "out"\nfrom = "crm@acme.example"\n'
    )

    problem = f"everything travels to {host} unencrypted, passwords too"
    assert (("team/imap", problem) in _problems(settings)) is is_warned
    assert (("out", problem) in _problems(settings)) is is_warned


def test_a_calendar_without_tls_is_warned_of(workspace, team):
    settings = workspace.load(
        team
        + '[[calendars]]\nconnector = "caldav"\nurl = "http://dav.acme.example/"\n'
        + '[[calendars]]\nname = "here"\nconnector = "caldav"\nurl = "http://localhost:5232/"\n'
    )

    names = [name for name, problem in _problems(settings) if "unencrypted" in problem]
    assert names == ["team/caldav"]


def test_a_configuration_that_does_nothing_is_warned_of(workspace):
    problems = _problems(workspace.load('[team]\n[[reminders]]\nkind = "unanswered"\n'))

    assert ("mailboxes", "no mailbox and no calendar is read") in problems
    assert ("reps", "nobody is declared") in problems
    assert ("sender", "greetings and reminders are made, but nothing can be sent") in problems
    assert any(name == "team.domains" for name, _ in problems)


def test_reminders_that_reach_nobody_are_warned_of(workspace, team):
    settings = workspace.load(
        team + '[sending]\nreps = false\n[[reminders]]\nkind = "unanswered"\n'
    )

    assert ("sending.reps", "reminders are made, but no mail goes to reps") in _problems(settings)
