"""The whole task on real tables: federated averaging by hand, files and frames, what a hospital may lack."""

from __future__ import annotations

import doctest
import math
import os
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.datasets import load_breast_cancer, load_iris
from torch import nn

import node.tabular
from ledger.errors import DataError, UsageError
from node.tabular import (
    Architecture,
    Column,
    Holdout,
    TabularClassification,
    TabularData,
    TabularSchema,
    describe,
)
from node.training import TrainingSettings, derive_seed

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    Model = Mapping[str, NDArray[Any]]

SHARED = Path(os.environ.get("FEDLEDGER_SHARED", Path(__file__).parents[4] / "shared"))
TCGA = SHARED / "data" / "tcga-brca" / "brca.csv"

CANCER: pd.DataFrame = load_breast_cancer(as_frame=True).frame
SHARES = (0.4, 0.3, 0.2, 0.1)


def _hospitals(frame: pd.DataFrame, seed: int) -> list[pd.DataFrame]:
    rows = np.random.Generator(np.random.PCG64(seed)).permutation(len(frame))
    ends = [round(len(frame) * share) for share in np.cumsum(SHARES)[:-1]]
    return [frame.iloc[part] for part in np.split(rows, ends)]


def _task(frames: Sequence[pd.DataFrame], label: str = "target", **choices: Any) -> TabularClassification:
    return TabularClassification.from_document(describe(frames, label=label, **choices))


def _average(base: Model, updates: Sequence[tuple[Model, int]]) -> Model:
    """FedAvg as the ledger defines it: float32 deltas, summed with their weights in float64."""
    total = sum(weight for _, weight in updates)
    averaged = {}
    for name, start in base.items():
        acc = np.zeros(start.shape)
        for tensors, weight in updates:
            acc += (tensors[name] - start).astype(np.float64) * weight
        averaged[name] = (start + acc / total).astype(np.float32)
    return averaged


def _federated(task: TabularClassification, data: Sequence[TabularData], rounds: int, seed: int) -> Model:
    model: Model = task.genesis(seed)
    for number in range(1, rounds + 1):
        trained = [task.train(model, d, seed=derive_seed(seed, 1, number, i)) for i, d in enumerate(data)]
        model = _average(model, [(t.tensors, t.num_examples) for t in trained])
    return model


def _by_hand(
    data: Sequence[TabularData], start: Model, settings: TrainingSettings, rounds: int, seed: int
) -> nn.Module:
    """The same federation in plain torch: modules, their state dicts, and a weighted mean of parameters."""
    weights = [value for name, value in start.items() if name.endswith("weight")]
    layers = [m for w in weights for m in (nn.Linear(w.shape[1], w.shape[0]), nn.ReLU())]
    module = nn.Sequential(*layers[:-1])
    module.load_state_dict(dict(zip(module.state_dict(), map(torch.from_numpy, start.values()), strict=True)))
    total = sum(len(d.train_labels) for d in data)
    for number in range(1, rounds + 1):
        base = {name: value.clone() for name, value in module.state_dict().items()}
        mean = {name: torch.zeros_like(value) for name, value in base.items()}
        for member, d in enumerate(data):
            module.load_state_dict(base)
            sgd = torch.optim.SGD(module.parameters(), settings.learning_rate, settings.momentum)
            order = torch.Generator().manual_seed(derive_seed(seed, 1, number, member))
            features, labels = torch.from_numpy(d.train_features), torch.from_numpy(d.train_labels)
            for _ in range(settings.epochs):
                for rows in torch.split(torch.randperm(len(labels), generator=order), settings.batch_size):
                    sgd.zero_grad()
                    logits = module(features[rows])
                    if logits.shape[1] == 1:
                        loss = nn.functional.binary_cross_entropy_with_logits(
                            logits[:, 0], labels[rows].float()
                        )
                    else:
                        loss = nn.functional.cross_entropy(logits, labels[rows])
                    if settings.proximal_mu:
                        for name, value in module.named_parameters():
                            loss = loss + settings.proximal_mu / 2 * (value - base[name]).pow(2).sum()
                    torch.autograd.backward(loss)
                    sgd.step()
            for name, value in module.state_dict().items():
                mean[name] += value * (len(labels) / total)
        module.load_state_dict(mean)
    return module


@pytest.mark.parametrize("mu", [0.0, 0.3])
@pytest.mark.parametrize("hidden", [(), (8,)])
def test_federated_averaging_equals_plain_torch_averaged_by_hand(hidden: tuple[int, ...], mu: float) -> None:
    settings = TrainingSettings(proximal_mu=mu)
    frames = _hospitals(CANCER, seed=3)
    task = _task(frames, architecture=Architecture(hidden), training=settings)
    data = [task.load(frame) for frame in frames]
    federated = _federated(task, data, rounds=5, seed=3)
    by_hand = _by_hand(data, task.genesis(3), settings, rounds=5, seed=3).state_dict()
    assert len(federated) == len(by_hand)
    for ours, theirs in zip(federated.values(), by_hand.values(), strict=True):
        np.testing.assert_allclose(ours, theirs.numpy(), rtol=1e-4, atol=2e-6)


def test_federated_training_comes_near_to_pooled_training() -> None:
    """Mean AUC over 10 seeds, five rounds, against as many passes over the union of all rows."""
    differences, federated_aucs = [], []
    for seed in range(10):
        frames = _hospitals(CANCER, seed)
        task = _task(frames, holdout=Holdout(0.2, seed))
        data = [task.load(frame) for frame in frames]
        union = TabularData.union(data)
        federated = task.evaluate(_federated(task, data, rounds=5, seed=seed), union)["auc"]
        pooled = task.evaluate(_federated(task, [union], rounds=5, seed=seed), union)["auc"]
        assert federated is not None
        assert pooled is not None
        differences.append(federated - pooled)
        federated_aucs.append(federated)
    assert math.fsum(differences) / 10 >= -0.02
    assert math.fsum(federated_aucs) / 10 >= 0.98


def test_three_classes_are_told_apart() -> None:
    iris: pd.DataFrame = load_iris(as_frame=True).frame
    iris["target"] = iris["target"].map({0: "setosa", 1: "versicolor", 2: "virginica"})
    settings = TrainingSettings(epochs=30, optimizer="adam", learning_rate=0.01, momentum=0.0)
    task = _task([iris], architecture=Architecture((16,)), training=settings)
    data = task.load(iris)
    before = task.evaluate(task.genesis(1), data)
    after = task.evaluate(task.train(task.genesis(1), data, seed=1).tensors, data)
    assert after["accuracy"] is not None
    assert after["auc"] is not None
    assert after["accuracy"] >= 0.9
    assert after["auc"] >= 0.98
    assert before["log_loss"] is not None
    assert after["log_loss"] is not None
    assert after["log_loss"] < before["log_loss"] / 2


def test_training_twice_gives_the_same_bytes_and_leaves_its_input_alone() -> None:
    task = _task([CANCER], architecture=Architecture((8, 4)))
    data = task.load(CANCER)
    model = task.genesis(5)
    before = {name: tensor.tobytes() for name, tensor in model.items()}
    one, two = (task.train(model, data, seed=9) for _ in range(2))
    assert [t.tobytes() for t in one.tensors.values()] == [t.tobytes() for t in two.tensors.values()]
    assert one.loss == two.loss
    assert before == {name: tensor.tobytes() for name, tensor in model.items()}
    assert one.num_examples == data.num_examples == len(CANCER) - data.test_rows


def test_a_hospital_with_one_class_trains_and_has_no_auc() -> None:
    healthy = CANCER[CANCER["target"] == 1].head(20)
    task = _task([CANCER])
    data = task.load(healthy)
    metrics = task.evaluate(task.train(task.genesis(0), data, seed=0).tensors, data)
    assert metrics["auc"] is None
    assert metrics["accuracy"] == 1.0


def test_a_hospital_too_small_to_hold_rows_back_trains_and_reports_nothing() -> None:
    task = _task([CANCER])
    data = task.load(CANCER.iloc[[0, 20]])
    assert (data.num_examples, data.test_rows) == (2, 0)
    trained = task.train(task.genesis(0), data, seed=0)
    assert set(task.evaluate(trained.tensors, data).values()) == {None}


def test_a_file_and_a_frame_of_the_same_rows_are_the_same_data(tmp_path: Path) -> None:
    """Whoever wrote the file: floats, a missing cell, categories, labels as booleans."""
    frame = pd.DataFrame(
        {
            "age": [50.1, None, 61.7, 70.0] * 5,
            "stage": ["i", "ii", None, "01"] * 5,
            "note": ["free, text"] * 20,
            "alive": [True, False, False, True] * 5,
        }
    )
    frame.to_csv(tmp_path / "hospital.csv", index=False)
    task = _task([frame], label="alive", columns=["age", "stage"])
    from_frame, from_file = task.load(frame), task.load(tmp_path / "hospital.csv")
    assert from_frame.train_features.tobytes() == from_file.train_features.tobytes()
    assert from_frame.train_labels.tolist() == from_file.train_labels.tolist()
    assert from_frame.test_features.tobytes() == from_file.test_features.tobytes()


def test_what_does_not_fit_is_named_with_file_column_row_and_value(tmp_path: Path) -> None:
    path = tmp_path / "hospital.csv"
    path.write_text("age,y\n50,0\n51,1\nunknown,1\n53,0\n")
    task = TabularClassification(TabularSchema("y", ("0", "1"), (Column("age"),)))
    with pytest.raises(DataError) as caught:
        task.load(path)
    assert str(caught.value) == f"{path}: column age, row 3: expected a number, got 'unknown'"


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ("age\n50\n", "expected a column named y, got age"),
        ("y\n1\n", "expected a column named age, got y"),
        ("age,y\n", "rows to train on: expected at least 2, got 0"),
        ("age,y\n50,1\n", "rows to train on: expected at least 2, got 1"),
        ("age,y\n50,1\n51,2\n", "column y, row 2: expected a class of the plan \\(0, 1\\), got '2'"),
        ("age,y\n50,1\n51,\n", "column y, row 2: expected a class of the plan \\(0, 1\\), got nothing"),
        ("age,y\n50,1\ninf,0\n", "column age, row 2: expected a finite number, got inf"),
    ],
)
def test_a_file_that_does_not_fit_the_plan_is_refused(tmp_path: Path, data: str, message: str) -> None:
    path = tmp_path / "hospital.csv"
    path.write_text(data)
    task = TabularClassification(TabularSchema("y", ("0", "1"), (Column("age"),)))
    with pytest.raises(DataError, match=message):
        task.load(path)


def test_a_column_without_any_value_is_read_from_a_long_file(tmp_path: Path) -> None:
    path = tmp_path / "hospital.csv"
    path.write_text("void,nan,x,y\n" + "".join(f",NaN,{i % 7},{i % 2}\n" for i in range(20_000)))
    schema = TabularSchema("y", ("0", "1"), (Column("void"), Column("nan"), Column("x")))
    data = TabularClassification(schema).load(path)
    assert data.num_examples == 16_000
    assert not data.train_features[:, :2].any()
    assert data.train_features[:, 2].any()


def test_divergence_in_a_hospital_is_an_error_and_not_an_update() -> None:
    training = TrainingSettings(learning_rate=1000.0, weight_decay=1000.0)
    task = _task([CANCER], training=training)
    with pytest.raises(UsageError, match="training diverged in epoch"):
        task.train(task.genesis(0), task.load(CANCER), seed=0)


def test_a_model_that_gives_no_numbers_has_no_metrics() -> None:
    task = _task([CANCER], architecture=Architecture((4,)))
    endless = {name: np.full_like(tensor, 3e38) for name, tensor in task.genesis(0).items()}
    assert set(task.evaluate(endless, task.load(CANCER)).values()) == {None}


def test_a_model_of_another_shape_is_refused() -> None:
    task = _task([CANCER])
    data = task.load(CANCER)
    other = {**task.genesis(0), "linear.bias": np.zeros(2, dtype=np.float32)}
    with pytest.raises(UsageError, match="tensors of the model"):
        task.train(other, data, seed=0)
    with pytest.raises(UsageError, match="tensors of the model"):
        task.evaluate(other, data)


def test_evaluation_does_not_depend_on_how_many_rows_are_scored_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    task = _task([CANCER])
    data = task.load(CANCER)
    model = task.train(task.genesis(0), data, seed=0).tensors
    whole = task.evaluate(model, data)
    monkeypatch.setattr("node.tabular.task._SCORED_ROWS", 10)
    assert task.evaluate(model, data) == whole


@pytest.mark.skipif(
    not TCGA.exists(), reason="the TCGA-BRCA table is not beside this checkout (FEDLEDGER_SHARED)"
)
def test_a_real_clinical_table_trains_from_its_file() -> None:
    """TCGA-BRCA: patient numbers stay out of the plan; 39 clinical columns, the event as label."""
    frame = pd.read_csv(TCGA)
    features = [name for name in frame.columns if name not in {"pid", "E", "T"}]
    described = describe([frame], label="E", columns=["pid", *features])
    assert [column["name"] for column in described["columns"]] == features
    assert described["label"]["classes"] == ["0", "1"]
    task = TabularClassification.from_document(described)
    data = task.load(TCGA)
    assert data.num_examples + data.test_rows == len(frame) == 1096
    metrics = task.evaluate(task.train(task.genesis(0), data, seed=0).tensors, data)
    assert metrics["auc"] is not None
    assert metrics["auc"] > 0.5


def test_the_example_of_the_package_is_true() -> None:
    assert doctest.testmod(node.tabular).failed == 0


def test_the_face_of_the_package_is_complete() -> None:
    public = {name for name in vars(node.tabular) if not name.startswith("_")}
    modules = {"cells", "network", "preparation", "schema", "table", "task"}
    assert public - modules == set(node.tabular.__all__)


def test_schemas_that_differ_only_in_training_have_the_same_tensors() -> None:
    schema = TabularSchema("y", ("0", "1"), (Column("x"),))
    other = replace(schema, training=TrainingSettings(epochs=9))
    assert TabularClassification(schema).tensors() == TabularClassification(other).tensors()
