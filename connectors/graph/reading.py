"""Texts of messages, twenty in a request, with the names of what is attached."""

from collections.abc import Iterator, Sequence

from connectors.graph.answers import Answer
from connectors.graph.client import BATCH, GraphClient
from connectors.graph.messages import ask_body, attachments_of, item_of, mime_path, text_of
from connectors.graph.pulling import is_missing
from crm_sync.core.errors import CrmSyncError, Unreadable
from crm_sync.core.records import MOST_OCTETS, Body, Locator, UnreadableItem


def read(client: GraphClient, locators: Sequence[Locator], *, items: bool) -> Iterator[Body]:
    """Exactly one body for each locator.

    Of a batch in which some requests were throttled, the others' bodies come before the error, so
    that each try gets further.
    """
    for start in range(0, len(locators), BATCH):
        part = locators[start : start + BATCH]
        asks = [ask_body(client.mailbox, locator.key, header=items) for locator in part]
        failed: Answer | None = None
        for locator, answer in zip(part, client.batch(asks), strict=True):
            if _concerns_all(answer):
                failed = answer
            else:
                yield _body(client, locator, answer, items=items)
        if failed is not None:
            raise _error(client, failed)


def read_octets(client: GraphClient, locators: Sequence[Locator]) -> Iterator[Body]:
    """The messages themselves, in MIME, one request each (Microsoft: message: get, $value)."""
    for locator in locators:
        answer, octets = client.octets(mime_path(client.mailbox, locator.key), MOST_OCTETS)
        if _concerns_all(answer):
            raise client.failure(answer)
        if answer.ok:
            yield Body(locator, octets=octets)
        else:
            yield _body(client, locator, answer, items=False)


def _concerns_all(answer: Answer) -> bool:
    """Whether an error says nothing about this message: throttling, sign-in, permission."""
    return answer.is_throttled or answer.status in {401, 403} or answer.status >= 500  # noqa: PLR2004  # the classes of HTTP


def _error(client: GraphClient, answer: Answer) -> CrmSyncError:
    return client.failure(answer)


def _body(client: GraphClient, locator: Locator, answer: Answer, *, items: bool) -> Body:
    if is_missing(answer):
        return Body(locator, gone=True)
    if not answer.ok:
        return Body(locator, problem="the server does not hand out the message")
    attachments = attachments_of(answer.body)
    try:
        text = text_of(answer.body, client.shelter)
    except Unreadable as error:
        return Body(locator, problem=error.what)
    if not items:
        return Body(locator, text, attachments)
    item = item_of(answer.body, locator.key)
    if item is None or isinstance(item, UnreadableItem):
        reason = item.reason if item else "the message is a draft"
        return Body(locator, item=item, problem=reason)
    return Body(locator, text, attachments, item)
