"""The files a member writes and reads: updates and models, in the format of ``ledger.tensors``.

numpy only, so that recomputing a round needs no torch. What is written here is durable on return: the
journal's row that names an update comes after bytes that can no longer be lost.
"""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING, Any

import numpy as np

from ledger.checks import Check
from ledger.cid import PayloadHasher, PayloadRef
from ledger.documents import MAX_WEIGHT
from ledger.errors import UnavailableError, UsageError, VerificationError
from ledger.tensors import MODEL_METADATA, encode_header, header_length, header_limit, parse_layout, trainable
from storage.files import whole_file

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from io import BufferedReader
    from pathlib import Path

    from numpy.typing import NDArray

    from ledger.tensors import TensorSpec, UpdateBinding

__all__ = ["read_model", "write_model", "write_update"]

_NUMPY = {"BOOL": "?", "U8": "u1", "I8": "i1", "I16": "<i2", "U16": "<u2", "I32": "<i4", "U32": "<u4"}
_NUMPY |= {"I64": "<i8", "U64": "<u8", "F16": "<f2", "F32": "<f4", "F64": "<f8"}
_NUMPY |= {"BF16": "<u2"}  # numpy has no bfloat16; its bits travel as they are


def write_update(
    path: Path,
    trained: Mapping[str, NDArray[Any]],
    base: Mapping[str, NDArray[Any]],
    specs: Sequence[TensorSpec],
    binding: UpdateBinding,
    *,
    max_abs: float,
) -> PayloadRef:
    """Write the delta from the round's base model to the trained one, in float32.

    Args:
        path: where the file goes; an older one of that name is replaced.
        trained: the tensors after training; only trainable ones are read.
        base: the base model's tensors.
        specs: the plan's tensors.
        binding: what the update's metadata bind it to.
        max_abs: the plan's bound on a value; an update beyond it would be rejected by everybody.

    Raises:
        UsageError: a tensor does not fit its specification, a value of the delta is not finite or above
            ``max_abs``, or num_examples is out of range. Nothing is written.
        UnavailableError: the disk refused.
    """
    if not 1 <= binding.num_examples <= MAX_WEIGHT:
        raise UsageError("num_examples of an update", expected=f"1 to {MAX_WEIGHT}", got=binding.num_examples)
    kept = trainable(specs)
    deltas = [_delta(spec, _fitting(spec, trained), _fitting(spec, base), max_abs) for spec in kept]
    return _write(path, encode_header(kept, binding.metadata()), deltas)


def write_model(path: Path, tensors: Mapping[str, NDArray[Any]], specs: Sequence[TensorSpec]) -> PayloadRef:
    """Write a model; equal tensors give equal bytes. An older file of that name is replaced.

    Raises:
        UsageError: a tensor is missing, too many, or does not fit its specification.
        UnavailableError: the disk refused.
    """
    names = {spec.name for spec in specs}
    if tensors.keys() - names:
        raise UsageError("tensors of a model", expected=sorted(names), got=sorted(tensors))
    return _write(path, encode_header(specs, MODEL_METADATA), [_fitting(spec, tensors) for spec in specs])


def read_model(path: Path, specs: Sequence[TensorSpec]) -> dict[str, NDArray[Any]]:
    """Read a model file whose header is exactly what the plan says; no data are read before that is known.

    The caller has checked the file's digest or does so; this checks its form only.

    Returns:
        Fresh arrays by name, in the order of ``specs``; BF16 tensors as the uint16 of their bits.

    Raises:
        VerificationError: checks 6 to 12, and check 4 where the file changes while it is read.
        UnavailableError: it is not there, not a regular file, or the disk refused.
    """
    try:
        with _open_regular(path) as file:
            length = os.fstat(file.fileno()).st_size
            prefix = file.read(8)
            size = header_length(prefix, length, header_limit(specs, MODEL_METADATA))
            layout = parse_layout(prefix + file.read(size - 8), length, specs, MODEL_METADATA)
            return {spec.name: _read_tensor(file, spec, layout.offsets[spec.name]) for spec in specs}
    except OSError as error:
        raise UnavailableError(f"reading {path}: {error.strerror}") from error


def _fitting(spec: TensorSpec, tensors: Mapping[str, NDArray[Any]]) -> NDArray[Any]:
    tensor = tensors.get(spec.name)
    if tensor is None:
        raise UsageError("tensors of a model", expected=f"one named {spec.name}", got=sorted(tensors))
    dtype = np.dtype(_NUMPY[spec.dtype])
    if tensor.shape != spec.shape or tensor.dtype.newbyteorder("<") != dtype:
        raise UsageError(
            f"tensor {spec.name}", expected=f"{dtype.name} {spec.shape}", got=f"{tensor.dtype} {tensor.shape}"
        )
    return tensor.astype(dtype, order="C", copy=False)


def _delta(spec: TensorSpec, trained: NDArray[Any], base: NDArray[Any], max_abs: float) -> NDArray[Any]:
    with np.errstate(over="ignore", invalid="ignore"):  # what comes of it is looked at below
        delta = np.asarray(np.subtract(trained, base, dtype=np.float32), dtype="<f4")
    largest = float(np.max(np.abs(delta), initial=0.0))  # NaN where any value is NaN
    if not largest <= max_abs:
        raise UsageError(
            f"update of tensor {spec.name}",
            expected=f"finite values of magnitude at most {max_abs}",
            got=largest,
        )
    return delta


def _write(path: Path, header: bytes, arrays: Iterable[NDArray[Any]]) -> PayloadRef:
    hasher = PayloadHasher()
    with whole_file(path) as file:
        for piece in (memoryview(header), *(_bytes_of(array) for array in arrays)):
            file.write(piece)
            hasher.update(piece)
    return hasher.ref()


def _bytes_of(array: NDArray[Any]) -> memoryview:
    """An array's own memory, without a copy; the array is contiguous."""
    return array.reshape(-1).view(np.uint8).data


def _open_regular(path: Path) -> BufferedReader:
    # O_NONBLOCK: a named pipe in the file's place must be refused, not waited for.
    descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0))
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise UnavailableError(f"reading {path}", expected="a regular file")
    return os.fdopen(descriptor, "rb")


def _read_tensor(file: BufferedReader, spec: TensorSpec, offset: int) -> NDArray[Any]:
    tensor = np.empty(spec.shape, dtype=_NUMPY[spec.dtype])
    file.seek(offset)
    read = file.readinto(_bytes_of(tensor))
    if read != spec.nbytes:
        raise VerificationError(
            Check.UPDATE_LENGTH, f"data of tensor {spec.name}", expected=spec.nbytes, got=read
        )
    return tensor
