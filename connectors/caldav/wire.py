"""The one place where the CalDAV library is called: requests out, our own errors back.

Only PROPFIND, REPORT and GET are sent. What a server said is never repeated in an error.
"""

import logging
import socket
import ssl
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Any, Final
from urllib.parse import urlsplit

from caldav.davclient import DAVClient
from caldav.lib import error as dav
from caldav.lib.http_sync import requests as http

from connectors import proxy
from connectors.caldav.multistatus import Multistatus, read_multistatus
from connectors.caldav.options import CaldavOptions
from connectors.causes import causes_of
from crm_sync.core.errors import CrmSyncError, Refused, Scope, Throttled, Unreachable
from crm_sync.ports import Clock

_LONGEST_WAIT: Final = timedelta(hours=24)
_DOWN: Final = frozenset({408, 425, 502, 503, 504})
GONE: Final = frozenset({404, 410})
"""Statuses that prove that a resource is not there."""


class BadAnswer(Exception):  # noqa: N818  # not an error yet: the caller knows other ways
    """The server answered, but not with what was asked for.

    `status` is that of HTTP, or 0 for an answer that is no Multi-Status.
    """

    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.status = status


class Wire:
    """A connection to one server; it connects when first used, and anew after `close`.

    Every verb raises `BadAnswer`, `Unreachable`, `Throttled` or `Refused`, and nothing else.
    """

    def __init__(self, options: CaldavOptions, clock: Clock) -> None:
        self._options = options
        self._clock = clock
        self._client: DAVClient | None = None
        _keep_the_library_quiet()

    def propfind(self, url: str, body: str, depth: int) -> Multistatus:
        """PROPFIND (RFC 4918 section 9.1)."""
        headers = {"Depth": str(depth)}
        return self._multistatus(lambda c: c.request(url, "PROPFIND", body, headers))

    def report(self, url: str, body: str, depth: int) -> Multistatus:
        """REPORT (RFC 3253 section 3.6)."""
        return self._multistatus(lambda c: c.report(url, body, depth))

    def get(self, url: str) -> tuple[bytes, str]:
        """GET of one calendar object: its text and its etag."""
        answer = self._ask(lambda c: c.request(url, "GET"))
        if answer.status != 200:  # noqa: PLR2004  # HTTP OK
            raise BadAnswer(answer.status)
        body = answer._raw_body or answer._raw or b""  # noqa: SLF001  # .raw fails on Latin-1
        raw = body.encode("utf-8", "replace") if isinstance(body, str) else bytes(body)
        return raw, str(answer.headers.get("ETag") or "")

    def close(self) -> None:
        """Lets go of the connection. Never raises."""
        client, self._client = self._client, None
        if client is not None:
            with suppress(Exception):
                client.close()

    def _multistatus(self, request: Callable[[DAVClient], Any]) -> Multistatus:
        answer = self._ask(request)
        if answer.status not in {200, 207}:
            raise BadAnswer(answer.status)
        found = read_multistatus(answer.tree) if answer.tree is not None else None
        if found is None:
            raise BadAnswer(0)
        return found

    def _ask(self, request: Callable[[DAVClient], Any]) -> Any:
        """Sends a request; a connection that died while it was kept is replaced once, quietly."""
        was_kept = self._client is not None
        try:
            return self._ask_once(request)
        except Unreachable as failure:
            died = isinstance(failure.__cause__, http.exceptions.ConnectionError)
            if not (was_kept and died) or isinstance(failure.__cause__, http.exceptions.Timeout):
                raise
        self.close()
        return self._ask_once(request)

    def _ask_once(self, request: Callable[[DAVClient], Any]) -> Any:
        try:
            if self._client is None:
                self._client = self._connect()
            answer = request(self._client)
        except dav.RateLimitError as slow:
            raise self._throttled(slow) from slow
        except dav.AuthorizationError as no:
            if no.status == 403:  # noqa: PLR2004  # also what an expired sync-token gets
                raise BadAnswer(403) from no
            raise self._refused_sign_in(no) from no
        except NotImplementedError as no:
            raise self._refused_sign_in(no) from no
        except SyntaxError as bad:  # lxml's, for what only looks like XML
            raise BadAnswer(0) from bad
        except CrmSyncError:
            raise
        except Exception as failure:
            raise connecting(failure, self._options) from failure
        if answer.status in _DOWN:
            raise Unreachable(
                "the server is out of order at the moment",
                where=self._options.where,
                advice="Trying again later.",
                kind="unavailable",
            )
        return answer

    def _connect(self) -> DAVClient:
        options = self._options
        proxy.check_environment(options.where)
        return DAVClient(
            url=options.url,
            username=options.username,
            password=options.password.get_secret_value(),
            auth_type=None if options.auth == "auto" else options.auth,
            timeout=options.timeout,
            ssl_verify_cert=str(options.ca_file) if options.ca_file else True,
            enable_rfc6764=False,
            rate_limit_handle=False,
        )

    def _throttled(self, slow: dav.RateLimitError) -> Throttled:
        retry_at: datetime | None = None
        if slow.retry_after_seconds is not None:
            wait = min(max(slow.retry_after_seconds, 0), _LONGEST_WAIT.total_seconds())
            retry_at = self._clock.now() + timedelta(seconds=wait)
        return Throttled(
            "the server asks for a pause", retry_at=retry_at, where=self._options.where
        )

    def _refused_sign_in(self, no: Exception) -> Refused:
        where = self._options.where
        if getattr(no, "status", None) != 401:  # noqa: PLR2004  # nothing was offered to try
            what = "the server offers no way of signing in that we know"
            advice = 'Basic and Digest are known; check "auth".'
            return Refused(what, where=where, advice=advice, kind="settings")
        advice = 'Check username and password = "secret:…"; some providers want an app password.'
        what = "the server refused user name or password"
        return Refused(what, where=where, advice=advice, kind="password")


def refusal(bad: BadAnswer, options: CaldavOptions, scope: Scope) -> CrmSyncError:
    """A bad answer for which there was no other way, as an error for people.

    With scope "stream", one calendar of several is meant, and the others go on.
    """
    where = options.where
    if bad.status in GONE and scope == "stream":
        return Unreachable("this calendar is not there any more", where=where, scope=scope)
    if bad.status == 0 or 200 <= bad.status < 400:  # noqa: PLR2004  # success, or a redirect
        return Unreachable(
            "the server answered with something that is no calendar data, perhaps a login page",
            where=where,
            advice="Check url with a browser, and any proxy between.",
        )
    if bad.status in GONE or bad.status == 405:  # noqa: PLR2004  # Method Not Allowed
        advice = "Check url; the provider's help names it as CalDAV address."
        return Refused("there is no calendar at this address", where=where, advice=advice)
    if bad.status == 403:  # noqa: PLR2004  # Forbidden
        advice = "Ask the calendar's owner or the server's admin for permission to read."
        what = "the server does not allow reading there"
        return Refused(what, where=where, advice=advice, scope=scope)
    what = f"the server failed (status {bad.status})"
    return Unreachable(what, where=where, advice="Trying again later.", scope=scope)


def connecting(failure: BaseException, options: CaldavOptions) -> CrmSyncError:
    """Why there was no answer at all."""
    where = options.where
    refused = _refused(failure, options)
    if refused is not None:
        what, advice = refused
        return Refused(what, where=where, advice=advice)
    causes = list(causes_of(failure))
    what, advice = proxy.trouble(options.url, causes) or _silence(failure, causes)
    return Unreachable(what, where=where, advice=advice, kind="network", scope="host")


def _silence(failure: BaseException, causes: Sequence[BaseException]) -> tuple[str, str]:
    if any(isinstance(cause, ssl.SSLError) for cause in causes):
        return "TLS with the server failed", "Check url: its port, and https or http."
    if any(isinstance(cause, socket.gaierror) or _is_unresolved(cause) for cause in causes):
        return "no such host", "Check url and the name servers."
    if isinstance(failure, http.exceptions.Timeout):
        advice = "It may be overloaded or behind a firewall; trying again later."
        return "the server is silent", advice
    if any(isinstance(cause, ConnectionRefusedError) for cause in causes):
        return "nobody listens there", "Check the port in url, and whether the server runs."
    return "the connection failed", "Trying again later."


def _refused(failure: BaseException, options: CaldavOptions) -> tuple[str, str] | None:
    """What only a person can mend, and how; None when trying again may help."""
    if any(isinstance(cause, ssl.SSLCertVerificationError) for cause in causes_of(failure)):
        advice = "Name the file of its authority as ca_file, or have the certificate renewed."
        return "the certificate of the server can't be verified", advice
    if options.ca_file is not None and type(failure) in {
        OSError,
        FileNotFoundError,
        PermissionError,
    }:
        what = "the file of the certificate authority can't be read"
        return what, "Check ca_file and who may read it."
    if isinstance(failure, http.exceptions.TooManyRedirects):
        return "the server redirects in circles", "Check url."
    return None


def _is_unresolved(cause: BaseException) -> bool:
    return type(cause).__name__ == "NameResolutionError"


def origin_of(url: str) -> str:
    """Scheme, host and port of a URL."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"


class _NoServerWords(logging.Filter):
    """Drops what the library writes to the root logger: whole answers of servers."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether a record may pass."""
        return "/caldav/" not in record.pathname.replace("\\", "/") or record.name != "root"


_FILTER: Final = _NoServerWords()


def _keep_the_library_quiet() -> None:
    """Keeps event texts out of logs: at DEBUG the libraries log every body, at INFO some."""
    for name in ("caldav", "niquests", "urllib3", "icalendar"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    logging.getLogger().addFilter(_FILTER)  # adding it twice does nothing
