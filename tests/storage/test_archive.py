"""What an auditor was handed: read, judged, never changed."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from ledger.checks import Check
from ledger.cid import PayloadRef, digest_of
from ledger.errors import PayloadCorrupt, PayloadMissing, UnavailableError
from storage import DirectoryStore
from storage.archive import Archive

if TYPE_CHECKING:
    from pathlib import Path

DATA = b"an update of some hospital" * 3
REF = PayloadRef(digest_of(DATA), len(DATA))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    DirectoryStore(tmp_path / "payloads").put(DATA)
    return tmp_path / "payloads"


def test_a_payload_is_handed_out_where_it_lies(root: Path) -> None:
    assert Archive(root).obtain(REF) == root / REF.cid
    assert Archive(root).document(REF.digest) == DATA


def test_what_is_not_there_is_missing(root: Path) -> None:
    other = PayloadRef(digest_of(b"other"), 5)
    for archive in (Archive(root), Archive(root / "nowhere")):
        with pytest.raises(PayloadMissing, match=other.cid):
            archive.obtain(other)
        with pytest.raises(PayloadMissing, match=other.cid):
            archive.document(other.digest)


def test_a_file_of_another_length_is_corrupt_before_it_is_read(root: Path) -> None:
    (root / REF.cid).write_bytes(DATA + b"x")
    with pytest.raises(PayloadCorrupt, match=f"expected {len(DATA)} bytes, got {len(DATA) + 1}") as caught:
        Archive(root).obtain(REF)
    assert caught.value.check is Check.UPDATE_LENGTH


def test_a_damaged_document_is_corrupt(root: Path) -> None:
    (root / REF.cid).write_bytes(bytes(len(DATA)))
    with pytest.raises(PayloadCorrupt) as caught:
        Archive(root).document(REF.digest)
    assert caught.value.check is Check.DOCUMENT_DIGEST


@pytest.mark.parametrize("kind", ["link", "pipe", "folder"])
def test_what_is_no_regular_file_is_no_payload(root: Path, kind: str) -> None:
    path = root / REF.cid
    path.unlink()
    {"link": lambda: path.symlink_to("x" * len(DATA)), "pipe": lambda: os.mkfifo(path), "folder": path.mkdir}[
        kind
    ]()
    with pytest.raises(PayloadMissing):
        Archive(root).obtain(REF)
    with pytest.raises(PayloadMissing):
        Archive(root).document(REF.digest)


def test_a_directory_that_is_a_file_is_unavailable(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(UnavailableError, match=f"cannot look for payload {REF.cid}: Not a directory"):
        Archive(tmp_path / "file").obtain(REF)


def test_nothing_is_repaired(root: Path) -> None:
    (root / REF.cid).write_bytes(b"damaged")
    Archive(root).repair([REF])
    assert (root / REF.cid).read_bytes() == b"damaged"
