"""Requests to a provider: one form out, one JSON object back, bounded in size and in time.

httpx2 is met here alone. Redirects are not followed: a form with secrets goes to the configured
address or nowhere. What a provider said never leaves this package but as words of ours.
"""

import json
import logging
import ssl
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from connectors import proxy
from connectors.causes import causes_of
from crm_sync.core.errors import CrmSyncError, Refused, Unreachable

if TYPE_CHECKING:
    import httpx2

CONNECT, SILENCE, WHOLE = 15.0, 30.0, 60.0
"""Seconds for a connection, for any sign of life, for the whole answer."""

_LARGEST: Final = 256 * 1024
# Uncompressed, for a few kilobytes could hide gigabytes.
_HEADERS: Final = {"Accept": "application/json", "Accept-Encoding": "identity"}


@dataclass(frozen=True, slots=True)
class Answer:
    """An HTTP status, the JSON object that came with it (None: none did), and Retry-After."""

    status: int
    data: Mapping[str, Any] | None = field(repr=False)
    retry_after: str = ""

    @property
    def error(self) -> str:
        """The provider's error code (RFC 6749 section 5.2), "" when there is none."""
        code = self.data.get("error") if self.data is not None else None
        return code[:100] if isinstance(code, str) else ""

    def text(self, key: str) -> str:
        """A text in the answer, "" when it is none."""
        value = self.data.get(key) if self.data is not None else None
        return value if isinstance(value, str) else ""

    def number(self, key: str, default: int) -> int:
        """A whole number in the answer; some providers write it as text."""
        value = self.data.get(key) if self.data is not None else None
        if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 10:  # noqa: PLR2004  # years of seconds
            return int(value)
        return int(value) if type(value) in {int, float} and abs(value) < 10**9 else default  # type: ignore[arg-type]  # a number by now


def post(url: str, form: Mapping[str, str], *, ca_file: Path | None, where: str) -> Answer:
    """Posts a form, by the proxy of HTTPS_PROXY where there is one.

    `where` names the account in errors. Raises `Unreachable`; `Refused` for a certificate that is
    not to be trusted, and for files and variables that make no sense.
    """
    import httpx2  # noqa: PLC0415  # 0.2 s that commands without a sign-in need not spend

    _keep_the_library_quiet()
    proxy.check_environment(where)
    try:
        timeout = httpx2.Timeout(SILENCE, connect=CONNECT)
        with (
            httpx2.Client(verify=_context(ca_file), timeout=timeout) as client,
            client.stream("POST", url, data=dict(form), headers=_HEADERS) as response,
        ):
            body = _read(response)
    except (httpx2.HTTPError, httpx2.InvalidURL, httpx2.StreamError, OSError) as error:
        raise _broken(error, url, where) from None
    return Answer(response.status_code, _object(body), response.headers.get("Retry-After", "")[:40])


def _read(response: "httpx2.Response") -> bytes:
    until, body = monotonic() + WHOLE, b""
    for chunk in response.iter_raw():
        body += chunk
        if len(body) > _LARGEST:
            return b""
        if monotonic() > until:
            raise TimeoutError
    return body


def _object(body: bytes) -> Mapping[str, Any] | None:
    try:
        data = json.loads(body)
    except (ValueError, RecursionError):
        return None
    return data if isinstance(data, dict) else None


def _broken(error: Exception, url: str, where: str) -> CrmSyncError:
    """Why there was no answer; the library's own words are left out, they may quote the request."""
    host, causes = urlsplit(url).netloc, list(causes_of(error))
    if any(isinstance(one, ssl.SSLCertVerificationError) for one in causes):
        advice = "Behind a proxy that opens TLS, name its authority's file as ca_file."
        what = f"the certificate of {host} can't be verified"
        return Refused(what, where=where, advice=advice, kind="certificate", scope="host")
    if any(isinstance(one, FileNotFoundError | PermissionError) for one in causes):
        what = "the file of the certificate authority can't be read"
        advice = "Check ca_file and who may read it."
        return Refused(what, where=where, advice=advice, kind="settings")
    what, advice = proxy.trouble(url, causes) or _silence(host, causes)
    return Unreachable(what, where=where, advice=advice, kind="network", scope="host")


def _silence(host: str, causes: Sequence[BaseException]) -> tuple[str, str]:
    import httpx2  # noqa: PLC0415  # loaded by now

    is_silent = any(isinstance(one, httpx2.TimeoutException | TimeoutError) for one in causes)
    what = f"{host} is silent" if is_silent else f"there is no connection to {host}"
    return what, "Signing in is tried again later."


def _context(ca_file: Path | None) -> ssl.SSLContext:
    return _shared(str(ca_file) if ca_file else None, ca_file.stat().st_mtime_ns if ca_file else 0)


@lru_cache(maxsize=32)
def _shared(ca_file: str | None, _changed: int) -> ssl.SSLContext:
    """The system's authorities and ours: the file may be about the mail server alone."""
    context = ssl.create_default_context()
    if ca_file:
        context.load_verify_locations(ca_file)
    return context


def _keep_the_library_quiet() -> None:
    """At INFO httpx2 logs every address it asks, at DEBUG httpcore2 whole headers."""
    for name in ("httpx2", "httpcore2"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
