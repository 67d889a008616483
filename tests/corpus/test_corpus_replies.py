"""How many replies of the corpus come out as their labels expect, quotes and signature cut."""

from crm_sync.core.quotes import split_reply
from crm_sync.core.text import read_message
from tests.corpus.corpus import corpus, labels, needs_corpus

pytestmark = needs_corpus


def test_nine_in_ten_expected_replies_are_reproduced(capsys):
    expected = {name: row.reply for name, row in labels().items() if row.reply}
    missed = [
        name
        for name, reply in expected.items()
        if split_reply(read_message(corpus()[name]).text)[0].split() != reply.split()
    ]
    found = len(expected) - len(missed)
    with capsys.disabled():
        print(f"\n\nReplies reproduced: {found} of {len(expected)}")
        print(*(f"  missed: {name}" for name in missed), sep="\n")
    assert found >= 0.9 * len(expected)


def test_of_every_mail_new_part_and_rest_together_hold_each_line():
    for name, raw in corpus().items():
        text = read_message(raw).text
        new, rest = split_reply(text)
        assert sorted(f"{new}\n{rest}".split()) == sorted(text.split()), name
