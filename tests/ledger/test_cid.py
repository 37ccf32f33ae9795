"""Digests and CIDs: the address that IPFS gives is the word that the chain holds."""

from __future__ import annotations

import base64
import hashlib
import json
from itertools import count

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.cid import (
    CHUNK_BYTES,
    PayloadHasher,
    PayloadRef,
    chunk_count,
    digest_of,
    digest_of_leaves,
    parse_cid,
)
from ledger.errors import UsageError
from tests.ledger import naive
from tests.ledger.make_vectors import FOLDER, leaf_digests, payload
from tests.shared import shared_vectors

VECTORS = json.loads((FOLDER / "cid.json").read_text(encoding="utf-8"))
EMPTY = "bafkreihdwdcefgh4dqkjv67uzcmw7ojee6xedzdetojuzjevtenxquvyku"


@pytest.mark.parametrize("case", VECTORS["cases"], ids=lambda case: f"{case['size']} bytes")
def test_a_payload_has_the_digest_and_cid_of_the_vectors(case) -> None:
    data = payload(case["size"])
    ref = PayloadRef(digest_of(data), len(data))
    assert (case["digest"], case["cid"]) == (ref.digest.hex(), ref.cid)


@pytest.mark.parametrize("case", VECTORS["leaf_cases"], ids=lambda case: f"{case['leaves']} chunks")
def test_a_tree_of_chunks_has_the_digest_and_cid_of_the_vectors(case) -> None:
    """Up to three levels of nodes: 174 × 174 + 1 chunks."""
    length = (case["leaves"] - 1) * CHUNK_BYTES + case["last"]
    ref = PayloadRef(digest_of_leaves(leaf_digests(case["leaves"]), length), length)
    assert (case["digest"], case["cid"]) == (ref.digest.hex(), ref.cid)


def test_an_ipfs_implementation_gives_the_same_cids() -> None:
    cases = sorted(shared_vectors("ipfs-cid.json")["cases"], key=lambda case: case["size"])
    seeds = {case["seed"] for case in cases}
    for seed in seeds:
        sizes = [case["size"] for case in cases if case["seed"] == seed]
        refs = dict(zip(sizes, _refs_of_prefixes(seed, sizes), strict=True))
        for case in cases:
            if case["seed"] == seed:
                assert case["cid"] == refs[case["size"]].cid


def _refs_of_prefixes(seed: str, sizes: list[int]) -> list[PayloadRef]:
    """The longest case is 175 MiB, so each byte is made and hashed once, for all cases that begin with it."""
    hasher, refs, blocks = PayloadHasher(), [], count()
    rest = b""
    for size in sizes:
        while hasher.length < size:
            if not rest:
                hashes = (
                    hashlib.sha256(b"%s:%d" % (seed.encode(), next(blocks))).digest() for _ in range(4096)
                )
                rest = b"".join(hashes)
            piece, rest = rest[: size - hasher.length], rest[size - hasher.length :]
            hasher.update(piece)
        refs.append(hasher.ref())
    return refs


@given(st.lists(st.integers(0, 2 * CHUNK_BYTES), max_size=5), st.sampled_from([bytes, bytearray, memoryview]))
def test_the_digest_does_not_depend_on_the_pieces(lengths: list[int], kind) -> None:
    data = payload(sum(lengths))
    hasher, position = PayloadHasher(), 0
    for length in lengths:
        hasher.update(kind(data[position : position + length]))
        position += length
    assert naive.cid_of(data) == (hasher.ref().digest, hasher.ref().cid)


def test_a_hasher_can_be_asked_in_between() -> None:
    hasher = PayloadHasher()
    refs = []
    for _ in range(3):
        hasher.update(bytes(CHUNK_BYTES // 2))
        refs.append(hasher.ref())
    halves = [bytes(n * CHUNK_BYTES // 2) for n in (1, 2, 3)]
    assert [PayloadRef(digest_of(h), len(h)) for h in halves] == refs


@given(st.integers(1, 2 * naive.WIDTH**2), st.integers(1, CHUNK_BYTES))
def test_any_number_of_chunks_gives_the_tree_of_the_second_implementation(chunks: int, last: int) -> None:
    chunks = chunks % 700 + 1
    leaves = leaf_digests(chunks)
    length = (chunks - 1) * CHUNK_BYTES + last
    lengths = [CHUNK_BYTES] * (chunks - 1) + [last]
    expected, _ = naive.cid_of_leaves(list(zip(leaves, lengths, strict=True)))
    assert expected == digest_of_leaves(leaves, length)


@pytest.mark.parametrize(("leaves", "length"), [(0, 0), (2, CHUNK_BYTES), (1, CHUNK_BYTES + 1), (3, 1)])
def test_leaves_that_do_not_fit_the_length_are_refused(leaves: int, length: int) -> None:
    with pytest.raises(UsageError, match="leaves of a payload: expected"):
        digest_of_leaves(leaf_digests(leaves), length)


@pytest.mark.parametrize(
    ("length", "chunks"), [(0, 1), (1, 1), (CHUNK_BYTES, 1), (CHUNK_BYTES + 1, 2), (3 * CHUNK_BYTES, 3)]
)
def test_chunks_are_counted_with_the_last_one_short(length: int, chunks: int) -> None:
    assert chunks == chunk_count(length)


@given(st.binary(min_size=32, max_size=32), st.integers(0, 1 << 60))
def test_a_cid_can_be_taken_apart_again(digest: bytes, length: int) -> None:
    codec = 0x55 if length <= CHUNK_BYTES else 0x70
    assert (codec, digest) == parse_cid(PayloadRef(digest, length).cid)


def _variant(raw: bytes) -> str:
    return "b" + base64.b32encode(raw).decode().lower().rstrip("=")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "b",
        EMPTY.upper(),
        EMPTY[1:],
        "z" + EMPTY[1:],
        EMPTY + "=",
        EMPTY + "a",
        EMPTY[:-1],
        EMPTY[:-1] + "v",  # the last character's spare bits are not zero
        " " + EMPTY,
        EMPTY + "\n",
        EMPTY.replace("a", "ä", 1),
        "QmbFMke1KXqnYyBBWxB74N4c5SBnJMVAiMNRcGu6x1AwQH",
        _variant(b"\x00\x55\x12\x20" + bytes(32)),
        _variant(b"\x01\x71\x12\x20" + bytes(32)),
        _variant(b"\x01\x55\x1b\x20" + bytes(32)),
        _variant(b"\x01\x55\x12\x1f" + bytes(31)),
        _variant(b"\x01\x55\x12\x20" + bytes(33)),
        "../" + EMPTY,
        "\x00",
    ],
)
def test_anything_else_is_no_cid_of_a_payload(text: str) -> None:
    with pytest.raises(UsageError, match="not an address of a payload"):
        parse_cid(text)


@given(st.text(max_size=80))
def test_no_text_makes_the_parser_raise_anything_else(text: str) -> None:
    try:
        codec, digest = parse_cid(text)
    except UsageError:
        return
    assert text == naive.cid_text(codec, digest)


@pytest.mark.parametrize(("digest", "length"), [(b"", 0), (bytes(31), 0), (bytes(33), 0), (bytes(32), -1)])
def test_a_reference_needs_a_digest_and_a_length(digest: bytes, length: int) -> None:
    with pytest.raises(UsageError, match="a payload reference"):
        PayloadRef(digest, length)
