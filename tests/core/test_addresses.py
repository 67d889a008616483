"""One spelling for all addresses that reach the same mailbox."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crm_sync.core.addresses import canonical, canonical_domain, domain_chain, domain_of, variants


@pytest.mark.parametrize(
    ("spelt", "form"),
    [
        ("Lena.Berg@Nordvik.Example", "lena.berg@nordvik.example"),
        ("  lena@nordvik.example ", "lena@nordvik.example"),
        ("lena@nordvik.example.", "lena@nordvik.example"),
        ("lena@Åre.example", "lena@xn--re-xia.example"),
        ("lena@A\u030are.example", "lena@xn--re-xia.example"),
        ("RENE\u0301@x.example", "rené@x.example"),
        ("under_score@my_host.local", "under_score@my_host.local"),
        ("lena@localhost", "lena@localhost"),
        ("lena@[192.0.2.1]", "lena@[192.0.2.1]"),
        ("Le.Na+Tag.x@GoogleMail.com", "lena+tag.x@gmail.com"),
        ("le.na@other.example", "le.na@other.example"),
    ],
)
def test_an_address_has_one_canonical_form(spelt, form):
    assert canonical(spelt) == form


@pytest.mark.parametrize(
    "text",
    [
        "", "@", "lena", "lena@", "@nordvik.example", "a@b@c.example", "a b@c.example",
        "<a@b.example>", "a@b.example, c@d.example", "...@gmail.com", "x" * 400 + "@a.example",
    ],
)  # fmt: skip
def test_what_is_no_address_has_none(text):
    assert canonical(text) is None
    assert variants(text) == ()


def test_a_contact_is_looked_up_as_written_then_without_the_plus_tag():
    assert variants("Lena+News@nordvik.example") == (
        "lena+news@nordvik.example",
        "lena@nordvik.example",
    )
    assert variants("lena@nordvik.example") == ("lena@nordvik.example",)
    assert variants("+news@nordvik.example") == ("+news@nordvik.example",)


@given(st.text(max_size=60), st.text(max_size=60))
def test_the_canonical_form_of_a_canonical_form_is_itself(local, domain):
    form = canonical(f"{local}@{domain}")
    assert form is None or canonical(form) == form


def test_domain_of_a_canonical_address():
    assert domain_of("lena@nordvik.example") == "nordvik.example"


@pytest.mark.parametrize(
    ("domain", "chain"),
    [
        ("mail.shop.acme.co.uk", ("mail.shop.acme.co.uk", "shop.acme.co.uk", "acme.co.uk")),
        ("acme.com", ("acme.com",)),
        ("eu.acme.example", ("eu.acme.example", "acme.example")),
        ("a.b.local", ("a.b.local", "b.local")),
        ("localhost", ("localhost",)),
        ("co.uk", ("co.uk",)),
        ("one.github.io", ("one.github.io",)),
        ("[192.0.2.1]", ("[192.0.2.1]",)),
        ("", ("",)),
        ("a..b", ("a..b",)),
    ],
)
def test_a_domain_is_followed_by_its_parents_down_to_the_registrable_one(domain, chain):
    assert domain_chain(domain) == chain


@given(st.text(max_size=80))
def test_any_text_has_a_chain_that_begins_with_itself(text):
    domain = canonical_domain(text)
    assert domain_chain(domain)[0] == domain
