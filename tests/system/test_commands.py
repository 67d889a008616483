"""The commands under the hands of a hurried admin: slips, broken files, odd terminals."""

import json
import os
import pty
import re
import subprocess
import sys
from pathlib import Path

import pytest
import typer

from crm_sync.cli.common import print_table
from crm_sync.cli.main import app, main
from tests.system.conftest import COMMAND, Installation, Result

CONFIGURATION = """
[database]
url = "sqlite:///crm-sync.db"
[team]
name = "Acme AB"
domains = ["acme.example"]
[[reps]]
email = "karin@acme.example"
[[mailboxes]]
rep = "karin@acme.example"
connector = "imap"
host = "127.0.0.1"
port = 1
security = "none"
username = "karin"
password = "hush-hush"
[sender]
connector = "smtp"
host = "127.0.0.1"
port = 1
security = "none"
from = "Acme <crm@acme.example>"
"""
CUSTOMERS = (
    "name,company,emails,birthday,greeting_basis\n"
    "Lena Nord,Nordvik AB,lena@nordvik.example,1980-03-04,consent\n"
    "مریم احمدی,شرکت آفتاب,maryam@aftab.example,,\n"
    "王小明 🎉,北京贸易,wang@maoyi.example,,\n"
    "Bo,,bo@nobody.example,some day,\n"
)
OPENING = ["check", "status", "sync", "run", "doctor", "customers", "interactions", "due"]
"""Commands that need a configuration and no argument."""


def commands(command, path=()):
    """Every command and group of commands, with its path."""
    yield path, command
    for name, below in getattr(command, "commands", {}).items():
        yield from commands(below, (*path, name))


ALL = dict(commands(typer.main.get_command(app)))
ARGUMENTS = {
    ("import",): ["customers.csv"],
    ("timeline",): ["lena@nordvik.example"],
    ("explain",): ["<a@b.example>"],
    ("due",): ["--on", "2027-03-04"],
    ("run",): ["--once"],
}
"""What commands with --json are given to do their work."""


@pytest.fixture
def admin(tmp_path, monkeypatch, capsys):
    """Types commands in a folder of her own, in this process."""
    for name in [name for name in os.environ if name.startswith("CRM_SYNC")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("CRM_SYNC_CONFIG", "crm-sync.toml")  # and it is gone after the test
    monkeypatch.chdir(tmp_path)
    (tmp_path / "crm-sync.toml").write_text(CONFIGURATION, encoding="utf-8")
    (tmp_path / "customers.csv").write_text(CUSTOMERS, encoding="utf-8")

    def run(*words: str) -> Result:
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            main(words)
        out, err = capsys.readouterr()
        assert "Traceback" not in err
        return Result(ended.value.code or 0, out, err)

    return run


@pytest.fixture
def office(admin, tmp_path):
    """A folder with customers, for commands as processes."""
    assert admin("import", "customers.csv").status == 0
    return Installation(tmp_path)


def is_one_line(text: str) -> bool:
    return text.startswith("crm-sync: ") and text.count("\n") == 1


@pytest.mark.parametrize("path", ALL, ids=" ".join)
def test_help_ends_well_and_shows_an_example(admin, path):
    result = admin(*path, "--help")

    assert (result.status, result.err) == (0, "")
    assert re.search(rf"\n  Example: crm-sync {' '.join(path)}", result.out)


def test_the_help_of_every_command_that_reads_the_configuration_offers_to_name_it():
    lacking = [
        " ".join(path)
        for path, command in ALL.items()
        if not any("--config" in option.opts for option in command.params)
    ]

    assert lacking == ["demo", "config", "db"]


@pytest.mark.parametrize(
    "words",
    [
        "nonsense",
        "sync --acount x",
        "sync --account",
        "import",
        "timeline",
        "run extra",
        "reminders done",
        "reminders done seven",
        "reminders done 99999999999999999999",
        "reminders done 7",
        "reminders snooze 7",
        "reminders snooze 7 soon",
        "outbox aprove 1",
        "show lena",
        "show 7",
        "outbox approve 1",
        "outbox retry 0",
        "outbox cancel 1",
        "quarantine retry 1",
        "quarantine drop one",
        "timeline nobody@x.example",
        "interactions --customer nobody",
        "interactions --rep nobody@acme.example",
        "interactions --since whenever",
        "sync --account nobody/imap",
        "due --on tomorrow",
        "import nowhere.csv",
        "import .",
        "import crm-sync.toml",
        "init .",
        "init crm-sync.toml",
        "init office.toml",
        "sync --config nowhere.toml",
        "sync --config .",
        "--config nowhere.toml sync",
    ],
)
def test_a_slip_is_told_in_one_line(admin, tmp_path, words):
    result = admin(*words.split())

    assert result.status == 2
    assert is_one_line(result.err)
    assert result.out == ""
    assert (tmp_path / "crm-sync.toml").read_text() == CONFIGURATION


def test_without_a_command_the_help_is_shown_as_wrong_usage(admin):
    result = admin()

    assert (result.status, result.out) == (2, "")
    assert result.err.startswith("Usage: crm-sync ")


BROKEN = {
    "no TOML": ("[team]", "[team", "line "),
    "a misspelt key": ("domains", "domians", "domains"),
    "a misspelt table": ("[sender]", "[sendr]", "sender"),
    "a wrong type": ("port = 1\n", 'port = "one"\n', "port"),
    "a missing secret": ('"hush-hush"', '"secret:karin-imap"', "karin-imap"),
    "a rep nobody declared": ('rep = "karin', 'rep = "dara', "dara@acme.example"),
    "a freemail domain": ('["acme.example"]', '["gmail.com"]', "gmail.com"),
    "an unknown connector": ('"imap"', '"imapp"', "imap"),
    "no UTF-8": ("Acme AB", "Acme \udcff", "UTF-8"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_a_broken_configuration_stops_every_command_and_nothing_is_written(admin, tmp_path, case):
    good, bad, named = BROKEN[case]
    text = CONFIGURATION.replace(good, bad, 1)
    (tmp_path / "crm-sync.toml").write_bytes(text.encode(errors="surrogateescape"))
    before = sorted(tmp_path.iterdir())
    for words in (*([word] for word in OPENING), ["import", "customers.csv"], ["config", "show"]):
        result = admin(*words)

        assert result.status == 2, words
        assert named in (result.out if words == ["check"] else result.err), words
        assert all(line.startswith("crm-sync: ") for line in result.err.splitlines())
    assert sorted(tmp_path.iterdir()) == before


def test_a_misspelt_variable_of_the_environment_stops_every_command(admin, tmp_path, monkeypatch):
    monkeypatch.setenv("CRM_SYNC_TEAM__LANGAUGE", "sv")
    result = admin("status")

    assert result.status == 2
    assert "CRM_SYNC_TEAM__LANGAUGE" in result.err
    assert not (tmp_path / "crm-sync.db").exists()


def test_check_writes_nothing(admin, tmp_path):
    before = sorted(tmp_path.iterdir())

    assert admin("check").status == 0
    assert all(entry["ok"] for entry in admin("check", "--json").lines())
    assert admin("config", "show").status == 0
    assert sorted(tmp_path.iterdir()) == before


def test_config_show_masks_secrets_and_names_origins(admin, monkeypatch):
    monkeypatch.setenv("CRM_SYNC_TEAM__LANGUAGE", "sv")
    shown = admin("config", "show").out
    entries = {entry["key"]: entry for entry in admin("config", "show", "--json").lines()}

    assert "hush-hush" not in shown + json.dumps(entries)
    assert entries["team.language"]["value"] == "sv"
    assert "CRM_SYNC_TEAM__LANGUAGE" in entries["team.language"]["origin"]
    assert entries["team.name"]["origin"] == "crm-sync.toml:5"


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("empty.csv", b"", "empty"),
        ("binary.csv", bytes(range(256)) * 20, "UTF-8"),
        ("noheader.csv", b"Anna;anna@x.example\n", "header"),
        ("binary.vcf", bytes(range(256)) * 20, "UTF-8"),
        ("cards.xlsx", b"PK\3\4", ".csv"),
    ],
)
def test_a_file_that_holds_no_customers_is_refused_in_one_line(
    admin, tmp_path, name, content, said
):
    (tmp_path / name).write_bytes(content)
    result = admin("import", name)

    assert result.status == 2
    assert is_one_line(result.err)
    assert said in result.err


def test_rejected_rows_are_told_by_line_and_are_no_failure(admin):
    result = admin("import", "customers.csv", "--json")

    assert result.status == 0
    assert result.object()["created"] == 3
    assert [entry["line"] for entry in result.object()["rejected"]] == [5]
    assert "line 5: birthday" in admin("import", "customers.csv").out


@pytest.mark.parametrize(
    "path",
    # `show` needs an interaction: test_show.py has one.
    [
        path
        for path, command in ALL.items()
        if path != ("show",) and any("--json" in option.opts for option in command.params)
    ],
    ids=" ".join,
)
def test_with_json_nothing_else_is_on_standard_output(admin, path):
    admin("import", "customers.csv")
    result = admin(*path, *ARGUMENTS.get(path, ()), "--json")

    assert result.status in (0, 1)
    assert all(isinstance(entry, dict) for entry in result.lines())
    # The mailbox can't be reached: what notices it says so in one line.
    assert result.status == bool(result.err)
    assert result.err.count("\n") == result.status


def test_a_failed_account_makes_sync_and_status_fail_with_its_name(admin):
    synced, status = admin("sync"), admin("status")

    assert (synced.status, status.status) == (1, 1)
    assert synced.err.startswith("karin@acme.example/imap: ")
    assert status.err == "not healthy: karin@acme.example/imap\n"


def test_a_file_that_is_no_database_is_told_in_one_line(admin, tmp_path):
    (tmp_path / "crm-sync.db").write_bytes(b"customers" * 1000)
    result = admin("customers")

    assert result.status == 1
    assert is_one_line(result.err)
    assert "crm-sync.db" in result.err
    assert (tmp_path / "crm-sync.db").read_bytes() == b"customers" * 1000


def test_whoever_stops_reading_gets_no_complaint(office):
    for words in (["customers"], ["customers", "--json"]):
        reader, writer = os.pipe()
        os.close(reader)
        process = subprocess.run(
            [*COMMAND, *words],
            cwd=office.folder,
            stdout=writer,
            stderr=subprocess.PIPE,
            check=False,
        )
        os.close(writer)

        assert process.stderr == b""


def test_output_that_cannot_be_written_is_a_failure_told_in_one_line(office):
    with Path("/dev/full").open("w") as full:
        process = subprocess.run(
            [*COMMAND, "customers", "--json"],
            cwd=office.folder,
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )

    assert process.returncode == 1
    assert is_one_line(process.stderr)
    assert "No space left on device" in process.stderr


def test_a_terminal_that_knows_only_ascii_shows_every_name_somehow(office):
    office.environ |= {"PYTHONIOENCODING": "ascii", "LC_ALL": "C"}
    table = office.ok("customers").out
    names = {entry["name"] for entry in office.ok("customers", "--json").lines()}

    assert table.isascii()
    assert "Nordvik AB" in table
    assert "\\u0634" in table
    assert names == {"Nordvik AB", "شرکت آفتاب", "北京贸易"}


def test_in_a_pipe_tables_are_plain_text_that_keeps_its_width(office):
    office.environ |= {"TERM": "xterm-256color", "COLUMNS": "40"}
    table = office.ok("customers").out

    assert "\x1b" not in table
    assert "lena@nordvik.example" in table or "Lena Nord" in table
    assert all(len(line) <= 160 for line in table.splitlines())


def test_on_a_terminal_no_color_is_obeyed(office):
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "crm_sync", "customers"],
        cwd=office.folder,
        env={**os.environ, "NO_COLOR": "1", "TERM": "xterm-256color", "COLUMNS": "60"},
        stdout=theirs,
        stderr=theirs,
    )
    os.close(theirs)
    shown = b""
    try:
        while part := os.read(ours, 65536):
            shown += part
    except OSError:  # how Linux says that the other end is closed
        pass
    finally:
        os.close(ours)

    assert process.wait(10) == 0
    assert b"Nordvik AB" in shown
    assert not re.search(rb"\x1b\[[0-9;]*3[0-9]", shown)


@pytest.mark.parametrize("width", [50, 80])
def test_a_table_wider_than_the_terminal_is_folded_and_loses_no_character(
    width, monkeypatch, capsys
):
    words = "12 approval anna-karin.lindstrom@nordvik.example Grattis 2027-08-03 Europe/Stockholm"
    monkeypatch.setenv("COLUMNS", str(width))
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm")

    print_table(words.split(), [words.split()], "")

    lines = re.sub(r"\x1b\[[0-9;]*m", "", capsys.readouterr().out).splitlines()
    assert max(map(len, lines)) <= width
    row = lines[next(n for n, line in enumerate(lines) if set(line.strip()) == {"─"}) + 1 :]
    assert sorted("".join(row).replace(" ", "")) == sorted(words.replace(" ", ""))


@pytest.mark.parametrize(
    "words",
    [
        ("due", "--on", "9999-12-31"),
        ("due", "--on", "0001-01-01"),
        ("interactions", "--since", "0001-01-01T00:00+14:00"),
        ("interactions", "--since", "9999-12-31T23:59-14:00"),
    ],
    ids=" ".join,
)
def test_a_date_at_the_end_of_time_is_wrong_usage_and_no_fault(admin, words):
    result = admin(*words)

    assert result.status == 2
    assert "is too far away" in result.err
