"""What rooms above provide to each other, as protocols that promise behaviour."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from pathlib import Path

    from ledger.cid import PayloadRef

__all__ = ["PayloadStore"]


class PayloadStore(Protocol):
    """Payloads by digest.

    Every implementation promises:

    - *Durable*: when ``put`` or ``put_file`` returns, the payload survives a crash of this process and, where
      the medium allows, of the machine.
    - *Verified*: bytes whose digest is not the one asked for are never handed on. A lying or damaged store is
      a ``PayloadCorrupt``, a payload that is not there a ``PayloadMissing``; nothing else comes out.
    - *Bounded*: never are more than ``ref.length`` bytes accepted, whatever the other side sends.
    - *Idempotent*: storing the same bytes again changes nothing; a damaged copy is replaced by a good one.
    - Safe for use by several threads, and where the medium is shared, by several processes.
    """

    def put(self, data: bytes) -> PayloadRef:
        """Store bytes that are in memory."""
        ...

    def put_file(self, path: Path) -> PayloadRef:
        """Store a file's bytes, read in pieces. The file itself is left as it is.

        Raises:
            UsageError: there is no such regular file.
        """
        ...

    def get(self, ref: PayloadRef) -> bytes:
        """Return a payload's bytes, verified.

        Raises:
            PayloadMissing, PayloadCorrupt, UnavailableError
        """
        ...

    def fetch(self, ref: PayloadRef, into: Path) -> None:
        """Write a payload to the file ``into``, which appears only once it is complete and verified.

        Raises:
            PayloadMissing, PayloadCorrupt, UnavailableError
        """
        ...

    def document(self, digest: bytes) -> bytes:
        """Return the bytes of a plan, result or report, verified; at most ``MAX_DOCUMENT_BYTES`` of them.

        The chain holds a document's digest alone, and documents fit one chunk, so the digest is the address.

        Raises:
            PayloadMissing, PayloadCorrupt, UnavailableError
        """
        ...

    def verify(self, ref: PayloadRef) -> None:
        """Read a payload through and check it, without handing it on.

        Raises:
            PayloadMissing, PayloadCorrupt, UnavailableError
        """
        ...

    def has(self, ref: PayloadRef) -> bool:
        """Whether the store claims to have it; the other methods verify that."""
        ...
