"""The way to a server: straight, or through an HTTP proxy by CONNECT (RFC 9110 section 9.3.6).

`dial` is for protocols that bring no client of their own for it. Clients of HTTP obey HTTPS_PROXY
and NO_PROXY by themselves; `check_environment` and `trouble` put in words what goes wrong there.
"""

import base64
import http.client
import re
import socket
from collections.abc import Iterable
from typing import Annotated, Final
from urllib.parse import SplitResult, unquote, urlsplit
from urllib.request import getproxies_environment, proxy_bypass

from pydantic import AfterValidator, SecretStr

from crm_sync.core.errors import Refused

_WRITTEN_LIKE: Final = "write it like http://proxy.acme.example:3128"
_WANTS_A_PASSWORD: Final = 407


def _is_a_proxy(value: SecretStr) -> SecretStr:
    try:
        fits = _address(value).port is not None
    except ValueError:
        fits = False
    if not fits:
        raise ValueError(_WRITTEN_LIKE)
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


def check_environment(where: str) -> None:
    """Raises `Refused` where a variable names no HTTP proxy; `where` names the account.

    Asked before an HTTP client is made: on such a value some raise what is no error of theirs, and
    quote the password in it.
    """
    variables = getproxies_environment()
    for name in ("https", "http", "all"):
        if variables.get(name) and not _parts(variables[name]):
            what = f"{name.upper()}_PROXY is no address of an HTTP proxy"
            advice = f"{_WRITTEN_LIKE.capitalize()}."
            raise Refused(what, where=where, advice=advice, kind="settings")


def trouble(url: str, causes: Iterable[BaseException]) -> tuple[str, str] | None:
    """What happened, and advice, where an HTTP client's proxy kept it from asking `url`.

    `causes` are the client's error and what lies below it; of their words only a status is taken.
    None where no proxy is to blame.
    """
    proxy = _of_environment(url)
    if not proxy:
        return None
    for cause in causes:
        # So httpx2, and so http.client and urllib3, tell of a tunnel that was refused.
        told = re.match(
            r"(?:ProxyError: |OSError: Tunnel connection failed: )([1-5]\d\d)\b",
            f"{type(cause).__name__}: {cause}",
        )
        if told:
            return _refusal(proxy, urlsplit(url).netloc, int(told[1]))
        # Through a tunnel nobody but the proxy is looked up and connected to.
        if isinstance(cause, socket.gaierror | ConnectionRefusedError):
            advice = "Check HTTPS_PROXY, and whether the proxy runs; trying again later."
            return f"the proxy {proxy} can't be reached", advice
    return None


def _refusal(proxy: str, host: str, status: int) -> tuple[str, str]:
    if status == _WANTS_A_PASSWORD:
        advice = "Check them in HTTPS_PROXY, like http://user:password@proxy.acme.example:3128."
        return f"the proxy {proxy} wants user name and password", advice
    advice = f"Ask its admin to let {host} through, or name the host in NO_PROXY."
    return f"the proxy {proxy} gives no way to {host} (status {status})", advice


def _of_environment(url: str) -> str:
    """The proxy ("host:port") by which HTTP clients ask for a URL, "" for none."""
    variables, asked = getproxies_environment(), urlsplit(url)
    # Many write an asterisk before a domain; the standard library wants it bare.
    direct = {"no": variables.get("no", "").replace("*.", "")}
    if proxy_bypass(asked.netloc, direct):
        return ""
    parts = _parts(variables.get(asked.scheme) or variables.get("all") or "")
    return parts.netloc.rpartition("@")[2] if parts else ""


def _parts(written: str) -> SplitResult | None:
    """The parts of a variable's value: http:// may be left out; None where it is no address."""
    try:
        parts = urlsplit(written if "://" in written else f"http://{written}")
        has_port = parts.port is not None or "://" in written
    except ValueError:
        return None
    fits = re.fullmatch(r"[\w.:-]+", parts.hostname or "") and not parts.path.strip("/")
    return parts if fits and has_port and parts.scheme in {"http", "https"} else None


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
