"""What its addresses tell about the sender: a server, a list, a program, a disguise."""

import re
from collections.abc import Iterator
from typing import Final

from crm_sync.core.addresses import canonical_domain, domain_chain
from crm_sync.core.domains import is_freemail
from crm_sync.core.records import Address, Envelope

_DECISIVE: Final = 2
_WEAK: Final = 1

_MAIL_SYSTEM: Final = frozenset(
    {"mailerdaemon", "postmaster", "maildeliverysystem", "maildeliverysubsystem", "mailsystem",
     "maildaemon", "mailadministrator", "maildelivery"}
)  # fmt: skip
_MAIL_SYSTEM_NAME: Final = re.compile(
    r"mail(?:er)?[- ](?:deliver\w*|daemon|administrat\w+|system)", re.IGNORECASE
)
_NOT_LETTERS: Final = re.compile(r"[^a-z]+")
_CALENDARS: Final = ("calendar-notification@google.com", "calendar-noreply@google.com")
_LIST_MANAGER: Final = re.compile(r"^owner-|-owner$|-bounces?(?:$|[+=])|^(?:listserv|majordomo)$")
_LIST_SERVANT: Final = re.compile(r"-(?:admin|errors|request)$")
_ROLES: Final = frozenset(
    """info support sales help helpdesk office contact kontakt service kundservice kundeservice
    order orders billing invoice invoices faktura post mail team crm hello hej hei admin""".split()  # noqa: SIM905  # words read better than quoted words
)
_NOBODY: Final = re.compile(
    r"no-?_?reply|do-?_?not-?_?reply|dont-?reply|noresponse|dev-?null|"
    r"(?:^|[._+-])(?:daemon|notifications?|notify|notifier|mailer|automailer|robot|bounces?|unattended)(?:$|[._+=-])"
)
_PROGRAM: Final = re.compile(
    r"(?:^|[._+-])(?:alerts?|system|confirm(?:ations?)?|verify|verification|request|updates?|receipts?"
    r"|feedback|registration|password|auto)(?:$|[._+-])"
)
_NEWS: Final = re.compile(
    r"(?:^|[._+-])(?:e?news|newsletters?|enewsletter|newsflash|mailings?)(?:$|[._+-])"
)
_ADVERTISING: Final = re.compile(
    r"news|promo|offers?|deals?|blast|bonus|mailing|marketing|campaign|subscri|ranking|prize|lottery|cash|bigmoney|grants?"
)
_RETURNS: Final = re.compile(
    r"(?:^|[._+-])(?:bounces?|returns?|errors?|replies)(?:$|[._+=-])|@(?:[\w-]+\.)*(?:bounces?|returns?|errors?|mailer)\."
)
_FORWARDED: Final = re.compile(r"srs[01][=+-]|prvs=|btv1==", re.IGNORECASE)
# Message-IDs that a mail server made because the sender's program had made none: sendmail,
# Postfix, Exim, qmail. People's programs make their own.
_MADE_BY_SERVER: Final = re.compile(
    r"<(?:[0-9]{12}\.[A-Za-z0-9]{8,14}|[0-9]{14}\.[0-9A-F]{8,13}|E1[A-Za-z0-9]{5}-[A-Za-z0-9]{6,11}-[A-Za-z0-9]{2,4}"
    r"|[0-9]{14}\.[0-9]{2,6}\.qmail)@"
)
_CHEAP: Final = frozenset(
    "top xyz click loan bid win icu buzz gdn stream download racing party cam".split()  # noqa: SIM905  # likewise
)
_ADDRESS: Final = re.compile(r"[\w.+-]+@([\w-]+(?:\.[\w-]+)+)")


def local_part(address: Address) -> str:
    """The local part in lower case."""
    return address.address.rpartition("@")[0].lower() or address.address.lower()


def domain(address: Address) -> str:
    """The canonical domain, empty where there is none."""
    _, at, found = address.address.rpartition("@")
    return canonical_domain(found) if at else ""


def organization(name: str) -> str:
    """The registrable domain above a domain, by which its owner is told."""
    return domain_chain(name)[-1]


def is_role(address: Address) -> bool:
    """Whether the address is that of a role people write to, and no list's."""
    return local_part(address) in _ROLES


def is_mail_system(envelope: Envelope) -> bool:
    """Whether a mail server speaks (RFC 5321 section 4.5.5 knows them by the empty path, too)."""
    for address in envelope.from_ or envelope.sender:
        local = local_part(address)
        if _NOT_LETTERS.sub("", local) in _MAIL_SYSTEM or _MAIL_SYSTEM_NAME.match(address.name):
            return True
    return False


def is_nobody(envelope: Envelope) -> bool:
    """Whether the author is an address that nobody reads."""
    return any(_NOBODY.search(local_part(address)) for address in envelope.from_)


def is_calendar(envelope: Envelope) -> bool:
    """Whether a calendar service sent the message on somebody's behalf."""
    return any(address.address.lower() in _CALENDARS for address in envelope.sender)


def is_list_manager(address: str, envelope: Envelope) -> bool:
    """Whether the address is one that list managers send from.

    A name such as `wine-admin` may be a colleague's, unless the mail goes to a list called `wine`.
    """
    local = address.strip(" <>").partition("@")[0].lower()
    if _LIST_MANAGER.search(local):
        return True
    lists = _LIST_SERVANT.split(local)
    return len(lists) > 1 and any(
        local_part(addressee) == lists[0] for addressee in (*envelope.to, *envelope.cc)
    )


def is_made_by_server(message_id: str) -> bool:
    """Whether a mail server made the Message-ID because the sender's program had made none."""
    return _MADE_BY_SERVER.match(message_id) is not None


def machine_signs(envelope: Envelope) -> Iterator[tuple[int, str]]:
    """Signs that a program wrote, and nobody reads answers."""
    for field, addresses in (("From", envelope.from_), ("Sender", envelope.sender)):
        for address in addresses:
            local = local_part(address)
            if field == "Sender" and is_list_manager(address.address, envelope):
                continue
            if _NOBODY.search(local):
                yield _DECISIVE, f"nobody reads the address in the {field} field"
            elif _PROGRAM.search(local):
                yield _WEAK, f"the {field} field reads like a program's"
    if any(_NEWS.search(local_part(address)) for address in envelope.from_):
        return  # what follows newsletters have in common with programs
    path = (envelope.return_path or "").lower()
    if path and _NOBODY.search(path.partition("@")[0]) and not _FORWARDED.match(path):
        yield _WEAK, "nobody reads the address in the Return-Path"
    if _MADE_BY_SERVER.match(envelope.message_id):
        yield _WEAK, "the Message-ID was made by a mail server"


def mass_mail_signs(envelope: Envelope) -> Iterator[tuple[int, str]]:
    """Signs of newsletters and spam in the addresses."""
    if not envelope.from_:
        return
    author = envelope.from_[0]
    local, home = local_part(author), domain(author)
    if _NEWS.search(local):
        yield _DECISIVE, "the From field names a newsletter"
    elif _ADVERTISING.search(author.address.lower()) or _ADVERTISING.search(author.name.lower()):
        yield _WEAK, "the From field reads like advertising"
    if home.rpartition(".")[2] in _CHEAP:
        yield _WEAK, "the From field is of a domain that spam prefers"
    path = (envelope.return_path or "").lower()
    if path and _RETURNS.search(path) and not _FORWARDED.match(path):
        yield _WEAK, "the Return-Path is made for bounces in masses"
    yield from _disguises(envelope, author, home)
    if _MADE_BY_SERVER.match(envelope.message_id):
        # Providers of free mail stamp an identifier of their own form on all they send.
        forged = is_freemail(home) and envelope.message_id.lower().endswith(f"@{home}>")
        yield _DECISIVE if forged else _WEAK, "the Message-ID was made by a mail server"


def _disguises(envelope: Envelope, author: Address, home: str) -> Iterator[tuple[int, str]]:
    """Signs that the sender is not who From says."""
    freemail = is_freemail(home)
    claimed = _ADDRESS.search(author.name)
    if claimed and freemail and organization(canonical_domain(claimed[1])) != organization(home):
        yield _DECISIVE, "the name in the From field is another address"
    for field, addresses in (("Sender", envelope.sender), ("Reply-To", envelope.reply_to)):
        if addresses and organization(domain(addresses[0])) != organization(home):
            yield _WEAK, f"the {field} field is of another domain than From"
    if freemail:
        made_at = canonical_domain(envelope.message_id.rpartition("@")[2].rstrip(">"))
        if made_at != home and is_freemail(made_at):
            yield _WEAK, "the Message-ID is of another provider than From"
        path = canonical_domain((envelope.return_path or "").rpartition("@")[2])
        if (
            path
            and not _FORWARDED.match(envelope.return_path or "")
            and organization(path) != organization(home)
        ):
            yield _WEAK, "the Return-Path is of another domain than From"
