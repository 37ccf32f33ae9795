"""What the port promises, of every store."""

from __future__ import annotations

import hashlib
import os
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from ledger.canonical import MAX_DOCUMENT_BYTES
from ledger.checks import Check
from ledger.cid import CHUNK_BYTES, PayloadRef, digest_of
from ledger.errors import PayloadCorrupt, PayloadMissing, UnavailableError, UsageError
from storage import IpfsStore
from tests.ledger import naive
from tests.storage.stores import SUBJECTS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from ledger.ports import PayloadStore
    from tests.storage.stores import Subject

DATA = b"an update of some hospital" * 3
LONG = hashlib.shake_256(b"long").digest(2 * CHUNK_BYTES + 17)
PAYLOADS = [b"", b"x", DATA, LONG[:CHUNK_BYTES], LONG[: CHUNK_BYTES + 1], LONG]


def _get(store: PayloadStore, ref: PayloadRef, _: Path) -> bytes:
    return store.get(ref)


def _fetch(store: PayloadStore, ref: PayloadRef, folder: Path) -> bytes:
    into = folder / "fetched"
    try:
        store.fetch(ref, into)
        return into.read_bytes()
    finally:
        into.unlink(missing_ok=True)
        assert list(folder.iterdir()) == []  # nothing is left beside it, whatever happened


def _document(store: PayloadStore, ref: PayloadRef, _: Path) -> bytes:
    return store.document(ref.digest)


def _verify(store: PayloadStore, ref: PayloadRef, _: Path) -> bytes:
    store.verify(ref)
    return store.get(ref)


READERS = {"get": _get, "fetch": _fetch, "document": _document, "verify": _verify}
SIZED = {name: READERS[name] for name in ("get", "fetch", "verify")}


@pytest.fixture(params=SUBJECTS)
def subject(request: pytest.FixtureRequest, tmp_path: Path) -> Subject:
    return SUBJECTS[request.param](request, tmp_path)


@pytest.fixture
def store(subject: Subject) -> PayloadStore:
    return subject.store


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "outside"
    path.mkdir()
    return path


@pytest.fixture(params=SIZED)
def read(request: pytest.FixtureRequest) -> Callable[..., bytes]:
    return SIZED[request.param]


@pytest.fixture(params=READERS)
def read_document(request: pytest.FixtureRequest) -> Callable[..., bytes]:
    return READERS[request.param]


@pytest.mark.parametrize("data", PAYLOADS, ids=lambda data: f"{len(data)} bytes")
def test_what_was_put_can_be_had_under_its_ipfs_address(store, folder: Path, read, data: bytes) -> None:
    ref = store.put(data)
    assert (ref.digest, ref.cid) == naive.cid_of(data)
    assert ref.length == len(data)
    assert store.has(ref)
    assert data == read(store, ref, folder)


@pytest.mark.parametrize("data", PAYLOADS, ids=lambda data: f"{len(data)} bytes")
def test_a_file_is_put_like_its_bytes_and_left_as_it_is(store, tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "update"
    path.write_bytes(data)
    assert store.put_file(path) == PayloadRef(digest_of(data), len(data))
    assert store.get(store.put_file(path)) == data
    assert path.read_bytes() == data


def test_bytes_that_can_change_are_copied(store) -> None:
    data = bytearray(DATA)
    ref = store.put(data)
    data[0] ^= 1
    assert store.get(ref) == DATA


def test_putting_twice_changes_nothing(subject: Subject, tmp_path: Path) -> None:
    path = tmp_path / "update"
    path.write_bytes(DATA)
    ref = subject.store.put(DATA)
    before = subject.contents()
    assert subject.store.put(DATA) == subject.store.put_file(path) == ref
    assert subject.contents() == before == {ref.cid: DATA}


def test_two_payloads_do_not_disturb_each_other(store) -> None:
    first, second = store.put(b"first"), store.put(b"second")
    assert (store.get(first), store.get(second)) == (b"first", b"second")


def test_a_payload_that_is_not_there_is_missing(store, folder: Path, read_document) -> None:
    ref = PayloadRef(digest_of(DATA), len(DATA))
    assert not store.has(ref)
    with pytest.raises(PayloadMissing, match=ref.cid):
        read_document(store, ref, folder)


def test_a_payload_that_got_lost_is_missing(subject: Subject, folder: Path, read_document) -> None:
    ref = subject.store.put(DATA)
    subject.remove(ref)
    assert not subject.store.has(ref)
    with pytest.raises(PayloadMissing, match=ref.cid):
        read_document(subject.store, ref, folder)


DAMAGES = {
    "a flipped bit": lambda data: bytes([data[0] ^ 1]) + data[1:],
    "a flipped last bit": lambda data: data[:-1] + bytes([data[-1] ^ 128]),
    "truncated": lambda data: data[:-1],
    "empty": lambda _: b"",
    "a byte longer": lambda data: data + b"\x00",
    "much longer": lambda data: data * 3,
    "another payload": lambda data: bytes(len(data)),
}


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("data", [DATA, LONG], ids=["short", "long"])
def test_damaged_bytes_are_never_handed_on(
    subject: Subject, folder: Path, read, data: bytes, damage: str
) -> None:
    ref = subject.store.put(data)
    bad = DAMAGES[damage](data)
    subject.replace(ref, bad)
    with pytest.raises(PayloadCorrupt, match=ref.cid) as caught:
        read(subject.store, ref, folder)
    length = Check.UPDATE_LENGTH if len(bad) != len(data) else Check.UPDATE_DIGEST
    assert caught.value.check is length


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_document_is_never_handed_on(subject: Subject, damage: str) -> None:
    ref = subject.store.put(DATA)
    subject.replace(ref, DAMAGES[damage](DATA))
    with pytest.raises(PayloadCorrupt) as caught:
        subject.store.document(ref.digest)
    assert caught.value.check is Check.DOCUMENT_DIGEST


def test_a_length_that_is_not_the_payloads_is_found_out(store, folder: Path, read) -> None:
    """A member may declare any length with the digest of its payload."""
    ref = store.put(DATA)
    for length in (0, len(DATA) - 1, len(DATA) + 1, CHUNK_BYTES):
        with pytest.raises(PayloadCorrupt, match=rf"expected {length} bytes, got") as caught:
            read(store, PayloadRef(ref.digest, length), folder)
        assert caught.value.check is Check.UPDATE_LENGTH


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_copy_is_replaced_by_putting_the_payload_again(
    subject: Subject, tmp_path: Path, damage: str
) -> None:
    path = tmp_path / "update"
    path.write_bytes(DATA)
    for put in (lambda: subject.store.put(DATA), lambda: subject.store.put_file(path)):
        ref = subject.store.put(DATA)
        subject.replace(ref, DAMAGES[damage](DATA))
        assert put() == ref
        assert subject.store.get(ref) == DATA


def test_a_document_may_be_one_mebibyte_long(subject: Subject) -> None:
    longest = LONG[:MAX_DOCUMENT_BYTES]
    ref = subject.store.put(longest)
    assert subject.store.document(ref.digest) == longest
    subject.replace(ref, longest + b"x")
    with pytest.raises(PayloadCorrupt, match="expected at most 1048576 bytes, got more"):
        subject.store.document(ref.digest)


def test_a_longer_payload_is_no_document(store) -> None:
    """Its address is that of a tree, and a digest alone names a single chunk.

    A store that keeps blocks has one of that digest, the tree's first node, and gives that.
    """
    ref = store.put(LONG)
    if isinstance(store, IpfsStore):
        node = store.document(ref.digest)
        assert hashlib.sha256(node).digest() == ref.digest
        assert len(node) < 1000
        return
    with pytest.raises(PayloadMissing):
        store.document(ref.digest)


def test_fetching_replaces_what_was_there(store, tmp_path: Path) -> None:
    into = tmp_path / "into"
    into.write_bytes(b"old")
    store.fetch(store.put(DATA), into)
    assert into.read_bytes() == DATA


def test_a_fetch_that_fails_leaves_what_was_there(subject: Subject, tmp_path: Path) -> None:
    into = tmp_path / "into"
    into.write_bytes(b"old")
    ref = subject.store.put(DATA)
    subject.replace(ref, DATA[:-1] + b"?")
    with pytest.raises(PayloadCorrupt):
        subject.store.fetch(ref, into)
    subject.remove(ref)
    with pytest.raises(PayloadMissing):
        subject.store.fetch(ref, into)
    assert into.read_bytes() == b"old"


def test_fetching_into_a_folder_that_is_not_there_is_unavailable(store, tmp_path: Path) -> None:
    ref = store.put(DATA)
    with pytest.raises(UnavailableError, match=r"cannot write into .*: No such file or directory"):
        store.fetch(ref, tmp_path / "nowhere" / "into")


def test_fetching_over_a_folder_is_unavailable(store, tmp_path: Path) -> None:
    ref = store.put(DATA)
    (tmp_path / "into").mkdir()
    with pytest.raises(UnavailableError, match="cannot write into: "):
        store.fetch(ref, tmp_path / "into")


def _not_files(folder: Path) -> Iterator[Path]:
    (folder / "file").write_bytes(DATA)
    (folder / "link").symlink_to(folder / "file")
    os.mkfifo(folder / "pipe")
    (folder / "folder").mkdir()
    yield from (folder / name for name in ("link", "pipe", "folder", "nothing", "file/below"))


def test_only_a_regular_file_is_put(subject: Subject, folder: Path) -> None:
    """A link could be exchanged between two readings, and a pipe may never end."""
    for path in _not_files(folder):
        with pytest.raises(UsageError, match=path.name):
            subject.store.put_file(path)
    assert subject.contents() == {}


def test_several_threads_put_and_get_the_same_and_other_payloads(subject: Subject) -> None:
    """Nobody ever sees half a payload, or a copy that is being replaced."""
    start = threading.Barrier(8)
    own = [b"%d" % n * 100_000 for n in range(8)]

    def work(n: int) -> list[bytes]:
        start.wait()
        seen = []
        for _ in range(6):
            refs = [subject.store.put(LONG), subject.store.put(own[n])]
            seen += [subject.store.get(ref) for ref in refs]
        return seen

    with ThreadPoolExecutor(8) as pool:
        for n, seen in enumerate(pool.map(work, range(8))):
            assert seen == [LONG, own[n]] * 6
    assert len(subject.contents()) == 9
