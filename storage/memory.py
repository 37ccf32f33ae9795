"""Payloads in memory: for tests and experiments. Durable for the life of the object only."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ledger.cid import PayloadHasher, PayloadRef, digest_of
from ledger.errors import PayloadMissing
from storage.files import drain, pieces, receive, verified, verified_document

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["MemoryStore"]


class MemoryStore:
    """A ``PayloadStore`` over a dict.

    Attributes:
        payloads: bytes by CID; a test may damage or remove them, as a faulty store would.
    """

    def __init__(self) -> None:
        self.payloads: dict[str, bytes] = {}

    def put(self, data: bytes) -> PayloadRef:
        """Keep the bytes."""
        ref = PayloadRef(digest_of(data), len(data))
        self.payloads[ref.cid] = bytes(data)
        return ref

    def put_file(self, path: Path) -> PayloadRef:
        """Keep a file's bytes."""
        hasher, kept = PayloadHasher(), bytearray()
        for piece in pieces(path):
            hasher.update(piece)
            kept += piece
        ref = hasher.ref()
        self.payloads[ref.cid] = bytes(kept)
        return ref

    def get(self, ref: PayloadRef) -> bytes:
        """Return the bytes, verified."""
        return b"".join(verified([self._kept(ref)], ref))

    def fetch(self, ref: PayloadRef, into: Path) -> None:
        """Write the bytes to a file, verified."""
        receive([self._kept(ref)], ref, into)

    def document(self, digest: bytes) -> bytes:
        """Return a document's bytes, verified."""
        return verified_document([self._kept(PayloadRef(digest, 0))], digest)

    def verify(self, ref: PayloadRef) -> None:
        """Check the bytes."""
        drain(verified([self._kept(ref)], ref))

    def has(self, ref: PayloadRef) -> bool:
        """Whether the payload is there."""
        return ref.cid in self.payloads

    def _kept(self, ref: PayloadRef) -> bytes:
        try:
            return self.payloads[ref.cid]
        except KeyError:
            raise PayloadMissing(f"payload {ref.cid} is not in this store") from None
