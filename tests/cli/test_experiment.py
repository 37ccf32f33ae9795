"""What a demo's training comes to, beside the ledger."""

from __future__ import annotations

import csv
import json
import logging
import os
import random
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from audit.demo import MODEL_FILE, audit_demo
from cli.experiment import DemoSettings, experiment_of
from ledger.errors import DataError
from node.tabular import TabularData
from node.training import derive_seed
from node.updates import write_model
from tests.cli.conftest import FEDLEDGER

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from numpy.typing import NDArray

    from cli.experiment import Experiment
    from tests.cli.conftest import Outcome

_log = logging.getLogger(__name__)

LARGE_MB = float(os.environ.get("FEDLEDGER_LARGE_CSV_MB", "5"))
MANY = 64 if os.environ.get("FEDLEDGER_HYPOTHESIS") == "thorough" else 24


def trained(experiment: Experiment) -> dict[str, NDArray[np.float32]]:
    """Train without ledger or files: the average of DESIGN's words, in numpy."""
    model = experiment.task.genesis(experiment.settings.seed)
    for round_ in range(1, experiment.settings.rounds + 1):
        updates = []
        for member, rows in enumerate(experiment.rows):
            seed = derive_seed(experiment.settings.seed, 1, round_, member)
            update = experiment.task.train(model, rows, seed=seed)
            updates.append((update.tensors, update.num_examples))
        model = {name: _average(base, name, updates) for name, base in model.items()}
    return model


def _average(base: NDArray[np.float32], name: str, updates: list[Any]) -> NDArray[np.float32]:
    total = np.zeros(base.shape, dtype=np.float64)
    for tensors, num_examples in updates:
        delta = tensors[name] - base
        total += delta.astype(np.float64) * float(num_examples)
    mean = total / float(sum(num_examples for _, num_examples in updates))
    return (base.astype(np.float64) + mean).astype(np.float32)


def test_a_demos_model_is_the_plain_average_of_what_its_hospitals_train(
    run: Callable[..., Outcome], tmp_path: Path
) -> None:
    assert run("demo", "--no-serve", "--out", tmp_path / "out").code == 0
    experiment = experiment_of(DemoSettings())
    write_model(tmp_path / "model", trained(experiment), experiment.task.tensors())
    assert (tmp_path / "model").read_bytes() == (tmp_path / "out" / MODEL_FILE).read_bytes()


def test_over_ten_seeds_the_federated_model_is_as_good_as_one_trained_on_all_rows() -> None:
    """The training alone, which the test above shows to be the demo's to the last bit."""
    federated, pooled = [], []
    for seed in range(10):
        experiment = experiment_of(DemoSettings(seed=seed))
        everything = TabularData.union(experiment.rows)
        federated.append(experiment.task.evaluate(trained(experiment), everything)["auc"])
        pooled.append(experiment.baseline(everything, len(experiment.rows))["auc"])
    assert np.mean(federated) >= np.mean(pooled) - 0.02, (federated, pooled)


def test_data_are_looked_at_before_anything_is_trained() -> None:
    with pytest.raises(DataError, match="rows for hospital-"):
        experiment_of(DemoSettings(hospitals=200))


def large_table(path: Path, megabytes: float, columns: int = 80) -> int:
    """Write a table of about that size, one column all NaN; returns the number of rows."""
    rng = random.Random(5)  # noqa: S311 - a table, no secret
    rows = 0
    # One block of values again and again, shifted by a column each time: fast, and no two rows alike.
    block = [f"{rng.gauss(0, 1):.6f}" for _ in range(columns * 997)]
    with path.open("w", encoding="utf-8", newline="") as file:
        out = csv.writer(file)
        out.writerow(["site", *(f"lab{i}" for i in range(columns)), "empty", "ill"])
        while file.tell() < megabytes * 1e6:
            for _ in range(1000):
                start = rows * 13 % (len(block) - columns)
                values = block[start : start + columns]
                out.writerow([f"site-{rows % 5}", *values, "NaN", int(float(values[0]) > 0)])
                rows += 1
    return rows


MEASURED = """
import os, subprocess, sys
process = subprocess.Popen(sys.argv[1:], stdout=sys.stderr)
_, status, usage = os.wait4(process.pid, 0)
print(usage.ru_utime + usage.ru_stime, usage.ru_maxrss)
sys.exit(os.waitstatus_to_exitcode(status))
"""
"""Runs a command from a small process: the peak that Linux tells of one is at least that of its parent."""


def test_a_large_table_with_a_column_of_nothing_is_refused_and_without_it_trains_in_bounded_memory(
    tmp_path: Path,
) -> None:
    """5 MB by default; ``FEDLEDGER_LARGE_CSV_MB=200`` tries what the project promises, and
    ``--log-cli-level=INFO`` shows what it took.
    """
    path = tmp_path / "large.csv"
    rows = large_table(path, LARGE_MB)
    out = tmp_path / "out"
    command = [
        FEDLEDGER,
        "demo",
        "--no-serve",
        "--data",
        path,
        "--label",
        "ill",
        "--site-column",
        "site",
        "--rounds",
        "1",
    ]
    refused = subprocess.run([*command, "--out", out], capture_output=True, check=False, encoding="utf-8")
    assert refused.returncode == 2
    assert refused.stderr.startswith(f"fedledger: {path}: column empty: expected a value")
    assert refused.stderr.count("\n") == 1
    assert not out.exists()
    command += ["--exclude", "empty"]
    measured = [sys.executable, "-c", MEASURED, *map(str, command), "--out", str(out)]
    done = subprocess.run(measured, capture_output=True, check=False, encoding="utf-8", timeout=1800)
    assert done.returncode == 0, done.stderr
    metrics = json.loads((out / "metrics.json").read_bytes())
    assert metrics["data"]["rows"] == rows
    assert metrics["rounds"][0]["pooled_test"]["auc"] > 0.95
    assert audit_demo(out).holds
    seconds, kibibytes = map(float, done.stdout.split())
    peak = kibibytes * 1024
    _log.info("%g MB, %d rows: %.0f s of CPU, peak %.0f MiB", LARGE_MB, rows, seconds, peak / (1 << 20))
    # Beside the process as it is without data, a few copies of the numbers and no text.
    assert peak < 600e6 + 3 * path.stat().st_size


@pytest.mark.slow
def test_a_consortium_of_many_hospitals_certifies_a_round(
    run: Callable[..., Outcome], tmp_path: Path
) -> None:
    """Work grows with the square of the members, as each of them verifies all: 64 take a minute or more."""
    path = tmp_path / "many.csv"
    rng = random.Random(1)  # noqa: S311 - a table, no secret
    with path.open("w", encoding="utf-8") as file:
        file.write("site,marker,ill\n")
        for row in range(MANY * 12):
            ill = row // MANY % 2
            file.write(f"site-{row % MANY},{rng.gauss(ill, 0.5):.3f},{ill}\n")
    table = ("--data", path, "--label", "ill", "--site-column", "site")
    outcome = run("demo", "--no-serve", *table, "--rounds", 1, "--out", tmp_path / "out")
    assert outcome.code == 0, outcome.err
    assert f"{MANY} hospitals (12 rows each)" in outcome.out
    (round_,) = audit_demo(tmp_path / "out").rounds
    assert len(round_.verdicts) == len(round_.attestations) == len(round_.claims) == MANY
