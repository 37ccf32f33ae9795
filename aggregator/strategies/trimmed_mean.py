"""Coordinate-wise trimmed mean.

D. Yin et al., "Byzantine-Robust Distributed Learning: Towards Optimal Statistical Rates" (2018).
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import ClassVar

from aggregator.strategies.base import register
from aggregator.strategies.order_statistics import OrderStatistics
from ledger.errors import UsageError

__all__ = ["TrimmedMean"]


@register
@dataclass(frozen=True)
class TrimmedMean(OrderStatistics):
    """The mean of the deltas without the lowest and the highest floor(fraction × members) of them.

    Args:
        fraction: share cut from each end, 0 ≤ fraction < 0.5. It counts as the decimal that the plan spells,
            not as the binary64 nearest to it: 0.3 of 10 members are 3.
    """

    name: ClassVar[str] = "trimmed-mean"

    fraction: float = 0.2

    def __post_init__(self) -> None:
        number = isinstance(self.fraction, int | float) and not isinstance(self.fraction, bool)
        if not number or not 0 <= self.fraction < 0.5:
            raise UsageError("trimmed-mean: fraction", expected="0 ≤ fraction < 0.5", got=self.fraction)

    def kept(self, members: int) -> tuple[int, int]:
        """Keep all but the same number at both ends."""
        cut = Fraction(str(self.fraction)) * members // 1
        return cut, members - cut
