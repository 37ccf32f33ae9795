"""One pass over the base model and all updates: each byte is read once, hashed, judged, combined and written.

The model's data are cut into blocks. A block is worked on by one thread: it reads the base model's bytes and
each member's, hashes them while they are in the processor's cache, looks for values that are not allowed,
combines them and writes and hashes the result. So memory depends neither on the size of the model nor, for
rules that stream, on the number of members.

Nothing that a sweep wrote may be used before its digests and values were judged (``aggregator.engine``).
"""

from __future__ import annotations

import threading
from collections import deque
from dataclasses import dataclass
from queue import SimpleQueue
from typing import TYPE_CHECKING

import numpy as np

from aggregator.arithmetic import INFINITY_BITS, peak_bits, require_exact_arithmetic
from aggregator.files import LeafHasher
from aggregator.strategies import Scratch
from ledger.cid import CHUNK_BYTES

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from numpy.typing import NDArray

    from aggregator.files import PayloadFile
    from aggregator.strategies import Strategy, Tile
    from aggregator.verification import TensorData
    from ledger.cid import PayloadRef

__all__ = ["ModelWriter", "Sweep", "SweepInput"]

_STREAMED_BLOCK = CHUNK_BYTES
_RESIDENT_BLOCK = CHUNK_BYTES // 4
_SMALLEST_BLOCK = 4096
_MEMORY = 48 << 20
"""Bytes that the blocks of all threads may take together; blocks shrink where members or threads are many."""

_BLOCKS_PER_THREAD = 7
"""Beside the updates': base, result, and a rule's intermediate values, which take twice the bytes each."""


@dataclass(frozen=True, slots=True)
class SweepInput:
    """One accepted update: its data, its weight, and the bits of the largest magnitude allowed in it."""

    data: TensorData
    weight: int
    limit: int


class ModelWriter:
    """Writes and hashes a model file, in pieces and in any order.

    Args:
        file: where it is written.
        header: its first bytes, up to the data.
        data_bytes: length of its data.
    """

    def __init__(self, file: PayloadFile, header: bytes, data_bytes: int) -> None:
        self._file = file
        self.start = len(header)
        self._hasher = LeafHasher(len(header) + data_bytes)
        self._put(memoryview(header), 0)

    def write(self, view: memoryview, position: int) -> None:
        """Write data at a position counted from the start of the data. Each byte is to be written once."""
        self._put(view, self.start + position)

    def ref(self) -> PayloadRef:
        """The reference, once everything was written."""
        return self._hasher.ref()

    def _put(self, view: memoryview, offset: int) -> None:
        self._hasher.update(view, offset)
        self._file.write(view, offset)


class Sweep:
    """The pass.

    Args:
        base: the base model's data: trainable tensors, then the others.
        updates: ascending by member.
        rule: combines them.
        writer: takes the new model.
        trainable_bytes: length of the trainable tensors' data.
        frozen_bytes: length of the others'; they are copied.

    Attributes:
        peaks: for each update the bits of its largest magnitude, after ``run``.
        finite: whether every element of the result is finite, after ``run``.
    """

    def __init__(
        self,
        base: TensorData,
        updates: Sequence[SweepInput],
        rule: Strategy,
        writer: ModelWriter,
        *,
        trainable_bytes: int,
        frozen_bytes: int,
    ) -> None:
        self._base = base
        self._updates = updates
        self._rule = rule
        self._writer = writer
        self._trainable = trainable_bytes
        self._total = trainable_bytes + frozen_bytes
        self._in_vain = not updates  # nothing worth writing will come out; bytes are still hashed and judged
        self._stopped = False
        self._pending: Iterator[range] = iter(())
        self._lock = threading.Lock()
        self.peaks = [0] * len(updates)
        self.finite = True

    def run(self, threads: int) -> None:
        """Make the pass with this many threads; the result does not depend on it.

        Raises:
            UnavailableError: a file could not be read or written.
            UsageError: the arithmetic of a thread is not exact.
        """
        tasks = self._tasks()
        self._pending = iter(tasks)
        threads = max(1, min(threads, len(tasks)))
        block = self._block_bytes(threads)
        if threads == 1:
            self._work(block)
            return
        outcomes: SimpleQueue[BaseException | None] = SimpleQueue()
        workers = [
            threading.Thread(target=self._report, args=(block, outcomes), name="aggregator", daemon=True)
            for _ in range(threads)
        ]
        try:
            for worker in workers:
                worker.start()
            for _ in workers:
                error = outcomes.get()
                if error is not None:
                    raise error
        finally:
            self._stopped = True
            for worker in workers:
                if worker.ident is not None:
                    worker.join()

    def _report(self, block: int, outcomes: SimpleQueue[BaseException | None]) -> None:
        # A queue that is C code rather than futures: an interrupt that comes while the caller waits for a
        # future can leave the future's lock taken, and this thread stuck at it.
        try:
            self._work(block)
        except BaseException as error:  # noqa: BLE001 - raised again by the caller
            outcomes.put(error)
        else:
            outcomes.put(None)

    def _tasks(self) -> list[range]:
        # Cut where the updates' leaves end, so that each leaf is hashed by one thread and in order.
        update_start = self._updates[0].data.start if self._updates else self._base.start
        return [
            *_cut(0, self._trainable, CHUNK_BYTES, update_start),
            *_cut(self._trainable, self._total, CHUNK_BYTES, self._writer.start),
        ]

    def _block_bytes(self, threads: int) -> int:
        wanted, tiles = (_STREAMED_BLOCK, 1) if self._rule.streams else (_RESIDENT_BLOCK, len(self._updates))
        share = _MEMORY // (threads * (tiles + _BLOCKS_PER_THREAD))
        return max(_SMALLEST_BLOCK, min(wanted, 1 << (share.bit_length() - 1)))

    def _next(self) -> range | None:
        with self._lock:
            return None if self._stopped else next(self._pending, None)

    def _work(self, block: int) -> None:
        require_exact_arithmetic()
        tiles = 1 if self._rule.streams else len(self._updates)
        desk = _Desk(block, max(1, tiles), len(self._updates))
        try:
            with np.errstate(all="ignore"):
                while (task := self._next()) is not None:
                    for part in _cut(task.start, task.stop, block, -task.start):
                        self._block(part, desk)
        except BaseException:
            self._stopped = True
            raise
        with self._lock:
            self.peaks = [max(pair) for pair in zip(self.peaks, desk.peaks, strict=True)]
            self.finite = self.finite and desk.result_peak < INFINITY_BITS

    def _block(self, part: range, desk: _Desk) -> None:
        base, out = desk.base[: len(part)], desk.out[: len(part)]
        self._base.read_into(base.data, part.start)
        if part.start >= self._trainable:
            if not self._in_vain:
                self._writer.write(base.data, part.start)
            return
        updates = self._draw(part, desk)
        if not self._in_vain:
            self._rule.combine(base.view("<f4"), updates, out.view("<f4"), desk.scratch)
            desk.result_peak = max(desk.result_peak, peak_bits(out.view("<u4")))
            self._writer.write(out.data, part.start)
        deque(updates, maxlen=0)  # what no rule asked for is still read, hashed and judged

    def _draw(self, part: range, desk: _Desk) -> Iterator[tuple[Tile, int]]:
        for index, update in enumerate(self._updates):
            tile = desk.tiles[index % len(desk.tiles)][: len(part)]
            update.data.read_into(tile.data, part.start)
            peak = peak_bits(tile.view("<u4"))
            desk.peaks[index] = max(desk.peaks[index], peak)
            if peak > update.limit:
                self._in_vain = True
            yield tile.view("<f4"), update.weight


class _Desk:
    """What one thread works with: its blocks, and what it found so far."""

    def __init__(self, block: int, tiles: int, updates: int) -> None:
        self.base: NDArray[np.uint8] = np.empty(block, np.uint8)
        self.out: NDArray[np.uint8] = np.empty(block, np.uint8)
        self.tiles: list[NDArray[np.uint8]] = [np.empty(block, np.uint8) for _ in range(tiles)]
        self.scratch = Scratch()
        self.peaks = [0] * updates
        self.result_peak = 0


def _cut(begin: int, end: int, size: int, shift: int) -> Iterable[range]:
    """Cut ``begin`` to ``end`` where a position plus ``shift`` is a multiple of ``size``."""
    while begin < end:
        stop = min(end, begin + size - (begin + shift) % size)
        yield range(begin, stop)
        begin = stop
