"""A directory of payloads that is only read: what an auditor was handed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ledger.checks import Check
from ledger.cid import PayloadRef
from ledger.errors import PayloadCorrupt, PayloadMissing
from storage.files import stored, stored_length, verified_document

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

__all__ = ["Archive"]


class Archive:
    """Payloads under their CIDs in a directory; nothing is ever written there.

    Args:
        root: the directory, e.g. the one of a ``DirectoryStore``.
    """

    def __init__(self, root: Path) -> None:
        self._root = root

    def obtain(self, ref: PayloadRef) -> Path:
        """Return a payload's file, of the right length; whoever reads it checks its digest on the way.

        Raises:
            PayloadMissing, PayloadCorrupt, UnavailableError
        """
        length = stored_length(self._root, ref)
        if length is None:
            raise PayloadMissing(f"payload {ref.cid} is not in the archive")
        if length != ref.length:
            name = f"payload {ref.cid}"
            raise PayloadCorrupt(Check.UPDATE_LENGTH, name, expected=f"{ref.length} bytes", got=length)
        return self._root / ref.cid

    def document(self, digest: bytes) -> bytes:
        """Return a document, verified.

        Raises:
            PayloadMissing, PayloadCorrupt, UnavailableError
        """
        return verified_document(stored(self._root, PayloadRef(digest, 0)), digest)

    def repair(self, refs: Iterable[PayloadRef]) -> None:
        """Do nothing: there is no other place to fetch from, and what is damaged stays evidence."""
