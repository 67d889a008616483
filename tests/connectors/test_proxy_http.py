"""What speaks HTTP obeys HTTPS_PROXY and NO_PROXY, and says what is wrong with the proxy."""

import logging
import os
import traceback
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from ssl import PROTOCOL_TLS_SERVER, SSLContext

import niquests.utils
import pytest
import trustme

from connectors.oauth import wire
from crm_sync.core.errors import CrmSyncError, Refused, Unreachable
from tests.servers import calendars, graph_account
from tests.servers.connect_proxy import ConnectProxy, connect_proxy
from tests.servers.fault_http import FaultyServer
from tests.servers.graph import GraphServer
from tests.servers.oauth_server import CLIENT, SECRET, OAuthServer
from tests.servers.radicale import Radicale

HOST = "server.acme.example"
"""A name that only the proxy can resolve, as in many offices."""


@dataclass
class Client:
    """What asks a server of ours over TLS, as an account does; `ask` may be repeated."""

    port: int
    ask: Callable[[], object]

    def error(self) -> CrmSyncError:
        with pytest.raises(CrmSyncError) as raised:
            self.ask()
        return raised.value


class NamedGraph(GraphServer):
    def __init__(self, ca: trustme.CA, host: str) -> None:
        super().__init__(ca)
        self.host = host
        ca.issue_cert(host).configure_cert(self.context)

    @property
    def origin(self) -> str:
        return f"https://{self.host}:{self.port}"


@contextmanager
def graph(ca: trustme.CA, host: str, ca_file: Path) -> Iterator[Client]:
    with NamedGraph(ca, host) as server:
        server.ca_file = str(ca_file)
        account = graph_account.Account(server)
        source = account.source()

        def ask() -> None:
            assert source.streams()

        yield Client(server.port, ask)
        account.close()


@contextmanager
def oauth(ca: trustme.CA, host: str, ca_file: Path) -> Iterator[Client]:
    server = OAuthServer()
    port = speaks_tls(server, ca, host)
    with server:

        def ask() -> None:
            form = {"grant_type": "refresh_token", "refresh_token": server.refresh_token()}
            form |= {"client_id": CLIENT, "client_secret": SECRET}
            url = f"https://{host}:{port}/token"
            assert wire.post(url, form, ca_file=ca_file, where="a/b").text("access_token")

        yield Client(port, ask)


@contextmanager
def caldav(ca: trustme.CA, host: str, ca_file: Path, radicale: Radicale) -> Iterator[Client]:
    server = FaultyServer(radicale.host, radicale.port)
    port = speaks_tls(server, ca, host)
    with server:
        account = calendars.Account(f"https://{host}:{port}/karin/", ca_file=ca_file)

        def ask() -> None:
            assert [stream.name for stream in account.source.streams()] == ["Work"]

        yield Client(port, ask)
        account.source.close()


def speaks_tls(server: OAuthServer | FaultyServer, ca: trustme.CA, host: str) -> int:
    context = SSLContext(PROTOCOL_TLS_SERVER)
    ca.issue_cert(host).configure_cert(context)
    inner = server._server
    inner.socket = context.wrap_socket(inner.socket, server_side=True)
    return int(inner.server_address[1])


@pytest.fixture(scope="module")
def radicale() -> Iterator[Radicale]:
    with calendars.running(Radicale()) as server:
        server.make_calendar("work", "Work")
        yield server


@pytest.fixture(params=["graph", "oauth", "caldav"])
def connected(request, tmp_path, radicale) -> Iterator[Callable[..., Client]]:
    """Makes a client for a host, and its server; `trusts` is the authority in its ca_file."""
    ways = {"graph": graph, "oauth": oauth, "caldav": partial(caldav, radicale=radicale)}
    with ExitStack() as stack:

        def make(host: str = HOST, trusts: trustme.CA | None = None) -> Client:
            ca = trustme.CA()
            (trusts or ca).cert_pem.write_to_path(tmp_path / "ca.pem")
            return stack.enter_context(ways[request.param](ca, host, tmp_path / "ca.pem"))

        yield make


@pytest.fixture
def proxy() -> Iterator[ConnectProxy]:
    with connect_proxy("crm", "hu:sh") as proxy:
        proxy.hosts[HOST] = "127.0.0.1"
        yield proxy


@pytest.fixture
def set_proxy(monkeypatch, proxy):
    """Sets HTTPS_PROXY, to the proxy with its password where nothing else is said."""
    for name in [name for name in os.environ if name.lower().endswith("_proxy")]:
        monkeypatch.delenv(name)

    def put(value: str = "", no: str = "") -> None:
        monkeypatch.setenv("HTTPS_PROXY", value or f"http://crm:hu%3Ash@127.0.0.1:{proxy.port}")
        monkeypatch.setenv("NO_PROXY", no)
        # What calendars are asked with reads the environment once in a process.
        niquests.utils.getproxies.cache_clear()

    yield put
    niquests.utils.getproxies.cache_clear()


def test_the_way_leads_through_the_proxy_which_alone_knows_the_name(connected, proxy, set_proxy):
    client = connected()
    set_proxy()
    client.ask()
    client.ask()
    assert set(proxy.asked) == {f"{HOST}:{client.port}"}


def test_the_servers_certificate_is_verified_through_the_proxy_too(connected, proxy, set_proxy):
    client = connected(trusts=trustme.CA())
    set_proxy()
    error = client.error()
    assert isinstance(error, Refused)
    assert "certificate" in error.what
    assert proxy.asked


@pytest.mark.parametrize("no", ["localhost", "other.example, localhost", "*"])
def test_a_host_in_no_proxy_is_asked_directly(connected, proxy, set_proxy, no):
    client = connected("localhost")
    set_proxy(no=no)
    client.ask()
    assert proxy.asked == []


@pytest.mark.parametrize("no", ["acme.example", ".acme.example"])
def test_a_domain_in_no_proxy_holds_for_its_hosts_and_no_proxy_is_blamed(
    connected, proxy, set_proxy, no
):
    client = connected()
    set_proxy(no=no)
    error = client.error()
    assert isinstance(error, Unreachable)
    assert f":{proxy.port}" not in error.sentence()
    assert proxy.asked == []


@pytest.mark.parametrize("written", ["", "crm@", "crm:hush-hush@"])
def test_a_proxy_that_wants_a_password_is_named_and_what_we_have_is_not_told(
    connected, proxy, set_proxy, caplog, written
):
    caplog.set_level(logging.DEBUG)
    client = connected()
    set_proxy(f"http://{written}127.0.0.1:{proxy.port}")
    error = client.error()
    assert isinstance(error, Unreachable)
    assert error.what == f"the proxy 127.0.0.1:{proxy.port} wants user name and password"
    assert "HTTPS_PROXY" in error.advice
    assert "hush-hush" not in "".join(traceback.format_exception(error)) + caplog.text
    assert proxy.asked == []


def test_a_proxy_that_lets_nobody_out_is_told_apart_and_later_all_is_well(
    connected, proxy, set_proxy
):
    client = connected()
    set_proxy()
    proxy.status = 403
    error = client.error()
    assert isinstance(error, Unreachable)
    assert f"gives no way to {HOST}:{client.port} (status 403)" in error.sentence()
    assert "NO_PROXY" in error.sentence()
    assert "hu:sh" not in error.sentence()
    assert "Words" not in error.sentence()
    proxy.status = 200
    client.ask()


@pytest.mark.parametrize("address", ["127.0.0.1:9", "no-such-proxy.invalid:3128"])
def test_a_proxy_that_is_down_is_what_is_told(connected, proxy, set_proxy, address):
    client = connected("localhost")
    set_proxy(f"http://crm:hush-hush@{address}")
    error = client.error()
    assert isinstance(error, Unreachable)
    assert error.what == f"the proxy {address} can't be reached"
    assert "hush-hush" not in "".join(traceback.format_exception(error))
    set_proxy()
    client.ask()


def test_a_variable_that_names_no_http_proxy_is_refused_until_it_does(connected, proxy, set_proxy):
    client = connected("localhost")
    set_proxy("socks5://crm:hush-hush@127.0.0.1:1080")
    error = client.error()
    assert isinstance(error, Refused)
    assert "HTTPS_PROXY is no address of an HTTP proxy" in error.sentence()
    assert "hush-hush" not in "".join(traceback.format_exception(error))
    set_proxy()
    client.ask()


@pytest.mark.parametrize(
    "written",
    [
        "http://crm:hush-hush@127.0.0.1:port",
        "http://crm:hush-hush/@127.0.0.1:3128",
        "http://crm:hush-hush@a b:3128",
        "ftp://crm:hush-hush@127.0.0.1:21",
        "proxy.acme.example",
        "http://",
    ],
)
@pytest.mark.parametrize("variable", ["HTTPS_PROXY", "all_proxy"])
def test_what_is_no_address_of_a_proxy_is_not_repeated(monkeypatch, set_proxy, variable, written):
    monkeypatch.setenv(variable, written)
    with pytest.raises(Refused, match=f"{variable.upper()} is no address") as raised:
        wire.post("https://server.invalid/token", {}, ca_file=None, where="a/b")
    assert "http://proxy.acme.example:3128" in raised.value.advice
    assert "hush-hush" not in "".join(traceback.format_exception(raised.value))
