"""What DNS says about the domain our mails leave from: SPF, DKIM and DMARC.

Receivers judge mail by them (RFC 7208, RFC 6376, RFC 7489); without them greetings end as junk.
"""

from collections.abc import Callable, Iterator
from typing import Final

import dns.exception
import dns.resolver

from crm_sync.core.records import Finding

Lookup = Callable[[str], list[str]]
"""The TXT records of a name, none where there are none; raises `Silent` when nobody answers."""

SELECTORS: Final = (
    *("selector1", "selector2", "google", "default", "dkim", "mail", "s1", "s2", "k1", "k2"),
)
"""A selector can't be asked for, only guessed: these are the usual ones."""

_INCLUDES: Final = {"gmail": "_spf.google.com", "microsoft365": "spf.protection.outlook.com"}
_NOWHERE: Final = frozenset({"example", "invalid", "local", "localhost", "test"})
"""Top-level domains that no name server of the world knows (RFC 2606, RFC 6762)."""

_PATIENCE: Final = 5.0


class Silent(Exception):  # noqa: N818  # nothing is wrong with the domain
    """No name server answers."""


def examine(domain: str, connector: str, lookup: Lookup) -> list[Finding]:
    """Findings about a sending domain; one note when no name server answers.

    `connector` names the way that mails leave: of some it is known what SPF must include. A domain
    that is kept for examples and local networks has none to tell.
    """
    if domain.rpartition(".")[2].lower() in _NOWHERE:
        return []
    try:
        return [_spf(domain, connector, lookup), _dkim(domain, lookup), _dmarc(domain, lookup)]
    except Silent:
        return [Finding(domain, ok=True, problem="no name server answers; SPF, DKIM, DMARC unseen")]


def _spf(domain: str, connector: str, lookup: Lookup) -> Finding:
    name = f"SPF of {domain}"
    records = [text for text in lookup(domain) if text.lower().split(" ")[0] == "v=spf1"]
    if not records:
        advice = f'Publish a TXT record at {domain}, such as "v=spf1 {_wanted(connector)} -all".'
        return Finding(name, ok=False, problem="there is none", advice=advice)
    if len(records) > 1:
        advice = "Join them: with two, receivers take neither (RFC 7208 section 4.5)."
        return Finding(name, ok=False, problem="there are several records", advice=advice)
    terms = records[0].lower().split()
    if "+all" in terms or "all" in terms:
        advice = "End it with -all or ~all."
        return Finding(name, ok=False, problem="it lets anybody send as you", advice=advice)
    needed = _INCLUDES.get(connector)
    indirect = any(term.startswith(("include:", "redirect=")) for term in terms)
    if needed and f"include:{needed}" not in terms:
        # What it includes may include that in turn: no reason to call it wrong.
        advice = f"Add include:{needed}, unless it is included by what you include."
        return Finding(name, ok=indirect, problem=f"{needed} is not named in it", advice=advice)
    return Finding(name, ok=True)


def _wanted(connector: str) -> str:
    return f"include:{_INCLUDES[connector]}" if connector in _INCLUDES else "mx"


def _dkim(domain: str, lookup: Lookup) -> Finding:
    name = f"DKIM of {domain}"
    for selector in SELECTORS:
        for text in lookup(f"{selector}._domainkey.{domain}"):
            if _tag(text, "p"):
                return Finding(name, ok=True)
    # A key under another name is as good.
    return Finding(
        name,
        ok=True,
        problem="no key under a usual selector",
        advice='Send yourself a mail and look for "dkim=pass" in its Authentication-Results.',
    )


def _dmarc(domain: str, lookup: Lookup) -> Finding:
    name = f"DMARC of {domain}"
    for place in _upwards(domain):
        for text in lookup(f"_dmarc.{place}"):
            if (_tag(text, "v") or "").upper() == "DMARC1" and _tag(text, "p"):
                return Finding(name, ok=True)
    advice = f'Publish a TXT record at _dmarc.{domain}, at first "v=DMARC1; p=none".'
    return Finding(name, ok=False, problem="there is none", advice=advice)


def _upwards(domain: str) -> Iterator[str]:
    """The domain and those above it: a policy may be published for all below (section 6.6.3)."""
    labels = domain.split(".")
    for start in range(max(1, len(labels) - 1)):
        yield ".".join(labels[start:])


def _tag(record: str, wanted: str) -> str | None:
    """The value of a tag in `v=…; p=…`, None where it is missing or empty."""
    for part in record.split(";"):
        tag, _, value = part.partition("=")
        if tag.strip().lower() == wanted:
            return value.strip() or None
    return None


def resolver(nameserver: str | None = None, port: int = 53) -> Lookup:
    """Asks the machine's name servers, or the one that is given."""

    def lookup(name: str) -> list[str]:
        try:
            asked = dns.resolver.Resolver(configure=nameserver is None)
            if nameserver is not None:
                asked.nameservers, asked.port = [nameserver], port
            found = asked.resolve(name, "TXT", lifetime=_PATIENCE, search=False)
        except (dns.resolver.NXDOMAIN, dns.resolver.NoAnswer):
            return []
        except (dns.exception.DNSException, OSError) as error:
            raise Silent(name) from error
        return [b"".join(row.strings).decode("latin-1") for row in found]

    return lookup
