"""`classify` for mail at large: most of it bears no sign of machines, and is known at a glance.

The parts of a header come again and again: an author, a subject in its thread, a mail program. What
each shows by itself in an otherwise innocent header is found once and remembered. Where a part
shows anything, or parts only tell together, `core.classification` judges as ever.
"""

from dataclasses import replace
from functools import lru_cache
from typing import Final

from crm_sync.core import classification, senders
from crm_sync.core.classification import Reason
from crm_sync.core.domains import is_freemail
from crm_sync.core.records import Address, Envelope

_INNOCENT: Final = Envelope(
    message_id="<a.1@one.example>",
    from_=(Address("one@one.example"),),
    to=(Address("two@two.example"),),
    subject="a",
    content_type="text/plain",
)
_LONGEST: Final = 250
_MANY: Final = 5
# To the signs one digit is as good as another: mails about order 7 and order 8 are alike.
_DIGITS: Final = {ord(digit): "0" for digit in "123456789"}
_MAILERS: Final = frozenset({"x-mailer", "user-agent"})


def classify(envelope: Envelope) -> Reason | None:
    """As `classification.classify`, to the same result."""
    return None if _is_innocent(envelope) else classification.classify(envelope)


def _is_innocent(envelope: Envelope) -> bool:
    """Whether nothing in the header is a sign; False where that takes a closer look."""
    if envelope.sender or envelope.reply_to or len(envelope.from_) != 1:
        return False
    if len(envelope.to) >= _MANY or not (envelope.to or envelope.cc):
        return False
    if not envelope.signs.keys() <= _MAILERS or "[" in envelope.subject:
        return False
    author = envelope.from_[0]
    return (
        envelope.return_path in (None, author.address)
        and _fits(envelope)
        and _author_is_innocent(author.address, author.name, envelope.return_path is not None)
        and _subject_is_innocent(envelope.subject.translate(_DIGITS))
        and _form_is_innocent(envelope.content_type.partition(";")[0], envelope.transfer_encoding)
        and all(_mailer_is_innocent(*sign) for sign in envelope.signs.items())
        and "@" in envelope.message_id
        and not senders.is_made_by_server(envelope.message_id)
    )


def _fits(envelope: Envelope) -> bool:
    """Whether the parts are worth the room to be remembered."""
    author = envelope.from_[0]
    return (
        len(author.address) + len(author.name) <= _LONGEST
        and len(envelope.subject) <= _LONGEST
        and len(envelope.transfer_encoding) <= _LONGEST
        and sum(map(len, envelope.signs.values())) <= _LONGEST
    )


@lru_cache(maxsize=2048)
def _author_is_innocent(address: str, name: str, has_path: bool) -> bool:
    author, path = Address(address, name), address if has_path else None
    # At providers of free mail Message-ID and author tell together.
    return not is_freemail(senders.domain(author)) and _shows_nothing(
        replace(_INNOCENT, from_=(author,), return_path=path)
    )


@lru_cache(maxsize=1024)
def _subject_is_innocent(subject: str) -> bool:
    return _shows_nothing(replace(_INNOCENT, subject=subject))


@lru_cache(maxsize=256)
def _form_is_innocent(media_type: str, transfer_encoding: str) -> bool:
    form = replace(_INNOCENT, content_type=media_type, transfer_encoding=transfer_encoding)
    return len(media_type) <= _LONGEST and _shows_nothing(form)


@lru_cache(maxsize=256)
def _mailer_is_innocent(field: str, mailer: str) -> bool:
    return _shows_nothing(replace(_INNOCENT, signs={field: mailer}))


def _shows_nothing(envelope: Envelope) -> bool:
    return not any(True for _ in classification.signs(envelope))
