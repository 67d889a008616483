"""A child that a mail has taken over can spoil that mail and nothing else."""

import resource
from pathlib import Path

import pytest

from crm_sync.core.errors import Unreadable
from crm_sync.core.text import html_to_text
from crm_sync.runtime import shelter as shelter_module
from crm_sync.runtime.shelter import BROKEN, TOO_MUCH, ProcessShelter
from tests.runtime.hostile_child import ATTACKS

PAGE = "<p>Dear Karin</p>"
MOST_SECONDS = 2
MOST_KIBIBYTES = 200 * 1024


@pytest.fixture
def shelter(monkeypatch):
    monkeypatch.setattr(shelter_module, "_PROGRAM", "tests.runtime.hostile_child")
    found = ProcessShelter(1)
    yield found
    found.close()


def seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def most_memory() -> int:
    """KiB that this process held at most since it was asked last."""
    status = Path("/proc/self/status").read_text().split()
    Path("/proc/self/clear_refs").write_text("5")
    return int(status[status.index("VmHWM:") + 1])


@pytest.mark.parametrize("attack", ATTACKS)
def test_an_answer_that_no_child_of_ours_gives_costs_that_mail_alone(shelter, attack):
    assert shelter.call(html_to_text, PAGE) == "Dear Karin"
    (child,) = shelter._idle
    most_memory()
    before, held = seconds(), most_memory()
    with pytest.raises(Unreadable, match=f"^({BROKEN}|{TOO_MUCH})$"):
        shelter.call(ATTACKS[attack][0], attack)
    assert seconds() - before < MOST_SECONDS
    assert most_memory() - held < MOST_KIBIBYTES
    assert not child.is_alive(), "who answers so is asked once more"
    assert shelter.call(html_to_text, PAGE) == "Dear Karin"


@pytest.mark.parametrize("attack", ["more than there is", "more than anybody has", "drop by drop"])
def test_an_answer_that_never_ends_is_waited_for_so_long_and_no_longer(
    shelter, attack, monkeypatch
):
    shelter.call(html_to_text, PAGE)
    monkeypatch.setattr(shelter_module, "ANSWER_SECONDS", 1.0)
    with pytest.raises(Unreadable, match=TOO_MUCH):
        shelter.call(html_to_text, attack)
    assert shelter.call(html_to_text, PAGE) == "Dear Karin"


def test_words_of_a_child_are_short_and_steer_no_terminal(shelter):
    with pytest.raises(Unreadable) as raised:
        shelter.call(html_to_text, "words that steer a terminal")
    assert raised.value.what.isprintable()
    assert len(raised.value.what) <= 200
