"""Times of things that are compared."""

from __future__ import annotations

import statistics
import time
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

__all__ = ["alternate", "on_threads", "seconds"]

K = TypeVar("K")


def seconds(action: Callable[[], object]) -> float:
    """Return the wall time of one call in seconds."""
    begun = time.perf_counter()
    action()
    return time.perf_counter() - begun


def on_threads(threads: int) -> str:
    """Return the number of threads in words."""
    return "1 thread" if threads == 1 else f"{threads} threads"


def alternate(measures: Mapping[K, Callable[[], float]], repetitions: int) -> dict[K, float]:
    """Return the median of each measure; they take turns, after one round that is not counted."""
    taken: dict[K, list[float]] = {name: [] for name in measures}
    for repetition in range(repetitions + 1):
        for name, measure in measures.items():
            value = measure()
            if repetition:
                taken[name].append(value)
    return {name: statistics.median(values) for name, values in taken.items()}
