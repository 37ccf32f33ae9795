"""Run the measurements and print each as soon as it is made."""

from __future__ import annotations

import argparse
import sys
import tempfile
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.aggregation import compare_fedavg, compare_sorting_rules
from benchmarks.flower import Flower, FlowerMissingError
from benchmarks.hospitals import measure_hospitals
from benchmarks.ledger_api import make_index, measure_ledger_api
from benchmarks.memory import measure_memory
from benchmarks.rounds import compare_rounds

if TYPE_CHECKING:
    from collections.abc import Iterator

_ROOT = Path(__file__).parents[1]
_LETTERS = "abcdefg"
_MEMBERS = (3, 10, 30)
_PROCESSES = (4, 8, 16, 32)
_RUNS = 2000
"""Of 50 rounds with ten members each: a million contributions."""


def main() -> None:
    """Measure what the command line asks for."""
    options = _options()
    try:
        flower = Flower(options.flower_python)
    except FlowerMissingError as error:
        print(f"no comparison with Flower: {error}")
        flower = None
    with flower or nullcontext():
        for line in _measure(options, flower):
            print(line, flush=True)


def _options() -> argparse.Namespace:
    beside = _ROOT / ".venv-bench" / "bin" / "python"
    flower_python = beside if beside.exists() else Path(sys.executable)
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--only", default=_LETTERS, help=f"letters of measurements; default {_LETTERS}")
    parser.add_argument(
        "--scale",
        type=float,
        default=1.0,
        help="factor on the number of elements in (a) to (d), and of runs in (g)",
    )
    parser.add_argument(
        "--repetitions", type=int, default=5, help="how often each side of (a) to (c) is timed"
    )
    parser.add_argument("--rounds", type=int, default=5, help="rounds of (e) and (f)")
    parser.add_argument(
        "--folder", type=Path, help="where up to 4 GB may lie meanwhile; default the temporary folder"
    )
    parser.add_argument("--flower-python", type=Path, default=flower_python, help="a Python that has flwr")
    return parser.parse_args()


def _measure(options: argparse.Namespace, flower: Flower | None) -> Iterator[str]:
    only, repetitions = set(options.only), options.repetitions
    wide, narrow = int(25_000_000 * options.scale), int(10_000_000 * options.scale)
    if only & {"a", "b"}:
        for tensors in (1, 25):
            with _folder(options) as folder:
                sizes = {"members": 10, "elements": wide, "tensors": tensors}
                yield from compare_fedavg(folder, flower, repetitions=repetitions, **sizes)
    if "c" in only and flower is not None:
        with _folder(options) as folder:
            yield from compare_sorting_rules(
                folder, flower, members=12, elements=narrow, repetitions=repetitions
            )
    if "d" in only:
        with _folder(options) as folder:
            yield from measure_memory(folder, rules=["fedavg"], members=_MEMBERS, elements=wide, threads=2)
        with _folder(options) as folder:
            rules = ["median", "trimmed-mean"]
            yield from measure_memory(folder, rules=rules, members=_MEMBERS, elements=narrow, threads=2)
    if "e" in only:
        yield from compare_rounds(options.rounds, hospitals=4)
    if "f" in only:
        yield from measure_hospitals(_PROCESSES, options.rounds)
    if "g" in only:
        with _folder(options) as folder:
            runs = max(10, int(_RUNS * options.scale))
            yield from make_index(folder, runs, rounds=50)
            yield from measure_ledger_api(folder, runs, rounds=50, soak=600 * min(1.0, options.scale))


@contextmanager
def _folder(options: argparse.Namespace) -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="fedledger-bench-", dir=options.folder) as folder:
        yield Path(folder) / "round"


if __name__ == "__main__":
    main()
