"""How many requests one caller may send: token buckets in memory that does not grow with callers."""

from __future__ import annotations

import math
import time
from collections import OrderedDict
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Buckets"]


class Buckets:
    """A bucket for each caller: it holds some requests, and is filled evenly.

    Args:
        per_minute: requests that come into a bucket in a minute.
        burst: requests that a bucket holds.
        most: buckets that are kept; the one that was not asked for longest is forgotten, and full when it
            is made anew.
        clock: seconds that never go back.
    """

    def __init__(
        self, per_minute: int, burst: int, *, most: int = 10_000, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._rate = per_minute / 60
        self._burst = burst
        self._most = most
        self._clock = clock
        self._buckets: OrderedDict[str | bytes, tuple[float, float]] = OrderedDict()

    def take(self, caller: str | bytes) -> int:
        """Take a request out of a caller's bucket; return 0, or in how many seconds there is one again."""
        now = self._clock()
        held, last = self._buckets.pop(caller, (float(self._burst), now))
        held = min(self._burst, held + (now - last) * self._rate)
        left = held - 1 if held >= 1 else held
        self._buckets[caller] = (left, now)
        if len(self._buckets) > self._most:
            self._buckets.popitem(last=False)
        return 0 if held >= 1 else math.ceil((1 - held) / self._rate)
