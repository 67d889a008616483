"""The wheel alone is the whole program: installed and used far away from the checkout."""

import json
import tomllib
import zipfile
from pathlib import Path

import pytest

from tests.system.installed import CHECKOUT

CONFIGURATION = """
[team]
name = "Acme AB"
domains = ["acme.example"]
language = "sv"
timezone = "Europe/Stockholm"

[[reps]]
email = "karin@acme.example"
name = "Karin Ek"

[[mailboxes]]
rep = "karin@acme.example"
connector = "imap"
host = "imap.acme.example"
username = "karin"
password = "secret:karin-imap"

[[calendars]]
rep = "karin@acme.example"
connector = "caldav"
url = "https://dav.acme.example/karin/"
username = "karin"
password = "secret:karin-imap"

[sender]
connector = "smtp"
host = "smtp.acme.example"
from = "Acme CRM <crm@acme.example>"

[[greetings]]
occasion = "birthday"
"""
CUSTOMERS = (
    "name,company,emails,language,birthday,greeting_basis,owner\n"
    "Lena Nord,Nordvik AB,lena@nordvik.example,sv,1980-03-04,consent,karin@acme.example\n"
)


@pytest.fixture
def office(tmp_path):
    """An admin's folder: secrets outside the configuration, and nothing of the checkout."""
    (tmp_path / "crm-sync.toml").write_text(CONFIGURATION, encoding="utf-8")
    (tmp_path / "customers.csv").write_text(CUSTOMERS, encoding="utf-8")
    credentials = tmp_path / "credentials"
    credentials.mkdir()
    (credentials / "crm-sync_karin-imap").write_text("hush\n", encoding="utf-8")
    return tmp_path


def test_the_wheel_holds_every_file_of_the_program_and_nothing_else(wheel):
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    shipped = {name for name in names if ".dist-info/" not in name}
    folders = {"crm_sync": "crm_sync", "connectors": "connectors"}
    folders |= {"config": "crm_sync/_config", "systemd": "crm_sync/_systemd"}
    expected = {
        f"{target}/{file.relative_to(CHECKOUT / folder).as_posix()}"
        for folder, target in folders.items()
        for file in (CHECKOUT / folder).rglob("*")
        if file.is_file() and file.suffix != ".pyc" and "/." not in file.as_posix()
    }

    assert shipped == expected
    assert {"crm_sync/py.typed", "connectors/py.typed"} <= shipped
    assert {"crm_sync/_config/crm-sync.toml", "crm_sync/_systemd/crm-sync.service"} <= shipped
    assert any(name.endswith("dist-info/licenses/LICENSE") for name in names)


def test_the_command_runs_from_the_wheel(installed, tmp_path):
    version = tomllib.loads((CHECKOUT / "pyproject.toml").read_text())["project"]["version"]
    where = "import crm_sync, connectors; print(crm_sync.__file__, connectors.__file__)"

    assert installed.run(tmp_path, "crm-sync", "--version") == f"crm-sync {version}\n"
    for place in installed.run(tmp_path, "python", "-c", where).split():
        assert Path(place).is_relative_to(installed.folder)


def test_init_writes_the_sample_and_check_finds_nothing_wrong_in_it(installed, tmp_path):
    said = installed.run(tmp_path, "crm-sync", "init", "office")
    written = tmp_path / "office" / "crm-sync.toml"
    checked = installed.run(tmp_path, "crm-sync", "check", "--config", str(written), "--json")

    assert "crm-sync check --config office/crm-sync.toml" in said
    assert written.read_text() == (CHECKOUT / "config" / "crm-sync.toml").read_text()
    assert all(json.loads(line)["ok"] for line in checked.splitlines())
    assert list(written.parent.iterdir()) == [written]


def test_connectors_migrations_and_templates_are_found_in_the_wheel(installed, office):
    environ = {
        "CREDENTIALS_DIRECTORY": str(office / "credentials"),
        "STATE_DIRECTORY": str(office / "state"),
    }
    (office / "state").mkdir()
    installed.run(office, "crm-sync", "check", **environ)
    imported = installed.run(office, "crm-sync", "import", "customers.csv", "--json", **environ)
    due = installed.run(office, "crm-sync", "due", "--on", "2027-03-04", "--json", **environ)
    greeting = json.loads(due)

    assert json.loads(imported)["created"] == 1
    assert greeting["to"] == "lena@nordvik.example"
    assert "Lena" in greeting["subject"]
    assert {"crm-sync.db", "master.key"} <= {file.name for file in (office / "state").iterdir()}
    assert not (office / "crm-sync.db").exists()
