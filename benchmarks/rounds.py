"""What the ledger costs: the demo's rounds against the same training without it.

Both sides train the same hospitals on the same rows with the same seeds, in turns within one run: the demo's
way, through chain, store, recomputation by every hospital and attestations; and a bare loop that trains each
hospital and averages the deltas in numpy. The difference is the fixed cost of a round.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from cli.consortium import LocalConsortium
from cli.experiment import DemoSettings, experiment_of
from node.training import derive_seed
from node.updates import write_model
from storage import DirectoryStore

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from cli.experiment import Experiment

__all__ = ["compare_rounds"]


def compare_rounds(rounds: int, hospitals: int) -> list[str]:
    """Return report lines: fixed cost of a round in seconds, and the ledger's share of wall time."""
    settings = DemoSettings(rounds=rounds + 1, hospitals=hospitals)
    experiment = experiment_of(settings)
    with tempfile.TemporaryDirectory(prefix="fedledger-bench-") as folder:
        consortium = _consortium(experiment, Path(folder))
        with_ledger, bare = [], []
        consortium.run_round()  # loads the hospitals' data, warms caches
        model = experiment.task.genesis(settings.seed)
        for round_ in range(1, rounds + 1):
            begun = time.perf_counter()
            model = _bare_round(experiment, model, round_)
            bare.append(time.perf_counter() - begun)
            begun = time.perf_counter()
            consortium.run_round()
            with_ledger.append(time.perf_counter() - begun)
        consortium.close()
    fixed = statistics.median(a - b for a, b in zip(with_ledger, bare, strict=True))
    share = fixed / statistics.median(with_ledger)
    both = (
        f"with ledger {statistics.median(with_ledger):.2f} s, bare training {statistics.median(bare):.3f} s"
    )
    return [
        f"(e) fixed cost of a round, {hospitals} hospitals: {fixed:.2f} s (median of {rounds}; {both})",
        f"(e) share of wall time: {share:.0%} on this tiny model; it is fixed, so it falls as training grows",
    ]


def _consortium(experiment: Experiment, folder: Path) -> LocalConsortium:
    shared = DirectoryStore(folder / "shared")
    genesis = folder / "genesis"
    write_model(genesis, experiment.task.genesis(experiment.settings.seed), experiment.task.tensors())
    plan = experiment.plan(shared.put_file(genesis))
    return LocalConsortium(experiment.hospitals, plan, shared, folder, seed=experiment.settings.seed)


def _bare_round(
    experiment: Experiment, model: dict[str, NDArray[np.float32]], round_: int
) -> dict[str, NDArray[np.float32]]:
    total = 0
    sums = {name: np.zeros(value.shape, dtype=np.float64) for name, value in model.items()}
    for member, data in enumerate(experiment.rows):
        seed = derive_seed(experiment.settings.seed, 1, round_, member)
        trained = experiment.task.train(model, data, seed=seed)
        total += trained.num_examples
        for name, value in trained.tensors.items():
            sums[name] += (value - model[name]).astype(np.float64) * trained.num_examples
    return {name: (model[name] + sums[name] / total).astype(np.float32) for name in model}
