"""Speed of verification and aggregation: (a) and (c) against Flower, (b) against plain SHA-256.

Ours verifies every digest and value, and writes and hashes the new model; Flower loads and aggregates, no
more. Each side starts from files that the operating system holds in memory.
"""

from __future__ import annotations

import hashlib
import threading
from functools import partial
from typing import TYPE_CHECKING

from aggregator.engine import aggregate
from benchmarks.data import make_round
from benchmarks.timing import alternate, on_threads, seconds
from ledger.cid import CHUNK_BYTES

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from benchmarks.data import MadeUpRound
    from benchmarks.flower import Flower

__all__ = ["compare_fedavg", "compare_sorting_rules"]

_THREADS = (1, 2)
_SORTING_RULES: dict[str, dict[str, object]] = {"median": {}, "trimmed-mean": {"fraction": 0.2}}


def compare_fedavg(
    folder: Path, flower: Flower | None, *, members: int, elements: int, tensors: int, repetitions: int
) -> Iterator[str]:
    """Yield the lines of (a) and (b)."""
    round_ = make_round(folder, members, elements, tensors=tensors)
    measures = {f"ours {threads}": partial(seconds, partial(_run, round_, threads)) for threads in _THREADS}
    files = [update.path for update in round_.updates]
    for threads in _THREADS:
        measures[f"updates {threads}"] = partial(seconds, partial(_hash, files, threads))
        measures[f"all {threads}"] = partial(seconds, partial(_hash, [round_.base, *files], threads))
    if flower is not None:
        flower.serialize(round_)
        measures["arrays"] = partial(flower.seconds, round_, "fedavg")
        measures["own form"] = partial(flower.seconds, round_, "fedavg", serialized=True)
    taken = alternate(measures, repetitions)
    size = f"{members} updates × {elements:,} float32 in {tensors} tensor{'s' * (tensors > 1)}"
    for threads in _THREADS:
        ours = taken[f"ours {threads}"]
        if flower is not None:
            what = f"verify + FedAvg against Flower {flower.version}, {size}"
            yield _line("a", what, threads, taken["arrays"], ours)
            yield _line("a", "… which reads files in its own form", threads, taken["own form"], ours)
        yield _line(
            "b", f"verify + FedAvg against SHA-256, {size}", threads, taken[f"updates {threads}"], ours
        )
        yield _line("b", "… of the base model too", threads, taken[f"all {threads}"], ours)


def compare_sorting_rules(
    folder: Path, flower: Flower, *, members: int, elements: int, repetitions: int
) -> Iterator[str]:
    """Yield the lines of (c)."""
    round_ = make_round(folder, members, elements, tensors=1)
    size = f"{members} updates × {elements:,} float32"
    for rule, parameters in _SORTING_RULES.items():
        ruled = round_.with_rule(rule, parameters)
        measures = {f"{t}": partial(seconds, partial(_run, ruled, t)) for t in _THREADS}
        measures["all"] = partial(flower.seconds, round_, rule)
        measures["resident"] = partial(flower.seconds, round_, rule, loading=False)
        taken = alternate(measures, repetitions)
        for threads in _THREADS:
            what = f"verify + {rule} against Flower {flower.version}, {size}"
            yield _line("c", what, threads, taken["all"], taken[f"{threads}"])
            yield _line("c", "… without its loading", threads, taken["resident"], taken[f"{threads}"])


def _line(letter: str, what: str, threads: int, theirs: float, ours: float) -> str:
    return f"({letter}) {what}, {on_threads(threads)}: {theirs / ours:.2f} ×  ({theirs:.2f} s / {ours:.2f} s)"


def _run(round_: MadeUpRound, threads: int) -> None:
    out = round_.base.with_name("model")
    outcome = aggregate(round_.plan, round_.binding, round_.base, round_.updates, out, threads=threads)
    assert outcome.model is not None
    assert len(outcome.weights) == len(round_.updates)


def _hash(paths: Sequence[Path], threads: int) -> None:
    """Read files by the leaf and hash each leaf: as plain as it can be."""
    pending = iter(
        [(path, offset) for path in paths for offset in range(0, path.stat().st_size, CHUNK_BYTES)]
    )
    lock = threading.Lock()

    def work() -> None:
        buffer = bytearray(CHUNK_BYTES)
        while True:
            with lock:
                path, offset = next(pending, (None, 0))
            if path is None:
                return
            with path.open("rb", buffering=0) as file:
                file.seek(offset)
                hashlib.sha256(memoryview(buffer)[: file.readinto(buffer)])

    workers = [threading.Thread(target=work) for _ in range(threads)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
