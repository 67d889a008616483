"""The systemd unit, judged by systemd itself where the wheel is installed."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.system.installed import CHECKOUT

ANALYZE = "systemd-analyze"
MISSING = "systemd-analyze is not installed (apt-get install systemd)"
UNIT = CHECKOUT / "systemd" / "crm-sync.service"
MOST_EXPOSURE = 1.2


def analyze(*words: str) -> subprocess.CompletedProcess[str]:
    if shutil.which(ANALYZE) is None:
        if os.environ.get("CI") == "true":
            pytest.fail(MISSING)
        pytest.skip(MISSING)
    return subprocess.run(
        [ANALYZE, "--no-pager", *words], check=False, capture_output=True, text=True, timeout=30
    )


@pytest.fixture
def root(machine, installed):
    """The machine's root folder, its units laid out as the unit itself tells an admin to."""
    system = machine / "usr" / "lib" / "systemd" / "system"
    system.mkdir(parents=True, exist_ok=True)
    for target in ("sysinit", "basic", "shutdown", "network-online", "multi-user"):
        (system / f"{target}.target").write_text(f"[Unit]\nDescription={target}\n")
    ours = machine / "etc" / "systemd" / "system"
    ours.mkdir(parents=True, exist_ok=True)
    shutil.copy(installed.site_packages / "crm_sync" / "_systemd" / UNIT.name, ours)
    (machine / "etc" / "crm-sync" / "credentials").mkdir(parents=True, exist_ok=True)
    return machine


def test_systemd_finds_nothing_to_complain_about_where_the_wheel_is_installed(root):
    verified = analyze("verify", f"--root={root}", UNIT.name)

    assert (verified.returncode, verified.stdout, verified.stderr) == (0, "", "")


def test_systemd_would_complain_about_a_slip_of_the_pen(root):
    unit = root / "etc" / "systemd" / "system" / UNIT.name
    unit.write_text(UNIT.read_text().replace("WatchdogSec", "WatchdogSek"))
    verified = analyze("verify", f"--root={root}", UNIT.name)

    assert "Unknown key 'WatchdogSek'" in verified.stderr


def test_the_unit_is_hardly_exposed():
    judged = analyze("security", "--offline=true", str(UNIT))
    level = re.search(r"Overall exposure level for crm-sync\.service: ([0-9.]+)", judged.stdout)

    assert level is not None, judged.stdout + judged.stderr
    assert float(level[1]) <= MOST_EXPOSURE


def test_every_directive_stands_in_a_group_that_is_explained_in_plain_words():
    explained = False
    for number, line in enumerate(UNIT.read_text(encoding="utf-8").splitlines(), 1):
        if line.startswith("#"):
            explained = True
        elif line == "" or line.startswith("["):
            explained = False
        else:
            assert re.fullmatch(r"[A-Za-z]+=.*", line), line
            assert explained, f"line {number} has no comment: {line}"


def test_the_paths_and_names_of_the_unit_are_those_that_the_program_looks_for(root):
    said = dict(
        line.split("=", 1)
        for line in UNIT.read_text(encoding="utf-8").splitlines()
        if re.match(r"[A-Za-z]+=", line)
    )
    program, *words = said["ExecStart"].split()

    assert os.access(root / program.lstrip("/"), os.X_OK)
    assert words == ["run", "--config", "/etc/crm-sync/crm-sync.toml"]
    assert said["LoadCredential"] == "crm-sync:/etc/crm-sync/credentials"
    assert (root / "etc" / "crm-sync" / "credentials").is_dir()
    # A broken configuration ends with exit status 2; starting again would not mend it.
    assert said["RestartPreventExitStatus"] == "2"
    assert Path(said["StateDirectory"]).name == "crm-sync"
