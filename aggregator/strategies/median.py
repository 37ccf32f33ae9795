"""Coordinate-wise median.

D. Yin et al., "Byzantine-Robust Distributed Learning: Towards Optimal Statistical Rates" (2018).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from aggregator.strategies.base import register
from aggregator.strategies.order_statistics import OrderStatistics

__all__ = ["Median"]


@register
@dataclass(frozen=True)
class Median(OrderStatistics):
    """The median of the deltas; the mean of the two middle ones where their number is even."""

    name: ClassVar[str] = "median"

    def kept(self, members: int) -> tuple[int, int]:
        """Keep the middle one, or two."""
        return (members - 1) // 2, members // 2 + 1
