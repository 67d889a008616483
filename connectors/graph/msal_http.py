"""The `http_client` that MSAL asks with, over our own transport."""

from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import urlencode

from connectors.graph.answers import TOO_MANY, read_json, retry_at
from connectors.graph.transport import TooLarge, Transport
from crm_sync.core.errors import Throttled, Unreachable
from crm_sync.ports import Surroundings

_SERVER_ERRORS: Final = 500


class MsalAnswer:
    """What MSAL reads of an answer."""

    def __init__(self, status: int, headers: Mapping[str, str], octets: bytes) -> None:
        self.status_code = status
        self.headers = headers
        self.text = octets.decode("utf-8", "replace")

    def raise_for_status(self) -> None:
        """Complains about what is no success."""
        if self.status_code >= 400:  # noqa: PLR2004  # the classes of HTTP
            raise ValueError("no success")


class MsalHttp:
    """See msal.oauth2cli.http. Raises `Unreachable`, `Refused` and `Throttled` through MSAL."""

    def __init__(self, transport: Transport, surroundings: Surroundings) -> None:
        self._transport = transport
        self._account = surroundings.account
        self._clock = surroundings.clock

    def get(
        self,
        url: str,
        params: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        **_: Any,
    ) -> MsalAnswer:
        """A GET."""
        return self._ask("GET", _with_query(url, params), headers or {}, None)

    def post(
        self,
        url: str,
        params: Mapping[str, str] | None = None,
        data: Mapping[str, str] | str | None = None,
        headers: Mapping[str, str] | None = None,
        **_: Any,
    ) -> MsalAnswer:
        """A POST of a form."""
        content = data if isinstance(data, str) else urlencode(dict(data or {}))
        form = {"Content-Type": "application/x-www-form-urlencoded", **(headers or {})}
        return self._ask("POST", _with_query(url, params), form, content.encode())

    def close(self) -> None:
        """The connection is not MSAL's."""

    def _ask(
        self, method: str, url: str, headers: Mapping[str, str], content: bytes | None
    ) -> MsalAnswer:
        fields = {name: str(value) for name, value in headers.items() if value}
        try:
            if content is None:
                response = self._transport.ask(method, url, fields)
            else:
                # Not repeated: the refresh token in it may already have been used up.
                response = self._transport.ask_once(method, url, fields, content)
        except TooLarge as error:
            raise self._out_of_order() from error
        if response.status == TOO_MANY:
            at = retry_at(response.headers, self._clock.now())
            raise Throttled(
                "Microsoft's sign-in asks for a pause", retry_at=at, where=self._account
            )
        if response.status >= _SERVER_ERRORS or read_json(response.octets) is None:
            raise self._out_of_order()
        return MsalAnswer(response.status, response.headers, response.octets)

    def _out_of_order(self) -> Unreachable:
        what = "Microsoft's sign-in is out of order at the moment"
        advice = "Trying again later."
        return Unreachable(what, where=self._account, advice=advice, kind="unavailable")


def _with_query(url: str, params: Mapping[str, str] | None) -> str:
    return f"{url}{'&' if '?' in url else '?'}{urlencode(dict(params))}" if params else url
