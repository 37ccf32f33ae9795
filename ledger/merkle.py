"""Merkle trees of RFC 6962 with SHA-256: roots, inclusion proofs and consistency proofs.

Section 2.1 of the RFC gives roots and proofs, RFC 9162 sections 2.1.3.2 and 2.1.4.2 the way to verify them.
Verifiers return a bool and never raise, whatever they are handed: an index that is out of range, a hash of
the wrong length or a proof that is too long is a proof that does not hold.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from ledger.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = [
    "consistency_proof",
    "inclusion_proof",
    "leaf_hash",
    "root",
    "verify_consistency",
    "verify_inclusion",
]


def leaf_hash(data: bytes) -> bytes:
    """SHA-256 of 0x00 and the leaf's bytes."""
    return hashlib.sha256(b"\x00" + data).digest()


def _node(left: bytes, right: bytes) -> bytes:
    return hashlib.sha256(b"\x01" + left + right).digest()


def root(leaves: Sequence[bytes]) -> bytes:
    """Tree head over leaf hashes; that of the empty tree is the SHA-256 of nothing."""
    if not leaves:
        return hashlib.sha256().digest()
    if len(leaves) == 1:
        return leaves[0]
    k = _split(len(leaves))
    return _node(root(leaves[:k]), root(leaves[k:]))


def inclusion_proof(index: int, leaves: Sequence[bytes]) -> list[bytes]:
    """Audit path of leaf ``index``, from the leaf upwards."""
    if not 0 <= index < len(leaves):
        raise UsageError("leaf index", expected=f"0 to {len(leaves) - 1}", got=index)
    if len(leaves) == 1:
        return []
    k = _split(len(leaves))
    if index < k:
        return [*inclusion_proof(index, leaves[:k]), root(leaves[k:])]
    return [*inclusion_proof(index - k, leaves[k:]), root(leaves[:k])]


def consistency_proof(size: int, leaves: Sequence[bytes]) -> list[bytes]:
    """Proof that the tree over the first ``size`` leaves is a prefix of the tree over all."""
    if not 1 <= size <= len(leaves):
        raise UsageError("size of the smaller tree", expected=f"1 to {len(leaves)}", got=size)
    return _subproof(size, leaves, whole=True)


def _subproof(size: int, leaves: Sequence[bytes], *, whole: bool) -> list[bytes]:
    if size == len(leaves):
        return [] if whole else [root(leaves)]
    k = _split(len(leaves))
    if size <= k:
        return [*_subproof(size, leaves[:k], whole=whole), root(leaves[k:])]
    return [*_subproof(size - k, leaves[k:], whole=False), root(leaves[:k])]


def _split(size: int) -> int:
    """The largest power of two below ``size``."""
    return 1 << (size - 1).bit_length() - 1


def verify_inclusion(index: int, size: int, leaf: bytes, proof: Sequence[bytes], tree_root: bytes) -> bool:
    """Whether ``leaf`` (a leaf hash) is at ``index`` in the tree of ``size`` leaves with ``tree_root``."""
    if not 0 <= index < size or not _hashes(leaf, tree_root, *proof):
        return False
    node, last, value = index, size - 1, leaf
    for sibling in proof:
        if last == 0:
            return False
        if node & 1 or node == last:
            value = _node(sibling, value)
            while node and not node & 1:
                node, last = node >> 1, last >> 1
        else:
            value = _node(value, sibling)
        node, last = node >> 1, last >> 1
    return last == 0 and value == tree_root


def verify_consistency(size1: int, size2: int, root1: bytes, root2: bytes, proof: Sequence[bytes]) -> bool:
    """Whether the tree of ``size1`` leaves with ``root1`` is a prefix of that of ``size2`` with ``root2``.

    The empty tree has no proofs (RFC 9162: 0 < first), so ``size1`` 0 does not hold.
    """
    if size1 == size2 > 0:
        return not proof and root1 == root2
    if not 0 < size1 < size2 or not _hashes(root1, root2, *proof):
        return False
    path = list(proof) if size1 & (size1 - 1) else [root1, *proof]
    if not path:
        return False
    node, last = size1 - 1, size2 - 1
    while node & 1:
        node, last = node >> 1, last >> 1
    first = second = path[0]
    for sibling in path[1:]:
        if last == 0:
            return False
        if node & 1 or node == last:
            first, second = _node(sibling, first), _node(sibling, second)
            while node and not node & 1:
                node, last = node >> 1, last >> 1
        else:
            second = _node(second, sibling)
        node, last = node >> 1, last >> 1
    return last == 0 and first == root1 and second == root2


def _hashes(*values: bytes) -> bool:
    return all(isinstance(v, bytes) and len(v) == 32 for v in values)
