"""The demo as a person starts it: the installed command, from an empty directory to the end."""

import json
import os
import signal
import subprocess
import sys
import threading

import pytest

COMMAND = [sys.executable, "-P", "-m", "crm_sync"]
pytestmark = pytest.mark.timeout(300)


def test_the_demo_shows_its_story_and_proves_it_true(tmp_path):
    done = subprocess.run(
        [*COMMAND, "demo", "--dir", "here"],
        check=False,
        cwd=tmp_path,
        capture_output=True,
        encoding="utf-8",
    )
    assert (done.returncode, done.stderr) == (0, "")
    for shown in (
        "Grattis på födelsedagen",  # the greeting, in its reader's language
        "Twelve more chairs before the opening?",  # the reminder
        "none is missing, none extra, none twice",
        "the database holds none",
        "$ crm-sync explain",
    ):
        assert shown in done.stdout
    sent = [mail.read_bytes() for mail in (tmp_path / "here" / "sent-to-customers").iterdir()]
    assert len([mail for mail in sent if b"lena@nordvik.example" in mail]) == 1


@pytest.fixture
def ctrl_c():
    """Ctrl-C works for what a test starts, even where it does not for the tests themselves."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("ctrl_c")
def test_with_keep_the_servers_stay_and_a_later_customers_past_appears(tmp_path):
    demo = subprocess.Popen(
        [*COMMAND, "demo", "--dir", "here", "--keep"],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        encoding="utf-8",
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )
    watchdog = threading.Timer(200, demo.kill)
    watchdog.start()
    try:
        assert any("Ctrl-C ends them" in line for line in demo.stdout)
        for words in (["import", "later.csv"], ["sync"]):
            subprocess.run([*COMMAND, *words], cwd=tmp_path / "here", check=True)
        told = subprocess.run(
            [*COMMAND, "timeline", "Greenfield Schools Trust", "--json"],
            cwd=tmp_path / "here",
            check=True,
            capture_output=True,
            encoding="utf-8",
        ).stdout
        assert [json.loads(line)["subject"] for line in told.splitlines()] == [
            "Two sample chairs for Greenfield",
            "Re: Chairs for six classrooms",
            "Re: Chairs for six classrooms",
            "Chairs for six classrooms",
        ]
        demo.send_signal(signal.SIGINT)
        assert demo.wait(20) == 0
    finally:
        watchdog.cancel()
        demo.kill()
        demo.wait()
        demo.stdout.close()
