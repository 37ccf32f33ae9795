"""Proofs in tries, against tries that another library builds."""

from __future__ import annotations

from typing import Any

import pytest
import rlp as reference
from eth_utils.crypto import keccak
from hypothesis import given
from hypothesis import strategies as st
from trie.hexary import HexaryTrie

from audit.bundles.tries import Tries, minimal

WORDS = st.dictionaries(st.integers(0, 60), st.integers(1, 2**256 - 1), max_size=40)


def _slot(number: int) -> bytes:
    return number.to_bytes(32, "big")


def _trie(words: dict[int, int]) -> Any:
    trie = HexaryTrie({})
    for number, value in words.items():
        size = (value.bit_length() + 7) // 8
        trie[keccak(_slot(number))] = reference.encode(value.to_bytes(size, "big"))
    return trie


def _nodes(trie: Any, number: int) -> list[bytes]:
    nodes = [reference.encode(node) for node in trie.get_proof(keccak(_slot(number)))]
    return [node for place, node in enumerate(nodes) if not place or len(node) >= 32]


@given(WORDS, st.integers(0, 60))
def test_a_slot_has_the_value_that_the_trie_has_or_is_proven_empty(
    words: dict[int, int], number: int
) -> None:
    trie = _trie(words)
    tries = Tries(_nodes(trie, number) if words else [])
    assert tries.slot(trie.root_hash, _slot(number)) == words.get(number, 0)
    assert tries.idle() == 0


@given(WORDS.filter(bool), st.integers(0, 60), st.data())
def test_a_proof_with_a_byte_changed_proves_nothing(words: dict[int, int], number: int, data: Any) -> None:
    trie = _trie(words)
    nodes = _nodes(trie, number)
    which = data.draw(st.integers(0, len(nodes) - 1))
    place = data.draw(st.integers(0, len(nodes[which]) - 1))
    changed = bytearray(nodes[which])
    changed[place] ^= data.draw(st.integers(1, 255))
    tries = Tries([*nodes[:which], bytes(changed), *nodes[which + 1 :]])
    with pytest.raises(ValueError, match="missing"):
        tries.slot(trie.root_hash, _slot(number))


@given(WORDS.filter(lambda words: len(words) > 1), st.data())
def test_one_slot_s_proof_does_not_prove_another(words: dict[int, int], data: Any) -> None:
    trie = _trie(words)
    one, two = data.draw(st.permutations(sorted(words)))[:2]
    tries = Tries(_nodes(trie, one))
    try:
        assert tries.slot(trie.root_hash, _slot(two)) == words[two]  # where the two share their nodes
    except ValueError as error:
        assert "missing" in str(error)  # noqa: PT017 - either will do


@given(WORDS.filter(bool))
def test_of_many_nodes_those_that_were_used_are_kept(words: dict[int, int]) -> None:
    trie = _trie(words)
    nodes = [node for number in words for node in _nodes(trie, number)]
    tries = Tries(nodes)
    first = min(words)
    tries.slot(trie.root_hash, _slot(first))
    kept = minimal(nodes, tries.used)
    assert sorted(kept, key=keccak) == kept
    assert Tries(kept).slot(trie.root_hash, _slot(first)) == words[first]


@pytest.mark.parametrize(
    "items", [[b"", b"x"], [b"\x40", b"x"], [b"\x00", b"x"], [b"\x25", b"x", b"y"], [[], b"x"]]
)
def test_a_node_that_is_none_proves_nothing(items: Any) -> None:
    node = reference.encode(items)
    with pytest.raises(ValueError, match=r"path|list|nowhere"):
        Tries([node]).slot(keccak(node), _slot(1))
