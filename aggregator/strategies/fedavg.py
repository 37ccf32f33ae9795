"""Federated averaging.

B. McMahan et al., "Communication-Efficient Learning of Deep Networks from Decentralized Data" (2017).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from aggregator.strategies.base import Scratch, Strategy, Tile, add_to_base, register
from ledger.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["FedAvg"]


@register
@dataclass(frozen=True)
class FedAvg(Strategy):
    """The mean of the deltas, weighted by the number of examples up to the plan's cap.

        acc = 0; for each member: acc = acc + delta * weight
        model = float32(base + acc / sum(weight))

    The products are exact: 24 bits of a binary32 and 29 of a weight fit the 53 of a binary64.

    Args:
        weighted: false counts each member once.
    """

    name: ClassVar[str] = "fedavg"
    streams: ClassVar[bool] = True

    weighted: bool = True

    def __post_init__(self) -> None:
        if not isinstance(self.weighted, bool):
            raise UsageError("fedavg: weighted", expected="true or false", got=self.weighted)

    def weight(self, num_examples: int, cap: int) -> int:
        """Return min(num_examples, cap), or 1."""
        return min(num_examples, cap) if self.weighted else 1

    def combine(self, base: Tile, updates: Iterable[tuple[Tile, int]], out: Tile, scratch: Scratch) -> None:
        """Add up in binary64, member by member."""
        acc, term = scratch.float64(2, out.size)
        acc.fill(0.0)
        total = 0
        for delta, weight in updates:
            # A product of binary32 and a number would be made in binary32; widening first is also faster.
            np.copyto(term, delta)
            np.multiply(term, weight, out=term)
            np.add(acc, term, out=acc)
            total += weight
        np.divide(acc, total, out=acc)
        add_to_base(base, acc, out)
