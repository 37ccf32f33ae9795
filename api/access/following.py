"""Follows an access log: whether what is there now goes on from what somebody saw before.

1. The log reaches at least as far as it did.
2. What lies between is still kept.
3. Each entry is the next one, and its hash follows from the one before.
4. The last entry is the head that the service stated.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from api.access.log import Place, entry_hash

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from api.access.records import AccessLogEntry, AccessLogHead

__all__ = ["Following"]


class Following:
    """One look at a log.

    Args:
        seen: how far it was followed before; None where it never was. Then it is believed where it begins.
        stated: what the service says of it now.
    """

    def __init__(self, seen: Place | None, stated: AccessLogHead) -> None:
        head, start = (Place(each.number, bytes.fromhex(each.hash)) for each in (stated.head, stated.start))
        self.place = start if seen is None else seen
        self.finding = self._of_ends(start, head)
        self._head = head

    def entries(self, entries: Iterable[AccessLogEntry]) -> Iterator[AccessLogEntry]:
        """Yield the entries that hold, and set ``finding`` where one does not, or some are missing."""
        for entry in entries:
            if self.finding is not None or self.place.number >= self._head.number:
                break
            before = entry.model_dump(exclude={"hash"})
            follows = entry.number == self.place.number + 1
            if not follows or entry_hash(self.place.hash, before).hex() != entry.hash:  # 3
                self.finding = f"entry {self.place.number + 1} does not follow from the one before"
                return
            self.place = Place(entry.number, bytes.fromhex(entry.hash))
            yield entry
        if self.finding is None and self.place != self._head:  # 4
            self.finding = f"entry {self.place.number} is not the head that the service states"

    def _of_ends(self, start: Place, head: Place) -> str | None:
        if head.number < self.place.number:  # 1
            return f"expected at least {self.place.number} entries, got {head.number}"
        if start.number > self.place.number:  # 2
            return f"expected entries from {self.place.number + 1} on, got them from {start.number + 1} on"
        return None
