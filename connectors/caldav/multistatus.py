"""What is asked of a CalDAV server, and the 207 Multi-Status it answers with (RFC 4918 section 13).

The library's own readers give up a whole answer for one bad member, so the tree it parsed is read
here, member by member.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from html import escape
from typing import Any, Final
from urllib.parse import quote, unquote, urlsplit

from crm_sync.core.clean import clean

DAV: Final = "{DAV:}"
CALDAV: Final = "{urn:ietf:params:xml:ns:caldav}"
CTAG: Final = "{http://calendarserver.org/ns/}getctag"


def _request(element: str, content: str) -> str:
    names = 'xmlns:D="DAV:" xmlns:C="urn:ietf:params:xml:ns:caldav"'
    apple = 'xmlns:S="http://calendarserver.org/ns/"'
    head = '<?xml version="1.0" encoding="utf-8"?>'
    return f"{head}\n<{element} {names} {apple}>\n{content}\n</{element}>\n"


WHO: Final = _request(
    "D:propfind",
    "<D:prop><D:resourcetype/><D:current-user-principal/><C:calendar-home-set/></D:prop>",
)
"""Asks what is at an address, and whose calendars live where (RFC 5397, RFC 4791 section 6.2.1)."""

STATE: Final = _request(
    "D:propfind",
    "<D:prop><D:resourcetype/><D:displayname/><D:sync-token/><S:getctag/>"
    "<C:supported-calendar-component-set/></D:prop>",
)
"""Asks which calendars there are and whether anything moved in them."""

MEMBERS: Final = _request(
    "D:propfind",
    "<D:prop><D:resourcetype/><D:getetag/><D:getlastmodified/><D:getcontenttype/></D:prop>",
)
"""Asks for all members of a calendar with their versions."""

_STATUS: Final = re.compile(r"HTTP/\d(?:\.\d)? +(\d{3})")
_SAFE: Final = "@:!$&'()*+,;=~-._"
_LONGEST_HREF: Final = 4_000


def changes_since(token: str) -> str:
    """The sync-collection REPORT (RFC 6578 section 3.2)."""
    return _request(
        "D:sync-collection",
        f"<D:sync-token>{escape(token)}</D:sync-token><D:sync-level>1</D:sync-level>"
        "<D:prop><D:getetag/></D:prop>",
    )


def objects_at(keys: Iterable[str]) -> str:
    """The calendar-multiget REPORT (RFC 4791 section 7.9)."""
    hrefs = "".join(f"<D:href>{escape(key)}</D:href>" for key in keys)
    return _request(
        "C:calendar-multiget", f"<D:prop><D:getetag/><C:calendar-data/></D:prop>{hrefs}"
    )


@dataclass(frozen=True, slots=True)
class Member:
    """One resource in an answer: its key (path), status and the properties that it has."""

    key: str
    status: int
    props: Mapping[str, Any] = field(default_factory=dict)

    def text(self, name: str) -> str:
        """A property's text, in one line; empty when it has none."""
        found = self.props.get(name)
        return clean((found.text or "").strip()) if found is not None else ""

    def hrefs(self, name: str) -> list[str]:
        """The hrefs in a property such as calendar-home-set."""
        found = self.props.get(name)
        if found is None:
            return []
        return [(href.text or "").strip() for href in found.iter(f"{DAV}href") if href.text]

    def children(self, name: str) -> set[str]:
        """The names of the elements in a property such as resourcetype."""
        found = self.props.get(name)
        return {child.tag for child in found} if found is not None else set()

    @property
    def is_calendar(self) -> bool:
        """Whether this is a calendar that can hold events."""
        types = self.children(f"{DAV}resourcetype")
        holds = self.props.get(f"{CALDAV}supported-calendar-component-set")
        names = {comp.get("name", "").upper() for comp in holds} if holds is not None else set()
        inbox = {f"{CALDAV}schedule-inbox", f"{CALDAV}schedule-outbox"}
        return f"{CALDAV}calendar" in types and not types & inbox and (
            not names or "VEVENT" in names
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Multistatus:
    """The members of an answer, its sync-token, and whether it is cut short (RFC 6578)."""

    members: tuple[Member, ...]
    sync_token: str = ""
    truncated: bool = False


def read_multistatus(tree: Any) -> Multistatus | None:
    """What a parsed XML answer says; None when it is no Multi-Status."""
    root = tree if tree.tag == f"{DAV}multistatus" else tree.find(f".//{DAV}multistatus")
    if root is None:
        return None
    token = root.findtext(f"{DAV}sync-token") or ""
    members = []
    truncated = False
    for response in root.findall(f"{DAV}response"):
        member = _member(response)
        if member.status == 507 and not member.props:  # noqa: PLR2004  # RFC 6578 section 3.6
            truncated = True
        elif member.key:
            members.append(member)
    return Multistatus(tuple(members), clean(token.strip(), 4_000), truncated)


def _member(response: Any) -> Member:
    status = _code(response.findtext(f"{DAV}status"), 0)
    props: dict[str, Any] = {}
    worst = 200
    for propstat in response.findall(f"{DAV}propstat"):
        code = _code(propstat.findtext(f"{DAV}status"), 200)
        if code >= 300:  # noqa: PLR2004  # not a success
            worst = max(worst, code)
            continue
        for prop in propstat.findall(f"{DAV}prop"):
            props.update({child.tag: child for child in prop if isinstance(child.tag, str)})
    # A property that is missing (404) says nothing about the resource, unless none was there.
    return Member(
        key_of(response.findtext(f"{DAV}href") or ""), status or (200 if props else worst), props
    )


def _code(text: str | None, default: int) -> int:
    found = _STATUS.search(text or "")
    return int(found[1]) if found else default


def key_of(href: str) -> str:
    """A href as a path in one spelling, always with a leading slash; empty when it is none.

    Servers spell the same path with `@` and `%40`, as a path and as a whole URL.
    """
    href = href.strip()
    if not href or len(href) > _LONGEST_HREF:
        return ""
    try:
        path = urlsplit(href).path if "://" in href else href.partition("?")[0]
    except ValueError:
        return ""
    # Each segment by itself: a slash that belongs to a name stays %2F.
    segments = path.lstrip("/").split("/")
    return "/" + "/".join(quote(unquote(segment), safe=_SAFE) for segment in segments)
