"""Import: whom a row means and what it changes, in whatever portions the diary is asked."""

import random
import sqlite3

import pytest
from sqlalchemy import event

from crm_sync.core.customer_files import parse_customers
from crm_sync.flow import intake
from crm_sync.store import intake as rows_intake

KARIN, DANIEL = "karin@acme.example", "daniel@acme.example"
LENA = "Lena Vik,Nordvik AB,lena@nordvik.example"
TABLES = ("customer", "customer_domain", "contact", "contact_address", "employment", "memo")
COLUMNS = "name,company,emails,domains,owner,birthday,language,last_purchase,size,tags"


@pytest.fixture(params=[1, 500], ids=["row by row", "at once"])
def office(request, world, monkeypatch):
    monkeypatch.setattr(rows_intake, "CHUNK", request.param)
    return world


def diary(world) -> dict[str, list]:
    with sqlite3.connect(world.folder / "diary.db") as connection:
        found = {t: connection.execute(f"SELECT * FROM {t}").fetchall() for t in TABLES}
    connection.close()
    return {table: sorted(rows, key=repr) for table, rows in found.items()}


def counts(result) -> tuple[int, int, int]:
    return result["created"], result["updated"], result["unchanged"]


def people(world) -> dict[str, list[tuple[str, list[str]]]]:
    """Customer -> its contacts, with their addresses."""
    return {
        one["name"]: [(who["name"], who["emails"]) for who in one["contacts"]]
        for one in world.listing()
    }


# -- the rules ------------------------------------------------------------------------------------


def test_the_same_file_twice_changes_nothing(office):
    rows = (LENA, "Bo Ek,Nordvik AB,bo@nordvik.example", "Ann,,ann@ann.example")
    assert counts(office.customers(*rows)) == (3, 0, 0)
    before = diary(office)
    assert counts(office.customers(*rows)) == (0, 0, 3)
    assert diary(office) == before


def test_a_contact_is_known_by_any_of_her_addresses_in_any_spelling(office):
    office.customers("Lena Vik,Nordvik AB,lena@nordvik.example|l.vik@gmail.com")
    result = office.customers("Lena Vik-Ek,Nordvik AB,LVIK@googlemail.com|lena@home.example")
    assert counts(result) == (0, 1, 0)
    emails = ["lena@nordvik.example", "l.vik@gmail.com", "lena@home.example"]
    assert people(office) == {"Nordvik AB": [("Lena Vik-Ek", emails)]}


def test_a_contact_is_known_by_company_and_name_else(office):
    office.customers(LENA, "Lena Vik,Söder AB,lena@soder.example", "Ann,,ann@ann.example")
    result = office.customers("lena  VIK,NORDVIK ab,lena@new.example", "ann,,ann@new.example")
    assert counts(result) == (0, 2, 0)
    assert people(office) == {
        "Nordvik AB": [("lena  VIK", ["lena@nordvik.example", "lena@new.example"])],
        "Söder AB": [("Lena Vik", ["lena@soder.example"])],
        "Ann": [("ann", ["ann@ann.example", "ann@new.example"])],
    }


def test_of_two_with_the_same_name_neither_is_meant(office):
    office.customers("Bo,Nordvik AB,bo@nordvik.example", "Bo,Söder AB,bo@soder.example")
    office.customers(",Nordvik AB,bo@soder.example", "Bo,Nordvik AB,bo@third.example")
    assert [emails for _, emails in people(office)["Nordvik AB"]] == [
        ["bo@nordvik.example"],
        ["bo@soder.example"],
        ["bo@third.example"],
    ]


def test_rows_of_one_file_know_each_other(office):
    result = office.customers(LENA, "Lena Vik,Nordvik AB,lena@home.example", "Bo,Nordvik AB,")
    assert counts(result) == (2, 1, 0)
    assert [name for name, _ in people(office)["Nordvik AB"]] == ["Lena Vik", "Bo"]


def test_what_contradicts_the_diary_or_an_earlier_row_is_rejected_by_its_line(office):
    office.customers(LENA)
    result = office.customers(
        "Bo,Nordvik AB,bo@nordvik.example",
        "Ann,Nordvik AB,bo@nordvik.example",
        "Eva,Söder AB,eva@soder.example|lena@nordvik.example|bo@nordvik.example",
        "Lena Vik,Nordvik AB,bo@nordvik.example",
        "Dag,Söder AB,dag@soder.example",
    )
    assert counts(result) == (2, 0, 0)
    assert result["rejected"] == [
        {"line": 3, "reason": "the address bo@nordvik.example belongs to another contact"},
        {"line": 4, "reason": "the row holds addresses of two contacts"},
        {"line": 5, "reason": "the address bo@nordvik.example belongs to another contact"},
    ]
    assert "Eva" not in str(people(office))


def test_an_empty_cell_leaves_what_is_stored_and_unknown_columns_add_up(office):
    header = "name,emails,birthday,language,size,colour"
    office.customers("Lena,lena@nordvik.example,1980-03-04,sv,L,", header=header)
    office.customers("Lena,lena@nordvik.example,,en,,blue", header=header)
    (who,) = office.listing()[0]["contacts"]
    assert (who["birthday"], who["language"]) == ("1980-03-04", "en")
    assert '{"colour": "blue", "size": "L"}' in str(diary(office)["contact"])


def test_whoever_changes_jobs_leaves_one_customer_and_comes_back(office):
    office.customers(LENA)
    for company in ("Söder AB", "Nordvik AB"):
        result = office.customers(f"Lena Vik,{company},lena@nordvik.example")
        assert counts(result) == (0, 1, 0)
        assert {name: len(who) for name, who in people(office).items()} == {
            name: int(name == company) for name in ("Nordvik AB", "Söder AB")
        }


def test_a_second_row_of_the_same_file_is_a_second_employer(office):
    office.customers(LENA, "Lena Vik,Söder AB,lena@nordvik.example")
    assert {name: len(who) for name, who in people(office).items()} == {
        "Nordvik AB": 1,
        "Söder AB": 1,
    }


def test_of_owner_and_domains_the_last_row_wins_with_a_warning(office):
    header = "name,company,owner,domains"
    result = office.customers(
        f"Lena,Nordvik AB,{KARIN},nordvik.example",
        f"Bo,nordvik ab,{DANIEL},nordvik.example|vik.example",
        header=header,
    )
    (customer,) = office.listing()
    assert customer["owner"] == DANIEL
    assert customer["domains"] == ["nordvik.example", "vik.example"]
    assert [warning.partition(":")[0] for warning in result["warnings"]] == ["line 3", "line 3"]
    office.customers("Lena,Nordvik AB,,vik.example", header=header)
    assert office.listing()[0]["domains"] == ["vik.example"]


# -- in portions ----------------------------------------------------------------------------------


def random_file(chance: random.Random) -> bytes:
    """Rows about a few people and companies, who are met again and again and contradict each other."""
    cells = (
        ("", "Anna Ek", "anna  EK", "Bo", "Cy", "Dag"),
        ("", "", "Nordvik AB", "NORDVIK ab", "Sten", "Bo"),
        ("", "a@x.example", "A@x.example", "b@x.example", "c@y.example", "a@x.example|d@gmail.com",
         "d.d@gmail.com|e@z.example", "b@x.example|c@y.example"),
        ("", "", "x.example", "y.example|z.example"),
        ("", KARIN, DANIEL, "nobody@acme.example"),
        ("", "--02-29", "1980-01-01"),
        ("", "sv", "en"),
        ("", "2020-01-01"),
        ("", "L", "M"),
        ("", "a|b"),
    )  # fmt: skip
    rows = [",".join(map(chance.choice, cells)) for _ in range(chance.randint(1, 25))]
    return "\n".join([COLUMNS, *rows]).encode()


@pytest.mark.parametrize("seed", range(4))
def test_how_many_rows_are_asked_about_at_once_changes_nothing(make_world, monkeypatch, seed):
    chance = random.Random(seed)
    worlds = {portion: make_world() for portion in (1, 3, 500)}
    for _ in range(8):
        file = parse_customers(random_file(chance), ".csv")
        told, found = [], []
        for portion, world in worlds.items():
            monkeypatch.setattr(rows_intake, "CHUNK", portion)
            told.append(intake.take_in(world.setup, file))
            found.append(diary(world))
        assert told == [told[0]] * 3
        assert found == [found[0]] * 3


def test_a_file_for_each_row_makes_the_same_diary_as_one_file(make_world):
    rows = [
        f"Person {n},{f'Firm {n // 3}' if n % 5 else ''},p{n}@firm{n // 3}.example|q{n}@home.example"
        for n in range(60)
    ]
    whole, single = make_world(), make_world()
    whole.customers(*rows)
    for row in rows:
        single.customers(row)
    found, expected = diary(whole), diary(single)
    assert [name for name, _ in found.pop("memo")] == [name for name, _ in expected.pop("memo")]
    assert found == expected


def test_four_hundred_rows_cost_no_more_statements_than_forty(make_world):
    def statements(count: int) -> int:
        world, asked = make_world(), []
        event.listen(world.store._engine, "before_cursor_execute", lambda *_: asked.append(1))
        rows = [f"Person {n},Firm {n // 3},p{n}@firm{n // 3}.example" for n in range(count)]
        world.customers(*rows)
        world.customers(*rows)
        return len(asked)

    assert statements(400) <= statements(40) + 20
