"""Recursive length prefix, Ethereum's encoding of nested byte strings; see the Yellow Paper, appendix B.

The reader takes exactly what the writer gives: a string or length that could be spelled shorter is refused,
and so is what is nested deeper than anything on an Ethereum chain, or followed by further bytes.
"""

from __future__ import annotations

from typing import TypeAlias

__all__ = ["Item", "decode", "encode", "fields", "integer", "string"]

Item: TypeAlias = "bytes | list[Item]"

_MAX_DEPTH = 8
"""An access list is 4 deep in its transaction, a trie's embedded nodes a little more."""


def encode(item: Item) -> bytes:
    """Return an item's bytes."""
    if isinstance(item, bytes):
        return item if len(item) == 1 and item[0] < 0x80 else _prefix(0x80, len(item)) + item
    body = b"".join(map(encode, item))
    return _prefix(0xC0, len(body)) + body


def _prefix(base: int, length: int) -> bytes:
    if length < 56:
        return bytes((base + length,))
    size = length.to_bytes((length.bit_length() + 7) // 8, "big")
    return bytes((base + 55 + len(size),)) + size


def decode(data: bytes) -> Item:
    """Read one item.

    Raises:
        ValueError: the bytes are none, or not spelled as ``encode`` would.
    """
    item, end = _item(data, 0, len(data), 0)
    if end != len(data):
        raise ValueError(f"RLP: {len(data) - end} bytes too many")
    return item


def _item(data: bytes, start: int, limit: int, depth: int) -> tuple[Item, int]:
    if depth > _MAX_DEPTH:
        raise ValueError(f"RLP: nested deeper than {_MAX_DEPTH}")
    if start >= limit:
        raise ValueError("RLP: it ends early")
    first = data[start]
    if first < 0x80:
        return data[start : start + 1], start + 1
    base = 0x80 if first < 0xC0 else 0xC0
    body, end = _span(data, start, limit, base)
    if base == 0x80:
        if end - body == 1 and data[body] < 0x80:
            raise ValueError("RLP: a byte that needs no prefix has one")
        return data[body:end], end
    items: list[Item] = []
    while body < end:
        item, body = _item(data, body, end, depth + 1)
        items.append(item)
    return items, end


def _span(data: bytes, start: int, limit: int, base: int) -> tuple[int, int]:
    """Where the contents of the string or list at ``start`` begin and end."""
    length, body = data[start] - base, start + 1
    if length > 55:
        size = data[body : min(body + length - 55, limit)]
        if len(size) != length - 55 or size[0] == 0 or (length := int.from_bytes(size, "big")) < 56:
            raise ValueError("RLP: a length is not spelled in the shortest way")
        body += len(size)
    if body + length > limit:
        raise ValueError("RLP: it ends early")
    return body, body + length


def fields(item: Item, *counts: int) -> list[Item]:
    """Return the items of a list that must have one of these lengths.

    Raises:
        ValueError: it is no list, or has another length.
    """
    if not isinstance(item, list) or len(item) not in counts:
        raise ValueError(f"RLP: expected a list of {' or '.join(map(str, counts))}")
    return item


def string(item: Item) -> bytes:
    """Return an item that must be no list.

    Raises:
        ValueError: it is one.
    """
    if isinstance(item, list):
        raise ValueError("RLP: expected no list")  # noqa: TRY004 - it is bytes from outside, no argument
    return item


def integer(item: Item, bits: int = 256) -> int:
    """Return a scalar: big-endian, without leading zeros, at most so many bits.

    Raises:
        ValueError: it is anything else.
    """
    if not isinstance(item, bytes) or item[:1] == b"\0" or len(item) * 8 > bits:
        raise ValueError(f"RLP: expected an integer of at most {bits} bits")
    return int.from_bytes(item, "big")
