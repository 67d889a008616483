"""Calendar objects by the dozen: asked for together, and one by one where that fails."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from connectors.caldav.multistatus import CALDAV, DAV, WHO, Member, objects_at
from connectors.caldav.wire import GONE, BadAnswer, Wire, origin_of

_DATA = f"{CALDAV}calendar-data"


@dataclass(frozen=True, slots=True)
class Raw:
    """What the server gave for one key: text and etag, or that nothing is there, or nothing."""

    key: str
    data: bytes | None = None
    etag: str = ""
    gone: bool = False


def fetch(wire: Wire, calendar_url: str, keys: Sequence[str]) -> Iterator[Raw]:
    """One `Raw` for each key, in any order.

    A server fails a whole answer for one bad object, and so does an XML parser: then the request
    is split until the culprit stands alone. Raises `BadAnswer` when the calendar itself fails.
    """
    if not keys:
        return
    try:
        answer = wire.report(calendar_url, objects_at(keys), 1)
    except BadAnswer:
        if len(keys) == 1:
            yield _alone(wire, calendar_url, keys[0])
            return
        middle = len(keys) // 2
        yield from fetch(wire, calendar_url, keys[:middle])
        yield from fetch(wire, calendar_url, keys[middle:])
        return
    found = {member.key: member for member in answer.members}
    for key in keys:
        member = found.get(key)
        data = _data(member)
        if member is not None and data is not None:
            yield Raw(key, data, member.text(f"{DAV}getetag"))
        elif member is not None and member.status in GONE and not member.props:
            yield Raw(key, gone=True)
        else:
            yield _alone(wire, calendar_url, key)


def _alone(wire: Wire, calendar_url: str, key: str) -> Raw:
    try:
        data, etag = wire.get(origin_of(calendar_url) + key)
    except BadAnswer as bad:
        if bad.status in GONE:
            return Raw(key, gone=True)
        # Before an object is blamed, the calendar must prove that it answers at all.
        wire.propfind(calendar_url, WHO, 0)
        return Raw(key)
    return Raw(key, data, etag)


def _data(member: Member | None) -> bytes | None:
    found = member.props.get(_DATA) if member is not None else None
    text = found.text if found is not None else None
    return text.encode("utf-8", "replace") if text else None
