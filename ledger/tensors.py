"""The files that hold tensors: models and updates, in the safetensors format.

A file is an 8-byte little-endian header length, that many bytes of JSON, and the tensors' bytes one behind
the other (the format's own documentation). What is written here opens with the ``safetensors`` library.
Nothing of a file's data is read before its header has been judged, and a header is only ever compared with
what the plan says must be in it.

Headers are padded with spaces so that data start at a multiple of 4096 bytes, and room is left for metadata,
so that a model whose tensors are all trainable and the updates to it hold the same elements at the same
offsets.
"""

from __future__ import annotations

import json
import reprlib
from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING, Any

from ledger.canonical import read_json
from ledger.checks import Check
from ledger.errors import VerificationError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from ledger.records import LedgerId

__all__ = [
    "DTYPE_BYTES",
    "MODEL_METADATA",
    "Layout",
    "TensorSpec",
    "UpdateBinding",
    "encode_header",
    "header_length",
    "header_limit",
    "parse_layout",
    "trainable",
]

DTYPE_BYTES = {"BOOL": 1, "U8": 1, "I8": 1, "I16": 2, "U16": 2, "F16": 2, "BF16": 2, "I32": 4, "U32": 4}
DTYPE_BYTES |= {"F32": 4, "I64": 8, "U64": 8, "F64": 8}

MODEL_METADATA = {"format": "fedledger/model/1"}
"""A model file says nothing of the run it comes from, so that equal models are equal bytes."""

_PAGE = 4096
_METADATA_ROOM = 1024
_HEADER_MARGIN = 1 << 16


@dataclass(frozen=True, slots=True)
class TensorSpec:
    """A tensor as the plan fixes it.

    Args:
        name: unique within the model.
        dtype: safetensors name; trainable tensors are ``F32``.
        shape: dimensions, each ≥ 0; empty for a scalar.
        trainable: whether updates hold a delta for it; others stay as in the base model.
    """

    name: str
    dtype: str
    shape: tuple[int, ...]
    trainable: bool = True

    @property
    def elements(self) -> int:
        """Number of elements."""
        return prod(self.shape)

    @property
    def nbytes(self) -> int:
        """Length of its data in bytes."""
        return self.elements * DTYPE_BYTES[self.dtype]


def trainable(specs: Iterable[TensorSpec]) -> tuple[TensorSpec, ...]:
    """Return the tensors that an update holds, in plan order."""
    return tuple(spec for spec in specs if spec.trainable)


@dataclass(frozen=True, slots=True)
class UpdateBinding:
    """What an update's metadata bind it to."""

    ledger: LedgerId
    run: int
    round: int
    member: int
    base_model: bytes
    num_examples: int

    def metadata(self) -> dict[str, str]:
        """Return the metadata as the file holds them: all values are text."""
        return {
            "format": "fedledger/update/1",
            "ledger": str(self.ledger),
            "run": str(self.run),
            "round": str(self.round),
            "member": str(self.member),
            "base_model": self.base_model.hex(),
            "num_examples": str(self.num_examples),
        }


@dataclass(frozen=True, slots=True)
class Layout:
    """Where a file's tensors lie.

    Attributes:
        data_start: file offset of the first data byte.
        offsets: file offset of each tensor, by name.
        length: length of the whole file in bytes.
    """

    data_start: int
    offsets: Mapping[str, int]
    length: int


def encode_header(specs: Sequence[TensorSpec], metadata: Mapping[str, str]) -> bytes:
    """Return the first bytes of a file with ``specs`` in the given order, up to its data.

    The same tensors and metadata always give the same bytes. Files of the same tensors in the same order,
    with metadata below 1,024 bytes, have them at the same offsets; more tensors behind those may add pages
    to the header, and move all of them by as much.
    """
    header: dict[str, Any] = {"__metadata__": dict(sorted(metadata.items()))}
    position = 0
    for spec in specs:
        end = position + spec.nbytes
        header[spec.name] = {"dtype": spec.dtype, "shape": list(spec.shape), "data_offsets": [position, end]}
        position = end
    text = _json(header)
    room = max(0, _METADATA_ROOM - len(_json(header["__metadata__"])))
    total = -(-(8 + len(text) + room) // _PAGE) * _PAGE
    return (total - 8).to_bytes(8, "little") + text.ljust(total - 8, b" ")


def _json(value: Mapping[str, Any]) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode("utf-8")


def header_limit(specs: Sequence[TensorSpec], metadata: Mapping[str, str]) -> int:
    """Return the length of the longest header, with its length field, that a file of these tensors may have.

    Other writers need not spell a header as ``encode_header`` does, but parsing must cost no more than the
    plan's own tensors explain: it is twice the header that is written here, and 65,536 bytes.
    """
    return 2 * len(encode_header(specs, metadata)) + _HEADER_MARGIN


def header_length(prefix: bytes, length: int, limit: int) -> int:
    """Return the length of a file's header with its length field, from its first 8 bytes.

    Args:
        prefix: the file's first bytes, at least 8 unless the file is shorter.
        length: length of the file in bytes.
        limit: as ``header_limit`` gives it.

    Raises:
        VerificationError: check 6.
    """
    size = 8 + int.from_bytes(prefix[:8], "little")
    limit = min(length, limit)
    if len(prefix) < 8 or not 10 <= size <= limit:
        raise VerificationError(
            Check.UPDATE_HEADER_SIZE, "header length", expected=f"10 to {limit}", got=size
        )
    return size


def parse_layout(
    header: bytes, length: int, specs: Sequence[TensorSpec], metadata: Mapping[str, str]
) -> Layout:
    """Judge a file's header against what must be in it (checks 6 to 12) and return where the data lie.

    Args:
        header: the file's first ``header_length(...)`` bytes.
        length: length of the whole file in bytes.
        specs: the tensors that must be there, in any order.
        metadata: the metadata that must be there, exactly.

    Raises:
        VerificationError: the first check that fails.
    """
    size = header_length(header, length, header_limit(specs, metadata))
    tensors = _parse_json(header[8:size])
    found = _texts(tensors.pop("__metadata__", None))
    entries = {name: _entry(name, value) for name, value in tensors.items()}
    if found != dict(metadata):
        raise VerificationError(Check.UPDATE_BINDING, _first_difference(metadata, found))
    by_name = {spec.name: spec for spec in specs}
    if entries.keys() != by_name.keys():
        _refuse_names(by_name.keys(), entries.keys())
    for name, spec in by_name.items():
        if entries[name].dtype != spec.dtype:
            raise VerificationError(
                Check.UPDATE_DTYPES, f"tensor {name}", expected=spec.dtype, got=entries[name].dtype
            )
    for name, spec in by_name.items():
        if entries[name].shape != list(spec.shape):
            raise VerificationError(
                Check.UPDATE_SHAPES, f"tensor {name}", expected=list(spec.shape), got=entries[name].shape
            )
    return Layout(size, _offsets(entries, by_name, size, length), length)


@dataclass(frozen=True, slots=True)
class _Entry:
    dtype: str
    shape: list[int]
    begin: int
    end: int


def _parse_json(text: bytes) -> dict[str, Any]:
    try:
        value = read_json(text)
    except ValueError as error:
        raise VerificationError(Check.UPDATE_HEADER, "the header is not a JSON object", got=error) from error
    # A leading "{" is the format's own rule; Python's parser would let white space stand before it.
    if not isinstance(value, dict) or text[:1] != b"{":
        raise VerificationError(Check.UPDATE_HEADER, "the header", expected="a JSON object", got=text[:20])
    return value


def _texts(value: object) -> object:
    # The format has texts alone here, so anything else is a malformed header and no other binding.
    fits = isinstance(value, dict) and all(isinstance(text, str) for text in value.values())
    if value is not None and not fits:
        raise VerificationError(
            Check.UPDATE_HEADER, "metadata", expected="an object of texts", got=reprlib.repr(value)
        )
    return value


def _entry(name: str, value: object) -> _Entry:
    wrong = VerificationError(
        Check.UPDATE_HEADER,
        f"header entry {name}",
        expected="dtype, shape and data_offsets",
        got=reprlib.repr(value),  # short, however long the value is
    )
    if not isinstance(value, dict) or value.keys() != {"dtype", "shape", "data_offsets"}:
        raise wrong
    dtype, shape, offsets = value["dtype"], value["shape"], value["data_offsets"]
    if not isinstance(dtype, str) or not _naturals(shape) or not _naturals(offsets) or len(offsets) != 2:
        raise wrong
    return _Entry(dtype, shape, offsets[0], offsets[1])


def _naturals(value: object) -> bool:
    return isinstance(value, list) and all(type(n) is int and 0 <= n < 1 << 63 for n in value)


def _refuse_names(expected: Iterable[str], got: Iterable[str]) -> None:
    missing, extra = sorted(set(expected) - set(got)), sorted(set(got) - set(expected))
    raise VerificationError(
        Check.UPDATE_NAMES,
        "tensor names",
        expected=f"also {missing}" if missing else "no more than the plan's",
        got=extra,
    )


def _first_difference(expected: Mapping[str, str], got: object) -> str:
    if not isinstance(got, dict):
        return "the metadata are missing"
    if expected.keys() != got.keys():
        return f"names of the metadata: expected {sorted(expected)}, got {sorted(got)}"
    name = next(n for n in sorted(expected) if expected[n] != got[n])
    return f"metadata {name}: expected {expected[name]}, got {got[name]}"


def _offsets(
    entries: Mapping[str, _Entry], specs: Mapping[str, TensorSpec], data_start: int, length: int
) -> dict[str, int]:
    position = 0
    offsets = {}
    # Empty tensors may share their place with the next one, so the end breaks the tie.
    for name in sorted(entries, key=lambda n: (entries[n].begin, entries[n].end)):
        entry = entries[name]
        if (entry.begin, entry.end) != (position, position + specs[name].nbytes):
            raise VerificationError(
                Check.UPDATE_LAYOUT,
                f"place of tensor {name}",
                expected=f"{position} to {position + specs[name].nbytes}",
                got=f"{entry.begin} to {entry.end}",
            )
        offsets[name] = data_start + position
        position = entry.end
    if data_start + position != length:
        raise VerificationError(
            Check.UPDATE_LAYOUT, "end of the data", expected=length, got=data_start + position
        )
    return offsets
