"""Proofs in Merkle Patricia tries: what an account or a storage slot holds under a root.

A proof is a set of nodes. From the root on each node is looked up by its hash, so a node that is not the
trie's cannot be used; and all that were handed in must be used, so that a proof holds nothing idle. Source:
the Yellow Paper, appendix D; keys are hashed, as in Ethereum's state and storage ("secure") tries.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from eth_utils.crypto import keccak

from audit.bundles import rlp

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["Account", "Tries", "minimal"]

_EMPTY_ROOT = bytes(keccak(rlp.encode(b"")))


@dataclass(frozen=True)
class Account:
    """What the state trie holds of an account, as far as it matters here."""

    storage_root: bytes
    code_hash: bytes


class Tries:
    """Nodes of one or more tries, to be asked for what they prove.

    Args:
        nodes: RLP of each node, in any order.
    """

    def __init__(self, nodes: Iterable[bytes]) -> None:
        self._nodes = {bytes(keccak(node)): node for node in nodes}
        self.used: set[bytes] = set()

    def account(self, state_root: bytes, address: bytes) -> Account | None:
        """Return an account; None where the trie proves that there is none.

        Raises:
            ValueError: the nodes prove neither.
        """
        value = self._get(state_root, address)
        if value is None:
            return None
        _, _, storage_root, code_hash = rlp.fields(rlp.decode(value), 4)
        return Account(rlp.string(storage_root), rlp.string(code_hash))

    def slot(self, storage_root: bytes, slot: bytes) -> int:
        """Return a storage slot's value; zero where the trie proves that it holds none.

        Raises:
            ValueError: the nodes prove neither.
        """
        value = self._get(storage_root, slot)
        return 0 if value is None else rlp.integer(rlp.decode(value))

    def idle(self) -> int:
        """Return how many nodes nothing was proven with."""
        return len(self._nodes) - len(self.used)

    def _get(self, root: bytes, key: bytes) -> bytes | None:
        path = keccak(key).hex()
        node: rlp.Item = root
        if root == _EMPTY_ROOT:
            return None
        while True:
            items = rlp.fields(self._open(node) if isinstance(node, bytes) else node, 2, 17)
            if len(items) == 17:
                node, path = items[int(path[0], 16)], path[1:]
            else:
                node, leaf, prefix = items[1], *_prefix(items[0])
                if leaf:
                    return rlp.string(node) if path == prefix else None
                if not prefix:
                    raise ValueError("an extension of a trie leads nowhere")
                if not path.startswith(prefix):
                    return None
                path = path.removeprefix(prefix)
            if node == b"":
                return None
            if not path:
                raise ValueError("a path in a trie is too long")

    def _open(self, digest: bytes) -> rlp.Item:
        if digest not in self._nodes:
            raise ValueError(f"a node of the trie is missing: {digest.hex()[:64]}")
        self.used.add(digest)
        return rlp.decode(self._nodes[digest])


def _prefix(item: rlp.Item) -> tuple[bool, str]:
    """Take a node's compact path apart: whether it ends in a leaf, and its nibbles as hex digits."""
    text = item.hex() if isinstance(item, bytes) else ""
    flag = int(text[0], 16) if text else 4
    if flag > 3 or (flag in {0, 2} and text[1] != "0"):
        raise ValueError("a path in a trie is not spelled as one")
    return flag >= 2, text[1:] if flag & 1 else text[2:]


def minimal(nodes: Iterable[bytes], used: set[bytes]) -> list[bytes]:
    """Return the nodes that were used, each once, ascending by hash."""
    by_hash = {bytes(keccak(node)): node for node in nodes}
    return [by_hash[digest] for digest in sorted(used)]
