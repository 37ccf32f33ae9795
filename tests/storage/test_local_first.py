"""A role's own directory before the shared store: written there first, published from there, pinned there."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from ledger.cid import PayloadRef, digest_of
from ledger.errors import PayloadCorrupt, PayloadMissing, UnavailableError
from storage import DirectoryStore, LocalFirst, MemoryStore

if TYPE_CHECKING:
    from pathlib import Path

DATA = b"an update of some hospital" * 3
REF = PayloadRef(digest_of(DATA), len(DATA))
BAD = bytes(len(DATA))


@pytest.fixture
def shared() -> MemoryStore:
    return MemoryStore()


@pytest.fixture
def store(tmp_path: Path, shared: MemoryStore) -> LocalFirst:
    return LocalFirst(DirectoryStore(tmp_path / "own"), shared)


def _file(tmp_path: Path, data: bytes = DATA) -> Path:
    path = tmp_path / "file"
    path.write_bytes(data)
    return path


def test_what_is_kept_is_seen_by_nobody_else(store: LocalFirst, shared: MemoryStore, tmp_path: Path) -> None:
    assert store.keep(_file(tmp_path)) == REF
    assert store.local.get(REF) == DATA
    assert not shared.has(REF)


def test_what_is_published_can_be_had_by_all_and_stays(
    store: LocalFirst, shared: MemoryStore, tmp_path: Path
) -> None:
    store.publish(store.keep(_file(tmp_path)))
    assert shared.get(REF) == store.local.get(REF) == DATA
    assert [path.name for path in store.local.root.iterdir()] == [REF.cid]


def test_publishing_again_changes_nothing(store: LocalFirst, shared: MemoryStore, tmp_path: Path) -> None:
    store.publish(store.keep(_file(tmp_path)))
    before = dict(shared.payloads)
    store.publish(REF)
    assert shared.payloads == before


def test_publishing_replaces_a_damaged_copy(store: LocalFirst, shared: MemoryStore, tmp_path: Path) -> None:
    store.publish(store.keep(_file(tmp_path)))
    shared.payloads[REF.cid] = BAD
    store.publish(REF)
    assert shared.get(REF) == DATA


def test_a_store_that_forgets_is_found_out_at_once(tmp_path: Path) -> None:
    """What was published is read back, so that nobody reveals what nobody can fetch."""

    class Forgetful(MemoryStore):
        def put_file(self, path: Path) -> PayloadRef:
            ref = super().put_file(path)
            self.payloads.clear()
            return ref

    store = LocalFirst(DirectoryStore(tmp_path / "own"), Forgetful())
    store.keep(_file(tmp_path))
    with pytest.raises(PayloadMissing):
        store.publish(REF)


def test_a_store_that_damages_is_found_out_at_once(tmp_path: Path) -> None:
    class Careless(MemoryStore):
        def put_file(self, path: Path) -> PayloadRef:
            ref = super().put_file(path)
            self.payloads[ref.cid] = BAD
            return ref

    store = LocalFirst(DirectoryStore(tmp_path / "own"), Careless())
    store.keep(_file(tmp_path))
    with pytest.raises(PayloadCorrupt):
        store.publish(REF)


def test_what_is_not_in_the_own_directory_cannot_be_published(store: LocalFirst) -> None:
    with pytest.raises(PayloadMissing, match=f"payload {REF.cid} is not in own"):
        store.publish(REF)


def test_a_damaged_own_copy_is_not_published_as_the_payload(
    store: LocalFirst, shared: MemoryStore, tmp_path: Path
) -> None:
    store.keep(_file(tmp_path))
    store.local.path(REF).write_bytes(BAD)
    with pytest.raises(PayloadMissing):
        store.publish(REF)
    assert not shared.has(REF)


def test_a_published_document_is_kept_too(store: LocalFirst, shared: MemoryStore) -> None:
    assert store.publish_document(DATA) == REF
    assert shared.document(REF.digest) == store.local.document(REF.digest) == DATA


def test_what_was_obtained_stays_pinned(store: LocalFirst, shared: MemoryStore) -> None:
    """From the own copy it can be given back when the shared store lost it."""
    shared.put(DATA)
    assert store.obtain(REF).read_bytes() == DATA
    shared.payloads.clear()
    assert store.obtain(REF).read_bytes() == DATA
    store.publish(REF)
    assert shared.get(REF) == DATA


def test_what_the_shared_store_damaged_is_not_obtained(store: LocalFirst, shared: MemoryStore) -> None:
    shared.payloads[REF.cid] = BAD
    with pytest.raises(PayloadCorrupt):
        store.obtain(REF)
    with pytest.raises(PayloadMissing):
        store.obtain(PayloadRef(digest_of(b"other"), 5))
    assert list(store.local.root.iterdir()) == []


def test_a_damaged_own_copy_is_repaired(store: LocalFirst, shared: MemoryStore) -> None:
    shared.put(DATA)
    store.obtain(REF)
    store.local.path(REF).write_bytes(BAD)
    missing = PayloadRef(digest_of(b"other"), 5)
    store.repair([REF, missing])
    assert store.local.get(REF) == DATA
    assert not store.local.has(missing)


def test_a_copy_that_is_whole_is_not_fetched_again(store: LocalFirst, shared: MemoryStore) -> None:
    shared.put(DATA)
    store.obtain(REF)
    shared.payloads[REF.cid] = BAD
    store.repair([REF])
    assert store.local.get(REF) == DATA


@pytest.mark.parametrize("own", ["missing", "damaged", "whole"])
def test_a_document_comes_from_the_own_directory_or_else_from_the_shared_store(
    store: LocalFirst, shared: MemoryStore, own: str
) -> None:
    shared.put(DATA)
    if own != "missing":
        store.local.put(DATA)
    if own == "damaged":
        store.local.path(REF).write_bytes(BAD)
    if own == "whole":
        shared.payloads.clear()
    assert store.document(REF.digest) == DATA
    assert store.local.document(REF.digest) == DATA


def test_a_document_that_was_fetched_once_is_not_fetched_again(tmp_path: Path) -> None:
    """Whatever it says: one that nobody can parse would otherwise be fetched anew at every step."""

    class Counting(MemoryStore):
        asked = 0

        def document(self, digest: bytes) -> bytes:
            self.asked += 1
            return super().document(digest)

    shared = Counting()
    nonsense = shared.put(b"{not a document")
    for _ in range(3):
        store = LocalFirst(DirectoryStore(tmp_path / "own"), shared)  # also after a restart
        assert store.document(nonsense.digest) == b"{not a document"
    assert shared.asked == 1


def test_what_an_earlier_process_left_is_swept_away(store: LocalFirst, tmp_path: Path) -> None:
    store.keep(_file(tmp_path))
    (store.local.root / ".update-1-1").write_bytes(DATA)
    store.sweep()
    assert [path.name for path in store.local.root.iterdir()] == [REF.cid]


def test_a_document_that_nobody_has_is_missing(store: LocalFirst, shared: MemoryStore) -> None:
    with pytest.raises(PayloadMissing):
        store.document(REF.digest)
    shared.payloads[REF.cid] = BAD
    with pytest.raises(PayloadCorrupt):
        store.document(REF.digest)
    assert list(store.local.root.iterdir()) == []


def test_a_store_that_does_not_answer_is_unavailable(tmp_path: Path) -> None:
    class Silent(MemoryStore):
        def has(self, ref: PayloadRef) -> bool:
            raise UnavailableError(f"no answer about {ref.cid}")

    store = LocalFirst(DirectoryStore(tmp_path / "own"), Silent())
    store.keep(_file(tmp_path))
    with pytest.raises(UnavailableError, match="no answer"):
        store.publish(REF)
    assert store.local.get(REF) == DATA
