"""Memory that aggregation takes (d): a process of its own for each number of members.

What counts is private memory above what the process had after its imports. Linux keeps the highest resident
size of a process (``VmHWM`` in ``/proc/self/status``) and lets it be set back to the present one. No file of
the round is mapped, so what is resident grows by private memory, and by pages of libraries that are touched
for the first time: the difference is an upper bound on the peak of private memory, with no moment missed, as
there would be in samples of ``smaps_rollup``.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from aggregator.engine import aggregate
from benchmarks.data import make_round, open_round
from benchmarks.timing import on_threads

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

__all__ = ["measure_memory"]

_RULES: dict[str, dict[str, object]] = {"fedavg": {}, "median": {}, "trimmed-mean": {"fraction": 0.2}}
_ROOT = Path(__file__).parents[1]


def measure_memory(
    folder: Path, *, rules: Sequence[str], members: Sequence[int], elements: int, threads: int
) -> Iterator[str]:
    """Yield one line a rule and number of members."""
    make_round(folder, max(members), elements, tensors=1)
    for rule in rules:
        for count in members:
            command = [sys.executable, "-m", "benchmarks.memory", str(folder), rule, str(count), str(threads)]
            done = subprocess.run(command, cwd=_ROOT, stdout=subprocess.PIPE, text=True, check=True)
            what = f"(d) peak memory of {rule}, {count} members × {elements:,} float32, {on_threads(threads)}"
            yield f"{what}: {int(done.stdout) / 1024:.0f} MiB"


def main(folder: str, rule: str, members: str, threads: str) -> None:
    """Aggregate once and print by how many KiB the process grew."""
    round_ = open_round(Path(folder), int(members)).with_rule(rule, _RULES[rule])
    Path("/proc/self/clear_refs").write_text(
        "5", encoding="ascii"
    )  # the highest size becomes the present one
    before = _highest_resident()
    out = Path(folder) / "model"
    aggregate(round_.plan, round_.binding, round_.base, round_.updates, out, threads=int(threads))
    print(_highest_resident() - before)


def _highest_resident() -> int:
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM:"))


if __name__ == "__main__":
    main(*sys.argv[1:])
