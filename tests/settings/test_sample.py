"""The configuration that `init` writes."""

import re

from holidays import list_supported_countries

from crm_sync.runtime import plugins, resources
from crm_sync.settings import checks, effective, load, tables
from crm_sync.settings.tables import File


def _uncommented(text):
    return re.sub(r"(?m)^#(?! |$)", "", text)


def _environment(text):
    names = set(re.findall(r'"secret:([a-z-]+)"', text))
    return {f"CRM_SYNC_SECRET_{name.upper().replace('-', '_')}": "x" for name in names}


def test_the_sample_is_valid_as_it_is_written(workspace):
    assert workspace.load(resources.init_text()).accounts == ()


def test_the_sample_is_valid_with_every_setting_in_use(workspace):
    for name in ("our-ca.pem", "robot.json", "graph.pem", "archive.mbox"):
        (workspace.folder / name).write_text("")
    text = _uncommented(resources.init_text())

    settings = load(
        workspace.write(text),
        environ=_environment(text),
        source_kinds=plugins.source_kinds(),
        sender_kinds=plugins.sender_kinds(),
    )

    assert [account.name for account in settings.accounts] == [
        "karin@acme.example/imap",
        "info",
        "daniel@acme.example/gmail",
        "sales",
        "support",
        "orders",
        "lena",
        "archive",
        "karin@acme.example/caldav",
    ]
    assert settings.sender is not None
    assert settings.reps[0].manager == "daniel@acme.example"


def test_the_sample_mentions_every_key_of_ours():
    text = resources.init_text()

    for section in File.model_fields:
        assert re.search(rf"(?m)^#?\[\[?{section}\]", text), section
    for table in (
        "Team",
        "Rep",
        "Account",
        "RepSender",
        "Sending",
        "Greeting",
        "Reminder",
        "Daemon",
    ):
        model = getattr(tables, table)
        for name, field in model.model_fields.items():
            assert re.search(rf"(?m)^#?{field.alias or name} = ", text), f"{table}.{name}"


def test_the_sample_mentions_every_option_of_the_connectors_that_ship():
    text = resources.init_text()

    for kind in (*plugins.source_kinds().values(), *plugins.sender_kinds().values()):
        for name in kind.options.model_fields:
            assert re.search(rf"(?m)^#{name} = ", text), f"{kind.options.__name__}.{name}"


def test_the_defaults_that_the_sample_names_are_the_defaults(workspace, team):
    text = _uncommented(resources.init_text())
    defaults = {
        key: value for key, value, origin in effective(workspace.load(team)) if origin == "default"
    }

    for key in ("matching.domains", "sending.customers", "sending.reps", "sending.digest_at",
                "daemon.poll_interval", "daemon.workers", "team.working_hours"):  # fmt: skip
        written = str(defaults[key]).lower().replace('"', "")
        assert re.search(rf'(?m)^{key.partition(".")[2]} = "?{re.escape(written)}"?( |$)',
                         text, re.IGNORECASE), key  # fmt: skip


def test_every_country_that_is_accepted_has_known_holidays():
    assert checks.countries() == set(list_supported_countries(include_aliases=False))
