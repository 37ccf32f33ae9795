"""Verification of one file of tensors: an update (checks 1 to 14), or the base model.

Two ways lead through the same judgements. ``inspect`` reads any file from its first byte to its last, once,
and decides everything on the bytes that it hashed. ``open_in_plan_order`` gives the data of a file to whoever
sweeps over many at once: a file whose header is the very one that this project's writer makes needs no
judging, and its data are hashed as they are read; any other is inspected first and copied into plan order.
Either way a byte that is used is a byte that was hashed: nothing is read a second time.

The digest comes before all that the bytes say: a damaged copy is nobody's verdict.
"""

from __future__ import annotations

import struct
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np

from aggregator.arithmetic import INFINITY_BITS, magnitude_bits, peak_bits
from aggregator.files import LeafHasher, PayloadFile
from ledger.checks import Check
from ledger.cid import CHUNK_BYTES, PayloadHasher, PayloadRef
from ledger.documents import MAX_WEIGHT
from ledger.errors import PayloadCorrupt, VerificationError
from ledger.tensors import encode_header, header_length, header_limit, parse_layout

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from contextlib import ExitStack
    from pathlib import Path

    from ledger.documents import Limits
    from ledger.records import Contribution
    from ledger.tensors import Layout, TensorSpec

__all__ = [
    "Claim",
    "Peak",
    "PlanOrder",
    "Receiver",
    "TensorData",
    "inspect",
    "judge_values",
    "named",
    "open_in_plan_order",
    "verify_declaration",
]


@dataclass(frozen=True, slots=True)
class Claim:
    """What a file has to be.

    Args:
        what: names the file in errors.
        ref: its digest and length.
        digest_check: the check that speaks of its digest.
        specs: the tensors in it, in plan order.
        metadata: its metadata.
    """

    what: str
    ref: PayloadRef
    digest_check: Check
    specs: Sequence[TensorSpec]
    metadata: Mapping[str, str]

    def require_digest(self, digest: bytes) -> None:
        """Refuse a copy whose bytes have another digest."""
        if digest != self.ref.digest:
            raise PayloadCorrupt(
                self.digest_check, f"{self.what}: digest", expected=self.ref.digest, got=digest
            )


@contextmanager
def named(what: str) -> Iterator[None]:
    """Put the name of the file in front of what a check says of it; the check stays the same."""
    try:
        yield
    except PayloadCorrupt:
        raise  # names its file already
    except VerificationError as error:
        said = error.what.partition(": ")[2]
        raise VerificationError(
            error.check, f"{what}: {said}", expected=error.expected, got=error.got
        ) from error


def verify_declaration(contribution: Contribution, limits: Limits) -> None:
    """Make the checks that need the chain's numbers alone (1 to 3); nothing has to be fetched for them.

    Raises:
        VerificationError: the first check that fails.
    """
    length, samples = contribution.byte_length, contribution.num_examples
    if not 1 <= length <= limits.max_bytes:  # check 1
        raise VerificationError(
            Check.UPDATE_SIZE, "declared length in bytes", expected=f"1 to {limits.max_bytes}", got=length
        )
    if not 1 <= samples <= MAX_WEIGHT:  # check 2
        raise VerificationError(
            Check.UPDATE_NUM_EXAMPLES, "declared num_examples", expected=f"1 to {MAX_WEIGHT}", got=samples
        )
    if contribution.payload != contribution.update:  # check 3
        raise VerificationError(
            Check.UPDATE_PLAIN, "payload digest", expected=contribution.update, got=contribution.payload
        )


def judge_values(peak: int, limits: Limits) -> None:
    """Make the checks on values (13 and 14), given the bits of the largest magnitude among them.

    Raises:
        VerificationError: the first check that fails.
    """
    value = struct.unpack("<f", peak.to_bytes(4, "little"))[0]
    if peak >= INFINITY_BITS:  # check 13
        raise VerificationError(Check.UPDATE_FINITE, "values", expected="finite", got=value)
    if peak > magnitude_bits(limits.max_abs):  # check 14
        raise VerificationError(
            Check.UPDATE_MAGNITUDE, "magnitude of a value", expected=f"at most {limits.max_abs}", got=value
        )


class Receiver(Protocol):
    """Takes the data of a file whose header holds, as they pass by."""

    def begin(self, layout: Layout) -> None:
        """Learn where the tensors lie."""
        ...

    def take(self, view: memoryview, offset: int) -> None:
        """Take the bytes at ``offset`` of the file; pieces come in order."""
        ...


class Peak:
    """A ``Receiver`` that finds the largest magnitude among binary32 values."""

    def __init__(self) -> None:
        self.bits = 0

    def begin(self, layout: Layout) -> None:
        """Nothing to learn: the file holds one value behind the other."""

    def take(self, view: memoryview, offset: int) -> None:  # noqa: ARG002 - where values stand does not matter
        """Take values; pieces hold whole ones."""
        self.bits = max(self.bits, peak_bits(np.frombuffer(view, "<u4")))


class PlanOrder:
    """A ``Receiver`` that writes each tensor where it stands in plan order.

    Args:
        specs: the tensors in plan order.
        copy: where they are written, the first at offset 0.
    """

    def __init__(self, specs: Sequence[TensorSpec], copy: PayloadFile) -> None:
        self._specs = specs
        self._copy = copy
        # Begin and end in the file, and begin in the copy; the first tensor in the file comes last.
        self._places: list[tuple[int, int, int]] = []

    def begin(self, layout: Layout) -> None:
        """Pair each tensor's place in the file with its place in the copy."""
        target = 0
        for spec in self._specs:
            if spec.nbytes:
                start = layout.offsets[spec.name]
                self._places.append((start, start + spec.nbytes, target))
            target += spec.nbytes
        self._places.sort(reverse=True)

    def take(self, view: memoryview, offset: int) -> None:
        """Write the parts of all tensors that this piece holds."""
        end = offset + len(view)
        while self._places and self._places[-1][0] < end:
            start, stop, target = self._places[-1]
            low, high = max(start, offset), min(stop, end)
            self._copy.write(view[low - offset : high - offset], target + low - start)
            if stop > end:
                break
            self._places.pop()


def inspect(file: PayloadFile, claim: Claim, receiver: Receiver) -> None:
    """Read a whole file once and judge it (checks 4 to 12).

    What the receiver took is worth something only if this returns.

    Raises:
        PayloadCorrupt: the bytes do not have the claimed digest, whatever else is wrong with them.
        VerificationError: the first check that fails.
    """
    stream = _Stream(file)
    failure = None
    try:
        receiver.begin(_judge_header(stream, claim))
    except VerificationError as error:
        failure = error
    for view, offset in stream.rest():
        if failure is None:
            receiver.take(view, offset)
    claim.require_digest(stream.digest)  # check 5
    if failure is not None:
        raise failure


def _judge_header(stream: _Stream, claim: Claim) -> Layout:
    length = stream.file.length
    if length != claim.ref.length:  # check 4
        raise VerificationError(Check.UPDATE_LENGTH, "length in bytes", expected=claim.ref.length, got=length)
    prefix = stream.take(min(8, length))
    limit = header_limit(claim.specs, claim.metadata)
    header = prefix + stream.take(header_length(prefix, length, limit) - 8)  # check 6
    return parse_layout(header, length, claim.specs, claim.metadata)  # checks 7 to 12


class _Stream:
    """A file's bytes in order, hashed as they are taken."""

    def __init__(self, file: PayloadFile) -> None:
        self.file = file
        self._hasher = PayloadHasher()

    def take(self, count: int) -> bytes:
        buffer = bytearray(count)
        self._fill(memoryview(buffer))
        return bytes(buffer)

    def rest(self) -> Iterator[tuple[memoryview, int]]:
        buffer = memoryview(bytearray(min(CHUNK_BYTES, self.file.length - self._hasher.length)))
        while self._hasher.length < self.file.length:
            offset = self._hasher.length
            view = buffer[: self.file.length - offset]
            self._fill(view)
            yield view, offset

    def _fill(self, view: memoryview) -> None:
        self.file.read_into(view, self._hasher.length)
        self._hasher.update(view)

    @property
    def digest(self) -> bytes:
        return self._hasher.ref().digest


class TensorData:
    """The data of a file's tensors in plan order, one behind the other.

    Args:
        file: what is read.
        start: offset of the first tensor in it.
        claim: what the file has to be.
        hasher: takes what is read; None where the digest holds already.
    """

    def __init__(self, file: PayloadFile, start: int, claim: Claim, hasher: LeafHasher | None) -> None:
        self._file = file
        self.start = start
        self._claim = claim
        self._hasher = hasher

    def read_into(self, view: memoryview, position: int) -> None:
        """Fill ``view`` with the data from ``position`` on. Each byte is to be read once."""
        self._file.read_into(view, self.start + position)
        if self._hasher is not None:
            self._hasher.update(view, self.start + position)

    def require_digest(self) -> None:
        """Refuse the file if the bytes read, which must be all, do not have the claimed digest.

        Raises:
            PayloadCorrupt
        """
        if self._hasher is not None:
            self._claim.require_digest(self._hasher.ref().digest)


def open_in_plan_order(path: Path, claim: Claim, folder: Path, stack: ExitStack) -> TensorData:
    """Open a file of tensors and judge its header (checks 4 and 6 to 12).

    Args:
        path: the file.
        claim: what it has to be.
        folder: where a copy in plan order may lie, without a name, while the file is in use.
        stack: closes what was opened.

    Raises:
        PayloadCorrupt, VerificationError: as ``inspect`` does.
        UnavailableError, UsageError: the file cannot be read.
    """
    file = stack.enter_context(PayloadFile.open(path, claim.what))
    header = encode_header(claim.specs, claim.metadata)
    length = len(header) + sum(spec.nbytes for spec in claim.specs)
    if file.length == claim.ref.length == length and _starts_with(file, header):
        hasher = LeafHasher(length)
        hasher.update(memoryview(header), 0)
        return TensorData(file, len(header), claim, hasher)
    copy = stack.enter_context(PayloadFile.scratch(folder, f"copy of {claim.what}"))
    inspect(file, claim, PlanOrder(claim.specs, copy))
    return TensorData(copy, 0, claim, None)


def _starts_with(file: PayloadFile, header: bytes) -> bool:
    found = bytearray(len(header))
    file.read_into(memoryview(found), 0)
    return found == header
