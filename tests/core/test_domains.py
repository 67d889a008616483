"""Domains that tell nothing about a customer."""

import pytest

from crm_sync.core.domains import is_disposable, is_freemail, is_public_suffix


@pytest.mark.parametrize(
    "domain",
    """gmail.com googlemail.com outlook.com hotmail.com hotmail.se hotmail.co.uk live.se live.dk
    yahoo.com yahoo.co.jp icloud.com me.com gmx.de gmx.net web.de qq.com 163.com 126.com
    protonmail.com proton.me mail.ru yandex.ru yandex.kz chmail.ir telia.com spray.se home.se
    jubii.dk stofanet.dk vnn.vn GMAIL.COM hotmail.com.""".split(),  # noqa: SIM905  # words read better than quoted words
)
def test_mailboxes_anybody_can_have_are_freemail(domain):
    assert is_freemail(domain)


@pytest.mark.parametrize(
    "domain", ["acme.example", "yahoo.example", "hotmail.acme.example", "mygmail.com", "", "com"]
)
def test_a_company_s_domain_is_not_freemail(domain):
    assert not is_freemail(domain)


def test_throw_away_domains_are_known_with_their_subdomains():
    assert is_disposable("mailinator.com")
    assert is_disposable("box.Mailinator.com")
    assert not is_disposable("acme.example")
    assert not is_disposable("com")


def test_public_suffixes_are_told_from_registrable_domains():
    assert is_public_suffix("co.uk")
    assert is_public_suffix("com")
    assert is_public_suffix("github.io")
    assert not is_public_suffix("acme.co.uk")
    assert not is_public_suffix("acme.example")
