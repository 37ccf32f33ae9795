"""Files that appear whole or not at all."""

from __future__ import annotations

import errno
import fcntl
import os
import secrets
import shutil
import stat
from contextlib import contextmanager
from typing import IO, TYPE_CHECKING

from ledger.canonical import MAX_DOCUMENT_BYTES
from ledger.checks import Check
from ledger.cid import CHUNK_BYTES, PayloadHasher, PayloadRef, digest_of
from ledger.errors import PayloadCorrupt, PayloadMissing, UnavailableError, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

__all__ = [
    "drain",
    "owned",
    "pieces",
    "receive",
    "stored",
    "stored_length",
    "sweep",
    "sync_directory",
    "verified",
    "verified_document",
    "whole_file",
]

_PIECE = CHUNK_BYTES
_PARTIAL = ".partial-"
# What no payload is called: files and updates that are being written, rounds that are being recomputed.
_UNFINISHED = (_PARTIAL, ".update-", ".work-")


@contextmanager
def whole_file(path: Path, *, new: bool = False) -> Iterator[IO[bytes]]:
    """Write a file so that a crash leaves either the whole of it or nothing under its name.

    The bytes go to a temporary file beside it, are synced to disk, take its name, and the directory is
    synced: on return the file is durable. An exception inside removes the temporary file. Who may read it
    is for the process's umask to say: a folder of payloads may be shared by several users.

    Args:
        path: the file.
        new: refuse to take the place of a file that is there by then.

    Raises:
        UnavailableError: the disk refuses, e.g. because it is full.
        UsageError: the file is there already, and it was to be a new one.
    """
    temporary = path.parent / f"{_PARTIAL}{secrets.token_hex(8)}"
    try:
        handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
    except OSError as error:
        raise UnavailableError(f"cannot write into {path.parent}: {error.strerror}") from error
    try:
        with os.fdopen(handle, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        if new:
            path.hardlink_to(temporary)
        else:
            temporary.replace(path)
        sync_directory(path.parent)
    except FileExistsError as error:
        raise UsageError(f"{path} is there already", expected="a new file") from error
    except OSError as error:
        raise UnavailableError(f"cannot write {path.name}: {error.strerror}") from error
    finally:
        temporary.unlink(missing_ok=True)


def sweep(root: Path) -> None:
    """Remove the unfinished files that killed processes left in a directory.

    Only for whoever knows that nobody is writing there, e.g. because it holds the lock on the directory.

    Raises:
        UnavailableError: one cannot be removed.
    """
    try:
        for path in [path for path in root.iterdir() if path.name.startswith(_UNFINISHED)]:
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)
    except OSError as error:
        raise UnavailableError(f"cannot sweep {root.name}: {error.strerror}") from error


@contextmanager
def owned(lock: Path, what: str, service: str) -> Iterator[None]:
    """Own what a file stands for, alone among all processes, while the block runs.

    The system takes the lock back when the process ends, however it ends. The file stays: were it removed, a
    third process could lock a new one of that name while a second still holds the old.

    Args:
        lock: the file, made if it is not there.
        what: what is owned, for the error.
        service: who owns it, for the error.

    Raises:
        UsageError: another process owns it.
        OSError: the file cannot be opened.
    """
    handle = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        os.close(handle)
        raise UsageError(
            f"{what} is in use by another process: stop that {service} first,"
            " or give this one a folder and a key of its own"
        ) from error
    try:
        yield
    finally:
        os.close(handle)


def sync_directory(path: Path) -> None:
    """Make the names in a directory durable."""
    handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def pieces(path: Path) -> Iterator[bytes]:
    """Read a regular file piece by piece; links are not followed.

    Raises:
        UsageError: there is no such regular file.
        UnavailableError: it cannot be read.
    """
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError as error:
        absent = error.errno in {errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ENXIO}
        refusal = UsageError if absent else UnavailableError
        raise refusal(f"cannot open {path.name}: {error.strerror}") from error
    if not stat.S_ISREG(os.fstat(handle).st_mode):
        os.close(handle)  # not left to fdopen, which refuses a directory with an error of its own
        raise UsageError(f"{path.name} is not a regular file")
    with os.fdopen(handle, "rb", buffering=0) as file:
        while piece := _read(file, path):
            yield piece


def _read(file: IO[bytes], path: Path) -> bytes:
    try:
        return file.read(_PIECE)
    except OSError as error:
        raise UnavailableError(f"cannot read {path.name}: {error.strerror}") from error


def stored(root: Path, ref: PayloadRef) -> Iterator[bytes]:
    """Read the file under a payload's CID in a directory; nobody has verified it yet.

    Raises:
        PayloadMissing: there is none, or something that is no regular file.
        UnavailableError: it cannot be read.
    """
    try:
        yield from pieces(root / ref.cid)
    except UsageError as error:
        raise PayloadMissing(f"payload {ref.cid} is not in {root.name}") from error


def stored_length(root: Path, ref: PayloadRef) -> int | None:
    """Length in bytes of the file under a payload's CID in a directory; None where there is no regular file.

    Raises:
        UnavailableError: it cannot be found out.
    """
    try:
        found = (root / ref.cid).stat(follow_symlinks=False)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise UnavailableError(f"cannot look for payload {ref.cid}: {error.strerror}") from error
    return found.st_size if stat.S_ISREG(found.st_mode) else None


def receive(source: Iterable[bytes], ref: PayloadRef, into: Path) -> None:
    """Write a payload that arrives in pieces; it appears under ``into`` only if it is ``ref``.

    No piece past the declared length is written.

    Raises:
        PayloadCorrupt: length or digest differ.
    """
    with whole_file(into) as file:
        for piece in verified(source, ref):
            file.write(piece)


def verified(source: Iterable[bytes], ref: PayloadRef) -> Iterator[bytes]:
    """Pass pieces on and raise at the end, or as soon as there are too many bytes, if they are not ``ref``.

    The receiver must not use anything before the iterator has ended.
    """
    hasher = PayloadHasher()
    for piece in source:
        if hasher.length + len(piece) > ref.length:
            raise PayloadCorrupt(
                Check.UPDATE_LENGTH, f"payload {ref.cid}", expected=f"{ref.length} bytes", got="more"
            )
        hasher.update(piece)
        yield piece
    got = hasher.ref()
    if got.length != ref.length:
        raise PayloadCorrupt(
            Check.UPDATE_LENGTH, f"payload {ref.cid}", expected=f"{ref.length} bytes", got=f"{got.length}"
        )
    if got != ref:
        raise PayloadCorrupt(Check.UPDATE_DIGEST, f"payload {ref.cid}", expected=ref.digest, got=got.digest)


def drain(source: Iterable[bytes]) -> None:
    """Read to the end and keep nothing."""
    for _ in source:
        pass


def verified_document(source: Iterable[bytes], digest: bytes) -> bytes:
    """Return a document's bytes if they have this digest; never takes more than a document may be long.

    Raises:
        PayloadCorrupt: they have not.
    """
    data = bytearray()
    for piece in source:
        data += piece
        if len(data) > MAX_DOCUMENT_BYTES:
            raise PayloadCorrupt(
                Check.DOCUMENT_DIGEST,
                "a document",
                expected=f"at most {MAX_DOCUMENT_BYTES} bytes",
                got="more",
            )
    got = digest_of(bytes(data))
    if got != digest:
        raise PayloadCorrupt(Check.DOCUMENT_DIGEST, "a document's bytes", expected=digest, got=got)
    return bytes(data)
