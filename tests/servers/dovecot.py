"""Debian's Dovecot, started by the tests themselves on free loopback ports.

It runs with a configuration, users and a directory of its own, as root or as an ordinary user. Any
user name signs in with the password "pass" and finds an empty mailbox.
"""

import itertools
import os
import pwd
import shutil
import socket
import subprocess
import tempfile
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

import pytest
import trustme
from imapclient import IMAPClient

PASSWORD = "pass"
MISSING = "Dovecot is not installed (apt-get install dovecot-imapd)"

CONFIGURATION = """
base_dir = {base}/run
state_dir = {base}/state
log_path = {base}/log
protocols = imap
listen = 127.0.0.1
default_internal_user = {internal}
default_internal_group = {group}
default_login_user = {login}
first_valid_uid = 1
ssl = yes
ssl_cert = <{base}/server.pem
ssl_key = <{base}/server.key
disable_plaintext_auth = no
auth_failure_delay = 0
mail_max_userip_connections = {connections}
mail_location = maildir:{base}/mail/%u
passdb {{
  driver = static
  args = password={password}
}}
userdb {{
  driver = static
  args = uid={uid} gid={gid} home={base}/mail/%u
}}
namespace inbox {{
  inbox = yes
  separator = /
  mailbox Sent {{
    special_use = \\Sent
    auto = create
  }}
  mailbox Drafts {{
    special_use = \\Drafts
    auto = create
  }}
  mailbox Junk {{
    special_use = \\Junk
    auto = create
  }}
  mailbox Trash {{
    special_use = \\Trash
    auto = create
  }}
}}
service anvil {{
  chroot =
  unix_listener anvil-auth-penalty {{
    mode = 0
  }}
}}
service imap-login {{
  chroot =
  service_count = 0
  inet_listener imap {{
    port = {port}
  }}
  inet_listener imaps {{
    port = {tls_port}
    ssl = yes
  }}
}}
{extra}
"""


def binary() -> str | None:
    """Where Dovecot is, if it is installed."""
    return shutil.which("dovecot", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")


class Dovecot:
    """One Dovecot; `start` before use, `stop` afterwards.

    `port` speaks plain IMAP and STARTTLS, `tls_port` IMAPS; `ca_file` verifies both for "localhost"
    and 127.0.0.1. `extra` is appended to the configuration.
    """

    def __init__(
        self, *, extra: str = "", connections: int = 100, password: str = PASSWORD
    ) -> None:
        self.base = Path(tempfile.mkdtemp(prefix="dovecot-", dir="/tmp"))
        self.host = "127.0.0.1"
        self.port, self.tls_port = _free_port(), _free_port()
        self.ca_file = self.base / "ca.pem"
        self._extra, self._connections, self._password = extra, connections, password
        self._owner = _mail_owner()
        self._process: subprocess.Popen[bytes] | None = None
        self._serial = itertools.count()
        self._write()

    def start(self) -> None:
        """Starts the server and returns when it answers."""
        command = [binary() or "dovecot", "-F", "-c", str(self.base / "dovecot.conf")]
        self._process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        for _ in range(200):
            try:
                with socket.create_connection((self.host, self.port), 1) as sock:
                    if sock.recv(1000).startswith(b"* OK"):
                        return
            except OSError:
                threading.Event().wait(0.05)
            if self._process.poll() is not None:
                break
        raise RuntimeError(f"Dovecot did not start:\n{self.log()}")

    def stop(self) -> None:
        """Stops the server, keeping its mail."""
        if self._process is not None:
            self._process.terminate()
            self._process.wait(20)
            self._process = None

    def remove(self) -> None:
        """Stops the server and deletes all it had."""
        self.stop()
        shutil.rmtree(self.base, ignore_errors=True)

    def log(self) -> str:
        """What the server wrote to its log."""
        log = self.base / "log"
        return log.read_text() if log.exists() else ""

    # -- what other mail clients do ----------------------------------------------------------

    @contextmanager
    def client(self, user: str) -> Iterator[IMAPClient]:
        """Another mail client of the user, signed in."""
        with IMAPClient(self.host, self.port, ssl=False, timeout=30) as client:
            client.login(user, PASSWORD)
            yield client

    def add_user(self, user: str, folders: Sequence[str] = ()) -> None:
        """Makes a user's mailbox, with further folders."""
        with self.client(user) as client:
            for folder in folders:
                client.create_folder(folder)

    def append(
        self,
        user: str,
        folder: str,
        raw: bytes,
        arrived_at: datetime | None = None,
        flags: Sequence[bytes] = (),
    ) -> int:
        """Delivers a message; its UID."""
        with self.client(user) as client:
            if not client.folder_exists(folder):
                client.create_folder(folder)
            client.append(folder, raw, flags, arrived_at)
            status = client.folder_status(folder, ["UIDNEXT"])
        return int(status[b"UIDNEXT"]) - 1

    def flags(self, user: str, folder: str) -> dict[int, tuple[bytes, ...]]:
        """The flags of every message, by UID; looking does not change them."""
        with self.client(user) as client:
            client.select_folder(folder, readonly=True)
            uids = client.search()
            rows = [client.fetch(uids[at : at + 500], ["FLAGS"]) for at in range(0, len(uids), 500)]
        return {uid: row[b"FLAGS"] for found in rows for uid, row in found.items()}

    def uids(self, user: str, folder: str) -> list[int]:
        """The UIDs in a folder."""
        with self.client(user) as client:
            client.select_folder(folder, readonly=True)
            return sorted(client.search())

    def uidvalidity(self, user: str, folder: str) -> int:
        """The epoch of a folder."""
        with self.client(user) as client:
            return int(client.folder_status(folder, ["UIDVALIDITY"])[b"UIDVALIDITY"])

    def expunge(self, user: str, folder: str, uids: Sequence[int]) -> None:
        """Deletes messages for good."""
        with self.client(user) as client:
            client.select_folder(folder)
            client.delete_messages(uids, silent=True)
            client.expunge(uids)

    def move(self, user: str, uids: Sequence[int], source: str, target: str) -> None:
        """Moves messages to another folder."""
        with self.client(user) as client:
            client.select_folder(source)
            client.move(uids, target)

    def delete_folder(self, user: str, folder: str) -> None:
        """Deletes a folder with all that is in it."""
        with self.client(user) as client:
            client.delete_folder(folder)

    def rename_folder(self, user: str, folder: str, name: str) -> None:
        """Gives a folder another name."""
        with self.client(user) as client:
            client.rename_folder(folder, name)

    def seed(self, user: str, folder: str, messages: Iterable[tuple[bytes, datetime]]) -> None:
        """Puts many messages (raw, date of arrival) into a folder at once, past the protocol."""
        with self.client(user) as client:
            if not client.folder_exists(folder):
                client.create_folder(folder)
            client.select_folder(folder)
        root = self.base / "mail" / user
        target = root if folder == "INBOX" else root / f".{folder.replace('/', '.')}"
        for raw, arrived_at in messages:
            moment = arrived_at.timestamp()
            name = f"{int(moment)}.M{next(self._serial)}.seed,S={len(raw)}:2,"
            path = target / "cur" / name
            path.write_bytes(raw)
            os.utime(path, (moment, moment))
            os.chown(path, *self._owner)

    # -- making it ---------------------------------------------------------------------------

    def _write(self) -> None:
        uid, gid = self._owner
        (self.base / "mail").mkdir()
        self.base.chmod(0o755)
        os.chown(self.base / "mail", uid, gid)
        authority = trustme.CA()
        certificate = authority.issue_cert("localhost", "127.0.0.1")
        authority.cert_pem.write_to_path(self.ca_file)
        certificate.private_key_pem.write_to_path(self.base / "server.key")
        for pem in certificate.cert_chain_pems:
            pem.write_to_path(self.base / "server.pem", append=True)
        me = pwd.getpwuid(os.getuid()).pw_name
        as_root = os.getuid() == 0
        text = CONFIGURATION.format(
            base=self.base,
            internal="dovecot" if as_root else me,
            group="dovecot" if as_root else _group_name(),
            login="dovenull" if as_root else me,
            connections=self._connections,
            password=self._password,
            uid=uid,
            gid=gid,
            port=self.port,
            tls_port=self.tls_port,
            extra=self._extra,
        )
        (self.base / "dovecot.conf").write_text(text)


def running(server: Dovecot) -> Iterator[Dovecot]:
    """What a fixture yields from: the server, started here and removed in the end.

    Skips where Dovecot is not installed; a server by others that only looks like one needs none.
    """
    try:
        if type(server) is Dovecot and binary() is None:
            pytest.skip(MISSING)
        server.start()
        yield server
    finally:
        server.remove()


def _mail_owner() -> tuple[int, int]:
    """Who owns the mail: we ourselves, or nobody when we are root, whom Dovecot refuses."""
    if os.getuid() != 0:
        return os.getuid(), os.getgid()
    nobody = pwd.getpwnam("nobody")
    return nobody.pw_uid, nobody.pw_gid


def _group_name() -> str:
    import grp

    return grp.getgrgid(os.getgid()).gr_name


def _free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])
