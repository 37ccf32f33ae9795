"""RFC 6962 trees: a proof holds if, and only if, nothing was damaged."""

from __future__ import annotations

import base64
import json

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from ledger import merkle
from ledger.errors import UsageError
from tests.ledger import naive
from tests.ledger.make_vectors import FOLDER
from tests.shared import shared_vectors

VECTORS = json.loads((FOLDER / "merkle.json").read_text(encoding="utf-8"))

entries_strategy = st.lists(st.binary(max_size=8), min_size=1, max_size=70)


def _hashes(entries: list[bytes]) -> list[bytes]:
    return [merkle.leaf_hash(entry) for entry in entries]


def _bytes(texts: list[str]) -> list[bytes]:
    return [bytes.fromhex(text) for text in texts]


def test_each_inclusion_proof_of_the_vectors_is_answered_as_it_says() -> None:
    for case in VECTORS["inclusion"]:
        leaf, root = _bytes([case["leaf"], case["root"]])
        proof = _bytes(case["proof"])
        assert case["holds"] == merkle.verify_inclusion(case["index"], case["size"], leaf, proof, root), case


def test_each_consistency_proof_of_the_vectors_is_answered_as_it_says() -> None:
    for case in VECTORS["consistency"]:
        roots = _bytes([case["root1"], case["root2"]])
        proof = _bytes(case["proof"])
        assert case["holds"] == merkle.verify_consistency(case["size1"], case["size2"], *roots, proof), case


def _decoded(text: str | None) -> bytes:
    return base64.b64decode(text or "")


def test_another_projects_inclusion_vectors_are_answered_as_they_say() -> None:
    for case in shared_vectors("rfc6962.json")["inclusion"]:
        proof = [_decoded(h) for h in case["proof"] or []]
        leaf, root = _decoded(case["leafHash"]), _decoded(case["root"])
        holds = merkle.verify_inclusion(case["leafIdx"], case["treeSize"], leaf, proof, root)
        assert holds is not case["wantErr"], case["file"]


def test_another_projects_consistency_vectors_are_answered_as_they_say() -> None:
    for case in shared_vectors("rfc6962.json")["consistency"]:
        proof = [_decoded(h) for h in case["proof"] or []]
        roots = _decoded(case["root1"]), _decoded(case["root2"])
        holds = merkle.verify_consistency(case["size1"], case["size2"], *roots, proof)
        assert holds is not case["wantErr"], case["file"]


@given(st.lists(st.binary(max_size=8), max_size=70))
def test_the_root_is_the_one_that_the_rfc_defines(entries: list[bytes]) -> None:
    assert naive.tree_hash(entries) == merkle.root(_hashes(entries))


@given(entries_strategy, st.data())
def test_an_inclusion_proof_is_the_path_that_the_rfc_defines(entries: list[bytes], data) -> None:
    index = data.draw(st.integers(0, len(entries) - 1))
    assert naive.audit_path(index, entries) == merkle.inclusion_proof(index, _hashes(entries))


@given(entries_strategy, st.data())
def test_a_consistency_proof_is_the_one_that_the_rfc_defines(entries: list[bytes], data) -> None:
    size = data.draw(st.integers(1, len(entries)))
    assert naive.consistency(size, entries) == merkle.consistency_proof(size, _hashes(entries))


@given(
    entries=entries_strategy,
    data=st.data(),
    damage_proof=st.booleans(),
    damage_root=st.booleans(),
    damage_leaf=st.booleans(),
    damage_index=st.booleans(),
)
def test_an_inclusion_proof_holds_if_and_only_if_nothing_was_damaged(
    entries: list[bytes],
    data,
    damage_proof: bool,
    damage_root: bool,
    damage_leaf: bool,
    damage_index: bool,
) -> None:
    leaves = _hashes(entries)
    index, size = data.draw(st.integers(0, len(leaves) - 1)), len(leaves)
    leaf, proof, root = leaves[index], merkle.inclusion_proof(index, leaves), merkle.root(leaves)
    if damage_proof:
        proof = data.draw(_damaged(proof))
    if damage_root:
        root = data.draw(_other_hash(root))
    if damage_leaf:
        leaf = data.draw(_other_hash(leaf))
    if damage_index:
        index = data.draw(st.integers(-2, size + 2).filter(lambda other: other != index))
        # Equal subtrees prove each other's places; the claim is about trees whose entries differ.
        assume(len(set(entries)) == len(entries))
    assume(size > 1 or leaf != root or not damage_leaf)  # another leaf with its own tree
    damaged = damage_proof or damage_root or damage_leaf or damage_index
    assert merkle.verify_inclusion(index, size, leaf, proof, root) is not damaged


@given(
    entries=entries_strategy,
    data=st.data(),
    damage_proof=st.booleans(),
    damage_first_root=st.booleans(),
    damage_second_root=st.booleans(),
)
def test_a_consistency_proof_holds_if_and_only_if_nothing_was_damaged(
    entries: list[bytes],
    data,
    damage_proof: bool,
    damage_first_root: bool,
    damage_second_root: bool,
) -> None:
    leaves = _hashes(entries)
    size1, size2 = data.draw(st.integers(1, len(leaves))), len(leaves)
    root1, root2 = merkle.root(leaves[:size1]), merkle.root(leaves)
    proof = merkle.consistency_proof(size1, leaves)
    if damage_proof:
        proof = data.draw(_damaged(proof))
    if damage_first_root:
        root1 = data.draw(_other_hash(root1))
    if damage_second_root:
        root2 = data.draw(_other_hash(root2))
    assume(size1 < size2 or root1 != root2 or not damage_first_root)  # another tree with itself
    damaged = damage_proof or damage_first_root or damage_second_root
    assert merkle.verify_consistency(size1, size2, root1, root2, proof) is not damaged


def _other_hash(good: bytes) -> st.SearchStrategy[bytes]:
    flipped = st.integers(0, 255).map(
        lambda bit: (int.from_bytes(good, "big") ^ 1 << bit).to_bytes(32, "big")
    )
    return st.one_of(flipped, st.sampled_from([b"", good[:-1], good + b"\x00", bytes(32)]))


def _damaged(proof: list[bytes]) -> st.SearchStrategy[list[bytes]]:
    """Flip a bit, drop, add, or exchange two that differ."""
    longer = st.tuples(st.integers(0, len(proof)), st.binary(min_size=32, max_size=32)).map(
        lambda at: [*proof[: at[0]], at[1], *proof[at[0] :]]
    )
    if not proof:
        return longer
    places = st.integers(0, len(proof) - 1)
    shorter = places.map(lambda i: [*proof[:i], *proof[i + 1 :]])
    flipped = places.flatmap(
        lambda i: _other_hash(proof[i]).map(lambda other: [*proof[:i], other, *proof[i + 1 :]])
    )
    return st.one_of(longer, shorter, flipped, st.just(proof[::-1])).filter(lambda other: other != proof)


@given(st.integers(), st.integers(), st.binary(max_size=40), st.lists(st.binary(max_size=40)), st.binary())
def test_the_inclusion_verifier_answers_to_anything(index, size, leaf, proof, root) -> None:
    assert merkle.verify_inclusion(index, size, leaf, proof, root) in {True, False}


@given(st.integers(), st.integers(), st.binary(max_size=40), st.binary(max_size=40), st.lists(st.binary()))
def test_the_consistency_verifier_answers_to_anything(size1, size2, root1, root2, proof) -> None:
    assert merkle.verify_consistency(size1, size2, root1, root2, proof) in {True, False}


@pytest.mark.parametrize(("index", "size"), [(-1, 3), (3, 3), (0, 0)])
def test_there_is_no_proof_for_a_leaf_outside_the_tree(index: int, size: int) -> None:
    with pytest.raises(UsageError, match=f"leaf index: expected 0 to {size - 1}, got {index}"):
        merkle.inclusion_proof(index, [bytes(32)] * size)


@pytest.mark.parametrize("size", [0, 4, -1])
def test_there_is_no_consistency_proof_from_a_tree_that_is_no_prefix(size: int) -> None:
    with pytest.raises(UsageError, match=f"size of the smaller tree: expected 1 to 3, got {size}"):
        merkle.consistency_proof(size, [bytes(32)] * 3)


def test_a_leaf_cannot_stand_for_a_node() -> None:
    """The hashes of leaves and nodes begin with different bytes (second preimages, RFC 6962 section 2.1)."""
    leaves = _hashes([b"a", b"b"])
    assert merkle.root(leaves) != merkle.root([merkle.leaf_hash(leaves[0] + leaves[1])])
