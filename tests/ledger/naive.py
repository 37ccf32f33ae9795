"""Second implementations, written from the specifications and not for speed, to hold the first ones against.

Nothing here imports ``ledger``.
"""

from __future__ import annotations

import base64
import hashlib
from typing import TYPE_CHECKING

from Crypto.Hash import keccak as _keccak

if TYPE_CHECKING:
    from collections.abc import Sequence

CHUNK = 1 << 20
WIDTH = 174


def sha256(data: bytes) -> bytes:
    """SHA-256."""
    return hashlib.sha256(data).digest()


def keccak256(data: bytes) -> bytes:
    """Keccak-256 as Ethereum uses it (the padding before FIPS 202)."""
    return _keccak.new(digest_bits=256, data=data).digest()


# -- UnixFS files in dag-pb nodes, balanced, as one recursion from the top ------------------------------


def protobuf(*fields: tuple[int, int | bytes]) -> bytes:
    """Encode fields in the given order: integers as varints (wire type 0), bytes with their length (2)."""
    out = b""
    for number, value in fields:
        if isinstance(value, int):
            out += varint(number << 3) + varint(value)
        else:
            out += varint(number << 3 | 2) + varint(len(value)) + value
    return out


def varint(value: int) -> bytes:
    """Little-endian groups of seven bits (LEB128)."""
    if value < 0x80:
        return bytes([value])
    return bytes([value % 0x80 + 0x80]) + varint(value // 0x80)


def binary_cid(codec: int, digest: bytes) -> bytes:
    """CIDv1 with a SHA-256 multihash."""
    return varint(1) + varint(codec) + varint(0x12) + varint(32) + digest


def cid_text(codec: int, digest: bytes) -> str:
    """Multibase base32, lower case, without padding."""
    return "b" + base64.b32encode(binary_cid(codec, digest)).decode().lower().rstrip("=")


def cid_of(data: bytes) -> tuple[bytes, str]:
    """Return digest and CID of a payload."""
    chunks = [data[i : i + CHUNK] for i in range(0, len(data), CHUNK)] or [b""]
    return cid_of_leaves([(sha256(chunk), len(chunk)) for chunk in chunks])


def cid_of_leaves(leaves: Sequence[tuple[bytes, int]]) -> tuple[bytes, str]:
    """Return digest and CID of a payload whose chunks have these digests and lengths."""
    depth = 0
    while WIDTH**depth < len(leaves):
        depth += 1
    codec, digest, _, _ = subtree(leaves, depth)
    return digest, cid_text(codec, digest)


def subtree(leaves: Sequence[tuple[bytes, int]], depth: int) -> tuple[int, bytes, int, int]:
    """Return codec, digest, length of content and total size of blocks of the node over ``leaves``."""
    if depth == 0:
        [(digest, length)] = leaves
        return 0x55, digest, length, length
    below = WIDTH ** (depth - 1)
    children = [subtree(leaves[i : i + below], depth - 1) for i in range(0, len(leaves), below)]
    content = sum(length for _, _, length, _ in children)
    sizes = [(4, length) for _, _, length, _ in children]
    unixfs = protobuf((1, 2), (3, content), *sizes)
    links = [
        (2, protobuf((1, binary_cid(codec, digest)), (2, b""), (3, total)))
        for codec, digest, _, total in children
    ]
    node = protobuf(*links, (1, unixfs))
    return 0x70, sha256(node), content, len(node) + sum(total for _, _, _, total in children)


# -- RFC 6962, section 2.1, as the text defines it ------------------------------------------------------


def tree_hash(entries: Sequence[bytes]) -> bytes:
    """MTH(D[n])."""
    n = len(entries)
    if n == 0:
        return sha256(b"")
    if n == 1:
        return sha256(b"\x00" + entries[0])
    k = largest_power_of_two_below(n)
    return sha256(b"\x01" + tree_hash(entries[:k]) + tree_hash(entries[k:]))


def audit_path(m: int, entries: Sequence[bytes]) -> list[bytes]:
    """PATH(m, D[n])."""
    n = len(entries)
    if n == 1:
        return []
    k = largest_power_of_two_below(n)
    if m < k:
        return [*audit_path(m, entries[:k]), tree_hash(entries[k:])]
    return [*audit_path(m - k, entries[k:]), tree_hash(entries[:k])]


def consistency(m: int, entries: Sequence[bytes]) -> list[bytes]:
    """PROOF(m, D[n])."""
    return subproof(m, entries, known=True)


def subproof(m: int, entries: Sequence[bytes], *, known: bool) -> list[bytes]:
    """SUBPROOF(m, D[n], b)."""
    n = len(entries)
    if m == n:
        return [] if known else [tree_hash(entries)]
    k = largest_power_of_two_below(n)
    if m <= k:
        return [*subproof(m, entries[:k], known=known), tree_hash(entries[k:])]
    return [*subproof(m - k, entries[k:], known=False), tree_hash(entries[:k])]


def largest_power_of_two_below(n: int) -> int:
    """k with k < n <= 2k."""
    k = 1
    while 2 * k < n:
        k *= 2
    return k


# -- the Solidity ABI, for lists of static words --------------------------------------------------------


def words(*values: int | bytes) -> bytes:
    """Encode static values: integers and addresses right-aligned, 32 bytes as they are."""
    out = b""
    for value in values:
        raw = value.to_bytes(32, "big") if isinstance(value, int) else value.rjust(32, b"\x00")
        assert len(raw) == 32
        out += raw
    return out
