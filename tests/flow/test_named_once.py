"""What went wrong with an account is told under its name, which the sentence does not repeat."""

import pytest

from crm_sync.core.errors import Refused, Unreachable
from crm_sync.flow.audit import audit_account

KARIN = "karin@acme.example"
NAME = f"{KARIN}/imap"


def test_an_account_is_not_named_twice_in_what_status_and_sync_say(world):
    box = world.mailbox()
    box.away = lambda: Refused("Microsoft refuses the sign-in", where=NAME, advice="Sign in again")
    (pulled,) = world.sync()
    assert pulled.error == "Microsoft refuses the sign-in. Sign in again"
    assert world.account().last_error == pulled.error


def test_a_server_is_named_still(world):
    box = world.mailbox()
    box.away = lambda: Unreachable("the server is silent", where="imap.acme.example:993")
    (pulled,) = world.sync()
    assert pulled.error == "imap.acme.example:993: the server is silent"


def test_an_audit_names_the_account_once_too(world):
    box = world.mailbox()
    world.sync()
    box.away = lambda: Unreachable("Microsoft is silent", where=NAME)
    assert (
        audit_account(world.setup, world.account(), box, heal=False).error == "Microsoft is silent"
    )


@pytest.mark.parametrize(
    ("where", "sentence"),
    [
        ("", "it is broken. Mend it."),
        (NAME, "it is broken. Mend it."),
        ("imap.acme.example", "imap.acme.example: it is broken. Mend it."),
    ],
)
def test_a_sentence_within_an_account_leaves_its_name_out(where, sentence):
    error = Refused("it is broken", where=where, advice="Mend it.")
    assert error.sentence(within=NAME) == sentence


def test_a_sentence_by_itself_names_its_account():
    assert Refused("it is broken", where=NAME).sentence() == f"{NAME}: it is broken"
