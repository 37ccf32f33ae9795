"""Reading by position, and hashing in any order."""

from __future__ import annotations

import os
import threading
from itertools import pairwise
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aggregator.files import LeafHasher, PayloadFile
from ledger.cid import CHUNK_BYTES, digest_of
from ledger.errors import PayloadMissing, UnavailableError, UsageError

if TYPE_CHECKING:
    from pathlib import Path

DATA = bytes(range(256)) * 4096 * 3 + b"the last leaf is short"


@given(
    cuts=st.lists(st.integers(0, len(DATA)), max_size=12),
    random=st.randoms(use_true_random=False),
)
def test_pieces_of_any_size_in_any_order_give_one_digest(cuts: list[int], random) -> None:
    bounds = sorted({0, len(DATA), *cuts})
    pieces = list(pairwise(bounds))
    random.shuffle(pieces)
    hasher = LeafHasher(len(DATA))
    for begin, end in pieces:
        hasher.update(memoryview(DATA)[begin:end], begin)
    assert hasher.ref().digest == digest_of(DATA)
    assert hasher.ref().length == len(DATA)


def test_pieces_from_several_threads_give_one_digest() -> None:
    size = 40_000  # no divisor of a leaf, so neighbours share leaves
    hasher = LeafHasher(len(DATA))
    offsets = iter(range(0, len(DATA), size))
    lock = threading.Lock()

    def work() -> None:
        while True:
            with lock:
                offset = next(offsets, None)
            if offset is None:
                return
            hasher.update(memoryview(DATA)[offset : offset + size], offset)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert hasher.ref().digest == digest_of(DATA)


def test_an_empty_payload_has_the_digest_of_nothing() -> None:
    assert LeafHasher(0).ref().digest == digest_of(b"")


def test_a_payload_of_whole_leaves_has_no_empty_leaf_at_its_end() -> None:
    hasher = LeafHasher(2 * CHUNK_BYTES)
    hasher.update(memoryview(DATA)[: 2 * CHUNK_BYTES], 0)
    assert hasher.ref().digest == digest_of(DATA[: 2 * CHUNK_BYTES])


def test_short_reads_and_writes_are_continued(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The system may read or write less than it was asked for, as on a network file system."""
    (tmp_path / "file").write_bytes(DATA[:5000])
    whole_read, whole_write = os.preadv, os.pwrite
    monkeypatch.setattr(os, "preadv", lambda fd, views, at: whole_read(fd, [views[0][:7]], at))
    monkeypatch.setattr(os, "pwrite", lambda fd, view, at: whole_write(fd, view[:7], at))
    read = bytearray(1000)
    with PayloadFile.open(tmp_path / "file", "a file") as file:
        file.read_into(memoryview(read), 300)
    with PayloadFile.scratch(tmp_path, "a copy") as copy:
        copy.write(memoryview(DATA)[300:1300], 0)
        again = bytearray(1000)
        copy.read_into(memoryview(again), 0)
    assert read == again == DATA[300:1300]


def test_a_file_cut_short_while_it_is_read_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(DATA[:100])
    with PayloadFile.open(path, "update of member 3") as file:
        os.truncate(path, 50)
        with pytest.raises(
            UnavailableError, match=r"update of member 3: ends early: expected byte 90, got 50"
        ):
            file.read_into(memoryview(bytearray(80)), 10)


def test_a_symbolic_link_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"x")
    (tmp_path / "link").symlink_to(tmp_path / "file")
    with pytest.raises(UsageError, match="a symbolic link"):
        PayloadFile.open(tmp_path / "link", "update of member 3")


def test_a_link_that_appears_after_the_first_look_is_not_followed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_bytes(b"x")
    (tmp_path / "link").symlink_to(tmp_path / "file")
    monkeypatch.setattr(type(tmp_path), "is_symlink", lambda _: False)
    with pytest.raises(UnavailableError):
        PayloadFile.open(tmp_path / "link", "update of member 3")


def test_a_named_pipe_is_refused_without_waiting_for_a_writer(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(UsageError, match="a regular file"):
        PayloadFile.open(tmp_path / "pipe", "update of member 3")


def test_a_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="a regular file"):
        PayloadFile.open(tmp_path, "update of member 3")


def test_a_missing_file_is_a_missing_payload(tmp_path: Path) -> None:
    with pytest.raises(PayloadMissing, match="update of member 3"):
        PayloadFile.open(tmp_path / "nothing", "update of member 3")


def test_a_scratch_file_has_no_name(tmp_path: Path) -> None:
    with PayloadFile.scratch(tmp_path, "a copy") as copy:
        copy.write(memoryview(b"abc"), 0)
        assert list(tmp_path.iterdir()) == []


def test_a_full_disk_is_an_error_of_the_family(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> int:
        raise OSError(28, "No space left on device")

    with PayloadFile.scratch(tmp_path, "a copy") as copy:
        monkeypatch.setattr(os, "pwrite", full)
        with pytest.raises(UnavailableError, match="a copy: No space left on device"):
            copy.write(memoryview(b"abc"), 0)
