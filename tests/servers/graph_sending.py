"""How the loopback Graph of `tests.servers.graph` takes mail to send: MIME, drafts, Sent Items."""

import base64
import re
from dataclasses import dataclass
from email import message_from_bytes, policy
from email.utils import getaddresses
from typing import Any

from tests.servers.graph_http import Asked, Reply, problem

SYNC_ID = "String {00020386-0000-0000-C000-000000000046} Name X-CRM-Sync-Id"


@dataclass
class Mail:
    key: str
    folder: str
    row: dict[str, Any]
    moves: int = 0
    mime: bytes = b""


@dataclass
class Mailed:
    recipients: tuple[str, ...]
    data: bytes


class Sending:
    """The part of the server that sends."""

    mails: dict[str, Mail]
    mailed: list[Mailed]
    rewrites_ids: bool

    def add(self, folder: str, row: dict[str, Any], key: str = "") -> str:
        raise NotImplementedError

    def remove(self, key: str) -> None:
        raise NotImplementedError

    def _mail(self, key: str) -> Mail | Reply:
        raise NotImplementedError

    def _send_mail(self, asked: Asked) -> Reply:
        mime = self._mime(asked)
        if mime is None:
            return problem(400, "ErrorMimeContentInvalidBase64String")
        self._deliver(mime, [])
        return Reply(202)

    def _draft(self, asked: Asked) -> Reply:
        mime = self._mime(asked)
        if mime is None:
            return problem(400, "ErrorMimeContentInvalidBase64String")
        message = message_from_bytes(mime, policy=policy.default)
        key = self.add("AQMk-drafts", {"isDraft": True, "subject": str(message["Subject"])})
        self.mails[key].mime = mime
        return Reply(201, {"id": key, "isDraft": True})

    def _send_draft(self, key: str) -> Reply:
        mail = self._mail(key)
        if isinstance(mail, Reply):
            return mail
        bcc = [r["emailAddress"]["address"] for r in mail.row.get("bccRecipients", [])]
        sent = self._deliver(mail.mime, bcc, mail.row.get("singleValueExtendedProperties", []))
        self.remove(key)
        self.mails[key] = self.mails.pop(sent)  # an immutable id survives the sending
        self.mails[key].key = key
        return Reply(202)

    @staticmethod
    def _mime(asked: Asked) -> bytes | None:
        try:
            assert asked.media_type == "text/plain"
            return base64.b64decode(asked.content, validate=True)
        except (ValueError, AssertionError):
            return None

    def _deliver(self, mime: bytes, bcc: list[str], properties: Any = ()) -> str:
        head, _, body = mime.partition(b"\r\n\r\n")
        kept = re.sub(rb"(?mi)^bcc:.*\r\n([ \t].*\r\n)*", b"", head + b"\r\n").removesuffix(b"\r\n")
        message = message_from_bytes(mime)
        named = [a for f in ("To", "Cc", "Bcc") for _, a in getaddresses(message.get_all(f, []))]
        self.mailed.append(Mailed((*named, *bcc), kept + b"\r\n\r\n" + body))
        if "X-CRM-Sync-Id" in message and not properties:
            properties = [{"id": SYNC_ID, "value": message["X-CRM-Sync-Id"]}]
        given = message["Message-ID"]
        row = {
            "internetMessageId": "<rewritten@outlook.example>" if self.rewrites_ids else given,
            "singleValueExtendedProperties": list(properties),
        }
        return self.add("AQMk-sentitems", row)
