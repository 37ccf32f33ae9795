"""Block headers: their hash, and the seals of a QBFT chain's validators.

A header is the RLP list of its fields in the order of the Yellow Paper and of later EIPs (1559, 4895, 4844,
4788, 7685); only those read here are taken apart. A header whose extra data is longer than Ethereum's 32
bytes is one of Besu's QBFT: RLP of [vanity, validators, vote, round, seals]. There the block's hash is that
of the header with round 0 and no seals, and each validator seals the hash of the header with its round and no
seals (Besu's ``BftBlockHashing`` and ``QbftExtraDataCodec``; "Seals" in the QBFT specification, EEA).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import coincurve
from eth_utils.crypto import keccak

from audit.bundles import rlp

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["MAX_HEADER_BYTES", "Header", "recover", "seals_needed"]

MAX_HEADER_BYTES = 1 << 16
"""A header with the seals of 256 validators is a third of it."""

_STATE_ROOT, _NUMBER, _TIME, _EXTRA = 3, 8, 11, 12
_ETHEREUM_EXTRA_BYTES = 32


@dataclass(frozen=True)
class Header:
    """A block header.

    Args:
        hash: the block's.
        number: the block's.
        time: seconds of block time.
        state_root: root of the state trie after the block.
        validators: those that the header names; empty where the chain is not QBFT, or keeps them elsewhere.
        sealers: accounts that made its seals.
    """

    hash: bytes
    number: int
    time: int
    state_root: bytes
    validators: tuple[bytes, ...] = ()
    sealers: tuple[bytes, ...] = ()

    @classmethod
    def parse(cls, raw: bytes) -> Header:
        """Read a header, and recover who sealed it.

        Raises:
            ValueError: it is none, or its seals are not those of distinct validators of its own list.
        """
        if len(raw) > MAX_HEADER_BYTES:
            raise ValueError(f"a header is longer than {MAX_HEADER_BYTES} bytes")
        items = rlp.fields(rlp.decode(raw), *range(15, 32))
        root, extra = items[_STATE_ROOT], items[_EXTRA]
        if not isinstance(root, bytes) or len(root) != 32 or not isinstance(extra, bytes):
            raise ValueError("a header's state root or extra data is not spelled as one")
        number, time = rlp.integer(items[_NUMBER], 64), rlp.integer(items[_TIME], 64)
        if len(extra) <= _ETHEREUM_EXTRA_BYTES:
            return cls(bytes(keccak(raw)), number, time, root)
        vanity, named, vote, round_, seals = rlp.fields(rlp.decode(extra), 5)
        validators = _strings(named, 20)
        sealed = _hash(items, [vanity, named, vote, round_, []])
        sealers = tuple(recover(seal, sealed) for seal in _strings(seals, 65))
        if len(set(sealers)) != len(sealers) or (validators and not set(sealers) <= set(validators)):
            raise ValueError("a seal is not that of another one of the header's validators")
        return cls(_hash(items, [vanity, named, vote, b"", []]), number, time, root, validators, sealers)


def seals_needed(validators: int) -> int:
    """Return how many of so many QBFT validators seal a block: two thirds, rounded up."""
    return -(-2 * validators // 3)


def recover(signature: bytes, digest: bytes) -> bytes:
    """Return the account whose secp256k1 key signed a digest; the signature is r, s and a parity of 0 or 1.

    Raises:
        ValueError: it is no signature.
    """
    if len(signature) != 65 or signature[64] > 1:
        raise ValueError("a signature is not spelled as r, s and parity")
    try:
        key = coincurve.PublicKey.from_signature_and_message(signature, digest, hasher=None)
    except Exception as error:  # coincurve raises its base class where no key fits
        raise ValueError("a signature is none") from error
    return bytes(keccak(key.format(compressed=False)[1:])[12:])


def _hash(items: Sequence[rlp.Item], extra: list[rlp.Item]) -> bytes:
    changed = [*items[:_EXTRA], rlp.encode(extra), *items[_EXTRA + 1 :]]
    return bytes(keccak(rlp.encode(changed)))


def _strings(item: rlp.Item, length: int) -> tuple[bytes, ...]:
    strings = item if isinstance(item, list) else [[]]
    if not all(isinstance(each, bytes) and len(each) == length for each in strings):
        raise ValueError(f"extra data: expected a list of {length} bytes each")
    return tuple(each for each in strings if isinstance(each, bytes))
