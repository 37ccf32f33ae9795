"""Payload files on this machine's disk: read and written by position, and hashed in any order.

Files are never mapped into memory: one that is cut short meanwhile would end the process by a signal instead
of an error.
"""

from __future__ import annotations

import hashlib
import os
import stat
import tempfile
import threading
import weakref
from contextlib import contextmanager
from typing import TYPE_CHECKING, Self

from ledger.cid import CHUNK_BYTES, PayloadRef, chunk_count, digest_of_leaves
from ledger.errors import PayloadMissing, UnavailableError, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from types import TracebackType

__all__ = ["LeafHasher", "PayloadFile"]


@contextmanager
def _explained(what: str) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError as error:
        raise PayloadMissing(f"{what}: no such file or folder") from error
    except OSError as error:
        raise UnavailableError(f"{what}: {error.strerror or error}") from error


class PayloadFile:
    """A regular file, open for access by position; several threads may use it at once.

    A ``with`` block closes it at its end, unless it ends by an error: then a thread may still be at work, and
    the number of a closed descriptor is given to the next file that is opened. In that case the file is
    closed when nobody refers to it any more.

    Args:
        descriptor: an open file descriptor, owned by this object from now on.
        what: names the file in errors.

    Attributes:
        length: bytes in the file when it was opened.
    """

    def __init__(self, descriptor: int, what: str) -> None:
        self._descriptor = descriptor
        self._close = weakref.finalize(self, os.close, descriptor)
        self._what = what
        self.length = os.fstat(descriptor).st_size

    @classmethod
    def open(cls, path: Path, what: str) -> PayloadFile:
        """Open a file for reading; a symbolic link is not followed.

        Raises:
            PayloadMissing: there is no such file.
            UnavailableError: it cannot be opened.
            UsageError: it is not a regular file.
        """
        # Without O_NONBLOCK opening a named pipe would wait for somebody to write to it.
        flags = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | getattr(os, "O_NOFOLLOW", 0)
        with _explained(what):
            if path.is_symlink():  # for a clear message; what keeps links out is O_NOFOLLOW
                raise UsageError(what, expected="a regular file", got="a symbolic link")
            descriptor = os.open(path, flags)
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            os.close(descriptor)
            raise UsageError(what, expected="a regular file", got="something else")
        return cls(descriptor, what)

    @classmethod
    def scratch(cls, folder: Path, what: str) -> PayloadFile:
        """Open an empty file without a name, which is gone when it is closed or the process ends."""
        with _explained(what), tempfile.TemporaryFile(dir=folder) as file:
            return cls(os.dup(file.fileno()), what)

    def read_into(self, view: memoryview, offset: int) -> None:
        """Fill ``view`` with the bytes from ``offset`` on.

        Raises:
            UnavailableError: the file ends before, or cannot be read.
        """
        done = 0
        while done < len(view):
            with _explained(self._what):
                count = os.preadv(self._descriptor, [view[done:]], offset + done)
            if count == 0:
                end = offset + len(view)
                raise UnavailableError(f"{self._what}: ends early", expected=f"byte {end}", got=offset + done)
            done += count

    def write(self, view: memoryview, offset: int) -> None:
        """Write all of ``view`` at ``offset``.

        Raises:
            UnavailableError: the disk refuses, e.g. because it is full.
        """
        done = 0
        while done < len(view):
            with _explained(self._what):
                done += os.pwrite(self._descriptor, view[done:], offset + done)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self._close()


class LeafHasher:
    """Reference of a payload whose bytes arrive in pieces, in any order and from several threads.

    Pieces may have any size and together cover each byte once. A piece that continues a leaf is hashed at
    once; one that comes before its predecessor is kept as a copy until then.

    Args:
        length: length of the whole payload in bytes.
    """

    def __init__(self, length: int) -> None:
        self._length = length
        self._leaves = [_Leaf() for _ in range(chunk_count(length))]
        self._lock = threading.Lock()

    def update(self, view: memoryview, offset: int) -> None:
        """Take the bytes that stand at ``offset``."""
        while len(view):
            index, start = divmod(offset, CHUNK_BYTES)
            piece = view[: CHUNK_BYTES - start]
            self._take(self._leaves[index], start, piece)
            view, offset = view[len(piece) :], offset + len(piece)

    def _take(self, leaf: _Leaf, start: int, piece: memoryview) -> None:
        with self._lock:
            if start != leaf.position:
                leaf.waiting[start] = bytes(piece)
                return
        following: memoryview | bytes | None = piece
        while following is not None:
            # Without the lock: until the position moves on, no other piece starts there.
            leaf.hash.update(following)
            with self._lock:
                leaf.position += len(following)
                following = leaf.waiting.pop(leaf.position, None)

    def ref(self) -> PayloadRef:
        """The reference, once every byte was taken."""
        digests = [leaf.hash.digest() for leaf in self._leaves]
        return PayloadRef(digest_of_leaves(digests, self._length), self._length)


class _Leaf:
    __slots__ = ("hash", "position", "waiting")

    def __init__(self) -> None:
        self.hash = hashlib.sha256()
        self.position = 0
        self.waiting: dict[int, bytes] = {}
