"""Address fields (RFC 5322 section 3.4) to `Address` records, tolerantly.

Addresses are cut apart *before* encoded words are decoded: a decoded name may hold a comma or
an at-sign of its own.
"""

import email.utils
import re
from typing import Any, Final

from crm_sync.core.clean import HEADER_LIMIT, clean
from crm_sync.core.encoded_words import decode_words
from crm_sync.core.records import Address

MOST_ADDRESSES: Final = 1000
"""Addresses taken from one field; mail to more people than that concerns nobody in particular."""

_DEEPEST_COMMENT: Final = 20
_LONGEST_FIELD: Final = 64 * 1024
# One mailbox as nearly all programs write it, and what must follow it. Possessive quantifiers
# keep it linear on hostile text.
_MAILBOX: Final = re.compile(
    r'\s*+(?:(?:"([^"\\]*+)"\s*+|([^"<>(),:;@\\\[\]]*+))<([^\s"<>(),:;@\\\[\]]++@[^\s"<>(),:;@\\\[\]]++)>'
    r'|([^\s"<>(),:;@\\\[\]]++@[^\s"<>(),:;@\\\[\]]++))\s*+(?:,|$)'
)
_BARE: Final = re.compile(r'[^\s"<>(),:;@\\\[\]]++@[^\s"<>(),:;@\\\[\]]++')
_LENIENT: Final[dict[str, Any]] = (
    {"strict": False} if getattr(email.utils, "supports_strict_parsing", False) else {}
)


def parse_addresses(value: str) -> tuple[Address, ...]:
    """The mailboxes of a clean address field, at most 1,000, groups flattened; never raises.

    Domain literals, quoted local parts and words without an at-sign (`MAILER-DAEMON`) are kept as
    text.
    """
    found: list[Address] = []
    position, end = 0, len(value)
    while position < end and len(found) < MOST_ADDRESSES:
        mailbox = _MAILBOX.match(value, position)
        if mailbox is None:
            return parse_addresses_by_library(value)
        quoted, plain, angled, bare = mailbox.groups()
        found.append(Address((angled or bare)[:HEADER_LIMIT], _name(quoted or plain or "")))
        position = mailbox.end()
    return tuple(found)


def parse_addresses_by_library(value: str) -> tuple[Address, ...]:
    """The same by `email.utils`, kept from what it can't bear: depth and length."""
    value = value[:_LONGEST_FIELD]
    if value.count("(") > _DEEPEST_COMMENT:
        # Comments say nothing we keep, and the library recurses into them.
        value = value.replace("(", " ").replace(")", " ")
    try:
        pairs = email.utils.getaddresses([value], **_LENIENT)
    except (ValueError, IndexError, TypeError, AttributeError, RecursionError):
        return ()
    return tuple(_mailbox(name, address) for name, address in pairs[:MOST_ADDRESSES] if address)


def _mailbox(name: str, address: str) -> Address:
    """A mailbox of the library's; where the angle brackets were forgotten its last word counts."""
    address = clean(address).strip()
    words, _, last = address.rpartition(" ")
    if words and not name and "@" not in words and _BARE.fullmatch(last):
        name, address = words.replace('"', ""), last
    return Address(address, _name(name))


def _name(name: str) -> str:
    """A display name of a clean field, decoded, with single blanks between its words."""
    name = name.strip()
    if "=?" in name:
        name = clean(decode_words(name))
    if "  " in name:
        name = " ".join(name.split())
    return name if len(name) <= HEADER_LIMIT else name[:HEADER_LIMIT]
