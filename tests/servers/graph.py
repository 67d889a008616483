"""Microsoft Graph and its token endpoint on loopback, over TLS, as Microsoft's examples answer.

What it does follows Microsoft's published reference (message: delta, list messages, JSON batching,
throttling, immutable ids, extended properties, sendMail in MIME) and the faults people reported.
It holds one mailbox. Whatever is not asked for as it should be is answered with the error Graph
gives, so that a client that forgets a header or a permission fails its tests.
"""

import json
import re
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, Self
from urllib.parse import quote, unquote

import trustme

from tests.servers.entra import Entra
from tests.servers.graph_http import Asked, Listener, Reply, handler, parse, problem, shut
from tests.servers.graph_rows import matches, mime_of
from tests.servers.graph_sending import Mail, Mailed, Sending

USER = "karin@acme.example"
WELL_KNOWN = {
    "inbox": "Inkorg", "sentitems": "Skickat", "drafts": "Utkast", "junkemail": "Skräppost",
    "deleteditems": "Borttaget", "outbox": "Utkorg", "archive": "Arkiv",
    "conversationhistory": "Historik",
}  # fmt: skip


class GraphServer(Sending):
    """One mailbox and one application; use as a context manager."""

    def __init__(self, ca: trustme.CA) -> None:
        self.entra = Entra()
        self.folders: dict[str, dict[str, Any]] = {}
        self.mails: dict[str, Mail] = {}
        self.log: list[tuple[str, str, str]] = []
        self.mailed: list[Mailed] = []
        self.asked: list[Asked] = []
        self.outer: list[str] = []
        self.on_request: Callable[[Asked], Reply | None] | None = None
        self.partial_rows = False
        self.repeats = False
        self.reverses = False
        self.rewrites_ids = False
        self.epoch = 0
        self.ca_file = ""
        self._rounds: list[tuple[str, list[tuple[str, str]], int]] = []
        self.links_expire = False
        self.busiest = 0
        self._busy = 0
        self._refused = 0
        self._away = False
        self._lock = threading.RLock()
        self.closing = threading.Event()
        self.sockets: set[Any] = set()
        self._numbers = iter(range(1, 10**9))
        for name, label in WELL_KNOWN.items():
            self.add_folder(f"AQMk-{name}", label, well_known=name)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        ca.issue_cert("127.0.0.1").configure_cert(context)
        self.context = context
        self._server = Listener(("127.0.0.1", 0), handler(self))
        self._server.graph = self
        self.port = self._server.server_address[1]

    @property
    def origin(self) -> str:
        return f"https://127.0.0.1:{self.port}"

    @property
    def root(self) -> str:
        return f"{self.origin}/v1.0"

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.closing.set()
        self.break_connections()
        self._server.shutdown()
        self._server.server_close()

    # -- backstage ---------------------------------------------------------------------------

    def add_folder(
        self, key: str, label: str, *, parent: str = "root", well_known: str = ""
    ) -> str:
        row = {"id": key, "displayName": label, "parentFolderId": parent}
        self.folders[key] = {"row": row, "well_known": well_known}
        self.log.append(("folders", key, "put"))
        return key

    def remove_folder(self, key: str) -> None:
        del self.folders[key]
        self.log.append(("folders", key, "removed"))

    def add(self, folder: str, row: dict[str, Any], key: str = "") -> str:
        """Files a message; `row` in Graph's own property names."""
        with self._lock:
            key = key or f"AAkALg{next(self._numbers):06d}=="
            self.mails[key] = Mail(key, folder, {"isDraft": False, **row})
            self.log.append((folder, key, "put"))
            return key

    def touch(self, key: str) -> None:
        """Marks a message read: a delta round reports it."""
        with self._lock:
            self.mails[key].row["isRead"] = True
            self.log.append((self.mails[key].folder, key, "put"))

    def move(self, key: str, folder: str) -> None:
        with self._lock:
            mail = self.mails[key]
            self.log += [(mail.folder, key, "removed"), (folder, key, "put")]
            mail.folder, mail.moves = folder, mail.moves + 1

    def remove(self, key: str) -> None:
        with self._lock:
            mail = self.mails.pop(key)
            self.log.append((mail.folder, key, "removed"))

    def forget_tokens(self) -> None:
        """Delta links given so far are worth nothing any more."""
        self.epoch += 1

    def break_connections(self) -> None:
        with self._lock:
            sockets, self.sockets = self.sockets, set()
        for one in sockets:
            shut(one)

    def go_away(self) -> None:
        self._away = True
        self.break_connections()

    def come_back(self) -> None:
        self._away = False

    def refuse_next(self, number: int = 1) -> None:
        """Cuts what is connected, and refuses that many new connections."""
        self._refused = number
        self.break_connections()

    def script_once(self, end_of_path: str, reply: Reply) -> None:
        """Answers the next request to write (or batch) to such a path with `reply`."""

        def scripted(asked: Asked) -> Reply | None:
            if asked.method == "GET" or not asked.path.endswith(end_of_path):
                return None
            self.on_request = None
            return reply

        self.on_request = scripted

    def admits(self, sock: Any) -> bool:
        with self._lock:
            if self._away or self._refused:
                self._refused = max(self._refused - 1, 0)
                return False
            self.sockets.add(sock)
            return True

    # -- requests ----------------------------------------------------------------------------

    def answer(self, asked: Asked, bearer: str) -> Reply:
        with self._lock:
            self._busy += 1
            self.busiest = max(self.busiest, self._busy)
            too_many = self._busy > 4
        try:
            if too_many:
                return problem(429, "ApplicationThrottled", Retry_After="1")
            if not self.entra.is_good(bearer):
                return problem(401, "InvalidAuthenticationToken")
            if asked.path == "/$batch":
                return self._batch(asked, bearer)
            return self._one(asked, bearer)
        finally:
            with self._lock:
                self._busy -= 1

    def _batch(self, asked: Asked, bearer: str) -> Reply:
        if self.on_request and (scripted := self.on_request(asked)):
            return scripted
        requests = json.loads(asked.content)["requests"]
        if len(requests) > 20:
            return problem(400, "BatchRequestLimitExceeded")
        responses = []
        for request in requests:
            assert request["url"].startswith("/"), "a batch takes relative addresses only"
            prefer = request.get("headers", {}).get("Prefer", "")
            one = parse(request["method"], request["url"], prefer, b"", "")
            reply = self._one(one, bearer)
            part = {"id": request["id"], "status": reply.status, "headers": reply.headers}
            responses.append(part | {"body": reply.body})
        responses.reverse()  # the order is not guaranteed
        return Reply(200, {"responses": responses})

    def _one(self, asked: Asked, bearer: str) -> Reply:
        with self._lock:
            self.asked.append(asked)
        if self.on_request and (scripted := self.on_request(asked)):
            return scripted
        with self._lock:
            return self._route(asked, bearer)

    def _route(self, asked: Asked, bearer: str) -> Reply:  # noqa: PLR0911, PLR0912  # a table
        found = re.match(r"/users/([^/]+)(/.*)$", asked.path)
        if not found or unquote(found[1]).lower() != USER:
            return problem(404, "ErrorInvalidUser")
        parts = [unquote(part) for part in found[2].strip("/").split("/")]
        wanted = self._permission(asked, parts)
        if not self.entra.allows(bearer, wanted):
            return problem(403, "ErrorAccessDenied")
        match asked.method, parts:
            case "GET", ["mailFolders", "delta"]:
                return self._folder_delta(asked)
            case "GET", ["mailFolders", name]:
                key = self._folder(name)
                return Reply(200, self.folders[key]["row"]) if key else _no_item()
            case "GET", ["mailFolders", name, "messages", "delta"]:
                key = self._folder(name)
                return self._delta(asked, key) if key else _no_item()
            case "GET", ["mailFolders", name, "messages"]:
                key = self._folder(name)
                return self._list(asked, key) if key else _no_item()
            case "GET", ["messages"]:
                return self._list(asked, None)
            case "GET", ["messages", key]:
                mail = self._mail(key)
                if isinstance(mail, Reply):
                    return mail
                return Reply(200, self._shown(mail, asked))
            case "GET", ["messages", key, "$value"]:
                mail = self._mail(key)
                return mail if isinstance(mail, Reply) else Reply(200, mime_of(mail.row))
            case "POST", ["sendMail"]:
                return self._send_mail(asked)
            case "POST", ["messages"]:
                return self._draft(asked)
            case "POST", ["messages", key, "send"]:
                return self._send_draft(key)
            case "PATCH", ["messages", key]:
                mail = self._mail(key)
                if isinstance(mail, Reply):
                    return mail
                mail.row.update(json.loads(asked.content))
                return Reply(200, self._shown(mail, asked))
            case "DELETE", ["messages", key]:
                self.remove(key)
                return Reply(204)
        return problem(400, "BadRequest")

    @staticmethod
    def _permission(asked: Asked, parts: list[str]) -> str:
        if parts[-1] in {"sendMail", "send"}:
            return "Mail.Send"
        return "Mail.Read" if asked.method == "GET" else "Mail.ReadWrite"

    def _folder(self, name: str) -> str:
        for key, folder in self.folders.items():
            if name in {key, folder["well_known"]}:
                return key
        return ""

    def _mail(self, key: str) -> Mail | Reply:
        if key.startswith("AAMkAG"):
            moves, _, rest = key[6:].partition("AAkALg")
            key = f"AAkALg{rest}"
            if key in self.mails and moves != str(self.mails[key].moves):
                return _no_item()
        if not key.startswith("AAkALg"):
            return problem(400, "ErrorInvalidIdMalformed")
        return self.mails.get(key) or _no_item()

    # -- delta -------------------------------------------------------------------------------

    def _folder_delta(self, asked: Asked) -> Reply:
        rows = {key: folder["row"] for key, folder in self.folders.items()}
        return self._round(asked, "folders", rows, f"/users/{USER}/mailFolders/delta")

    def _delta(self, asked: Asked, folder: str) -> Reply:
        if "$filter" in asked.query:
            return problem(400, "ErrorInvalidUrlQuery")
        select = {**asked.query, "$select": asked.query.get("$select", "id,receivedDateTime")}
        rows = {
            key: self._shown(mail, replace(asked, query=select))
            for key, mail in self.mails.items()
            if mail.folder == folder
        }
        path = f"/users/{USER}/mailFolders/{quote(folder)}/messages/delta"
        return self._round(asked, folder, rows, path)

    def _round(self, asked: Asked, what: str, rows: dict[str, Any], path: str) -> Reply:
        """A page of a round: all rows at first, afterwards what the log says since a token."""
        token = asked.query.get("$skiptoken") or asked.query.get("$deltatoken")
        if token is None:
            self._rounds.append((what, [(key, "put") for key in rows], len(self.log)))
            token = f"{self.epoch}.{len(self._rounds) - 1}.0"
        epoch, number, start = (int(n) for n in token.split("."))
        if epoch != self.epoch or ("$skiptoken" in asked.query and self.links_expire):
            # 410 with a Location that begins a new round: Microsoft's delta query overview.
            return problem(410, "SyncStateNotFound", Location=f"{self.root}{path}")
        if "$deltatoken" in asked.query:
            since = self._rounds[number][2]
            changes = [(key, verb) for w, key, verb in self.log[since:] if w == what]
            if not self.repeats:
                changes = list(dict(changes).items())
            self._rounds.append((what, changes, len(self.log)))
            number = len(self._rounds) - 1
        found = [row for change in self._rounds[number][1] for row in self._told(*change, rows)]
        if self.partial_rows and "$deltatoken" in asked.query:
            found = [r if "@removed" in r else {"id": r["id"], "isRead": True} for r in found]
        size = int(next(iter(re.findall(r"odata\.maxpagesize=(\d+)", asked.prefer)), "10"))
        page, end = found[start : start + size], start + size
        name, at = ("$skiptoken", end) if end < len(found) else ("$deltatoken", 0)
        link = f"{self.root}{path}?{name}={self.epoch}.{number}.{at}"
        key = "@odata.nextLink" if name == "$skiptoken" else "@odata.deltaLink"
        return Reply(200, {"value": page[::-1] if self.reverses else page, key: link})

    @staticmethod
    def _told(key: str, verb: str, rows: dict[str, Any]) -> Iterator[dict[str, Any]]:
        if verb == "removed":
            yield {"id": key, "@removed": {"reason": "deleted"}}
        elif key in rows:
            yield rows[key]

    # -- messages ----------------------------------------------------------------------------

    def _list(self, asked: Asked, folder: str | None) -> Reply:
        """The messages in a folder, or in all."""
        query, everywhere = asked.query, folder is None
        mails = [m for m in self.mails.values() if everywhere or m.folder == folder]
        mails = [m for m in mails if matches(m.row, query)]
        if query.get("$orderby") == "receivedDateTime desc":
            mails.sort(key=lambda m: m.row.get("receivedDateTime", ""), reverse=True)
        skip, top = int(query.get("$skip", 0)), int(query.get("$top", 10))
        body: dict[str, Any] = {"value": [self._shown(m, asked) for m in mails[skip : skip + top]]}
        if skip + top < len(mails):
            onward = "&".join(
                f"{k}={quote(v)}" for k, v in (query | {"$skip": str(skip + top)}).items()
            )
            body["@odata.nextLink"] = f"{self.root}{asked.path}?{onward}"
        return Reply(200, body)

    def _shown(self, mail: Mail, asked: Asked) -> dict[str, Any]:
        """The properties that were asked for, and the others' defaults never."""
        wanted = set(asked.query.get("$select", "").split(",")) - {""}
        row = {name: value for name, value in mail.row.items() if name in wanted}
        if "receivedDateTime" in row:  # Graph tells whole seconds and keeps the fractions
            row["receivedDateTime"] = row["receivedDateTime"][:19] + "Z"
        if "parentFolderId" in wanted:
            row["parentFolderId"] = mail.folder
        expand = asked.query.get("$expand", "")
        for name in ("attachments", "singleValueExtendedProperties"):
            if name in expand:
                row[name] = mail.row.get(name, [])
        if "body" in row and 'outlook.body-content-type="text"' not in asked.prefer:
            row["body"] = {"contentType": "html", "content": f"<p>{row['body']['content']}</p>"}
        immutable = 'idtype="immutableid"' in asked.prefer
        return {"id": mail.key if immutable else f"AAMkAG{mail.moves}{mail.key}", **row}


def _no_item() -> Reply:
    return problem(404, "ErrorItemNotFound")


@contextmanager
def running() -> Iterator[GraphServer]:
    """A server with an authority of its own, whose certificate is in `server.ca_file`."""
    ca = trustme.CA()
    with ca.cert_pem.tempfile() as path, GraphServer(ca) as server:
        server.ca_file = path
        yield server
