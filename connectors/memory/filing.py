"""A mailbox that keeps drafts and copies of what was sent, in memory: the twin of a `Filing`."""

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from crm_sync.core.compose import compose
from crm_sync.core.errors import CrmSyncError, Refused
from crm_sync.core.headers import parse_envelope
from crm_sync.core.records import Draft
from crm_sync.ports import Found, Place

_FIELDS = ("x-microsoft-original-message-id", "x-crm-sync-id")


@dataclass
class MemoryFiling:
    """Keeps octets by folder. What shall go wrong is said before, request by request."""

    kept: dict[Place, list[bytes]] = field(default_factory=lambda: {"drafts": [], "sent": []})
    _troubles: deque[CrmSyncError] = field(default_factory=deque)

    def fail(self, error: CrmSyncError) -> None:
        """The next request fails with `error`, and does nothing."""
        self._troubles.append(error)

    def keep(self, draft: Draft, place: Place) -> bool:
        """See `crm_sync.ports.Filing.keep`."""
        try:
            message = compose(draft)
        except ValueError as error:
            raise Refused(f"the mail can't be filed: {error}", scope="item") from error
        self._may_fail()
        places: tuple[Place, ...] = ("drafts", "sent") if place == "drafts" else ("sent",)
        if any(self._holds(one, draft.message_id) for one in places):
            return False
        self.kept[place].append(message)
        return True

    def find(self, message_ids: Sequence[str]) -> Mapping[str, Found]:
        """See `crm_sync.ports.Filing.find`."""
        if any(not one.isprintable() for one in message_ids):
            raise Refused("the id of the mail holds a line break", scope="item")
        if message_ids:
            self._may_fail()
        return {one: "found" if self._holds("sent", one) else "absent" for one in message_ids}

    def close(self) -> None:
        """There is nothing to let go of."""

    def _may_fail(self) -> None:
        if self._troubles:
            raise self._troubles.popleft()

    def _holds(self, place: Place, message_id: str) -> bool:
        envelopes = map(parse_envelope, self.kept[place])
        return any(
            message_id in {one.message_id, *(one.signs.get(name) for name in _FIELDS)}
            for one in envelopes
        )
