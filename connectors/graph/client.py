"""The verbs of Graph that we use: GET, JSON batches, and the three that send mail."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import quote, urlsplit

from connectors.graph.answers import (
    OK,
    UNAUTHORIZED,
    Answer,
    failure,
    listed,
    mapping,
    read_json,
    text,
)
from connectors.graph.options import GraphOptions
from connectors.graph.signin import SignIn
from connectors.graph.transport import Response, TooLarge, Transport
from crm_sync.core.errors import CrmSyncError, Unreachable
from crm_sync.ports import Surroundings

BATCH: Final = 20
"""Requests in one JSON batch, Graph's limit."""

IMMUTABLE: Final = 'IdType="ImmutableId"'
"""Without this preference the id of a message changes with its folder."""

_LARGEST_LINK: Final = 16 * 1024
_TOO_LARGE: Final = 413


@dataclass(frozen=True, slots=True)
class Ask:
    """One GET: a path below the root (or a link of Graph's), and preferences (RFC 7240)."""

    path: str
    prefer: tuple[str, ...] = field(default=(IMMUTABLE,))


class GraphClient:
    """Signs in and asks, one request at a time.

    Raises `Unreachable`, `Throttled` and `Refused`; answers with an error status are returned, so
    that the caller knows what they mean, and become errors by `failure`.
    """

    def __init__(self, options: GraphOptions, surroundings: Surroundings) -> None:
        self.options = options
        self.account = surroundings.account
        self.clock = surroundings.clock
        self.shelter = surroundings.shelter
        self._transport = Transport(options, surroundings.account)
        self.sign_in = SignIn(options, surroundings, self._transport)
        self.mailbox = f"/users/{quote(options.username, safe='@')}"

    def get(self, ask: Ask) -> Answer:
        """One GET; status 413 when the answer is larger than we take."""
        try:
            return self._ask("GET", ask.path, {"Prefer": ", ".join(ask.prefer)})
        except TooLarge:
            return Answer(_TOO_LARGE)

    def octets(self, path: str, most: int) -> tuple[Answer, bytes]:
        """The first `most` octets of what is no JSON, as a message in MIME; b"" with an error."""
        response = self._respond("GET", path, {"Prefer": IMMUTABLE}, first=most)
        if response.status in OK:
            return Answer(response.status, headers=response.headers), response.octets
        return self._read(response), b""

    def batch(self, asks: Sequence[Ask]) -> list[Answer]:
        """Several GETs in as few round trips as may be; the answers in the order of `asks`.

        Graph works on four at a time by itself, which is what a mailbox allows (Outlook service
        batching in Microsoft's throttling limits). Too much at once is asked for in halves.
        """
        answers: list[Answer] = []
        for start in range(0, len(asks), BATCH):
            answers += self._batch(asks[start : start + BATCH])
        return answers

    def post(
        self, path: str, content: Iterable[bytes] | bytes, headers: Mapping[str, str]
    ) -> Answer:
        """One POST that is never repeated by itself, not even for an expired token."""
        return self._once("POST", path, content, headers)

    def patch(self, path: str, body: object) -> Answer:
        """One PATCH with JSON."""
        headers = {"Content-Type": "application/json"}
        return self._once("PATCH", path, json.dumps(body).encode(), headers)

    def delete(self, path: str) -> Answer:
        """One DELETE."""
        return self._once("DELETE", path, b"", {})

    def failure(self, answer: Answer) -> CrmSyncError:
        """The error for an answer that isn't the wanted one."""
        return failure(answer, self.options, self.account, self.clock.now())

    def is_ours(self, link: str) -> bool:
        """Whether a link of an answer stays where our token may go."""
        root, there = urlsplit(self.options.base_url), urlsplit(link)
        same_host = (there.scheme, there.netloc.lower()) == (root.scheme, root.netloc.lower())
        return same_host and there.path.startswith(root.path + "/") and len(link) <= _LARGEST_LINK

    def link(self, answer: Answer, name: str) -> str:
        """The link of that name in an answer, "" when there is none.

        Raises `Unreachable` for one that leads elsewhere.
        """
        found = text(answer.body.get(name))
        if found and not self.is_ours(found):
            raise self.senseless()
        return found

    def senseless(self) -> Unreachable:
        """The error for an answer that no Graph gives."""
        what = "the answer of Microsoft Graph makes no sense, perhaps a proxy's login page"
        return Unreachable(what, where=self.account, advice="Check base_url and any proxy between.")

    def close(self) -> None:
        """Lets go of the connection. Never raises."""
        self._transport.close()

    def _batch(self, asks: Sequence[Ask]) -> list[Answer]:
        if not asks:
            return []
        requests = [
            {
                "id": str(number),
                "method": "GET",
                "url": self._relative(ask.path),
                "headers": {"Prefer": ", ".join(ask.prefer)},
            }
            for number, ask in enumerate(asks)
        ]
        content = json.dumps({"requests": requests}).encode()
        try:
            whole = self._ask("POST", "/$batch", {"Content-Type": "application/json"}, content)
        except TooLarge:
            if len(asks) == 1:
                return [Answer(_TOO_LARGE)]
            middle = len(asks) // 2
            return self._batch(asks[:middle]) + self._batch(asks[middle:])
        if not whole.ok:
            raise self.failure(whole)
        found = {
            text(part.get("id")): part for part in map(mapping, listed(whole.body.get("responses")))
        }
        if not found.keys() >= {request["id"] for request in requests}:
            raise self.senseless()
        return [_part(found[str(number)]) for number in range(len(asks))]

    def _ask(
        self, method: str, path: str, headers: Mapping[str, str], content: bytes | None = None
    ) -> Answer:
        """A request that may come twice, whose answer is JSON."""
        return self._read(self._respond(method, path, headers, content))

    def _respond(
        self,
        method: str,
        path: str,
        headers: Mapping[str, str],
        content: bytes | None = None,
        first: int | None = None,
    ) -> Response:
        """A request that may come twice; an expired token is renewed once."""
        url, ask = self._url(path), self._transport.ask
        response = ask(method, url, self._signed(headers), content, first)
        if response.status == UNAUTHORIZED:
            self.sign_in.renew()
            response = ask(method, url, self._signed(headers), content, first)
        return response

    def _once(
        self,
        method: str,
        path: str,
        content: Iterable[bytes] | bytes,
        headers: Mapping[str, str],
    ) -> Answer:
        response = self._transport.ask_once(method, self._url(path), self._signed(headers), content)
        return self._read(response)

    def _read(self, response: Response) -> Answer:
        body = read_json(response.octets)
        answer = Answer(response.status, body or {}, response.headers)
        if body is None and answer.ok:
            raise self.senseless()
        return answer

    def _signed(self, headers: Mapping[str, str]) -> dict[str, str]:
        token = self.sign_in.token()
        return {**headers, "Authorization": f"Bearer {token}", "Accept": "application/json"}

    def _url(self, path: str) -> str:
        return path if path.startswith("http") else self.options.base_url + path

    def _relative(self, path: str) -> str:
        """The path below the root, as a batch wants it."""
        if not path.startswith("http"):
            return path
        parts = urlsplit(path)
        below = parts.path.removeprefix(urlsplit(self.options.base_url).path)
        return f"{below}?{parts.query}" if parts.query else below


def _part(part: Mapping[str, object]) -> Answer:
    """One answer of a batch."""
    status = part.get("status")
    headers = {name.lower(): text(value) for name, value in mapping(part.get("headers")).items()}
    return Answer(status if type(status) is int else 0, mapping(part.get("body")), headers)
