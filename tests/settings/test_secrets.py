"""Secrets: where they are looked up, in which order, and that they never show."""

import json
import os
import threading
import traceback
from concurrent.futures import ThreadPoolExecutor

import pytest

from crm_sync.core.errors import ConfigError
from crm_sync.settings import effective, ensure_master_key, master_secret, warnings


def _with_password(team, written, **sections):
    tables = "".join(f'[{name}]\ndir = "{value}"\n' for name, value in sections.items())
    return (
        team
        + tables
        + (f'[[mailboxes]]\nconnector = "imap"\nhost = "localhost"\npassword = "{written}"\n')
    )


def _password(settings):
    return settings.accounts[0].options.password.get_secret_value()


@pytest.fixture
def places(workspace):
    """A folder of systemd's, one of the admin's, and a variable: each with its own answer."""
    for folder in ("credentials", "secrets"):
        (workspace.folder / folder).mkdir()
        (workspace.folder / folder / "karin-imap").write_text(f"from {folder}\n")
    return {
        "CREDENTIALS_DIRECTORY": str(workspace.folder / "credentials"),
        "CRM_SYNC_SECRET_KARIN_IMAP": "from the environment",
    }


def test_systemds_credentials_come_first_then_the_folder_then_the_environment(
    workspace, team, places
):
    text = _with_password(team, "secret:karin-imap", secrets="secrets")

    assert _password(workspace.load(text, **places)) == "from credentials"
    (workspace.folder / "credentials" / "karin-imap").unlink()
    assert _password(workspace.load(text, **places)) == "from secrets"
    (workspace.folder / "secrets" / "karin-imap").unlink()
    assert _password(workspace.load(text, **places)) == "from the environment"


def test_a_missing_secret_names_every_place_that_was_looked_at(workspace, team, places):
    text = _with_password(team, "secret:smtp", secrets="secrets")

    (problem,) = workspace.problems(text, **places)

    assert problem == (
        'mailboxes[team/imap].password (line 12): the secret "smtp" is nowhere. Put it in '
        f"{workspace.folder}/credentials/smtp or {workspace.folder}/secrets/smtp "
        "or the variable CRM_SYNC_SECRET_SMTP."
    )


@pytest.mark.parametrize(
    ("written", "secret"),
    [
        ("env:MAIL_PASSWORD", "from a variable"),
        ("file:password.txt", "two lines\nof text "),
        ("command:printf 'first\\\\nsecond'", "first"),
        ("command:cat password.txt", "two lines"),
        ("hunter2", "hunter2"),
        ("pass:word", "pass:word"),
    ],
)
def test_a_secret_can_be_written_in_other_ways(workspace, team, written, secret):
    (workspace.folder / "password.txt").write_text("two lines\nof text \n")

    settings = workspace.load(
        _with_password(team, written), MAIL_PASSWORD="from a variable", PATH=os.environ["PATH"]
    )

    assert _password(settings) == secret


@pytest.mark.parametrize(
    ("written", "sentence"),
    [
        ("secret:../karin", "the name of a secret holds letters, digits, dots, - and _ only"),
        ("secret:/etc/passwd", "the name of a secret holds letters, digits, dots, - and _ only"),
        ("secret:a..b", "the name of a secret holds letters, digits, dots, - and _ only"),
        ("secret:", "the name of a secret holds letters, digits, dots, - and _ only"),
        ("env:NO_SUCH", "the variable it names is not set"),
        ("file:no-such", "the file it names does not exist"),
        ("file:.", "its file can't be read: Is a directory"),
        ("file:empty", "it is empty"),
        ("file:latin", "it is not UTF-8 text"),
        ("file:large", "its file is larger than 64 kB"),
        ("command:sh -c 'echo hunter2; exit 3'", "the command failed with exit status 3"),
        ("command:true", "it is empty"),
        ("command:/no/such/program hunter2", "the command can't be started"),
        ("command:unclosed '", "the command can't be started"),
        ("command:", "the command can't be started"),
        ("", "it is empty"),
    ],
)
def test_a_secret_that_cant_be_had_is_told_without_telling_it(workspace, team, written, sentence):
    (workspace.folder / "empty").write_text("\n")
    (workspace.folder / "latin").write_bytes(b"\xe5\xe4\xf6")
    (workspace.folder / "large").write_text("x" * 70_000)

    error = workspace.refusal(_with_password(team, written), PATH=os.environ["PATH"])

    (problem,) = error.problems
    assert (problem.key, problem.problem) == ("mailboxes[team/imap].password", sentence)
    assert "hunter2" not in "".join(traceback.format_exception(error))


def test_a_command_that_waits_is_given_up(workspace, team, monkeypatch):
    monkeypatch.setattr("crm_sync.settings.secrets._COMMAND_SECONDS", 0.2)

    (problem,) = workspace.problems(
        _with_password(team, "command:sleep 30"), PATH=os.environ["PATH"]
    )

    assert "the command took longer than 0.2 seconds. It must not ask anything." in problem


def test_no_shell_reads_a_command(workspace, team):
    settings = workspace.load(
        _with_password(team, "command:echo $HOME; rm x"), PATH=os.environ["PATH"]
    )

    assert _password(settings) == "$HOME; rm x"


def test_secrets_show_neither_in_repr_nor_in_the_effective_configuration(workspace, team):
    settings = workspace.load(
        _with_password(team, "secret:smtp") + '[sender]\nconnector = "smtp"\nhost = "localhost"\n'
        'from = "crm@acme.example"\npassword = "hunter2"\n',
        CRM_SYNC_SECRET_SMTP="hunter2",
    )

    shown = effective(settings)

    assert "hunter2" not in repr(settings) + str(settings) + json.dumps(shown)
    assert ("mailboxes[team/imap].password", "********", "crm-sync.toml:10") in shown
    assert ("sender.password", "********", "crm-sync.toml:15") in shown


@pytest.mark.parametrize(
    ("mode", "written", "is_warned"),
    [
        (0o600, "hunter2", False),
        (0o640, "hunter2", True),
        (0o604, "hunter2", True),
        (0o644, "secret:smtp", False),
    ],
)
def test_a_literal_secret_in_a_file_others_can_read_is_warned_of(
    workspace, team, mode, written, is_warned
):
    workspace.mode = mode

    settings = workspace.load(_with_password(team, written), CRM_SYNC_SECRET_SMTP="x")

    found = [w for w in warnings(settings) if w.name == "mailboxes[team/imap].password"]
    assert bool(found) is is_warned
    for warning in found:
        assert warning.ok
        assert warning.problem == "stands as it is in a file that others can read"
        assert f"chmod 600 {workspace.path}" in warning.advice


def test_the_master_key_is_made_once_beside_the_database_for_us_alone(workspace, team):
    settings = workspace.load(team)
    assert master_secret(settings) is None

    key = ensure_master_key(settings)

    key_file = workspace.folder / "master.key"
    assert len(key) >= 32
    assert key_file.stat().st_mode & 0o777 == 0o600
    assert key_file.read_bytes() == key + b"\n"
    assert ensure_master_key(settings) == master_secret(settings) == key
    assert sorted(f.name for f in workspace.folder.iterdir()) == ["crm-sync.toml", "master.key"]


def test_processes_that_start_together_get_the_same_key(workspace, team):
    settings = workspace.load(team)
    together = threading.Barrier(8)

    def start():
        together.wait(10)
        return ensure_master_key(settings)

    with ThreadPoolExecutor(8) as pool:
        keys = {future.result() for future in [pool.submit(start) for _ in range(8)]}

    assert keys == {master_secret(settings)}


def test_the_secret_named_master_is_the_key_and_no_file_is_made(workspace, team):
    settings = workspace.load(team, CRM_SYNC_SECRET_MASTER="a long enough secret")

    assert ensure_master_key(settings) == b"a long enough secret"
    assert not (workspace.folder / "master.key").exists()


def test_a_damaged_master_key_is_never_replaced(workspace, team):
    settings = workspace.load(team)
    (workspace.folder / "master.key").write_bytes(b"")

    with pytest.raises(ConfigError, match="it is empty"):
        ensure_master_key(settings)

    assert (workspace.folder / "master.key").read_bytes() == b""


def test_a_key_that_cant_be_written_is_told_in_a_sentence(workspace, team):
    settings = workspace.load(team + '[database]\nurl = "sqlite:///occupied/crm.db"\n')
    (workspace.folder / "occupied").write_text("a file, no folder")

    with pytest.raises(ConfigError, match="can't be written"):
        ensure_master_key(settings)


def test_the_folder_of_the_database_is_made_with_the_key(workspace, team):
    settings = workspace.load(team + '[database]\nurl = "sqlite:///new/folder/crm.db"\n')
    ensure_master_key(settings)

    assert (workspace.folder / "new" / "folder" / "master.key").is_file()


def test_a_key_others_can_read_or_guess_is_warned_of(workspace, team):
    settings = workspace.load(team)
    ensure_master_key(settings)
    (workspace.folder / "master.key").chmod(0o644)

    problems = [warning.problem for warning in warnings(settings)]
    assert "the key of all keys can be read by others" in problems

    guessable = workspace.load(team, CRM_SYNC_SECRET_MASTER="sommar")
    assert "is short enough to be guessed" in [w.problem for w in warnings(guessable)]
