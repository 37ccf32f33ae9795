"""The measurements run, on small sizes and without what they compare with."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks import ledger_api
from benchmarks.aggregation import compare_fedavg
from benchmarks.flower import Flower, FlowerMissingError
from benchmarks.memory import measure_memory
from benchmarks.timing import alternate

ROOT = Path(__file__).parents[2]


def test_a_python_without_flower_is_told(tmp_path: Path) -> None:
    with pytest.raises(FlowerMissingError, match="cannot run"):
        Flower(tmp_path / "python")


def test_fedavg_is_compared_with_plain_hashing_though_there_is_no_flower(tmp_path: Path) -> None:
    sizes = {"members": 3, "elements": 1000, "tensors": 2}
    lines = list(compare_fedavg(tmp_path / "round", None, repetitions=1, **sizes))
    assert [line[:3] for line in lines] == ["(b)"] * 4
    assert all(re.search(r"\d+\.\d\d ×", line) for line in lines)


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_memory_is_measured_for_each_number_of_members(tmp_path: Path) -> None:
    lines = list(
        measure_memory(tmp_path / "round", rules=["median"], members=(1, 3), elements=1000, threads=1)
    )
    assert [re.sub(r"\d+ MiB", "n MiB", line) for line in lines] == [
        "(d) peak memory of median, 1 members × 1,000 float32, 1 thread: n MiB",
        "(d) peak memory of median, 3 members × 1,000 float32, 1 thread: n MiB",
    ]


def test_what_is_compared_takes_turns_and_the_first_turn_does_not_count() -> None:
    calls: list[str] = []
    values = iter([100.0, 100.0, 1.0, 5.0, 2.0, 6.0, 9.0, 7.0])

    def measure(name: str) -> float:
        calls.append(name)
        return next(values)

    medians = alternate({"a": lambda: measure("a"), "b": lambda: measure("b")}, 3)
    assert "".join(calls) == "abababab"
    assert medians == {"a": 2.0, "b": 6.0}


def test_the_program_explains_itself() -> None:
    command = [sys.executable, "-m", "benchmarks", "--help"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert "--flower-python" in done.stdout


def test_the_ledger_api_is_measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ledger_api, "_SECONDS", 1)
    lines = [*ledger_api.make_index(tmp_path / "index", 3, 2)]
    lines += ledger_api.measure_ledger_api(tmp_path / "index", 3, 2, soak=2)
    assert len(lines) == 11
    assert lines[0].startswith("(g) 60 contributions: ")
