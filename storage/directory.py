"""Payloads as files in a directory, each under its CID: the local store of every role."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from ledger.cid import PayloadHasher, PayloadRef
from ledger.errors import PayloadCorrupt, PayloadMissing, UnavailableError, UsageError
from storage.files import (
    drain,
    pieces,
    receive,
    stored,
    stored_length,
    sweep,
    sync_directory,
    verified,
    verified_document,
)

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

__all__ = ["DirectoryStore"]


class DirectoryStore:
    """A ``PayloadStore`` in a directory, which is made if it is not there.

    A file's name is the payload's CID, computed here from digest and length; nothing that came from outside
    becomes part of a path. Files appear whole (``storage.files.whole_file``), so processes that share the
    directory never see half a payload.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        try:
            root.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UsageError(f"cannot use {root} as a payload store: {error.strerror}") from error

    def put(self, data: bytes) -> PayloadRef:
        """Write the bytes, durably."""
        hasher = PayloadHasher()
        hasher.update(data)
        return self._keep([data], hasher.ref())

    def put_file(self, path: Path) -> PayloadRef:
        """Copy a file, durably. It is read twice, first for its address, so that memory stays small."""
        hasher = PayloadHasher()
        for piece in pieces(path):
            hasher.update(piece)
        return self._keep(pieces(path), hasher.ref())

    def adopt(self, path: Path) -> PayloadRef:
        """Take a finished file of the same file system over under its CID, without copying its bytes.

        Afterwards ``path`` is gone. For files that this process wrote itself.
        """
        hasher = PayloadHasher()
        for piece in pieces(path):
            hasher.update(piece)
        ref = hasher.ref()
        try:
            with path.open("rb") as file:
                os.fsync(file.fileno())
            path.replace(self.path(ref))
            sync_directory(self.root)
        except OSError as error:
            raise UnavailableError(f"cannot take {path.name} over: {error.strerror}") from error
        return ref

    def get(self, ref: PayloadRef) -> bytes:
        """Return the bytes, verified."""
        return b"".join(verified(stored(self.root, ref), ref))

    def fetch(self, ref: PayloadRef, into: Path) -> None:
        """Copy the payload to a file, verified."""
        receive(stored(self.root, ref), ref, into)

    def document(self, digest: bytes) -> bytes:
        """Return a document's bytes, verified."""
        return verified_document(stored(self.root, PayloadRef(digest, 0)), digest)

    def verify(self, ref: PayloadRef) -> None:
        """Read the file through and check it."""
        drain(verified(stored(self.root, ref), ref))

    def has(self, ref: PayloadRef) -> bool:
        """Whether there is a file of that name and length."""
        return stored_length(self.root, ref) == ref.length

    def path(self, ref: PayloadRef) -> Path:
        """Where the payload's file is, or would be. Its bytes are not verified by this."""
        return self.root / ref.cid

    def sweep(self) -> None:
        """Remove unfinished files that killed processes left; only while nobody else writes here.

        Raises:
            UnavailableError: one cannot be removed.
        """
        sweep(self.root)

    def _keep(self, source: Iterable[bytes], ref: PayloadRef) -> PayloadRef:
        if not self.intact(ref):
            receive(source, ref, self.path(ref))
        return ref

    def intact(self, ref: PayloadRef) -> bool:
        """Whether a good copy is there already; a damaged one must not be taken for stored."""
        try:
            self.verify(ref)
        except (PayloadCorrupt, PayloadMissing):
            return False
        return True
