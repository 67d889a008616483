"""Which calendars an account has and what each says of itself: one PROPFIND."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from urllib.parse import unquote, urljoin, urlsplit

from connectors.caldav.multistatus import CALDAV, CTAG, DAV, STATE, WHO, Member, key_of
from connectors.caldav.options import CaldavOptions
from connectors.caldav.wire import GONE, BadAnswer, Wire, origin_of
from crm_sync.core.errors import Refused, Unreachable


@dataclass(frozen=True, slots=True)
class Home:
    """Where the calendars are: a collection of them (depth 1), or a single one (depth 0)."""

    url: str
    depth: int


@dataclass(frozen=True, slots=True)
class Calendar:
    """A calendar as the server names it, with the two marks that change when anything moves."""

    key: str
    url: str
    name: str
    token: str
    ctag: str


class Calendars:
    """The calendars of one account; where they live is remembered after the first look."""

    def __init__(self, options: CaldavOptions, wire: Wire) -> None:
        self._options = options
        self._wire = wire
        self._homes: list[Home] = []
        self._had_some = False

    def origin(self) -> str:
        """Scheme and host of the calendars' own server, which need not be the configured one."""
        return origin_of(self._found_homes()[0].url)

    def look(self) -> list[Calendar]:
        """All calendars that hold events, as they are now."""
        found = [calendar for home in self._found_homes() for calendar in self._in(home)]
        if found:
            self._had_some = True
            return found
        where = self._options.where
        if self._had_some:
            raise Unreachable("the server lists no calendar any more", where=where)
        raise Refused(
            "there is no calendar at this address", where=where, advice="Check url and username."
        )

    def chosen(self, calendars: Sequence[Calendar]) -> list[Calendar]:
        """Those that the configuration names, or all."""
        wanted = self._options.calendars
        return [c for c in calendars if not wanted or any(_is_named(c, name) for name in wanted)]

    def missing(self, calendars: Sequence[Calendar]) -> list[str]:
        """The names in the configuration that are no calendar's."""
        wanted = self._options.calendars
        return [name for name in wanted if not any(_is_named(c, name) for c in calendars)]

    def forget(self) -> None:
        """Looks for the homes again next time."""
        self._homes = []

    def _in(self, home: Home) -> Iterator[Calendar]:
        origin = origin_of(home.url)
        for member in self._wire.propfind(home.url, STATE, home.depth).members:
            if member.is_calendar:
                last = unquote(member.key.rstrip("/").rpartition("/")[2])
                yield Calendar(
                    key=member.key,
                    url=origin + member.key,
                    name=member.text(f"{DAV}displayname") or last,
                    token=member.text(f"{DAV}sync-token"),
                    ctag=member.text(CTAG),
                )

    def _found_homes(self) -> list[Home]:
        if not self._homes:
            self._homes = self._discover()
        return self._homes

    def _discover(self) -> list[Home]:
        """From whatever address was given to the calendars (RFC 6764 and RFC 4791, each section 6).

        What is at the address itself comes first: a rep may read the calendars of somebody else.
        """
        url = self._options.url
        try:
            itself = self._who(url)
        except BadAnswer as bad:
            if urlsplit(url).path not in {"", "/"} or bad.status == 403:  # noqa: PLR2004
                raise
            itself = None
        if itself is not None and itself.is_calendar:
            return [Home(url, 0)]
        if itself is not None and self._holds_calendars(url):
            return [Home(url, 1)]
        homes = self._homes_of(url, itself) if itself is not None else []
        return homes or self._by_well_known() or [Home(url, 1)]

    def _by_well_known(self) -> list[Home]:
        url = urljoin(self._options.url, "/.well-known/caldav")
        try:
            return self._homes_of(url, self._who(url))
        except BadAnswer:
            return []

    def _homes_of(self, url: str, itself: Member) -> list[Home]:
        hrefs = itself.hrefs(f"{CALDAV}calendar-home-set")
        principals = itself.hrefs(f"{DAV}current-user-principal")
        if not hrefs and principals:
            url = self._absolute(url, principals[0])
            hrefs = self._who(url).hrefs(f"{CALDAV}calendar-home-set")
        return [Home(self._absolute(url, href), 1) for href in hrefs[:10]]

    def _who(self, url: str) -> Member:
        members = self._wire.propfind(url, WHO, 0).members
        if not members or members[0].status in GONE:
            raise BadAnswer(404)
        return members[0]

    def _holds_calendars(self, url: str) -> bool:
        try:
            return any(member.is_calendar for member in self._wire.propfind(url, STATE, 1).members)
        except BadAnswer:
            return False

    def _absolute(self, url: str, href: str) -> str:
        """The URL a href means. Providers do send us to other hosts, but never to plain http."""
        target = urljoin(url, href)
        if "://" not in href:
            return origin_of(url) + key_of(href)
        if origin_of(target) != origin_of(url) and not target.startswith("https://"):
            raise Refused(
                "the server sends us to an address without https", where=self._options.where
            )
        return origin_of(target) + key_of(target)


def _is_named(calendar: Calendar, name: str) -> bool:
    if "://" in name or name.startswith("/"):
        return key_of(name).rstrip("/") == calendar.key.rstrip("/")
    return name.strip().casefold() == calendar.name.casefold()
