"""Email addresses as keys: one spelling for all that reach the same mailbox."""

import unicodedata
from functools import lru_cache
from typing import Final

import idna
from publicsuffixlist import PublicSuffixList

CANONICAL_VERSION: Final = 1
"""Version of the canonical form, of which keyed hashes are made: a new form needs a new number."""

_LONGEST: Final = 320
_GMAIL: Final = frozenset({"gmail.com", "googlemail.com"})
_FORBIDDEN: Final = frozenset(" \t\r\n\0<>,;")


@lru_cache(maxsize=4096)
def canonical(address: str) -> str | None:
    """The canonical form (version 1) of an addr-spec; None when it is no address.

    Lower case, NFC, an internationalised domain as A-labels (UTS 46), no final dot; Gmail's dots
    dropped. Judged by syntax alone and leniently: exactly one at-sign with something on each side.
    """
    if len(address) > _LONGEST:
        return None
    local, at, domain = address.strip().partition("@")
    if not at or "@" in domain or not _FORBIDDEN.isdisjoint(local + domain):
        return None
    local, domain = _lower(local), canonical_domain(domain)
    if domain in _GMAIL:
        name, plus, tag = local.partition("+")
        local, domain = name.replace(".", "") + plus + tag, "gmail.com"
    return f"{local}@{domain}" if local and domain else None


@lru_cache(maxsize=4096)
def canonical_domain(domain: str) -> str:
    """A domain in lower case, as A-labels, without final dot; in Unicode where IDNA refuses."""
    domain = _lower(domain.strip()).rstrip(".")
    if domain.isascii():
        return domain
    try:
        return idna.encode(domain, uts46=True).decode("ascii").lower()
    except (idna.IDNAError, UnicodeError):
        return domain


def _lower(text: str) -> str:
    if text.isascii():
        return text.lower()
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", text).lower())


@lru_cache(maxsize=4096)
def variants(address: str) -> tuple[str, ...]:
    """The forms under which to look a contact up: the canonical, then the one without plus-tag."""
    form = canonical(address)
    if form is None:
        return ()
    local, _, domain = form.partition("@")
    name, plus, _ = local.partition("+")
    return (form, f"{name}@{domain}") if plus and name else (form,)


def domain_of(address: str) -> str:
    """The domain of a canonical address."""
    return address.rpartition("@")[2]


@lru_cache(maxsize=4096)
def domain_chain(domain: str) -> tuple[str, ...]:
    """The domain and each parent down to the registrable one, most specific first.

    Under a top-level domain nobody knows (`.local`, `.example`) two labels are registrable. A
    domain literal, a single label or a public suffix stands alone. The list is the one shipped
    with `publicsuffixlist`; nothing is fetched.
    """
    registrable = None if domain.startswith("[") else suffixes().privatesuffix(domain)
    if not registrable:
        return (domain,)
    extra = domain.count(".") - registrable.count(".")
    labels = domain.split(".")
    return tuple(".".join(labels[start:]) for start in range(extra + 1))


@lru_cache(maxsize=1)
def suffixes() -> PublicSuffixList:
    """The public suffix list; reading it takes some 50 ms, so it is read when first asked for."""
    return PublicSuffixList()
