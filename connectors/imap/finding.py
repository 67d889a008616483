"""Where a message is that is no longer where it was: found by Gmail's own number of it."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from itertools import chain, islice
from typing import Final

from connectors.imap import gmail_ids
from connectors.imap.asking import Asking
from connectors.imap.session import Answer, items_of
from connectors.imap.tokens import Unparsable
from connectors.imap.wire import Reply

_MOST_AT_ONCE: Final = 20
"""Numbers in one SEARCH: each is one more level of OR."""


def uids_by_number(asking: Asking, numbers: Sequence[str]) -> Mapping[str, int]:
    """The UIDs of the messages with these numbers, as far as the folder holds them now.

    `numbers` are those of `gmail_ids.number_of`, without repetition. What SEARCH finds is asked for
    its number: a server that takes one criterion for another must not give one mail for another.
    """
    found: dict[str, int] = {}
    for at in range(0, len(numbers), _MOST_AT_ONCE):
        part = numbers[at : at + _MOST_AT_ONCE]
        places = asking.search(_any_of(part))
        if isinstance(places, Answer):
            return found  # announced, and not known after all
        uids = list(islice(chain.from_iterable(places), 2 * len(part)))
        if uids:
            asked = asking.end(asking.begin(uids, b"(UID %b)" % gmail_ids.MESSAGE))
            found |= {n: uid for uid, told in asked.replies.items() for n in _numbers(told)}
    return found


def _any_of(numbers: Sequence[str]) -> bytes:
    keys = [b"%b %d" % (gmail_ids.MESSAGE, int(number)) for number in numbers]
    return b" ".join([*(b"OR " + key for key in keys[:-1]), keys[-1]])


def _numbers(replies: Iterable[Reply]) -> Iterator[str]:
    for reply in replies:
        with suppress(Unparsable):
            if number := gmail_ids.message_of(gmail_ids.marks_of(items_of(reply))):
                yield number
