"""What an admin sees when a server says no, or nothing: told from outside, on real servers."""

import socket
import threading
from typing import Self

import pytest

from tests.servers.recording_proxy import RecordingProxy

pytestmark = pytest.mark.dovecot

TEAM = '[team]\ndomains = ["acme.example"]\n[daemon]\nworkers = 2\n'
REP = '[[reps]]\nemail = "rep{n}@acme.example"\n'
MAILBOX = (
    '[[mailboxes]]\nrep = "rep{n}@acme.example"\nconnector = "imap"\nhost = "127.0.0.1"\n'
    'port = {port}\nsecurity = "none"\nusername = "{user}"\npassword = "{password}"\n'
    "timeouts = {{ connect = 5, read = {read}, answer = 20 }}\n"
)


def accounts(number, *, read=20, **how):
    tables = (REP + MAILBOX for _ in range(number))
    return TEAM + "".join(t.format(n=n, read=read, **how) for n, t in enumerate(tables))


def states(installation):
    entries = installation.run("status", "--json").object()["accounts"]
    return [entry["state"] for entry in entries]


def test_however_often_an_admin_syncs_a_wrong_password_is_shown_four_times_only(
    installation, dovecot
):
    dovecot.add_user("rep0", ())
    with RecordingProxy(dovecot.host, dovecot.port) as proxy:
        installation.write(accounts(1, port=proxy.port, user="rep0", password="wrong"))
        for state in ("refused", "refused", "refused", "paused", "paused", "paused"):
            result = installation.run("sync")
            assert result.status == 1
            assert "the server refused the password of rep0" in result.err
            assert states(installation) == [state]
        assert proxy.verbs().count("LOGIN") == 4
        assert "run: crm-sync sync --account rep0@acme.example/imap" in result.err

        installation.run("sync", "--account", "rep0@acme.example/imap")
        assert proxy.verbs().count("LOGIN") == 5

        installation.write(accounts(1, port=proxy.port, user="rep0", password="pass"))
        installation.ok("sync")
        assert states(installation) == ["ok"]


class SilentServer:
    """Takes connections and says nothing; counts them."""

    def __init__(self) -> None:
        self.connections: list[socket.socket] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self._thread = threading.Thread(target=self._take, daemon=True)

    def _take(self) -> None:
        while True:
            try:
                self.connections.append(self._listener.accept()[0])
            except OSError:
                return

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(5)
        for connection in self.connections:
            connection.close()


def test_when_a_server_is_silent_not_all_of_its_accounts_wait_for_it(installation):
    with SilentServer() as server:
        installation.write(accounts(30, read=0.5, port=server.port, user="x", password="y"))
        result = installation.run("sync", "--json")
        assert result.status == 1
        errors = [entry["error"] for entry in result.object()["accounts"]]
        assert all(errors)
        assert sum("the server is silent" in error for error in errors) <= 6
        assert len(server.connections) <= 6
        assert set(states(installation)) == {"failing"}


def test_a_corrected_port_is_tried_at_once(installation, dovecot):
    dovecot.add_user("rep0", ())
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    installation.write(accounts(5, port=port, user="rep0", password="pass"))
    for _ in range(3):
        assert installation.run("sync").status == 1
    installation.write(accounts(5, port=dovecot.port, user="rep0", password="pass"))
    installation.ok("sync")
    assert states(installation) == ["ok"] * 5
