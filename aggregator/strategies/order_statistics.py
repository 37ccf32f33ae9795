"""Rules that sort the members' values of each element and average some of the middle ones.

Sorting is done for a whole tile at once by a network of elementwise minima and maxima, so that it runs at the
speed of vector instructions: K. E. Batcher, "Sorting networks and their applications" (1968), odd-even merge
sort in the form of Knuth, TAOCP vol. 3, 5.2.2, algorithm M. From the network every operation is dropped that
the wanted ranks do not depend on.

What a rule gives does not depend on how it sorts: equal values have equal bits, because +0.0 is added to each
value first, which turns −0.0 into +0.0.
"""

from __future__ import annotations

from abc import abstractmethod
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from aggregator.strategies.base import Scratch, Strategy, Tile, add_to_base

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

__all__ = ["Comparator", "OrderStatistics", "selection_network", "sort_tiles"]

Comparator = tuple[int, int, bool, bool]
"""Two wires ``i < j``, and whether the minimum, put on i, and the maximum, put on j, are wanted."""


class OrderStatistics(Strategy):
    """The mean of the values of certain ranks.

    With the n deltas of an element sorted ascending, and ranks low to high − 1 kept:

        acc = 0; for each kept value, ascending: acc = acc + value        (binary64)
        model = float32(base + acc / (high - low))
    """

    streams = False

    @abstractmethod
    def kept(self, members: int) -> tuple[int, int]:
        """Return the lowest rank kept, and one more than the highest, counted from 0 among ``members``."""

    def combine(self, base: Tile, updates: Iterable[tuple[Tile, int]], out: Tile, scratch: Scratch) -> None:
        """Sort and average; every member counts once."""
        tiles = [tile for tile, _ in updates]
        low, high = self.kept(len(tiles))
        (acc,) = scratch.float64(1, out.size)
        acc.fill(0.0)
        for tile in sort_tiles(tiles, low, high, scratch.float32(out.size)):
            np.add(acc, tile, out=acc)
        np.divide(acc, high - low, out=acc)
        add_to_base(base, acc, out)


def sort_tiles(tiles: Sequence[Tile], low: int, high: int, spare: Tile) -> list[Tile]:
    """Sort each element over tiles and return the tiles of ranks ``low`` to ``high - 1``, ascending.

    Args:
        tiles: same shape each; they are overwritten, and −0.0 becomes +0.0. NaNs end up anywhere.
        low: lowest rank, from 0.
        high: one more than the highest rank.
        spare: an array of the same shape, overwritten; may be among those returned.
    """
    wires = list(tiles)
    for tile in wires:
        np.add(tile, np.float32(0.0), out=tile)
    for i, j, want_min, want_max in selection_network(len(wires), low, high):
        if want_min and want_max:
            np.minimum(wires[i], wires[j], out=spare)
            np.maximum(wires[i], wires[j], out=wires[j])
            wires[i], spare = spare, wires[i]
        elif want_min:
            np.minimum(wires[i], wires[j], out=wires[i])
        else:
            np.maximum(wires[i], wires[j], out=wires[j])
    return wires[low:high]


@lru_cache(maxsize=64)
def selection_network(wires: int, low: int, high: int) -> tuple[Comparator, ...]:
    """Return comparators that put the values of ranks ``low`` to ``high - 1`` on the wires so numbered."""
    wanted = set(range(low, high))
    network: list[Comparator] = []
    for i, j in reversed(_sorting_network(wires)):
        if i in wanted or j in wanted:
            network.append((i, j, i in wanted, j in wanted))
            wanted |= {i, j}
    return tuple(reversed(network))


def _sorting_network(wires: int) -> list[tuple[int, int]]:
    """Batcher's network for the next power of two, without the wires that are not there.

    Those would carry the largest values and never move, so every comparator with one of them does nothing.
    """
    size = 1 << (wires - 1).bit_length()
    comparators = []
    for log_p in range(size.bit_length() - 1):
        p = 1 << log_p
        for k in (p >> shift for shift in range(log_p + 1)):
            for start in range(k % p, size - k, 2 * k):
                for i in range(start, min(start + k, wires - k)):
                    if i // (2 * p) == (i + k) // (2 * p):
                        comparators.append((i, i + k))  # noqa: PERF401 - four loops deep, a comprehension hides them
    return comparators
