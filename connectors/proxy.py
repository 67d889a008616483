"""The way to a server: straight, or through an HTTP proxy by CONNECT (RFC 9110 section 9.3.6).

For protocols that bring no client of their own for it; HTTP itself obeys HTTPS_PROXY.
"""

import base64
import http.client
import socket
from typing import Annotated
from urllib.parse import SplitResult, unquote, urlsplit

from pydantic import AfterValidator, SecretStr


def _is_a_proxy(value: SecretStr) -> SecretStr:
    try:
        fits = _address(value).port is not None
    except ValueError:
        fits = False
    if not fits:
        raise ValueError("write it like http://proxy.acme.example:3128")
    return value


Proxy = Annotated[SecretStr, AfterValidator(_is_a_proxy)]
"""A proxy's address, with user and password where it wants them: a secret as a whole."""


def dial(host: str, port: int, timeout: float, proxy: SecretStr | None) -> socket.socket:
    """A connected socket; `timeout` in seconds holds for it. Raises OSError."""
    if proxy is None:
        return socket.create_connection((host, port), timeout)
    address = _address(proxy)
    assert address.hostname is not None
    connection = http.client.HTTPConnection(address.hostname, address.port, timeout=timeout)
    connection.set_tunnel(host, port, headers=_credentials(address))
    try:
        connection.connect()
    except (http.client.HTTPException, ValueError) as error:
        connection.close()
        raise ConnectionRefusedError("the proxy makes no sense") from error
    except BaseException:
        connection.close()
        raise
    return connection.sock


def _address(proxy: SecretStr) -> SplitResult:
    parts = urlsplit(proxy.get_secret_value())
    if parts.scheme != "http" or not parts.hostname or parts.path.strip("/") or parts.query:
        raise ValueError("no proxy")
    return parts


def _credentials(address: SplitResult) -> dict[str, str]:
    if not address.username:
        return {}
    words = f"{unquote(address.username)}:{unquote(address.password or '')}"
    return {"Proxy-Authorization": f"Basic {base64.b64encode(words.encode()).decode()}"}
