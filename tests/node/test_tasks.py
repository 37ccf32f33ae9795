"""What a plan can ask for: the registry, a task of one's own, and plans that do not fit their task."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest
import torch

from ledger.cid import PayloadRef
from ledger.documents import Limits, MetricsPolicy, Plan
from ledger.errors import UsageError
from ledger.tensors import TensorSpec
from node import tasks
from node.tabular import TabularClassification, describe
from node.tasks import Task, TrainedModel, register_task, task_for, task_from
from node.training import TrainingSettings, fit

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from numpy.typing import NDArray

FRAME = pd.DataFrame({"x": [1.0, 2.0, 3.0, 4.0], "stage": ["i", "ii"] * 2, "y": [0, 1, 0, 1]})
DOCUMENT = describe([FRAME], label="y")


def _plan(
    task: Mapping[str, Any], tensors: tuple[TensorSpec, ...], metrics: tuple[str, ...] = ("auc",)
) -> Plan:
    return Plan(
        title="a plan",
        task=task,
        model=PayloadRef(bytes(32), 100),
        tensors=tensors,
        strategy="fedavg",
        parameters={},
        limits=Limits(max_bytes=1 << 20, max_abs=100.0, max_num_examples=1000),
        metrics=MetricsPolicy(metrics, min_cell=5),
        rounds=5,
    )


TABULAR_PLAN = _plan(DOCUMENT, task_from(DOCUMENT).tensors())


@dataclass
class Values:
    """A hospital's own type of data."""

    values: NDArray[np.float32]
    num_examples: int
    test_rows: int = 0


class MeanOfColumn:
    """The whole of a task of one's own: it learns the mean of a column."""

    metrics = ("squared_error",)

    def __init__(self, document: Mapping[str, Any]) -> None:
        self.column = document["column"]

    def tensors(self) -> tuple[TensorSpec, ...]:
        return (TensorSpec("mean", "F32", ()),)

    def genesis(self, seed: int) -> dict[str, NDArray[Any]]:
        return {"mean": np.array(seed, dtype=np.float32)}

    def load(self, source: Path | pd.DataFrame) -> Values:
        frame = source if isinstance(source, pd.DataFrame) else pd.read_csv(source)
        values = frame[self.column].to_numpy(dtype=np.float32)
        return Values(values, len(values))

    def train(self, model: Mapping[str, NDArray[Any]], data: Values, *, seed: int) -> TrainedModel:
        rows = torch.from_numpy(data.values)
        settings = TrainingSettings(epochs=50, learning_rate=0.1, momentum=0.0)
        return fit(
            model, lambda p, i: (p["mean"] - rows[i]).square().mean(), data.num_examples, settings, seed=seed
        )

    def evaluate(self, model: Mapping[str, NDArray[Any]], data: Values) -> Mapping[str, float | None]:
        return {"squared_error": float(np.mean((data.values - model["mean"]) ** 2))}


@pytest.fixture
def registry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tasks, "_factories", dict(tasks._factories))


@pytest.mark.usefixtures("registry")
def test_a_task_of_ones_own_trains_from_a_plan() -> None:
    register_task("mean-of-column", MeanOfColumn)
    plan = _plan(
        {"kind": "mean-of-column", "column": "x"}, MeanOfColumn({"column": "x"}).tensors(), ("squared_error",)
    )
    task: Task = task_for(Plan.parse(plan.encode()))
    data = task.load(FRAME)
    trained = task.train(task.genesis(seed=9), data, seed=1)
    assert trained.num_examples == 4
    assert trained.tensors["mean"] == pytest.approx(2.5, abs=0.01)
    assert task.evaluate(trained.tensors, data)["squared_error"] == pytest.approx(1.25, abs=0.01)


@pytest.mark.usefixtures("registry")
def test_a_kind_that_is_taken_is_not_registered_again() -> None:
    with pytest.raises(UsageError, match="expected one that is not taken, got tabular-classification"):
        register_task("tabular-classification", MeanOfColumn)


@pytest.mark.parametrize("kind", ["images", None, 3, ["tabular-classification"]])
def test_an_unknown_kind_is_refused_with_the_list_of_known_ones(kind: object) -> None:
    with pytest.raises(UsageError, match="kind of task: expected one of tabular-classification"):
        task_from({"kind": kind})


def test_a_task_without_a_kind_is_refused() -> None:
    with pytest.raises(UsageError, match="kind of task"):
        task_from({})


def test_a_plan_that_went_through_its_document_gives_the_task() -> None:
    task = task_for(Plan.parse(TABULAR_PLAN.encode()))
    assert isinstance(task, TabularClassification)
    assert task.tensors() == TABULAR_PLAN.tensors


def test_a_plan_whose_tensors_are_not_the_tasks_is_refused() -> None:
    weight, bias = TABULAR_PLAN.tensors
    for tensors, message in (
        ((replace(weight, shape=(1, 9)), bias), "tensors of the plan: expected .*linear.weight.*got.*9"),
        ((weight,), "number of tensors of the plan: expected 2, got 1"),
        ((weight, bias, replace(bias, name="extra")), "number of tensors of the plan: expected 2, got 3"),
        ((weight, replace(bias, trainable=False)), "tensors of the plan"),
    ):
        with pytest.raises(UsageError, match=message):
            task_for(replace(TABULAR_PLAN, tensors=tensors))


def test_a_plan_that_asks_for_an_unknown_metric_is_refused() -> None:
    with pytest.raises(
        UsageError, match="metric of the plan: expected one of accuracy, auc, log_loss, got AUC"
    ):
        task_for(replace(TABULAR_PLAN, metrics=MetricsPolicy(("accuracy", "AUC"), 5)))


def test_a_plan_into_which_no_update_fits_is_refused() -> None:
    least = 4096 + sum(spec.nbytes for spec in TABULAR_PLAN.tensors)
    enough = replace(TABULAR_PLAN, limits=replace(TABULAR_PLAN.limits, max_bytes=least))
    assert task_for(enough).tensors() == TABULAR_PLAN.tensors
    with pytest.raises(
        UsageError, match=f"max_bytes of the plan: expected at least {least}, got {least - 1}"
    ):
        task_for(replace(enough, limits=replace(enough.limits, max_bytes=least - 1)))
