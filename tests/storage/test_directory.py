"""A directory as a store: what the file system can do to it, and what it does to the file system."""

from __future__ import annotations

import hashlib
import multiprocessing
import os
import resource
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from ledger.cid import CHUNK_BYTES, PayloadRef, digest_of
from ledger.errors import PayloadCorrupt, PayloadMissing, UnavailableError, UsageError
from storage import DirectoryStore
from storage.files import receive, whole_file

if TYPE_CHECKING:
    from collections.abc import Iterator

DATA = b"an update of some hospital" * 3
REF = PayloadRef(digest_of(DATA), len(DATA))
LONG = hashlib.shake_256(b"long").digest(3 * CHUNK_BYTES)


@pytest.fixture
def store(tmp_path: Path) -> DirectoryStore:
    return DirectoryStore(tmp_path / "payloads")


def _names(store: DirectoryStore) -> list[str]:
    return sorted(path.name for path in store.root.iterdir())


# -- what lies in a payload's place --------------------------------------------------------------------------


def _link(path: Path) -> None:
    target = path.parent.parent / "target"
    target.write_bytes(DATA)
    path.symlink_to(target)


def _link_as_long_as_the_payload(path: Path) -> None:
    path.symlink_to("x" * len(DATA))


def _folder(path: Path) -> None:
    path.mkdir()
    (path / "inside").write_bytes(DATA)


PLACED = {
    "a link to the very payload": _link,
    "a link as long as the payload": _link_as_long_as_the_payload,
    "a pipe": os.mkfifo,
    "a folder": _folder,
}


@pytest.mark.parametrize("place", PLACED.values(), ids=PLACED)
def test_what_is_no_regular_file_is_no_payload(store: DirectoryStore, tmp_path: Path, place) -> None:
    """It would be followed, or wait for ever; and what it leads to may change after it was checked."""
    place(store.path(REF))
    assert not store.has(REF)
    assert not store.intact(REF)
    for read in (
        lambda: store.get(REF),
        lambda: store.fetch(REF, tmp_path / "into"),
        lambda: store.document(REF.digest),
        lambda: store.verify(REF),
    ):
        with pytest.raises(PayloadMissing, match=f"payload {REF.cid} is not in payloads"):
            read()


@pytest.mark.parametrize("place", [_link, _link_as_long_as_the_payload, os.mkfifo])
def test_putting_a_payload_takes_the_place_back(store: DirectoryStore, tmp_path: Path, place) -> None:
    place(store.path(REF))
    assert store.put(DATA) == REF
    assert store.get(REF) == DATA
    assert store.path(REF).is_file()
    assert not store.path(REF).is_symlink()
    if (tmp_path / "target").exists():
        assert (tmp_path / "target").read_bytes() == DATA


def test_a_folder_in_a_payloads_place_is_in_the_way(store: DirectoryStore) -> None:
    """It is not ours to delete."""
    _folder(store.path(REF))
    with pytest.raises(UnavailableError, match=f"cannot write {REF.cid}: "):
        store.put(DATA)
    assert _names(store) == [REF.cid]


def test_a_file_of_another_length_is_not_had(store: DirectoryStore) -> None:
    for data in (b"", DATA[:-1], DATA + b"x"):
        store.path(REF).write_bytes(data)
        assert not store.has(REF)
        assert not store.intact(REF)
    store.path(REF).write_bytes(bytes(len(DATA)))
    assert store.has(REF)  # its claim, that only reading puts to the test
    assert not store.intact(REF)


def test_names_come_from_digests_alone(store: DirectoryStore) -> None:
    """No text from outside becomes part of a path: 32 bytes and a length are all that a reference has."""
    for digest in (b"../" * 10 + b"xx", b"\x00" * 32, b"/etc/passwd".ljust(32), b".partial-".ljust(32)):
        for length in (0, CHUNK_BYTES + 1):
            path = store.path(PayloadRef(digest, length))
            assert path.parent == store.root
            assert path.name.isalnum()
            assert not store.has(PayloadRef(digest, length))


# -- files appear whole or not at all ------------------------------------------------------------------------


class _CrashError(Exception):
    pass


def _source_that_crashes(after: int) -> Iterator[bytes]:
    for i in range(after):
        yield LONG[i * CHUNK_BYTES : (i + 1) * CHUNK_BYTES]
    raise _CrashError


@pytest.mark.parametrize("after", range(4))
def test_a_source_that_breaks_off_leaves_nothing(store: DirectoryStore, after: int) -> None:
    """Also when it breaks off behind the last byte, before anybody said that it was the last."""
    ref = PayloadRef(digest_of(LONG), len(LONG))
    with pytest.raises(_CrashError):
        receive(_source_that_crashes(after), ref, store.path(ref))
    assert _names(store) == []


def test_an_endless_source_is_cut_off_at_the_declared_length(store: DirectoryStore) -> None:
    given = 0

    def endless() -> Iterator[bytes]:
        nonlocal given
        while True:
            given += 1
            yield bytes(CHUNK_BYTES)

    ref = PayloadRef(digest_of(bytes(CHUNK_BYTES)), 2 * CHUNK_BYTES + 5)
    with pytest.raises(PayloadCorrupt, match="expected 2097157 bytes, got more"):
        receive(endless(), ref, store.path(ref))
    assert given == 3
    assert _names(store) == []


def test_a_source_in_the_smallest_pieces_is_the_same_payload(store: DirectoryStore) -> None:
    receive((DATA[i : i + 1] for i in range(len(DATA))), REF, store.path(REF))
    assert store.get(REF) == DATA


def _break_off(path: Path, interruption: type[BaseException]) -> None:
    with whole_file(path) as file:
        file.write(b"new")
        raise interruption


@pytest.mark.parametrize("interruption", [_CrashError, KeyboardInterrupt, SystemExit])
def test_an_interrupted_writer_leaves_the_old_file(tmp_path: Path, interruption) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"old")
    with pytest.raises(interruption):
        _break_off(path, interruption)
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_payload_is_on_disk_before_it_has_its_name(
    store: DirectoryStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Bytes, name, directory: in any other order a power cut could leave a name without its bytes."""
    done: list[str] = []
    fsync, replace = os.fsync, os.replace

    def recording_fsync(handle: int) -> None:
        kind = os.fstat(handle).st_mode & 0o170000
        done.append("bytes" if kind == 0o100000 else "directory")
        fsync(handle)

    def recording_replace(*paths: Path) -> None:
        done.append("name")
        replace(*paths)

    monkeypatch.setattr(os, "fsync", recording_fsync)
    monkeypatch.setattr(os, "replace", recording_replace)
    store.put(DATA)
    (tmp_path / "model").write_bytes(LONG)
    store.adopt(tmp_path / "model")
    assert done == ["bytes", "name", "directory"] * 2


def test_a_killed_writer_leaves_no_half_payload_under_its_name(store: DirectoryStore) -> None:
    """The process is killed in the middle of writing; what it leaves has no payload's name."""
    script = f"""
import os, signal
from pathlib import Path
from ledger.cid import PayloadRef
from storage.files import receive
def source():
    yield bytes(1 << 20)
    os.kill(os.getpid(), signal.SIGKILL)
ref = PayloadRef({digest_of(LONG)!r}, {len(LONG)})
receive(source(), ref, Path({str(store.root)!r}) / ref.cid)
"""
    finished = subprocess.run([sys.executable, "-c", script], check=False)
    assert finished.returncode == -9
    [left] = _names(store)
    assert left.startswith(".partial-")
    ref = store.put(LONG)
    assert store.get(ref) == LONG


def test_what_a_killed_process_left_is_swept_away(store: DirectoryStore, tmp_path: Path) -> None:
    """Half a payload, half an update, half a round; payloads, and what is no store's own, stay."""
    ref = store.put(DATA)
    outside = tmp_path / "outside"
    _folder(outside)
    for name in (".partial-k3x", ".update-1-7"):
        (store.root / name).write_bytes(LONG)
    _folder(store.root / ".work-a1")
    (store.root / ".work-a1" / "link").symlink_to(outside)
    (store.root / ".work-link").symlink_to(outside)
    (store.root / "notes").write_bytes(b"")
    store.sweep()
    assert _names(store) == sorted([ref.cid, "notes"])
    assert (outside / "inside").read_bytes() == DATA
    store.sweep()
    assert store.get(ref) == DATA


def test_a_directory_that_vanished_cannot_be_swept(store: DirectoryStore) -> None:
    store.root.rmdir()
    with pytest.raises(UnavailableError, match="cannot sweep payloads: No such file or directory"):
        store.sweep()


def test_a_file_is_adopted_without_being_copied(store: DirectoryStore, tmp_path: Path) -> None:
    path = tmp_path / "model"
    path.write_bytes(LONG)
    inode = path.stat().st_ino
    ref = store.adopt(path)
    assert (ref.digest, ref.length) == (digest_of(LONG), len(LONG))
    assert store.path(ref).stat().st_ino == inode
    assert not path.exists()
    assert store.get(ref) == LONG


def test_an_adopted_file_replaces_a_damaged_copy(store: DirectoryStore, tmp_path: Path) -> None:
    store.path(REF).write_bytes(b"damaged")
    (tmp_path / "model").write_bytes(DATA)
    assert store.adopt(tmp_path / "model") == REF
    assert store.get(REF) == DATA


def test_what_cannot_be_adopted_is_left_where_it_is(store: DirectoryStore, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot open nothing"):
        store.adopt(tmp_path / "nothing")
    (tmp_path / "model").write_bytes(DATA)
    _folder(store.path(REF))
    with pytest.raises(UnavailableError, match="cannot take model over: "):
        store.adopt(tmp_path / "model")
    assert (tmp_path / "model").read_bytes() == DATA


# -- a medium that refuses -----------------------------------------------------------------------------------


def test_a_file_in_the_way_of_the_directory_is_the_callers_mistake(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(UsageError, match=r"cannot use .*file as a payload store: File exists"):
        DirectoryStore(tmp_path / "file")
    with pytest.raises(UsageError, match=r"cannot use .* as a payload store: Not a directory"):
        DirectoryStore(tmp_path / "file" / "below")


@contextmanager
def _no_file_longer_than(length: int) -> Iterator[None]:
    """What a full disk or a quota does: a write that would go beyond fails."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (length, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_full_disk_is_unavailable_and_leaves_nothing(store: DirectoryStore, tmp_path: Path) -> None:
    source = tmp_path / "update"
    source.write_bytes(LONG)
    for put in (lambda: store.put(LONG), lambda: store.put_file(source)):
        with (
            pytest.raises(UnavailableError, match=r"cannot write .*: File too large"),
            _no_file_longer_than(CHUNK_BYTES),
        ):
            put()
        assert _names(store) == []
    assert store.get(store.put(LONG)) == LONG


@pytest.mark.skipif(not Path("/proc/self").is_dir(), reason="needs a file system that nobody can write to")
def test_a_read_only_directory_is_unavailable() -> None:
    """Linux's /proc refuses even root, whom file permissions do not stop."""
    store = DirectoryStore(Path("/proc/self"))
    assert not store.has(REF)
    with pytest.raises(UnavailableError, match="cannot write into /proc/self: "):
        store.put(DATA)


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_a_payload_that_may_not_be_read_is_unavailable(store: DirectoryStore) -> None:
    store.put(DATA)
    store.path(REF).chmod(0)
    with pytest.raises(UnavailableError, match=r"cannot open .*: Permission denied"):
        store.get(REF)


def test_a_directory_that_vanished_is_unavailable_for_writing(store: DirectoryStore) -> None:
    store.root.rmdir()
    assert not store.has(REF)
    with pytest.raises(PayloadMissing):
        store.get(REF)
    with pytest.raises(UnavailableError, match=r"cannot write into .*: No such file or directory"):
        store.put(DATA)


# -- several processes ---------------------------------------------------------------------------------------


def _put_many(root: str, start, seed: int) -> None:
    store = DirectoryStore(Path(root))
    start.wait()
    for n in range(20):
        data = LONG[: 1000 * (n + 1)] if n % 2 else bytes([seed]) * (n + 1)
        assert store.get(store.put(data)) == data


def test_two_processes_put_the_same_payloads(store: DirectoryStore) -> None:
    """As two roles do that share a directory, at the same moment."""
    context = multiprocessing.get_context("spawn")
    start = context.Barrier(2)
    workers = [context.Process(target=_put_many, args=(str(store.root), start, seed)) for seed in (1, 2)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)
    assert [worker.exitcode for worker in workers] == [0, 0]
    assert len(_names(store)) == 10 + 2 * 10
    for name in _names(store):
        data = (store.root / name).read_bytes()
        assert PayloadRef(digest_of(data), len(data)).cid == name


# -- memory --------------------------------------------------------------------------------------------------


def test_a_large_payload_passes_through_in_pieces(tmp_path: Path) -> None:
    """64 MiB are put, verified and fetched, and the process never holds more than a few pieces of them."""
    script = f"""
import resource
from pathlib import Path
from storage import DirectoryStore
root = Path({str(tmp_path)!r})
store = DirectoryStore(root / "payloads")
with (root / "large").open("wb") as file:
    file.truncate(64 << 20)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
ref = store.put_file(root / "large")
store.verify(ref)
store.fetch(ref, root / "fetched")
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)
"""
    finished = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True)
    assert int(finished.stdout) < 16
    assert (tmp_path / "fetched").stat().st_size == 64 << 20
