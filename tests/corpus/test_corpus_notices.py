"""How much of the corpus's machine mail becomes knowledge: addresses, ends of absences."""

from collections import Counter

from crm_sync.core.absence import read_absence
from crm_sync.core.bounces import read_bounce
from crm_sync.core.complaints import read_complaint
from crm_sync.core.headers import parse_envelope
from tests.corpus.corpus import ARRIVED, CORPUS, corpus, needs_corpus
from tests.corpus.mutants import mutants

pytestmark = needs_corpus


def subs() -> dict[str, str]:
    """Name -> the finer label of each mail that has one."""
    rows = (line.split("\t") for line in (CORPUS / "labels.tsv").read_text("utf-8").splitlines())
    return {row[0]: f"{row[1]}/{row[2]}" for row in rows}


def sent_on(raw: bytes):
    date = parse_envelope(raw).date
    return (date or ARRIVED).date()


def test_nine_in_ten_bounces_name_the_address_that_failed(capsys):
    bounces = {name: sub for name, sub in subs().items() if sub.startswith("bounce/")}
    found = {name: read_bounce(corpus()[name]) for name in bounces}
    missed = [name for name, bounce in found.items() if not bounce.failures]
    kinds = Counter(f.kind for bounce in found.values() for f in bounce.failures)
    with_ids = sum(bool(bounce.original_ids) for bounce in found.values())
    with capsys.disabled():
        print(f"\n\nBounces with an address: {len(found) - len(missed)} of {len(found)}")
        print(f"  {dict(kinds)}; {with_ids} with the id of our mail")
        print(*(f"  missed: {name} ({bounces[name]})" for name in missed), sep="\n")
    assert len(missed) <= 0.1 * len(found)


def test_what_only_warns_of_a_delay_is_never_taken_for_a_failure_for_good():
    late = [name for name, sub in subs().items() if sub == "bounce/delay-warning"]
    failed = [n for n in late if any(f.kind == "hard" for f in read_bounce(corpus()[n]).failures)]
    assert failed == []


def test_replies_about_an_absence_tell_until_when(capsys):
    away = [name for name, sub in subs().items() if sub == "auto-reply/ooo"]
    found = {name: read_absence(corpus()[name], sent_on(corpus()[name])) for name in away}
    missed = [name for name, absence in found.items() if absence is None]
    dated = [name for name, absence in found.items() if absence is not None and absence.until]
    with capsys.disabled():
        print(f"\n\nAbsences recognised: {len(away) - len(missed)} of {len(away)}")
        print(f"  with the first day back: {len(dated)}")
        print(*(f"  missed: {name}" for name in missed), sep="\n")
    # One holds nothing but a quote, another says that nobody reads the address any more.
    assert len(missed) <= 2
    assert len(dated) >= 0.8 * len(away)


def test_no_other_automatic_reply_is_taken_for_an_absence():
    others = [n for n, s in subs().items() if s.startswith("auto-reply/") and s != "auto-reply/ooo"]
    taken = [n for n in others if read_absence(corpus()[n], sent_on(corpus()[n])) is not None]
    assert taken == []


def test_every_complaint_is_read_and_nothing_else_is_one(capsys):
    found = {name for name, raw in corpus().items() if read_complaint(raw) is not None}
    labelled = {name for name, sub in subs().items() if sub == "machine/arf"}
    named = sum(bool(c.addresses) for n in labelled if (c := read_complaint(corpus()[n])))
    with capsys.disabled():
        print(
            f"\n\nComplaints read: {len(found & labelled)} of {len(labelled)}, {named} with address"
        )
        print(*(f"  missed: {name}" for name in sorted(labelled - found)), sep="\n")
    assert found == labelled


def test_damaged_mails_are_read_without_an_error():
    for octets in mutants(list(corpus().values()), 500, seed=7):
        read_bounce(octets)
        read_complaint(octets)
        read_absence(octets, ARRIVED.date())
