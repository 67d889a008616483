"""HTTP to Microsoft: bounded in size and time, one connection, our own errors."""

import logging
import socket
import ssl
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from time import monotonic
from typing import Final

import httpx2

from connectors import proxy
from connectors.causes import causes_of
from connectors.graph.options import GraphOptions
from crm_sync.core.errors import CrmSyncError, Refused, Unreachable

LARGEST_ANSWER: Final = 64 * 1024 * 1024

_CONNECT_TIMEOUT: Final = 15.0
_SLOWEST_ANSWER: Final = 10
"""An answer may take as many times the bearable silence in all."""

_DIED: Final = (httpx2.RemoteProtocolError, httpx2.ReadError, httpx2.WriteError, httpx2.CloseError)


class TooLarge(Exception):  # noqa: N818  # not an error yet: less can be asked for
    """The answer is larger than 64 MB."""


@dataclass(frozen=True, slots=True)
class Response:
    """An answer as it came: header fields under lower-case names."""

    status: int
    headers: Mapping[str, str]
    octets: bytes


class Transport:
    """Connects when first used, and anew after `close`. Follows no redirect."""

    def __init__(self, options: GraphOptions, account: str) -> None:
        self._options = options
        self._account = account
        self._client: httpx2.Client | None = None
        _keep_the_libraries_quiet()

    def ask(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str],
        content: bytes | None = None,
        first: int | None = None,
    ) -> Response:
        """A request that may come twice; a kept connection that died is replaced once, quietly.

        `first`: that many octets of the answer are enough. Raises `Unreachable`, `Refused` and
        `TooLarge`.
        """
        for last in (False, True):
            try:
                return self._ask(method, url, headers, content, first)
            except _DIED as failure:
                self.close()
                if last:
                    raise self._error(failure, url) from failure
            except (httpx2.HTTPError, httpx2.InvalidURL, OSError) as failure:
                self.close()
                raise self._error(failure, url) from failure
        raise AssertionError

    def ask_once(
        self, method: str, url: str, headers: Mapping[str, str], content: Iterable[bytes] | bytes
    ) -> Response:
        """A request that must not come twice. Raises as `ask`, and whatever `content` raises."""
        try:
            return self._ask(method, url, headers, content)
        except (httpx2.HTTPError, httpx2.InvalidURL, OSError) as failure:
            self.close()
            raise self._error(failure, url) from failure
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Lets go of the connection. Never raises."""
        client, self._client = self._client, None
        if client is not None:
            with suppress(Exception):
                client.close()

    def _ask(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str],
        content: Iterable[bytes] | bytes | None,
        first: int | None = None,
    ) -> Response:
        if self._client is None:
            self._client = self._connect()
        request = self._client.build_request(method, url, headers=dict(headers), content=content)
        answer = self._client.send(request, stream=True)
        try:
            octets = self._read(answer.iter_bytes(), first)
        finally:
            answer.close()
        fields = {name.lower(): value for name, value in answer.headers.items()}
        return Response(answer.status_code, fields, octets)

    def _read(self, chunks: Iterator[bytes], first: int | None) -> bytes:
        deadline = monotonic() + _SLOWEST_ANSWER * self._options.timeout
        octets = bytearray()
        for chunk in chunks:
            octets += chunk
            if first is not None and len(octets) >= first:
                return bytes(octets[:first])
            if len(octets) > LARGEST_ANSWER:
                raise TooLarge
            if monotonic() > deadline:
                raise httpx2.ReadTimeout("the answer takes too long")
        return bytes(octets)

    def _connect(self) -> httpx2.Client:
        options = self._options
        proxy.check_environment(self._account)
        verify: ssl.SSLContext | bool = True
        if options.ca_file is not None:
            verify = ssl.create_default_context(cafile=str(options.ca_file))
        timeout = httpx2.Timeout(options.timeout, connect=min(_CONNECT_TIMEOUT, options.timeout))
        # One at a time: Graph allows four requests a mailbox, and others have theirs too.
        limits = httpx2.Limits(max_connections=2, max_keepalive_connections=2)
        return httpx2.Client(verify=verify, timeout=timeout, limits=limits)

    def _error(self, failure: BaseException, url: str) -> CrmSyncError:
        """Why there was no answer."""
        where, causes = self._account, list(causes_of(failure))
        if any(isinstance(cause, ssl.SSLCertVerificationError) for cause in causes):
            advice = "Name the authority's file as ca_file, if a proxy of yours is between."
            what = "Microsoft's certificate can't be verified"
            return Refused(what, where=where, advice=advice, kind="certificate", scope="host")
        if isinstance(failure, FileNotFoundError | PermissionError):
            what = "the file of the certificate authority can't be read"
            advice = "Check ca_file and who may read it."
            return Refused(what, where=where, advice=advice, kind="settings")
        if isinstance(failure, httpx2.InvalidURL | httpx2.UnsupportedProtocol):
            what, advice = "the address is none", "Check base_url."
            return Refused(what, where=where, advice=advice, kind="settings")
        what, advice = proxy.trouble(url, causes) or _silence(failure, causes)
        return Unreachable(what, where=where, advice=advice, kind="network", scope="host")


def _silence(failure: BaseException, causes: Sequence[BaseException]) -> tuple[str, str]:
    if any(isinstance(cause, socket.gaierror) for cause in causes):
        return "Microsoft's host is not found", "Check the name servers."
    if isinstance(failure, httpx2.TimeoutException):
        return "Microsoft is silent", "Trying again later."
    return "the connection to Microsoft failed", "Check network and proxy; trying again later."


def _keep_the_libraries_quiet() -> None:
    """Keeps addresses, delta tokens and answers out of logs."""
    for name in ("httpx2", "httpcore2", "msal"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
