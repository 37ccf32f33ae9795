"""A payload's digest, and the IPFS address (CID) that it is part of.

The digest is the SHA-256 multihash digest in the CID that ``ipfs add --cid-version=1 --raw-leaves
--chunker=size-1048576`` gives to the same bytes: files of at most one chunk are a raw block, longer ones a
balanced UnixFS tree of dag-pb nodes with up to 174 links each. Sources: the IPFS specifications for UnixFS,
DAG-PB and CIDv1, and RFC 4648 for base32.
"""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from ledger.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = [
    "CHUNK_BYTES",
    "PayloadHasher",
    "PayloadRef",
    "chunk_count",
    "digest_of",
    "digest_of_leaves",
    "parse_cid",
]

CHUNK_BYTES = 1 << 20
"""Bytes in a leaf; part of the address, so never changed."""

_LINKS = 174
_SHA2_256 = b"\x12\x20"  # multihash: function code, digest length
_RAW, _DAG_PB = 0x55, 0x70  # multicodec


class _Hash(Protocol):
    def update(self, data: bytes | bytearray | memoryview, /) -> None: ...
    def digest(self) -> bytes: ...


@dataclass(frozen=True, slots=True, order=True)
class PayloadRef:
    """What names a payload: its 32-byte digest and its length in bytes, which together give its CID."""

    digest: bytes
    length: int

    def __post_init__(self) -> None:
        if len(self.digest) != 32 or self.length < 0:
            raise UsageError("a payload reference", expected="a 32-byte digest and a length", got=self.digest)

    @property
    def cid(self) -> str:
        """CIDv1 in lower-case base32 (multibase prefix ``b``)."""
        codec = _RAW if self.length <= CHUNK_BYTES else _DAG_PB
        raw = bytes((1, codec)) + _SHA2_256 + self.digest
        return "b" + base64.b32encode(raw).decode("ascii").rstrip("=").lower()


def parse_cid(text: str) -> tuple[int, bytes]:
    """Split a CID of the kind used here into multicodec (0x55 raw, 0x70 dag-pb) and 32-byte digest.

    Raises:
        UsageError: it is anything but CIDv1, base32 lower case, raw or dag-pb, SHA-256, spelled canonically.
    """
    body = text[1:]
    try:
        raw = base64.b32decode(body.upper() + "=" * (-len(body) % 8))
    except ValueError:
        raw = b""
    prefixes = (bytes((1, _RAW)) + _SHA2_256, bytes((1, _DAG_PB)) + _SHA2_256)
    canonical = "b" + base64.b32encode(raw).decode("ascii").rstrip("=").lower()
    if len(raw) != 36 or raw[:4] not in prefixes or text != canonical:
        raise UsageError("not an address of a payload", expected="a CIDv1 with SHA-256 in base32", got=text)
    return raw[1], raw[4:]


def chunk_count(length: int) -> int:
    """Number of leaves of a payload of ``length`` bytes; the empty payload has one, empty."""
    return max(1, -(-length // CHUNK_BYTES))


def digest_of(data: bytes) -> bytes:
    """Return the payload digest of bytes that are in memory."""
    hasher = PayloadHasher()
    hasher.update(data)
    return hasher.ref().digest


class PayloadHasher:
    """Digest of a payload that arrives piece by piece; pieces may have any size."""

    def __init__(self) -> None:
        self.length = 0
        self._leaves: list[bytes] = []
        self._leaf: _Hash = hashlib.sha256()

    def update(self, data: bytes | bytearray | memoryview) -> None:
        """Take the next bytes."""
        view = memoryview(data).cast("B")
        while len(view):
            room = CHUNK_BYTES - self.length % CHUNK_BYTES
            if room == CHUNK_BYTES and self.length:
                self._leaves.append(self._leaf.digest())
                self._leaf = hashlib.sha256()
            piece = view[:room]
            self._leaf.update(piece)
            self.length += len(piece)
            view = view[room:]

    def ref(self) -> PayloadRef:
        """The reference of all bytes so far; more may follow."""
        return PayloadRef(digest_of_leaves([*self._leaves, self._leaf.digest()], self.length), self.length)


def digest_of_leaves(leaves: Sequence[bytes], length: int) -> bytes:
    """Return the payload digest from the SHA-256 digests of its chunks.

    Chunks may have been hashed in any order and by several threads; only their place counts.

    Args:
        leaves: SHA-256 of each chunk of ``CHUNK_BYTES``, the last one possibly shorter, in order.
        length: length of the whole payload in bytes.
    """
    if len(leaves) != chunk_count(length):
        raise UsageError("leaves of a payload", expected=chunk_count(length), got=len(leaves))
    if length <= CHUNK_BYTES:
        return leaves[0]
    last = length - CHUNK_BYTES * (len(leaves) - 1)
    sizes = [CHUNK_BYTES] * (len(leaves) - 1) + [last]
    level = [_Node(_RAW, d, s, s) for d, s in zip(leaves, sizes, strict=True)]
    while len(level) > 1:
        level = [_parent(level[i : i + _LINKS]) for i in range(0, len(level), _LINKS)]
    return level[0].digest


@dataclass(frozen=True, slots=True)
class _Node:
    codec: int
    digest: bytes
    content: int  # bytes of the file below
    total: int  # bytes of all blocks below, this one included


def _parent(children: Sequence[_Node]) -> _Node:
    links = b"".join(_field(2, _link(child)) for child in children)
    content = sum(child.content for child in children)
    unixfs = b"\x08\x02" + b"\x18" + _varint(content)  # a file, and its length
    unixfs += b"".join(b"\x20" + _varint(child.content) for child in children)  # the length below each link
    block = links + _field(1, unixfs)  # DAG-PB puts links before data
    total = len(block) + sum(child.total for child in children)
    return _Node(_DAG_PB, hashlib.sha256(block).digest(), content, total)


def _link(child: _Node) -> bytes:
    cid = bytes((1, child.codec)) + _SHA2_256 + child.digest
    return _field(1, cid) + _field(2, b"") + b"\x18" + _varint(child.total)


def _field(number: int, value: bytes) -> bytes:
    return bytes((number << 3 | 2,)) + _varint(len(value)) + value


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)
