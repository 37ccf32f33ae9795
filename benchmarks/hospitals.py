"""Many hospitals (f): one chain, each member a process of its own, all on this machine.

What a round costs the consortium as it grows: transactions grow with the members, and each member recomputes
the updates of all. On separate machines the recomputing happens side by side; here all share its processors,
so the figures are an upper bound.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

from tests.chains import devnet
from tests.processes import Processes

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

__all__ = ["measure_hospitals"]


def measure_hospitals(members: Sequence[int], rounds: int) -> Iterator[str]:
    """Yield one line a number of members: seconds a round, from certification to certification."""
    for count in members:
        with (
            tempfile.TemporaryDirectory(prefix="fedledger-bench-") as folder,
            devnet() as url,
            Processes(Path(folder), url, members=count, rounds=rounds + 1).ready() as roles,
        ):
            roles.start()
            ends = []
            for number in range(1, rounds + 2):
                roles.wait_for_certified(number)
                ends.append(time.perf_counter())
            taken = statistics.median(later - earlier for earlier, later in pairwise(ends))
        yield f"(f) a round of {count} members as processes: {taken:.2f} s, {taken / count:.3f} s a member"
