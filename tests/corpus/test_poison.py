"""Damaged mails never stop the good mails that follow them."""

from collections import Counter

import pytest

from tests.corpus.corpus import CORPUS, Office, corpus, sender
from tests.corpus.mutants import OWN, mutants

MUTANTS = 300


def good(number: int) -> bytes:
    return (
        f"From: Customer <good{number}@good-customer.example>\r\nTo: rep@acme.example\r\n"
        f"Subject: Order {number}\r\nMessage-ID: <good-{number}@good-customer.example>\r\n"
        "Date: Sun, 01 Mar 2026 10:00:00 +0000\r\n\r\nPlease send another one.\r\n"
    ).encode()


@pytest.fixture
def mailbox(dovecot, tmp_path):
    """Mutants of our own mails and, where it is at hand, of the corpus; a good mail after each."""
    seeds = list(OWN) * 20
    seeds += [raw for raw in corpus().values() if len(raw) < 200_000] if CORPUS.is_dir() else []
    mails: dict[str, bytes] = {}
    for number, raw in enumerate(mutants(seeds, MUTANTS, seed=20260302)):
        mails[f"mutant {number}"] = raw
        mails[f"good {number}"] = good(number)
    office = Office(dovecot, tmp_path, "poisoned", mails)
    yield office
    office.app.close()


def test_after_each_of_300_damaged_mails_the_good_one_is_logged(mailbox, capsys):
    before = mailbox.dovecot.flags("poisoned", "INBOX")
    mailbox.import_every_sender()
    pulled = mailbox.sync()
    fates = mailbox.fates()
    assert pulled.error is None
    assert fates.keys() == mailbox.mails.keys(), "a mail is lost"
    assert [f"good {n}" for n in range(MUTANTS) if fates[f"good {n}"].outcome != "logged"] == []
    for number in range(MUTANTS):
        assert mailbox.explain(f"<good-{number}@good-customer.example>")[0]["outcome"] == "logged"
    assert pulled.seen == 2 * MUTANTS
    assert pulled.seen == pulled.logged + pulled.unmatched + pulled.ignored + pulled.errors
    assert mailbox.sync().seen == 0
    assert mailbox.dovecot.flags("poisoned", "INBOX") == before
    damaged = Counter(f"{f.outcome}: {f.reason}" for n, f in fates.items() if n[0] == "m")
    with capsys.disabled():
        print("\n\nWhat became of the damaged mails:", dict(damaged.most_common()))
        print(f"  {sum(map(bool, map(sender, mailbox.mails.values())))} mails have a sender")
