"""The whole corpus through Dovecot, the IMAP connector and the diary, as an admin would sync it.

Each mail is logged, left out with a reason, or quarantined with a reason; none is lost and none
stops the others. What the labels promise is counted and printed per kind.
"""

from collections import Counter, defaultdict
from dataclasses import dataclass

import pytest
from sqlalchemy import func, select

from crm_sync.core.errors import Unreadable
from crm_sync.core.headers import parse_envelope
from crm_sync.core.identity import SAME_DATE
from crm_sync.core.records import Envelope
from crm_sync.flow.health import Pulled
from crm_sync.store.tables import wanted
from tests.corpus.corpus import OUR_DOMAIN, Fate, Office, corpus, labels, needs_corpus, sender

pytestmark = needs_corpus

KINDS = {
    "matched": "human",
    "bounce": "bounce",
    "automatic": "auto-reply",
    "bulk": "list",
    "calendar": "invite",
}
"""What a reason says the mail was."""

SAME_KIND = {"machine": "auto-reply", "spam-newsletter": "list"}
"""Labels that share a reason with another."""


@dataclass
class Synced:
    """The corpus after one sync."""

    office: Office
    pulled: Pulled
    fates: dict[str, Fate]

    def kind(self, name: str) -> str:
        fate = self.fates[name]
        return KINDS.get(fate.reason, fate.outcome)


@pytest.fixture(scope="module")
def synced(dovecot, tmp_path_factory):
    office = Office(dovecot, tmp_path_factory.mktemp("corpus"), "corpus", corpus())
    before = dovecot.flags("corpus", "INBOX")
    office.import_every_sender()
    pulled = office.sync()
    yield Synced(office, pulled, office.fates())
    office.app.close()
    assert dovecot.flags("corpus", "INBOX") == before, "reading has changed flags"


def envelope(name: str) -> Envelope | None:
    try:
        return parse_envelope(corpus()[name])
    except Unreadable:
        return None


def test_our_own_domain_occurs_nowhere_in_the_corpus():
    assert not [n for n, raw in corpus().items() if OUR_DOMAIN.encode() in raw.lower()]


def test_no_mail_is_lost_and_each_has_an_outcome_with_a_reason(synced, capsys):
    assert synced.fates.keys() == corpus().keys()
    outcomes = {"logged", "ignored", "unmatched", "quarantined"}
    assert {fate.outcome for fate in synced.fates.values()} <= outcomes
    assert all(fate.reason for fate in synced.fates.values())
    with capsys.disabled():
        print_table(synced)


def print_table(synced: Synced) -> None:
    table: dict[str, Counter[str]] = defaultdict(Counter)
    for name, fate in synced.fates.items():
        label = labels()[name].label if name in labels() else "(no label)"
        table[label][f"{fate.outcome}: {fate.reason}"] += 1
    print("\n\nWhat became of the corpus, per label")
    for label, counts in sorted(table.items()):
        told = "; ".join(f"{count} {what}" for what, count in counts.most_common())
        print(f"  {label:<16} {counts.total():>3}   {told}")


def test_the_counts_of_sync_add_up_and_are_those_of_the_diary(synced):
    pulled = synced.pulled
    outcomes = Counter(fate.outcome for fate in synced.fates.values())
    assert pulled.seen == len(corpus())
    assert pulled.seen == pulled.logged + pulled.unmatched + pulled.ignored + pulled.errors
    assert pulled.logged == outcomes["logged"]
    assert pulled.unmatched == outcomes["unmatched"]
    assert pulled.ignored == outcomes["ignored"]
    assert pulled.errors == outcomes["quarantined"]


def test_nothing_is_held_against_the_account(synced):
    assert synced.pulled.error is None
    account = synced.office.account()
    assert account.state == "ok"
    assert account.last_error is None
    assert account.complete_until is not None


def test_only_what_has_no_header_at_all_is_quarantined(synced):
    held = [n for n, fate in synced.fates.items() if fate.outcome == "quarantined"]
    assert [n for n in held if envelope(n) is not None] == []


def test_a_second_sync_finds_nothing_new(synced):
    again = synced.office.sync()
    assert (again.seen, again.found, again.error) == (0, 0, None)
    assert synced.office.fates() == synced.fates


def test_the_text_of_everything_logged_has_been_fetched(synced):
    with synced.office.app.store.read() as tx:
        assert tx.execute(select(func.count()).select_from(wanted)).scalar_one() == 0


def test_mails_share_an_interaction_exactly_when_they_are_copies(synced):
    by_row: dict[int, list[str]] = defaultdict(list)
    for name, fate in synced.fates.items():
        if fate.outcome == "logged":
            by_row[fate.row].append(name)
    by_name: dict[tuple[str, str], set[int]] = defaultdict(set)
    for names in by_row.values():
        seen = [envelope(name) for name in names]
        assert all(a and b and are_copies(a, b) for a in seen for b in seen), names
        for name, found in zip(names, seen, strict=True):
            if found and found.message_id and found.date:
                author = (sender(corpus()[name]) or "").lower()
                by_name[f"{found.message_id} {found.date}", author].add(synced.fates[name].row)
    assert [key for key, rows in by_name.items() if len(rows) > 1] == []


def are_copies(one: Envelope, other: Envelope) -> bool:
    if one is other or one == other:
        return True
    near = one.date is None or other.date is None or abs(one.date - other.date) <= SAME_DATE
    return near and bool(one.message_id) and one.message_id == other.message_id


def test_a_mail_without_any_sender_is_logged_only_where_it_went_to_a_customer(synced):
    homes = {domain(sender(raw) or "") for raw in corpus().values()} - {""}
    nobody = [name for name, raw in corpus().items() if sender(raw) is None]
    assert nobody, "the corpus has such mails"
    for name in nobody:
        found = envelope(name)
        went_to = {domain(a.address) for a in (*found.to, *found.cc)} if found else set()
        if not went_to & homes:
            assert synced.fates[name].outcome != "logged", name


def domain(address: str) -> str:
    return address.rpartition("@")[2].lower()


def test_people_enter_the_diary_and_machines_do_not(synced):
    entered: dict[str, list[bool]] = defaultdict(list)
    for name, labelled in labels().items():
        entered[labelled.label].append(synced.fates[name].outcome == "logged")
    share = {label: sum(seen) / len(seen) for label, seen in entered.items()}
    for label in ("bounce", "auto-reply", "list", "spam-newsletter"):
        assert share[label] <= 0.03, label
    assert share["human"] >= 0.97


def test_explain_says_of_each_mail_what_became_of_it(synced):
    for name, fate in synced.fates.items():
        found = envelope(name)
        if found is None or not found.message_id:
            continue
        said = synced.office.explain(found.message_id)
        assert (fate.outcome, fate.reason) in {(s["outcome"], s["reason"]) for s in said}, name
        assert all(s["account"] == synced.pulled.name and s["steps"] for s in said), name


def test_each_reason_is_nearly_always_the_right_one(synced, capsys):
    """Precision and recall of what the reasons say; the misjudged mails are named."""
    pairs = [(row.label, synced.kind(name)) for name, row in labels().items()]
    figures = {kind: precision_and_recall(kind, pairs) for kind in KINDS.values()}
    wrong = [
        f"  {name}: {label}, taken for {told}"
        for name, (label, told) in zip(labels(), pairs, strict=True)
        if told != SAME_KIND.get(label, label)
    ]
    with capsys.disabled():
        print("\n\nReasons against labels")
        for kind, (precision, recall) in figures.items():
            print(f"  {kind:<12} precision {precision:.3f}   recall {recall:.3f}")
        print(*wrong, sep="\n")
    for kind in ("bounce", "auto-reply", "list", "human"):
        assert min(figures[kind]) >= 0.97, kind


def precision_and_recall(kind: str, pairs: list[tuple[str, str]]) -> tuple[float, float]:
    """Of what was taken for the kind, how much shares its reason; of the label, how much was."""
    taken = [SAME_KIND.get(label, label) == kind for label, told in pairs if told == kind]
    labelled = [told == kind for label, told in pairs if label == kind]
    return sum(taken) / len(taken), sum(labelled) / len(labelled)
