"""A role's own directory in front of the store that all roles share."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from ledger.errors import PayloadCorrupt, PayloadMissing

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from ledger.cid import PayloadRef
    from ledger.ports import PayloadStore
    from storage.directory import DirectoryStore

__all__ = ["LocalFirst"]


class LocalFirst:
    """Everything is written to the own directory first, and published from there.

    What was read from the shared store stays in the directory: it is this role's pinned copy, and from it the
    payload can be given back to the shared store when it got lost there.

    Args:
        local: the role's own directory.
        shared: the store that all roles share.
    """

    def __init__(self, local: DirectoryStore, shared: PayloadStore) -> None:
        self.local = local
        self.shared = shared

    def sweep(self) -> None:
        """Remove unfinished files that an earlier process of this role left in its directory.

        For the role itself, once it has the lock on its state and before it starts to work.

        Raises:
            UnavailableError: one cannot be removed.
        """
        self.local.sweep()

    def keep(self, path: Path) -> PayloadRef:
        """Take a finished file over into the directory; nobody else sees it yet."""
        return self.local.adopt(path)

    def publish(self, ref: PayloadRef) -> None:
        """Give a payload of the directory to the shared store, and read it back from there.

        A damaged copy in the shared store is replaced.

        Raises:
            PayloadMissing, PayloadCorrupt: it is not whole, in the directory or afterwards in the store.
        """
        if self.shared.has(ref):
            with suppress(PayloadMissing, PayloadCorrupt):
                self._read_back(ref)
                return
        if not self.local.has(ref):
            raise PayloadMissing(f"payload {ref.cid} is not in {self.local.root.name}")
        self.shared.put_file(self.local.path(ref))
        self._read_back(ref)

    def _read_back(self, ref: PayloadRef) -> None:
        self.shared.verify(ref)

    def publish_document(self, data: bytes) -> PayloadRef:
        """Keep a document and give it to the shared store."""
        ref = self.local.put(data)
        self.publish(ref)
        return ref

    def obtain(self, ref: PayloadRef) -> Path:
        """Return the directory's file of a payload, fetched and verified first if it is not there.

        Raises:
            PayloadMissing, PayloadCorrupt, UnavailableError
        """
        if not self.local.has(ref):
            self.shared.fetch(ref, self.local.path(ref))
        return self.local.path(ref)

    def repair(self, refs: Iterable[PayloadRef]) -> None:
        """Fetch those anew whose copy in the directory is damaged."""
        for ref in refs:
            if self.local.has(ref) and not self.local.intact(ref):
                self.shared.fetch(ref, self.local.path(ref))

    def document(self, digest: bytes) -> bytes:
        """Return a document, from the directory or else from the shared store."""
        try:
            return self.local.document(digest)
        except (PayloadMissing, PayloadCorrupt):
            data = self.shared.document(digest)
            self.local.put(data)
            return data
