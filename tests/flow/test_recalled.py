"""The past of a new customer, however long it is: page by page, each place once in a pull."""

import pytest

from crm_sync.flow import fetch
from crm_sync.store import accounts, items

NORDVIK = "Lena,Nordvik AB,lena@nordvik.example"
MAILS = 23


@pytest.fixture
def office(world, monkeypatch):
    """Karin's mailbox with mails of somebody who is no customer yet, and many of strangers."""
    monkeypatch.setattr(fetch, "BATCH", 5)
    world.box = world.mailbox()
    for number in range(MAILS):
        world.box.deliver(world.mail(subject=f"m{number}"))
        for other in range(3):
            world.box.deliver(world.mail(f"p{other}@elsewhere.example"))
    world.sync()
    assert world.log() == []
    return world


def pages_of(world, monkeypatch) -> list[int]:
    """How many rows the diary gives for each page of recalled places, from now on."""
    given, recalled = [], items.recalled

    def counted(*words, **more):
        rows = recalled(*words, **more)
        given.append(len(rows))
        return rows

    monkeypatch.setattr(items, "recalled", counted)
    return given


def reads_of(box, monkeypatch) -> list[str]:
    """The keys that the mailbox is asked to read, from now on."""
    asked, read = [], box.read

    def noting(locators, **wishes):
        if wishes.get("items"):
            asked.extend(locator.key for locator in locators)
        return read(locators, **wishes)

    monkeypatch.setattr(box, "read", noting)
    return asked


def test_each_place_is_given_once_and_everything_is_found(office, monkeypatch):
    pages = pages_of(office, monkeypatch)
    office.customers(NORDVIK)
    (pulled,) = office.sync()
    assert (pulled.found, len(office.log())) == (MAILS, MAILS)
    assert pages == [5, 5, 5, 5, 3, 0]


def test_what_cannot_be_read_is_asked_for_once_in_a_pull(office, monkeypatch):
    for number in range(1, 4 * MAILS, 4):
        office.box.make_unreadable(f"1:{number}")
    office.customers(NORDVIK)
    asked = reads_of(office.box, monkeypatch)
    pages = pages_of(office, monkeypatch)
    office.sync()
    assert len(asked) == len(set(asked)) == MAILS
    assert (sum(pages), office.log()) == (MAILS, [])
    for number in range(1, 4 * MAILS, 4):
        office.box.make_unreadable(f"1:{number}", reason="")
    assert office.sync()[0].found == MAILS


def test_all_places_of_a_mail_are_looked_at_and_it_is_found_once(office, monkeypatch):
    for number in range(1, 4 * MAILS, 4):
        office.box.copy(f"1:{number}", "INBOX", "Sent")
    office.sync()
    pages = pages_of(office, monkeypatch)
    office.customers(NORDVIK)
    office.sync()
    assert len(office.log()) == MAILS
    assert sum(pages) <= 2 * MAILS


def test_the_last_page_costs_no_more_than_the_first_and_none_costs_next_to_nothing(office):
    """Counted in steps of the database's machine: they do not depend on the computer."""
    with office.store.write() as tx:
        account = office.account()
        nobody = accounts.declare(tx, "daniel/imap", "mailbox", "memory", None)
        before = steps_of(tx, lambda: items.recalled(tx, account.id, 5))
    office.customers(NORDVIK)
    with office.store.read() as tx:
        pages, costs, last = [], [], None
        for _ in range(4):
            costs.append(
                steps_of(tx, lambda at=last: pages.append(items.recalled(tx, account.id, 5, at)))
            )
            last = pages[-1][-1][:3]
        of_nobody = items.recalled(tx, nobody.id, 5)
    assert len({row[0] for page in pages for row in page}) == 20
    assert max(costs) <= 1.2 * min(costs)
    assert before < min(costs) / 5
    assert of_nobody == []


def steps_of(tx, work) -> int:
    """How many steps SQLite takes for some work."""
    steps = 0

    def tick() -> int:
        nonlocal steps
        steps += 1
        return 0

    database = tx.connection.driver_connection
    database.set_progress_handler(tick, 1)
    work()
    database.set_progress_handler(None, 0)
    return steps
